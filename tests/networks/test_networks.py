"""Every classifier of torchvision as a regressor. TORTURE=1 really trains a step with each (about five minutes)."""

import os
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn
from torchvision import models
from torchvision.models.regnet import BlockParams

from trailer_lib.networks.backbone import AGGREGATIONS, Trunk, widen_first_layer
from trailer_lib.networks.regressor import FilmRegressor, build

NAMES = models.list_models(module=models)
# The least of each way of building.
FAMILIES = [
    "alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_s", "googlenet", "inception_v3",
    "maxvit_t", "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_small", "regnet_x_400mf", "regnet_y_400mf", "resnet18",
    "resnet50", "resnext50_32x4d", "shufflenet_v2_x0_5", "squeezenet1_0", "swin_t", "swin_v2_t", "vgg11", "vgg11_bn",
    "vit_b_16", "vit_h_14", "wide_resnet50_2",
]  # fmt: skip
TORTURE = os.environ.get("TORTURE") == "1"
EVERY = [(name, aggregate) for name in NAMES for aggregate in AGGREGATIONS]
A_FEW = [(name, AGGREGATIONS[place % len(AGGREGATIONS)]) for place, name in enumerate(FAMILIES)]


@pytest.fixture
def shapes_only(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Networks without numbers: what a layer takes and gives is checked, nothing is computed or stored."""
    reckon = BlockParams.from_init_params.__func__

    def on_cpu(kind: type, *args: Any, **options: Any) -> BlockParams:
        with torch.device("cpu"):  # RegNet reads its widths from a tensor
            return reckon(kind, *args, **options)

    monkeypatch.setattr(BlockParams, "from_init_params", classmethod(on_cpu))
    with torch.device("meta"):
        yield


def first_convolution(network: nn.Module) -> tuple[str, nn.Conv2d]:
    return next((name, layer) for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d))


def assert_equal_frames_give_the_response_of_one(single: nn.Conv2d, stacked: nn.Conv2d, frames: int) -> None:
    """In double precision: a ViT's 11,520 products a sum differ by more than 1e-5 from one float32 order to another."""
    generator = torch.Generator("cpu").manual_seed(0)
    picture = torch.randn(1, 3, 48, 48, generator=generator, device="cpu", dtype=torch.float64)
    with torch.inference_mode():
        expected, found = single.double()(picture), stacked.double()(picture.repeat(1, frames, 1, 1))
    assert expected.std() > 0.01
    assert torch.allclose(found, expected, atol=1e-5)


def one_step(network: FilmRegressor, frames: int, size: int) -> torch.Tensor:
    optimizer = torch.optim.SGD(network.train().parameters(), lr=1e-3)
    answers = network(torch.randint(0, 256, (2, frames, 3, size, size)).to(torch.uint8))
    (answers - 1).square().mean().backward()
    assert [name for name, tensor in network.named_parameters() if tensor.grad is None] == []
    optimizer.step()
    return answers


def test_there_are_about_eighty() -> None:
    assert len(NAMES) >= 80 and set(FAMILIES) < set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_each_is_built_and_its_first_layer_takes_equal_frames_as_one(name: str, shapes_only: None) -> None:
    network = build(name, 15, "channels", "none", depth="stages")
    assert len(network.blocks) >= 5 and min(network.blocks) >= 16
    _, layer = first_convolution(network.backbone)
    assert layer.in_channels == 45 and network.head.in_features == network.width
    original = first_convolution(models.get_model(name, weights=None, **_plain(name)))[1].to_empty(device="cpu")
    with torch.device("cpu"):
        nn.init.kaiming_normal_(original.weight)
        if original.bias is not None:
            nn.init.normal_(original.bias)
    for frames in (1, 5, 15):
        trunk = Trunk(nn.ModuleDict({"first": original.float()}), 1, ("first",))
        widen_first_layer(trunk, frames, "repeat", {})
        assert_equal_frames_give_the_response_of_one(original, trunk.network["first"], frames)


def _plain(name: str) -> dict[str, bool]:
    return {"aux_logits": False, "init_weights": False} if name in ("googlenet", "inception_v3") else {}


@pytest.mark.parametrize("name, aggregate", EVERY if TORTURE else A_FEW)
def test_each_takes_a_step_with_each_join(name: str, aggregate: str, shapes_only: None) -> None:
    place = NAMES.index(name)
    frames = (1, 5, 15)[place % 3]
    network = build(name, frames, aggregate, "none", depth=("last", "stages")[place % 2])
    assert one_step(network, frames, 128).shape == (2,)
    assert network.head.in_features == network.width * width(aggregate)


@pytest.mark.skipif(not TORTURE, reason="takes minutes: set TORTURE=1")
@pytest.mark.parametrize("name, frames", [(name, (1, 5, 15)[place % 3]) for place, name in enumerate(NAMES)])
def test_each_is_really_trained_for_a_step(name: str, frames: int) -> None:
    torch.manual_seed(0)
    network = build(name, frames, "channels", "none", depth="stages")
    before = network.head.weight.detach().clone()
    answers = one_step(network, frames, 128)
    assert answers.shape == (2,) and answers.isfinite().all()
    assert not torch.equal(network.head.weight, before)
    assert all(tensor.isfinite().all() for tensor in network.parameters())
