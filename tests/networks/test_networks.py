"""Every classifier of torchvision as a regressor: TORTURE=1 takes all, with every aggregation (six minutes)."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from conftest import amount
from network_helpers import first_convolution
from torch import nn
from torchvision import models
from torchvision.models.regnet import BlockParams

from trailer_lib.networks.backbone import Trunk, widen_stem
from trailer_lib.networks.pretrained import untrained_trunk
from trailer_lib.networks.regressor import AGGREGATIONS, FilmRegressor, build

NAMES = models.list_models(module=models)
# The smallest of each way of building.
FAMILIES = [
    "alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "googlenet", "inception_v3", "maxvit_t", "mnasnet0_5",
    "mobilenet_v2", "mobilenet_v3_small", "regnet_x_400mf", "resnet18", "resnext50_32x4d", "shufflenet_v2_x0_5",
    "squeezenet1_0", "swin_t", "swin_v2_t", "vgg11_bn", "vit_b_16",
]  # fmt: skip
TORTURE = amount(1, 0)
EVERY = [(name, aggregate) for name in NAMES for aggregate in AGGREGATIONS]
SLOW = {"maxvit_t", "densenet121", "resnext50_32x4d", "mobilenet_v2", "swin_v2_t"}
A_FEW = [(name, AGGREGATIONS[place % 3]) for place, name in enumerate(FAMILIES) if name not in SLOW]


@pytest.fixture
def shapes_only(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Networks without numbers: what a layer takes and gives is checked, nothing is computed or stored."""
    from_init_params = BlockParams.from_init_params

    def on_cpu(*args: Any, **options: Any) -> BlockParams:
        with torch.device("cpu"):  # RegNet reads its widths from a tensor
            return from_init_params(*args, **options)

    monkeypatch.setattr(BlockParams, "from_init_params", on_cpu)
    with torch.device("meta"):
        yield


def one_step(network: FilmRegressor, frames: int) -> torch.Tensor:
    optimizer = torch.optim.SGD(network.train().parameters(), lr=1e-3)
    scores = network(torch.randint(0, 256, (2, frames, 3, 128, 128)).to(torch.uint8))
    (scores - 1).square().mean().backward()
    assert [name for name, tensor in network.named_parameters() if tensor.grad is None] == []
    optimizer.step()
    return scores


@pytest.mark.parametrize("name, aggregate", EVERY if TORTURE else A_FEW)
def test_each_takes_a_step_with_each_aggregation(name: str, aggregate: str, shapes_only: None) -> None:
    place = NAMES.index(name)
    frames = (1, 5, 15)[place % 3]
    network = build(name, frames, aggregate, "none", depth=("last", "stages")[place % 2])
    assert first_convolution(network).in_channels == (3 * frames if aggregate == "channels" else 3)
    assert len(network.blocks) == 1 or (len(network.blocks) >= 5 and min(network.blocks) >= 16)
    assert one_step(network, frames).shape == (2,)


@pytest.mark.parametrize("name", NAMES if TORTURE else FAMILIES)
def test_equal_frames_give_the_first_layers_response_to_one(name: str, shapes_only: None) -> None:
    """In double precision: in float32 the order of a ViT's 11,520 products changes their sum by more than 1e-5."""
    trunk = untrained_trunk(name, ())
    original = trunk.network.get_submodule(trunk.first[0]).to_empty(device="cpu").double()
    with torch.device("cpu"), torch.inference_mode():
        for tensor in original.parameters():
            nn.init.normal_(tensor)
        picture = torch.randn(1, 3, 48, 48, dtype=torch.float64)
        trunk = Trunk(nn.ModuleDict({"first": original}), 1, ("first",))
        widen_stem(trunk, 15, "repeat", {})
        expected, response = original(picture), trunk.network["first"](picture.repeat(1, 15, 1, 1))
    assert expected.std() > 0.01 and torch.allclose(response, expected, atol=1e-5)


@pytest.mark.skipif(not TORTURE, reason="takes minutes: set TORTURE=1")
@pytest.mark.parametrize("name, frames", [(name, (1, 5, 15)[place % 3]) for place, name in enumerate(FAMILIES)])
def test_each_is_really_trained_for_a_step(name: str, frames: int) -> None:
    torch.manual_seed(0)
    network = build(name, frames, "channels", "none", depth="stages")
    before = network.head.weight.detach().clone()
    scores = one_step(network, frames)
    assert scores.shape == (2,) and scores.isfinite().all()
    assert not torch.equal(network.head.weight, before)
    assert all(tensor.isfinite().all() for tensor in network.parameters())
