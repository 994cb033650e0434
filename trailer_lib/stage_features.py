"""What each stage of a network hands to the next one, as features of a picture beside the network's own."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call

from trailer_lib.errors import TrailerError
from trailer_lib.pooling import VARIANCE_FLOOR
from trailer_lib.stages import stages
from trailer_lib.trunk import Trunk

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
