"""A pretrained network without its last layer: what every library's networks have in common, and their first layer."""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

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


def stack_frames(trunk: Trunk, frames: int, first_conv: str, learned: dict[str, Tensor]) -> None:
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
                " frames: set join='mean', or first_conv='random'"
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
