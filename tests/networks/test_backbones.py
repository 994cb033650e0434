"""Any torchvision classifier as a regressor: its joins, the weights that fill it, and the files that must not."""

import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from trailer_lib.errors import TrailerError
from trailer_lib.networks import weights as weights_file
from trailer_lib.networks.backbone import AGGREGATIONS, IMAGENET_MEAN, IMAGENET_SD
from trailer_lib.networks.model_file import FORMAT, ModelFile
from trailer_lib.networks.regressor import FilmRegressor, build, restore
from trailer_lib.settings import TrainSettings

# A network of each way of building; VGG takes two seconds to fill with random numbers, so it is built seldom.
SMALL = ["resnet18", "mobilenet_v2", "squeezenet1_1", "densenet121", "efficientnet_b0", "mnasnet0_5"]


def frames_of(films: int, frames: int, size: int = 64, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (films, frames, 3, size, size), dtype=torch.uint8, generator=generator)


def chosen(backbone: str, frames: int, aggregate: str, depth: str = "last") -> TrainSettings:
    return TrainSettings(backbone=backbone, frames=frames, aggregate=aggregate, depth=depth)


def answer(network: FilmRegressor, frames: Tensor) -> Tensor:
    with torch.inference_mode():
        return network.eval()(frames)


def first_convolution(network: nn.Module) -> nn.Conv2d:
    return next(layer for layer in network.modules() if isinstance(layer, nn.Conv2d))


@pytest.fixture(scope="module")
def weights_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A function that gives a torchvision network's random weights as a file, the same file for the same name."""
    folder = tmp_path_factory.mktemp("weights")

    def saved(name: str) -> Path:
        path = folder / f"{name}.pth"
        if not path.exists():
            torch.manual_seed(7)
            torch.save(models.get_model(name, weights=None).state_dict(), path)
        return path

    return saved


# Building.


@pytest.mark.parametrize("aggregate", AGGREGATIONS)
@pytest.mark.parametrize("backbone", SMALL)
def test_a_backbone_answers_with_a_score_a_film(backbone: str, aggregate: str) -> None:
    found = answer(build(backbone, 2, aggregate, "none"), frames_of(3, 2))
    assert found.shape == (3,) and found.dtype == torch.float32
    assert found.isfinite().all()


@pytest.mark.parametrize(
    "backbone, frames, aggregate, size",
    [("vgg11", 2, "channels", 32), ("vit_b_16", 1, "mean", 224), ("maxvit_t", 1, "mean", 224)],
)
def test_a_large_backbone_answers_with_a_score_a_film(backbone: str, frames: int, aggregate: str, size: int) -> None:
    found = answer(build(backbone, frames, aggregate, "none"), frames_of(2, frames, size))
    assert found.shape == (2,) and found.isfinite().all()


@pytest.mark.parametrize("aggregate", AGGREGATIONS)
def test_every_part_of_a_network_learns(aggregate: str) -> None:
    network = build("resnet18", 2, aggregate, "none").train()
    network(frames_of(3, 2)).square().sum().backward()
    assert [name for name, tensor in network.named_parameters() if tensor.grad is None] == []


@pytest.mark.parametrize("join, depends", [("channels", True), ("mean", False), ("attention", False)])
def test_the_frames_order_counts_only_where_they_are_stacked(aggregate: str, depends: bool) -> None:
    network, frames = build("resnet18", 3, aggregate, "none"), frames_of(2, 3)
    nn.init.normal_(
        first_convolution(network).weight, std=0.05
    )  # as learning does: at first it treats all frames alike
    same = torch.allclose(answer(network, frames), answer(network, frames.flip(1)), atol=1e-6)
    assert same != depends


@pytest.mark.parametrize("aggregate", ["mean", "attention"])
def test_a_pooled_film_of_equal_frames_is_that_frame(aggregate: str) -> None:
    network = build("resnet18", 4, aggregate, "none")
    one, network_of_one = frames_of(2, 1), build("resnet18", 1, aggregate, "none")
    network_of_one.load_state_dict(network.state_dict())
    assert torch.allclose(answer(network, one.repeat(1, 4, 1, 1, 1)), answer(network_of_one, one), atol=1e-5)


