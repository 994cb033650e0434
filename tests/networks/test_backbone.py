"""Stages of a backbone: which there are, what their features are, and that what is frozen stays as it was."""

import pytest
import torch
from network_helpers import random_frames
from torch import Tensor, nn
from torchvision import models

from trailer_lib.errors import TrailerError
from trailer_lib.networks.backbone import Trunk, stage_features, stage_widths, stages
from trailer_lib.networks.regressor import FilmRegressor, build


def random_pictures(count: int, size: int) -> Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("backbone, count", [("resnet18", 5), ("vgg11", 9), ("densenet121", 8), ("vit_b_16", 13)])
def test_stages_are_those_of_the_papers(backbone: str, count: int) -> None:
    with torch.device("meta"):
        network = build(backbone, 1, "mean", "none").backbone
    parts = stages(network)
    assert len(parts) == count
    inside = {tensor for stage in parts for part in stage for tensor in part.parameters()}
    outside = {name for name, tensor in network.named_parameters() if tensor not in inside}
    assert outside == ({"class_token", "encoder.pos_embedding"} if backbone == "vit_b_16" else set())


@pytest.mark.parametrize(
    "backbone, widths",
    [  # of a convolutional net, hidden layers of a classifier, tokens, maps with the channels last
        ("resnet18", (128, 128, 256, 512, 512)),
        ("vgg11", (128, 256, 512, 512, 1024, 1024, 1024, 4096)),
        ("vit_b_32", (1536,) * 12 + (768,)),
        ("swin_t", (192, 192, 384, 384, 768, 768, 1536, 768)),
    ],
)
def test_every_stage_gives_a_block_of_features(backbone: str, widths: tuple[int, ...]) -> None:
    with torch.device("meta"):
        network = build(backbone, 1, "mean", "none", depth="stages")
    assert network.blocks == widths and network.head.in_features == sum(widths)


def test_a_block_is_the_mean_and_sd_of_each_channel_over_the_places() -> None:
    network, pictures = models.resnet18().eval(), random_pictures(3, 64)
    with torch.inference_mode():
        map_ = network.maxpool(network.relu(network.bn1(network.conv1(pictures))))
        features, own = stage_features(network, pictures), network(pictures)
    assert torch.allclose(features[:, :64], map_.mean((2, 3)), atol=1e-6)
    assert torch.allclose(features[:, 64:128], map_.std((2, 3), correction=0), atol=1e-2)
    assert torch.equal(features[:, -1000:], own)


def test_the_channels_of_swin_and_of_transformers_are_pooled_over_their_places() -> None:
    swin = models.SwinTransformer([4, 4], 24, [1, 1], [2, 2], [7, 7]).eval()
    vit = models.VisionTransformer(64, 32, 2, 2, 24, 32).eval()
    pictures = random_pictures(2, 64)
    with torch.inference_mode():
        map_ = swin.features[0](pictures)  # [n, height, width, channels]
        assert torch.allclose(stage_features(swin, pictures)[:, :24], map_.mean((1, 2)), atol=1e-5)
        tokens = torch.cat([vit.class_token.expand(2, -1, -1), vit._process_input(pictures)], 1)
        tokens = tokens + vit.encoder.pos_embedding
        assert torch.allclose(stage_features(vit, pictures)[:, :24], tokens.mean(1), atol=1e-5)


def test_a_network_whose_stages_get_no_map_is_refused_in_a_line() -> None:
    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 4, 3), nn.Bilinear(4, 4, 2)

        def forward(self, pictures: Tensor) -> Tensor:
            means = self.first(pictures).mean((2, 3))
            return self.second(input1=means, input2=means)

    with pytest.raises(TrailerError, match=r"depth='stages': Bilinear gets no map of features: set depth='last'"):
        stage_widths(Trunk(Pair(), 0, ()), 3)


def one_step(network: FilmRegressor) -> tuple[dict, dict]:
    """The tensors before and after a step of training."""
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    optimizer = torch.optim.SGD([tensor for tensor in network.parameters() if tensor.requires_grad], lr=0.1)
    (network.train()(random_frames(4, 2, 32)) - 1).square().sum().backward()
    optimizer.step()
    return before, network.state_dict()


@pytest.mark.parametrize("freeze, parts, aggregate, depth", [
    ("none", (), "channels", "last"), ("2", ("conv1.", "bn1.", "layer1."), "mean", "stages"),
    ("backbone", ("",), "channels", "last"),
])  # fmt: skip
def test_a_step_changes_all_but_frozen_parts(freeze: str, parts: tuple[str, ...], aggregate: str, depth: str) -> None:
    torch.manual_seed(0)
    before, after = one_step(build("resnet18", 2, aggregate, "none", freeze=freeze, depth=depth))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    frozen = {name for name in before if name.startswith(tuple(f"backbone.{part}" for part in parts))}
    assert changed == set(before) - frozen


def test_position_embeddings_are_frozen_with_the_first_stage() -> None:
    with torch.device("meta"):
        network = build("vit_b_16", 1, "mean", "none", freeze="1")
    frozen = {name for name, tensor in network.backbone.named_parameters() if not tensor.requires_grad}
    assert frozen == {"class_token", "conv_proj.weight", "conv_proj.bias", "encoder.pos_embedding"}
