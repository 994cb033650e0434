"""The stages of a network, from the pictures on, and which of them are trained."""

from collections.abc import Iterator
from itertools import chain

from torch import nn

from trailer_lib.errors import TrailerError

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