@pytest.mark.parametrize(
    "backbone, aggregate, hint",
    [("resnet81", "channels", "resnet18"), ("vgg61", "mean", "vgg"), ("resnet18", "chanels", "channels")],
)
def test_an_unknown_name_is_an_error_that_names_the_nearest(backbone: str, aggregate: str, hint: str) -> None:
    with pytest.raises(TrailerError, match=f"unknown .*did you mean '{hint}"):
        build(backbone, 2, aggregate, "none")


def test_the_summary_gives_size_first_convolution_and_weights() -> None:
    text = build("resnet18", 5, "channels", "none").summary()
    assert text.startswith("11.2 M parameters; first convolution 15 -> 64 channels")
    assert text.endswith("every layer starts at random")


# What goes in.


def test_normalise_takes_imagenets_mean_to_0_and_a_sd_above_to_1() -> None:
    network = build("squeezenet1_1", 1, "mean", "none")
    for sds in (0, 1):
        colour = torch.tensor(IMAGENET_MEAN) + sds * torch.tensor(IMAGENET_SD)
        frames = (255 * colour).round().to(torch.uint8).view(1, 1, 3, 1, 1).expand(2, 1, 3, 8, 8)
        assert torch.allclose(network.normalise(frames), torch.tensor(float(sds)), atol=0.01)


@pytest.mark.parametrize(
    "frames",
    [
        torch.zeros(2, 3, 3, 32, 32),
        torch.zeros(2, 3, 3, 32, 32, dtype=torch.int64),
        torch.zeros(2, 4, 3, 32, 32, dtype=torch.uint8),
        torch.zeros(2, 3, 32, 32, 3, dtype=torch.uint8),
        torch.zeros(3, 3, 32, 32, dtype=torch.uint8),
    ],
    ids=["float", "int64", "four frames", "channels last", "no films"],
)
def test_frames_of_another_kind_are_refused(frames: Tensor) -> None:
    with pytest.raises(ValueError, match=r"expected uint8 \[films, 3, 3, height, width\]"):
        build("squeezenet1_1", 3, "channels", "none")(frames)


def test_raw_pixels_are_bgr_from_0_to_255() -> None:
    frames = frames_of(2, 3)
    seen = build("squeezenet1_1", 3, "channels", "none", pixels="raw").normalise(frames)
    assert seen.dtype == torch.float32 and torch.equal(seen[:, :, 0], frames[:, :, 2].float())


@pytest.mark.parametrize("backbone", ["googlenet", "inception_v3"])
def test_inceptions_see_pixels_from_minus_1_to_1(backbone: str) -> None:
    network = build(backbone, 2, "channels", "none")
    assert torch.equal(network.normalise(torch.zeros(1, 2, 3, 4, 4, dtype=torch.uint8)).unique(), torch.tensor([-1.0]))
    assert network.backbone.transform_input is False


def test_pictures_are_resized_to_the_only_size_a_backbone_takes() -> None:
    network = build("vit_b_32", 1, "mean", "none")
    assert answer(network, frames_of(1, 1, 32)).isfinite().all()
    assert "pictures are resized to 224 x 224" in network.summary()


# The original's first layer.


def test_a_random_first_layer_replaces_the_pretrained_one(weights_of: Callable[[str], Path]) -> None:
    path = weights_of("resnet18")
    network = build("resnet18", 3, "channels", str(path), first_conv="random")
    kernel, file = first_convolution(network).weight, torch.load(path, weights_only=True)
    assert kernel.shape == (64, 9, 7, 7) and not torch.allclose(kernel[:, :3], kernel[:, 3:6])
    assert not torch.allclose(kernel[:, :3] * 3, file["conv1.weight"])
    assert torch.equal(network.backbone.layer1[0].conv1.weight, file["layer1.0.conv1.weight"])
    assert network.report.endswith("at random: conv1, head")


@pytest.mark.parametrize("aggregate", ["mean", "moments"])
def test_a_random_first_layer_without_stacked_frames_is_an_error(aggregate: str) -> None:
    with pytest.raises(TrailerError, match="only aggregate='channels'"):
        build("resnet18", 2, aggregate, "none", first_conv="random")


# Weights that fill a network.


