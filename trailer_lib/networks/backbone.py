"""A pretrained network without its last layer: what every library's networks have in common, and their first layer."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor, nn
from torch.func import functional_call

from trailer_lib.errors import TrailerError

IMAGENET_MEAN, IMAGENET_SD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

STACKED = range(6, 301, 3)  # channels of 2 to 100 frames


@dataclass(frozen=True)
class Trunk:
    """`network`: pictures [n, 3, height, width] -> features [n, features].

    `first` names the convolutions that see the pictures. `mean` and `sd` of each channel, for pixels from 0 to 1, are
    what it was trained with; `size` is the only height and width it takes, 0 if it takes any.
    """

    network: nn.Module
    features: int
    first: tuple[str, ...]
    mean: tuple[float, ...] = IMAGENET_MEAN
    sd: tuple[float, ...] = IMAGENET_SD
    size: int = 0


def widen_first_layer(trunk: Trunk, frames: int, first_conv: str, learned: dict[str, Tensor]) -> None:
    """Let the trunk take `frames` frames as its channels.

    "repeat" repeats the first convolution's kernel over the frames and divides it by their number, so that equal frames
    give the one-frame response; "random" puts a random one there, as the original did. `learned`: tensors by name, from
    which a kernel for this very number of frames is taken as it is.
    """
    for name in trunk.first:
        old = trunk.network.get_submodule(name)
        new = _widened(old, frames)
        kernel = learned.get(f"{name}.weight")
        if first_conv == "random":
            new.reset_parameters()
        elif kernel is not None and kernel.shape == new.weight.shape:
            new.weight = nn.Parameter(kernel)
        elif not new.weight.is_meta and not _same_response(old, new, frames):
            raise TrailerError(
                f"{type(trunk.network).__name__}: its first layer ({name}, {type(old).__name__}) can't be repeated over"
                " frames: set aggregate='mean', or first_conv='random'"
            )
        trunk.network.set_submodule(name, new)


def _widened(old: nn.Conv2d, frames: int) -> nn.Conv2d:
    new = copy.deepcopy(old)
    new.in_channels = old.in_channels * frames
    new.weight = nn.Parameter(old.weight.detach().repeat(1, frames, 1, 1) / frames)
    return new


def _same_response(old: nn.Conv2d, new: nn.Conv2d, frames: int) -> bool:
    """False for a layer that standardises its own kernel, which undoes the division."""
    side = 2 * max(old.kernel_size)
    picture = torch.linspace(-1, 1, old.in_channels * side * side, device=old.weight.device)
    picture = picture.view(1, old.in_channels, side, side)
    with torch.inference_mode():
        expected = old(picture)
        off = (new(picture.repeat(1, frames, 1, 1)) - expected).abs().max()
    return bool(off <= 0.01 * expected.std())


def stacked_kernels(state: dict[str, Tensor], first: tuple[str, ...]) -> dict[str, Tensor]:
    """The tensors in `state` that are first kernels of more than one frame."""
    kernels = {f"{name}.weight": state[f"{name}.weight"] for name in first if f"{name}.weight" in state}
    return {name: kernel for name, kernel in kernels.items() if kernel.ndim == 4 and kernel.shape[1] in STACKED}


def of_one_frame(kernel: Tensor) -> Tensor:
    """A kernel of several frames summed over them: equal frames keep their response."""
    return kernel.unflatten(1, (-1, 3)).sum(1)


# The parts of torchvision's and timm's networks that hold stages instead of being one.
CONTAINERS = ("features", "layers", "blocks", "stages", "encoder", "trunk_output")


def stages(network: nn.Module) -> list[list[nn.Module]]:
    """The network's parts with parameters, in order; a normalisation alone belongs to the part before it.

    ResNet has 5 (the stem, layer1 to layer4), VGG16 its 13 convolutions and the hidden part of its classifier.
    """
    found: list[list[nn.Module]] = []
    for part in _parts(network):
        if found and all(tensor.ndim == 1 for tensor in part.parameters()):
            found[-1].append(part)
        else:
            found.append([part])
    return found


def _parts(network: nn.Module) -> Iterator[nn.Module]:
    for name, child in network.named_children():
        if name in CONTAINERS:
            yield from _parts(child)
        elif next(child.parameters(), None) is not None:
            yield child


def freeze(network: nn.Module, choice: str) -> list[nn.Module]:
    """Take the gradient from what `choice` names ("none", "backbone", or how many first stages); returns those parts.

    Parameters outside of every stage, like a position embedding, go with the first.
    """
    if choice == "backbone":
        network.requires_grad_(False)
        return [network]
    parts, count = stages(network), 0 if choice == "none" else int(choice)
    if count > len(parts):
        raise TrailerError(f"freeze={choice!r}: {type(network).__name__} has {len(parts)} stages: name fewer")
    if count:
        network.requires_grad_(False)
        for part in chain(*parts[count:]):
            part.requires_grad_(True)
    return list(chain(*parts[:count]))


AGGREGATIONS = ("channels", "mean", "attention")
# A sd's gradient is infinite at 0, where equal frames are; an ImageNet feature's own sd is near 1.
VARIANCE_FLOOR = 1e-6


PROBE = 224  # pixels on a side of the picture that tells how many features there are


def stage_features(network: nn.Module, pictures: Tensor, watched: list[Tensor] | None = None) -> Tensor:
    """Pictures [n, 3, height, width] -> float [n, sum(stage_widths)]: colour and texture from the first stages on.

    Of each map that a stage gets from the one before, the mean of every channel over the places and its sd; last the
    network's own features. The maps are then also put into `watched`, as leaves whose slopes are those of these
    features alone.
    """
    found: list[Tensor] = []
    with _tapped(network, found, watched):
        found.append(network(pictures))  # after all others
    return torch.cat(found, 1)


def stage_widths(trunk: Trunk, channels: int) -> tuple[int, ...]:
    """How many features each stage gives for pictures of `channels` channels, the network's own last.

    Nothing is computed: the tensors are torch's "meta" ones, which have a shape alone.
    """
    network, size = trunk.network, trunk.size or PROBE
    named = [*network.named_parameters(), *network.named_buffers()]
    shapes = {name: tensor.detach().to("meta") for name, tensor in named}
    pictures, found = torch.empty(2, channels, size, size, device="meta"), []
    with _tapped(network, found, None), torch.no_grad():
        own = functional_call(network, shapes, (pictures,))
    return (*(features.shape[1] for features in found), own.shape[1])


@contextmanager
def _tapped(network: nn.Module, found: list[Tensor], watched: list[Tensor] | None) -> Iterator[None]:
    """While it is open, a forward pass fills `found`. Inputs are taken: a layer may change its output in place."""

    def tap(module: nn.Module, inputs: tuple) -> None:
        map_ = _places_last(module, inputs)
        if map_ is not None:
            if watched is not None:
                watched.append(map_ := map_.detach().requires_grad_())
            variance, mean = torch.var_mean(map_.flatten(2), 2, correction=0)
            found.append(torch.cat([mean, (variance + VARIANCE_FLOOR).sqrt()], 1))

    hooks = [part[0].register_forward_pre_hook(tap) for part in stages(network)[1:]]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _places_last(module: nn.Module, inputs: tuple) -> Tensor | None:
    """What a stage is given, as [n, channels, places] or [n, channels, height, width]; None for features of no place.

    Transformers give tokens [n, places, channels], or as Swin does [n, height, width, channels].
    """
    if not (inputs and isinstance(inputs[0], Tensor)):
        raise TrailerError(f"depth='stages': {type(module).__name__} gets no map of features: set depth='last'")
    map_ = inputs[0]
    if map_.ndim == 3:
        return map_.transpose(1, 2)
    if map_.ndim != 4:
        return None
    return map_.permute(0, 3, 1, 2) if map_.shape[1] == map_.shape[2] != map_.shape[3] else map_
