"""A pretrained network without its last layer: its first layer for stacked frames, its stages and their features."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor, nn
from torch.func import functional_call

from trailer_lib.errors import TrailerError

IMAGENET_MEAN, IMAGENET_SD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# The parts of torchvision's and timm's networks that hold stages instead of being one.
CONTAINERS = ("features", "layers", "blocks", "stages", "encoder", "trunk_output")
VARIANCE_FLOOR = 1e-6  # the sd's gradient is infinite at 0, and an ImageNet feature's own sd is near 1
PROBE_SIZE = 224  # pixels on each side of the picture with which the features are counted


@dataclass(frozen=True)
class Trunk:
    """`network`: pictures [n, 3, height, width] -> features [n, features].

    `first`: the names of the convolutions of the pictures. `mean` and `sd`: each channel's in its pretraining, for
    pixels from 0 to 1. `size`: the only height and width it takes, 0 if any. `behind`: the prefixes, like "fc.", of the
    names of tensors behind the features, in files of the whole network.
    """

    network: nn.Module
    features: int
    first: tuple[str, ...]
    mean: tuple[float, ...] = IMAGENET_MEAN
    sd: tuple[float, ...] = IMAGENET_SD
    size: int = 0
    behind: tuple[str, ...] = ()


def widen_stem(trunk: Trunk, frames: int, first_conv: str, stacked: dict[str, Tensor]) -> None:
    """Let the trunk take `frames` frames as its channels: with a random first kernel, as the original's, or by "repeat"
    with the repeated one over their number, so that equal frames give the response to one.

    A kernel in `stacked` (by name) that is already one of this number of frames is used as it is.
    """
    for name in trunk.first:
        old = trunk.network.get_submodule(name)
        new = copy.deepcopy(old)
        new.in_channels = old.in_channels * frames
        new.weight = nn.Parameter(old.weight.detach().repeat(1, frames, 1, 1) / frames)
        trained = stacked.get(f"{name}.weight")
        if first_conv == "random":
            new.reset_parameters()
        elif trained is not None and trained.shape == new.weight.shape:
            new.weight = nn.Parameter(trained)
        elif frames > 1 and "StdConv" in type(old).__name__:  # timm's: standardising a kernel undoes the division
            layer = f"{type(trunk.network).__name__}: its first layer ({name}, {type(old).__name__})"
            raise TrailerError(f"{layer} can't be repeated over frames: set aggregate='mean', or first_conv='random'")
        trunk.network.set_submodule(name, new)


def stages(network: nn.Module) -> list[list[nn.Module]]:
    """The network's parts with parameters, in order (of ResNet 5); a normalisation belongs to the part before it."""
    result: list[list[nn.Module]] = []
    for part in _parts(network):
        if result and all(tensor.ndim == 1 for tensor in part.parameters()):
            result[-1].append(part)
        else:
            result.append([part])
    return result


def _parts(network: nn.Module) -> Iterator[nn.Module]:
    for name, child in network.named_children():
        if name in CONTAINERS:
            yield from _parts(child)
        elif next(child.parameters(), None) is not None:
            yield child


def freeze_parts(network: nn.Module, freeze: str) -> list[nn.Module]:
    """Freeze and return the parts that `freeze` names ("none", "backbone", or how many first stages)."""
    if freeze == "backbone":
        network.requires_grad_(False)
        return [network]
    parts, count = stages(network), 0 if freeze == "none" else int(freeze)
    if count > len(parts):
        raise TrailerError(f"freeze={freeze!r}: {type(network).__name__} has {len(parts)} stages: name fewer")
    network.requires_grad_(count == 0)  # also what is outside of every stage, like a position embedding
    for part in chain(*parts[count:]):
        part.requires_grad_(True)
    return list(chain(*parts[:count]))


def stage_features(network: nn.Module, pictures: Tensor, maps: list[Tensor] | None = None) -> Tensor:
    """Pictures [n, 3, height, width] -> float [n, sum(stage_widths)]: means and sds of the channels of each stage's
    input over its places, and last the network's own features.

    A list `maps` is filled with those inputs, detached, so that a gradient in them is that of these features alone.
    """
    return torch.cat(_blocks(network, lambda: network(pictures), maps), 1)


def stage_widths(trunk: Trunk, channels: int) -> tuple[int, ...]:
    """How many features each stage gives for pictures of `channels` channels, the network's own last."""
    size = trunk.size or PROBE_SIZE
    pictures = torch.empty(2, channels, size, size, device="meta")  # where tensors have a shape and no numbers
    tensors = chain(trunk.network.named_parameters(), trunk.network.named_buffers())
    shapes = {name: tensor.detach().to("meta") for name, tensor in tensors}
    with torch.no_grad():
        blocks = _blocks(trunk.network, lambda: functional_call(trunk.network, shapes, (pictures,)))
    return tuple(block.shape[1] for block in blocks)


def _blocks(network: nn.Module, run: Callable[[], Tensor], maps: list[Tensor] | None = None) -> list[Tensor]:
    """Each stage's features, of its input (a layer may change its output in place), and the output of `run`."""
    blocks: list[Tensor] = []

    def pool(module: nn.Module, inputs: tuple) -> None:
        map_ = _channels_first(module, inputs)
        if map_ is not None:
            if maps is not None:
                maps.append(map_ := map_.detach().requires_grad_())
            variance, mean = torch.var_mean(map_.flatten(2), 2, correction=0)
            blocks.append(torch.cat([mean, (variance + VARIANCE_FLOOR).sqrt()], 1))

    handles = [part[0].register_forward_pre_hook(pool) for part in stages(network)[1:]]
    try:
        output = run()
    finally:
        for handle in handles:
            handle.remove()
    return [*blocks, output]


def _channels_first(module: nn.Module, inputs: tuple) -> Tensor | None:
    """A stage's input as [n, channels, places] or [n, channels, height, width]; None for features without places."""
    if not (inputs and isinstance(inputs[0], Tensor)):
        raise TrailerError(f"depth='stages': {type(module).__name__} gets no map of features: set depth='last'")
    map_ = inputs[0]
    if map_.ndim == 3:  # a transformer's tokens [n, places, channels]; Swin's are [n, height, width, channels]
        return map_.transpose(1, 2)
    if map_.ndim != 4:
        return None
    return map_.permute(0, 3, 1, 2) if map_.shape[1] == map_.shape[2] != map_.shape[3] else map_