@pytest.mark.parametrize("backbone", ["resnet18", "squeezenet1_1", "densenet121", "efficientnet_b0"])
@pytest.mark.parametrize("frames", [2, 5])
def test_equal_frames_stacked_give_the_response_of_one(
    weights_of: Callable[[str], Path], backbone: str, frames: int
) -> None:
    weights = str(weights_of(backbone))
    stacked, single = build(backbone, frames, "channels", weights), build(backbone, 1, "channels", weights)
    one = single.normalise(frames_of(2, 1))
    expected = first_convolution(single)(one.flatten(1, 2))
    found = first_convolution(stacked)(one.repeat(1, frames, 1, 1, 1).flatten(1, 2))
    assert expected.std() > 0.01
    assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("backbone", SMALL)
def test_a_file_of_weights_is_loaded_wholly(weights_of: Callable[[str], Path], backbone: str) -> None:
    file = torch.load(weights_of(backbone), weights_only=True)
    network = build(backbone, 2, "mean", str(weights_of(backbone)))
    filled = network.backbone.state_dict()
    assert set(file) - set(filled) == {name for name in file if file[name].shape[:1] == (1000,)}
    assert all(torch.equal(filled[name], file[name]) for name in filled)
    assert network.report == f"{backbone}.pth: {len(filled)} tensors loaded; at random: head"


def test_the_features_are_torchvisions_own(weights_of: Callable[[str], Path]) -> None:
    original = models.resnet18()
    original.load_state_dict(torch.load(weights_of("resnet18"), weights_only=True))
    original.fc = nn.Identity()
    pictures = torch.randn(2, 3, 64, 64)
    network = build("resnet18", 2, "mean", str(weights_of("resnet18"))).eval()
    with torch.inference_mode():
        assert torch.allclose(network.backbone(pictures), original.eval()(pictures), atol=1e-6)


def test_weights_in_half_precision_are_made_whole(weights_of: Callable[[str], Path], tmp_path: Path) -> None:
    file = torch.load(weights_of("resnet18"), weights_only=True)
    half = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in file.items()}
    torch.save(half, tmp_path / "half.pth")
    network = build("resnet18", 2, "mean", str(tmp_path / "half.pth"))
    assert {tensor.dtype for tensor in network.parameters()} == {torch.float32}
    assert answer(network, frames_of(1, 2)).isfinite().all()


def test_random_weights_are_another_networks_with_another_seed() -> None:
    found = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        found.append(answer(build("squeezenet1_1", 2, "mean", "none"), frames_of(1, 2)))
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


def trunk_file(backbone: str, folder: Path) -> Path:
    """A file without the tensors of the classifier, as some weights for feature extraction are published."""
    state = models.get_model(backbone, weights=None).state_dict()
    torch.save({name: tensor for name, tensor in state.items() if not name.startswith("classifier.")}, folder / "t.pth")
    return folder / "t.pth"


@pytest.mark.parametrize("backbone, size, features", [("vgg11", 32, 512), ("mobilenet_v3_small", 64, 576)])
def test_a_file_of_the_trunk_alone_leaves_no_hidden_layers_at_random(
    tmp_path: Path, backbone: str, size: int, features: int
) -> None:
    network = build(backbone, 1, "mean", str(trunk_file(backbone, tmp_path)))
    assert network.head.in_features == features
    assert [name for name, _ in network.backbone.named_parameters() if name.startswith("classifier.")] == []
    again = restore(chosen(backbone, 1, "mean"), network.report, network.state_dict())
    frames = frames_of(2, 1, size)
    assert torch.equal(answer(network, frames), answer(again, frames))


def test_a_whole_file_keeps_the_hidden_layers_of_a_classifier(weights_of: Callable[[str], Path]) -> None:
    network = build("mobilenet_v3_small", 1, "mean", str(weights_of("mobilenet_v3_small")))
    assert network.head.in_features == 1024
    assert any(name.startswith("classifier.") for name, _ in network.backbone.named_parameters())


# Weights of another model.


def model_file(path: Path, **choices: Any) -> FilmRegressor:
    """A network as a training leaves it: the kernels of its stacked frames differ."""
    settings = TrainSettings(
        **{"backbone": "squeezenet1_1", "aggregate": "channels", "depth": "last", "head": "linear"} | choices
    )
    network = build("squeezenet1_1", settings.frames, settings.aggregate, "none", pixels=settings.pixels)
    nn.init.normal_(first_convolution(network).weight, std=0.05)
    ModelFile(
        network, {"format": FORMAT, "settings": settings.as_dict(), "weights": network.report, "blocks": [512]}
    ).save(path)
    return network


