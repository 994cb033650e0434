"""timm's models as backbones: the small ones that timm keeps for tests, without a download."""

import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from trailer_lib.errors import TrailerError
from trailer_lib.networks.backbone import AGGREGATIONS
from trailer_lib.networks.regressor import build, restore
from trailer_lib.settings import TrainSettings

timm = pytest.importorskip("timm", reason="the extra timm is not installed")
SMALL = ["test_vit", "test_resnet", "test_convnext3", "test_efficientnet", "test_mambaout"]


def frames_of(films: int, frames: int, size: int = 64) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (films, frames, 3, size, size), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("name", SMALL)
def test_a_timm_model_learns_and_is_restored(name: str) -> None:
    aggregate = AGGREGATIONS[SMALL.index(name)]
    network, frames = build(f"timm:{name}", 3, aggregate, "none", depth="stages"), frames_of(2, 3)
    network.train()(frames).sum().backward()
    assert [name for name, tensor in network.named_parameters() if tensor.grad is None] == []
    settings = TrainSettings(backbone=f"timm:{name}", frames=3, aggregate=aggregate)
    again = restore(settings, network.report, network.state_dict(), network.blocks).eval()
    with torch.inference_mode():
        assert torch.equal(again(frames), network.eval()(frames))


@pytest.mark.parametrize("name", SMALL)
def test_equal_frames_stacked_give_the_features_of_one(name: str, tmp_path: Path) -> None:
    path = saved(name, tmp_path)
    one, stacked = (build(f"timm:{name}", frames, "channels", str(path)).eval() for frames in (1, 5))
    frames = frames_of(2, 1)
    with torch.inference_mode():
        expected = one.features(one.normalise(frames))
        found = stacked.features(stacked.normalise(frames.expand(-1, 5, -1, -1, -1)))
    assert expected.std() > 1e-3
    assert torch.allclose(found, expected, atol=1e-4)


def saved(name: str, folder: Path) -> Path:
    torch.manual_seed(3)
    torch.save(timm.create_model(name).state_dict(), folder / f"{name}.pth")
    return folder / f"{name}.pth"


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
    frames = frames_of(2, 1)
    pictures = (frames[:, 0] / 255 - 0.5) / 0.5  # this model's own mean and sd
    with torch.inference_mode():
        assert torch.allclose(network.features(network.normalise(frames)), original.eval()(pictures), atol=1e-5)


def test_pictures_are_resized_to_the_only_size_a_vit_takes() -> None:
    network = build("timm:test_vit", 2, "mean", "none").eval()
    assert network.size == 160 and "resized to 160 x 160" in network.summary()
    with torch.inference_mode():
        assert network(frames_of(1, 2, 200)).isfinite().all()


def test_clips_tower_keeps_clips_mean() -> None:
    network = build("timm:vit_base_patch32_clip_224.openai", 1, "mean", "none", freeze="backbone")
    assert torch.allclose(network.mean.flatten(), torch.tensor([0.48145466, 0.4578275, 0.40821073]))
    assert not any(tensor.requires_grad for tensor in network.backbone.parameters())


@pytest.mark.parametrize(
    "name, hint",
    [
        ("test_resnot", "did you mean 'test_resnet'"),
        ("zzzzzz", "timm.list_models"),
        ("hf-hub:someone/something", "unknown backbone"),
        ("local-dir:/tmp", "unknown backbone"),
        ("test_vit.nonsense", "timm:test_vit.nonsense"),
    ],
)
def test_an_unknown_name_is_an_error(name: str, hint: str) -> None:
    with pytest.raises(TrailerError, match=hint) as caught:
        build(f"timm:{name}", 1, "mean", "none")
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_another_models_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TrailerError, match="another backbone"):
        build("timm:test_vit", 1, "mean", str(saved("test_resnet", tmp_path)))


def test_a_kernel_that_standardises_itself_can_not_be_repeated() -> None:
    with pytest.raises(TrailerError, match=r"stem\.conv1.*aggregate='mean'"):
        build("timm:test_nfnet", 5, "channels", "none")
    assert build("timm:test_nfnet", 5, "channels", "none", first_conv="random").frames == 5


def test_without_a_network_a_download_is_an_error_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, no_network: None
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(TrailerError, match=r"timm:test_resnet can't be had.*weights='none'") as caught:
        build("timm:test_resnet", 1, "mean", "DEFAULT")
    assert "\n" not in str(caught.value)


def test_without_timm_one_line_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(TrailerError, match="pip install timm"):
        build("timm:test_resnet", 1, "mean", "none")
