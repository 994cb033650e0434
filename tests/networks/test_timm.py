"""timm's models as backbones: the small ones that timm has for tests, without a download."""

import sys
from pathlib import Path

import pytest
import torch
from network_helpers import predict, random_frames

from trailer_lib.errors import TrailerError
from trailer_lib.networks.regressor import AGGREGATIONS, build, restore
from trailer_lib.settings import TrainSettings

timm = pytest.importorskip("timm", reason="the extra timm is not installed")
SMALL = ["test_vit", "test_resnet", "test_convnext3", "test_efficientnet", "test_mambaout"]


def saved(name: str, folder: Path) -> Path:
    torch.manual_seed(3)
    torch.save(timm.create_model(name).state_dict(), folder / f"{name}.pth")
    return folder / f"{name}.pth"


@pytest.mark.parametrize("name", SMALL)
def test_a_timm_model_learns_and_is_restored(name: str) -> None:
    aggregate = AGGREGATIONS[SMALL.index(name) % len(AGGREGATIONS)]
    network, frames = build(f"timm:{name}", 3, aggregate, "none", depth="stages"), random_frames(2, 3)
    network.train()(frames).sum().backward()
    assert [name for name, tensor in network.named_parameters() if tensor.grad is None] == []
    settings = TrainSettings(backbone=f"timm:{name}", frames=3, aggregate=aggregate)
    again = restore(settings, network.report, network.state_dict())
    assert again.size == (160 if name == "test_vit" else 0)
    assert torch.equal(predict(again, frames), predict(network, frames))


@pytest.mark.parametrize("name", SMALL)
def test_equal_frames_stacked_give_the_features_of_one(name: str, tmp_path: Path) -> None:
    path = saved(name, tmp_path)
    one, stacked = (build(f"timm:{name}", frames, "channels", str(path)).eval() for frames in (1, 5))
    frames = random_frames(2, 1)
    with torch.inference_mode():
        expected = one.features(one.normalise(frames))
        features = stacked.features(stacked.normalise(frames.expand(-1, 5, -1, -1, -1)))
    assert expected.std() > 1e-3 and torch.allclose(features, expected, atol=1e-4)


@pytest.mark.parametrize("kind", ["pth", "safetensors"])
def test_the_features_are_timms_own(tmp_path: Path, kind: str) -> None:
    path, original = saved("test_resnet", tmp_path), timm.create_model("test_resnet", num_classes=0)
    state = torch.load(path, weights_only=True)
    original.load_state_dict({name: tensor for name, tensor in state.items() if not name.startswith("fc.")})
    if kind == "safetensors":
        from safetensors.torch import save_file

        path = tmp_path / "weights.safetensors"
        save_file(state, path)
    network = build("timm:test_resnet", 1, "mean", str(path)).eval()
    assert network.report.endswith(f"{len(original.state_dict())} tensors loaded; at random: head")
    frames = random_frames(2, 1)
    pictures = (frames[:, 0] / 255 - 0.5) / 0.5  # this model's own mean and sd
    with torch.inference_mode():
        assert torch.allclose(network.features(network.normalise(frames)), original.eval()(pictures), atol=1e-5)


@pytest.mark.parametrize("name, hint", [
    ("test_resnot", "did you mean 'test_resnet'"), ("zzzzzz", "timm.list_models"), ("local-dir:/tmp", "unknown"),
    ("hf-hub:someone/something", "unknown"), ("test_vit.nonsense", "timm:test_vit.nonsense"),
])  # fmt: skip
def test_an_unknown_name_is_an_error(name: str, hint: str) -> None:
    with pytest.raises(TrailerError, match=hint) as caught:
        build(f"timm:{name}", 1, "mean", "none")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_a_kernel_that_standardises_itself_or_no_timm_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TrailerError, match=r"stem\.conv1.*aggregate='mean'"):
        build("timm:test_nfnet", 5, "channels", "none")
    assert build("timm:test_nfnet", 5, "channels", "none", first_conv="random").frames == 5
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(TrailerError, match="pip install timm"):
        build("timm:test_resnet", 1, "mean", "none")


@pytest.mark.usefixtures("no_network")
def test_without_a_network_a_download_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(TrailerError, match=r"no weights of timm:test_resnet.*'none'") as caught:
        build("timm:test_resnet", 1, "mean", "DEFAULT")
    assert "\n" not in str(caught.value)