def test_another_models_file_of_as_many_frames_gives_its_backbone_whole(tmp_path: Path) -> None:
    before = model_file(tmp_path / "best_model.pt", frames=3).backbone.state_dict()
    network = build("squeezenet1_1", 3, "channels", str(tmp_path / "best_model.pt"))
    after = network.backbone.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    assert network.report == "best_model.pt: 50 tensors loaded; at random: head"


@pytest.mark.parametrize("join, frames", [("channels", 5), ("channels", 1), ("mean", 3)])
def test_another_models_file_of_other_frames_keeps_the_response_to_equal_ones(
    tmp_path: Path, aggregate: str, frames: int
) -> None:
    before = model_file(tmp_path / "best_model.pt", frames=3).eval()
    after = build("squeezenet1_1", frames, aggregate, str(tmp_path / "best_model.pt")).eval()
    one = frames_of(2, 1)
    with torch.inference_mode():
        expected = before.features(before.normalise(one.expand(-1, 3, -1, -1, -1)))
        found = after.features(after.normalise(one.expand(-1, frames, -1, -1, -1)))
    assert expected.std() > 1e-3 and torch.allclose(found, expected, atol=1e-4)
    assert "its frames' kernels summed" in after.report


def test_another_models_file_that_saw_other_pixels_is_an_error(tmp_path: Path) -> None:
    model_file(tmp_path / "best_model.pt", pixels="raw")
    with pytest.raises(TrailerError, match="was trained with pixels='raw'"):
        build("squeezenet1_1", 5, "channels", str(tmp_path / "best_model.pt"))


def test_another_models_file_of_another_backbone_is_an_error(tmp_path: Path) -> None:
    model_file(tmp_path / "best_model.pt")
    with pytest.raises(TrailerError, match="another backbone"):
        build("resnet18", 5, "channels", str(tmp_path / "best_model.pt"))


# Weights that must not fill one.


class Bomb:
    """What a hostile file holds: unpickled, it runs a command."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.canary),)


def other_backbone(path: Path) -> None:
    torch.save(models.resnet34().state_dict(), path)


def other_family(path: Path) -> None:
    torch.save(models.squeezenet1_1().state_dict(), path)


def text(path: Path) -> None:
    path.write_text("<!DOCTYPE html>")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def missing(path: Path) -> None:
    path.unlink(missing_ok=True)


def folder(path: Path) -> None:
    path.mkdir()


def cut_short(path: Path) -> None:
    torch.save(models.resnet18().state_dict(), path)
    path.write_bytes(path.read_bytes()[:100_000])


def part_of_the_trunk(path: Path) -> None:
    state = models.resnet18().state_dict()
    torch.save({name: tensor for name, tensor in state.items() if not name.startswith("layer3.")}, path)


def a_list(path: Path) -> None:
    torch.save([torch.zeros(3)], path)


def nothing_by_name(path: Path) -> None:
    torch.save({}, path)


def compressed(path: Path) -> None:
    """A zip bomb: megabytes of zeros in kilobytes."""
    whole = path.with_suffix(".whole")
    torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7)}, whole)
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as small:
        for entry in source.infolist():
            small.writestr(entry.filename, source.read(entry))


def without_bounds(path: Path) -> None:
    """A number that claims to be a kernel of terabytes."""
    torch.save({"conv1.weight": torch.zeros(1, 1, 1, 1).expand(2**20, 6, 2**10, 2**10)}, path)


def tensors_one_level_down(path: Path) -> None:
    torch.save({"state_dict": models.resnet18().state_dict()}, path)


@pytest.mark.parametrize(
    "spoil",
    [
        other_backbone,
        other_family,
        text,
        empty,
        missing,
        folder,
        cut_short,
        compressed,
        without_bounds,
        part_of_the_trunk,
        a_list,
        nothing_by_name,
        tensors_one_level_down,
    ],
)
def test_a_file_that_does_not_fill_the_trunk_is_an_error(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    spoil(tmp_path / "odd.pth")
    with pytest.raises(TrailerError, match=r"odd\.pth") as caught:
        build("resnet18", 2, "channels", str(tmp_path / "odd.pth"))
    assert "\n" not in str(caught.value)


def test_a_smaller_networks_file_is_refused_by_a_larger_one(weights_of: Callable[[str], Path]) -> None:
    with pytest.raises(TrailerError, match="another backbone"):
        build("resnet34", 2, "channels", str(weights_of("resnet18")))


def test_a_file_above_the_limit_is_refused(weights_of: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights_file, "MAX_BYTES", 1_000_000)
    with pytest.raises(TrailerError, match=r"resnet18\.pth: .*more than 1,000,000"):
        build("resnet18", 2, "mean", str(weights_of("resnet18")))


@pytest.mark.parametrize("save", [torch.save, lambda bomb, path: path.write_bytes(pickle.dumps(bomb, protocol=2))])
def test_a_hostile_file_is_refused_and_runs_nothing(tmp_path: Path, save: Callable) -> None:
    canary = tmp_path / "canary"
    save({"fc.weight": Bomb(canary)}, tmp_path / "bomb.pth")
    with pytest.raises(TrailerError, match="not a file of tensors"):
        build("resnet18", 2, "channels", str(tmp_path / "bomb.pth"))
    assert not canary.exists()


def test_the_hostile_file_would_run_where_it_is_trusted(tmp_path: Path) -> None:
    torch.save({"fc.weight": Bomb(tmp_path / "canary")}, tmp_path / "bomb.pth")
    torch.load(tmp_path / "bomb.pth", weights_only=False)
    assert (tmp_path / "canary").exists()


# Weights from the network.


@pytest.fixture
def empty_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, no_network: None) -> Path:
    """torch's folder of downloads, empty, on a machine without a network."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.mark.parametrize("backbone", ["resnet18", "squeezenet1_1"])
