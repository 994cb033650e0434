"""Files of weights and downloads: what fills a network's trunk, and what is one line of error and nothing else."""

import zipfile
from pathlib import Path

import pytest
import torch
from network_helpers import Bomb, predict, random_frames, save_weights
from torchvision import models

from trailer_lib.errors import TrailerError
from trailer_lib.networks.regressor import build, restore
from trailer_lib.settings import TrainSettings


def test_weights_in_half_precision_become_float32(tmp_path: Path) -> None:
    file = save_weights("squeezenet1_1", tmp_path / "half.pth")
    half = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in file.items()}
    torch.save(half, tmp_path / "half.pth")
    network = build("squeezenet1_1", 2, "mean", str(tmp_path / "half.pth"))
    assert {tensor.dtype for tensor in network.parameters()} == {torch.float32}
    assert predict(network, random_frames(1, 2)).isfinite().all()


def test_a_file_of_the_trunk_alone_leaves_no_hidden_layers(tmp_path: Path) -> None:
    backbone = "mobilenet_v3_small"
    state = save_weights(backbone, tmp_path / "t")
    torch.save({name: tensor for name, tensor in state.items() if not name.startswith("classifier.")}, tmp_path / "t")
    network = build(backbone, 1, "mean", str(tmp_path / "t"))
    assert network.head.in_features == 576
    assert [name for name, _ in network.backbone.named_parameters() if name.startswith("classifier.")] == []
    settings = TrainSettings(backbone=backbone, frames=1, aggregate="mean", depth="last")
    again, frames = restore(settings, network.report, network.state_dict()), random_frames(2, 1)
    assert torch.equal(predict(network, frames), predict(again, frames))


def save_compressed(path: Path) -> None:
    """A zip bomb: megabytes of zeros in kilobytes."""
    whole = path.with_suffix(".whole")
    torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7)}, whole)
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as small:
        for entry in source.infolist():
            small.writestr(entry.filename, source.read(entry))


ODD = {
    "another backbone": lambda path: torch.save(models.resnet34().state_dict(), path),
    "text": lambda path: path.write_text("<!DOCTYPE html>"),
    "missing": lambda path: None,
    "a folder": lambda path: path.mkdir(),
    "part of the trunk": lambda path: torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7)}, path),
    "an empty dict": lambda path: torch.save({}, path),
    "one level down": lambda path: torch.save({"state_dict": {"conv1.weight": torch.zeros(64, 3, 7, 7)}}, path),
    "facts of text": lambda path: torch.save({"state_dict": {}, "trailer_lib": "hello"}, path),
    "compressed": save_compressed,
    "hostile": lambda path: torch.save({"fc.weight": Bomb(path.parent / "canary")}, path),
    # A number that claims to be a kernel of terabytes.
    "expanded": lambda path: torch.save({"conv1.weight": torch.zeros(1, 1, 1, 1).expand(2**20, 6, 2**10, 2**10)}, path),
}


@pytest.mark.parametrize("kind", ODD)
def test_a_file_that_does_not_fill_the_trunk_is_an_error(tmp_path: Path, kind: str) -> None:
    ODD[kind](tmp_path / "odd.pth")
    with pytest.raises(TrailerError, match=r"odd\.pth") as caught:
        build("resnet18", 2, "channels", str(tmp_path / "odd.pth"))
    assert "\n" not in str(caught.value) and not (tmp_path / "canary").exists()


@pytest.fixture
def empty_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, no_network: None) -> Path:
    """torch's folder of downloads, empty, on a machine without a network."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    return tmp_path / "hub"


def test_weights_that_can_not_be_downloaded_are_an_error_with_url_and_remedy(empty_hub: Path) -> None:
    with pytest.raises(TrailerError, match=r"https://\S+resnet18\S+\.pth .*to a file of them, or to 'none'"):
        build("resnet18", 2, "mean", "DEFAULT")


def test_a_download_is_loaded_without_a_network_and_a_damaged_one_is_an_error(empty_hub: Path) -> None:
    (empty_hub / "checkpoints").mkdir(parents=True)
    download = empty_hub / "checkpoints" / Path(models.get_model_weights("squeezenet1_1").DEFAULT.url).name
    save_weights("squeezenet1_1", download)
    network = build("squeezenet1_1", 2, "mean", "DEFAULT")
    assert network.report == "squeezenet1_1 IMAGENET1K_V1: 50 tensors loaded; at random: head"
    download.write_bytes(download.read_bytes()[:100_000])
    with pytest.raises(TrailerError, match="no weights of squeezenet1_1"):
        build("squeezenet1_1", 2, "mean", "DEFAULT")
