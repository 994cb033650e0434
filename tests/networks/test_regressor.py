"""A backbone as a regressor over frames: aggregations, pixels, the first layer, weights of other models."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from network_helpers import first_convolution, made_model, predict, random_frames, save_weights
from torch import nn

from trailer_lib.errors import TrailerError
from trailer_lib.networks.backbone import IMAGENET_MEAN, IMAGENET_SD
from trailer_lib.networks.pretrained import untrained_trunk
from trailer_lib.networks.regressor import FilmRegressor, build


@pytest.mark.parametrize("aggregate, matters", [("channels", True), ("mean", False), ("attention", False)])
def test_the_order_of_frames_matters_only_where_they_are_stacked(aggregate: str, matters: bool) -> None:
    network, frames = build("squeezenet1_1", 3, aggregate, "none"), random_frames(2, 3)
    nn.init.normal_(first_convolution(network).weight, std=0.05)  # as after training: at first all frames are alike
    assert torch.allclose(predict(network, frames), predict(network, frames.flip(1)), atol=1e-6) != matters


@pytest.mark.parametrize("chosen, message", [
    ({"backbone": "resnet81"}, "unknown .*did you mean 'resnet18'"),
    ({"aggregate": "chanels"}, "unknown .*did you mean 'channels'"),
    ({"freeze": "6"}, "freeze='6': ResNet has 5 stages"),
])  # fmt: skip
def test_a_wrong_choice_is_an_error_that_names_the_right_one(chosen: dict[str, str], message: str) -> None:
    with pytest.raises(TrailerError, match=message):
        build(**{"weights": "none"} | chosen)


def test_the_summary_gives_size_first_convolution_and_weights() -> None:
    end = "first convolution 15 -> 64 channels; weights='none': every layer starts at random"
    assert build("resnet18", 5, "channels", "none").summary() == f"11.2 M parameters; {end}"
    frozen = build("resnet18", 5, "channels", "none", freeze="backbone")
    assert frozen.summary() == f"11.2 M parameters, 0.0 M trained; {end}"


def test_pixels_are_imagenets_or_raw_bgr_from_0_to_255_or_inceptions_from_minus_1_to_1() -> None:
    network = build("squeezenet1_1", 1, "mean", "none")
    for sds in (0, 1):
        colour = torch.tensor(IMAGENET_MEAN) + sds * torch.tensor(IMAGENET_SD)
        frames = (255 * colour).round().to(torch.uint8).view(1, 1, 3, 1, 1).expand(2, 1, 3, 8, 8)
        assert torch.allclose(network.normalise(frames), torch.tensor(float(sds)), atol=0.01)
    frames = random_frames(2, 3)
    pixels = build("squeezenet1_1", 3, "channels", "none", pixels="raw").normalise(frames)
    assert pixels.dtype == torch.float32 and torch.equal(pixels[:, :, 0], frames[:, :, 2].float())
    for backbone in ("googlenet", "inception_v3"):
        with torch.device("meta"):
            trunk = replace(untrained_trunk(backbone, ()), network=nn.Flatten())
        black = torch.zeros(1, 1, 3, 4, 4, dtype=torch.uint8)
        assert torch.equal(FilmRegressor(trunk, 1, "mean", "").normalise(black).unique(), torch.tensor([-1.0]))


def test_frames_of_another_shape_or_type_are_refused() -> None:
    network = build("squeezenet1_1", 3, "channels", "none")
    pictures = [torch.zeros(shape).byte() for shape in ((2, 4, 3, 32, 32), (2, 3, 32, 32, 3), (3, 3, 32, 32))]
    for wrong in (*pictures, torch.zeros(2, 3, 3, 32, 32)):
        with pytest.raises(ValueError, match=r"expected uint8 \[films, 3, 3, height, width\]"):
            network(wrong)


def test_pictures_are_resized_to_the_only_size_a_backbone_takes() -> None:
    with torch.device("meta"):
        network = build("vit_b_32", 1, "mean", "none")
        assert network(torch.zeros(1, 1, 3, 32, 32, dtype=torch.uint8)).shape == (1,)
    assert "pictures are resized to 224 x 224" in network.summary()


def test_a_random_first_layer_replaces_the_pretrained_one(tmp_path: Path) -> None:
    file = save_weights("resnet18", tmp_path / "weights.pth")
    network = build("resnet18", 3, "channels", str(tmp_path / "weights.pth"), first_conv="random")
    kernel = first_convolution(network).weight
    assert kernel.shape == (64, 9, 7, 7) and not torch.allclose(kernel[:, :3], kernel[:, 3:6])
    assert not torch.allclose(kernel[:, :3] * 3, file["conv1.weight"])
    assert torch.equal(network.backbone.layer1[0].conv1.weight, file["layer1.0.conv1.weight"])
    assert network.report.endswith("at random: conv1, head")


@pytest.mark.parametrize("backbone", ["resnet18", "squeezenet1_1"])
def test_a_file_of_weights_is_loaded_wholly(tmp_path: Path, backbone: str) -> None:
    file = save_weights(backbone, tmp_path / "weights.pth")
    network = build(backbone, 2, "mean", str(tmp_path / "weights.pth"))
    loaded = network.backbone.state_dict()
    assert set(file) - set(loaded) == {name for name in file if file[name].shape[:1] == (1000,)}
    assert all(torch.equal(loaded[name], file[name]) for name in loaded)
    assert network.report == f"weights.pth: {len(loaded)} tensors loaded; at random: head"


@pytest.mark.parametrize("aggregate, frames", [("channels", 3), ("channels", 1), ("mean", 3)])
def test_another_models_backbone_responds_alike_to_equal_frames(tmp_path: Path, aggregate: str, frames: int) -> None:
    model, one = made_model(), random_frames(2, 1)
    model.save(tmp_path / "best_model.pt")
    before = model.network.eval()
    after = build("squeezenet1_1", frames, aggregate, str(tmp_path / "best_model.pt")).eval()
    with torch.inference_mode():
        expected = before.features(before.normalise(one.expand(-1, 3, -1, -1, -1)))
        features = after.features(after.normalise(one.expand(-1, frames, -1, -1, -1)))
    assert expected.std() > 1e-3 and torch.allclose(features, expected, atol=1e-4)
    as_it_was = torch.equal(first_convolution(before).weight, first_convolution(after).weight)
    assert as_it_was == ((aggregate, frames) == ("channels", 3))
    assert ("the frames' kernels of its first layer were summed" in after.report) != as_it_was


@pytest.mark.parametrize("backbone, message", [("squeezenet1_1", "with pixels='raw'"), ("resnet18", "another")])
def test_the_file_of_a_model_of_another_kind_is_an_error(tmp_path: Path, backbone: str, message: str) -> None:
    made_model(pixels="raw").save(tmp_path / "best_model.pt")
    with pytest.raises(TrailerError, match=message):
        pixels = "raw" if backbone == "resnet18" else "imagenet"
        build(backbone, 5, "channels", str(tmp_path / "best_model.pt"), pixels=pixels)