def test_weights_that_can_not_be_downloaded_are_an_error_with_url_and_remedy(empty_hub: Path, backbone: str) -> None:
    with pytest.raises(TrailerError) as caught:
        build(backbone, 2, "mean", "DEFAULT")
    assert models.get_model_weights(backbone).DEFAULT.url in str(caught.value)
    assert "weights='none'" in str(caught.value) and "to the file" in str(caught.value)


def downloaded(hub: Path, backbone: str) -> Path:
    """Where torch keeps a backbone's weights."""
    (hub / "checkpoints").mkdir(parents=True)
    return hub / "checkpoints" / Path(models.get_model_weights(backbone).DEFAULT.url).name


def test_weights_that_were_downloaded_before_need_no_network(
    empty_hub: Path, weights_of: Callable[[str], Path]
) -> None:
    downloaded(empty_hub, "squeezenet1_1").write_bytes(weights_of("squeezenet1_1").read_bytes())
    network = build("squeezenet1_1", 2, "mean", "DEFAULT")
    assert network.report == "squeezenet1_1 IMAGENET1K_V1: 50 tensors loaded; at random: head"


@pytest.mark.parametrize("spoil", [text, empty, cut_short])
def test_a_damaged_download_is_an_error(empty_hub: Path, spoil: Callable[[Path], None]) -> None:
    spoil(downloaded(empty_hub, "resnet18"))
    with pytest.raises(TrailerError, match="weights"):
        build("resnet18", 2, "mean", "DEFAULT")


# A network and back.


@pytest.mark.parametrize("depth", ["last", "stages"])
@pytest.mark.parametrize("aggregate", AGGREGATIONS)
@pytest.mark.parametrize("backbone", ["resnet18", "squeezenet1_1", "mobilenet_v3_small", "mnasnet0_5"])
def test_a_restored_network_answers_as_before(backbone: str, aggregate: str, depth: str) -> None:
    network, frames = build(backbone, 2, aggregate, "none", depth=depth), frames_of(2, 2)
    again = restore(chosen(backbone, 2, aggregate, depth), network.report, dict(network.state_dict()), network.blocks)
    assert torch.equal(answer(again, frames), answer(network, frames))
    assert again.report == network.report


@pytest.mark.parametrize(
    "backbone, frames, aggregate", [("resnet34", 2, "mean"), ("resnet18", 3, "channels"), ("resnet18", 2, "attention")]
)
def test_another_networks_tensors_are_refused(backbone: str, frames: int, aggregate: str) -> None:
    network = build("resnet18", 2, "mean", "none")
    with pytest.raises(RuntimeError):
        restore(chosen(backbone, frames, aggregate), network.report, network.state_dict())
