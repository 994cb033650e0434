"""The optimiser of a training: which parameters it moves, at which rates, and how these rise and fall."""

import math
from typing import Any

from torch import nn, optim

from trailer_lib.settings import TrainSettings


def optimizer(network: nn.Module, settings: TrainSettings) -> optim.Optimizer:
    """The optimiser over the parameters that are not frozen: the backbone's at `lr`, all others at `head_lr`."""
    common = {"lr": settings.lr, "weight_decay": settings.l2}
    if settings.optimizer == "sgd":
        return optim.SGD(_groups(network, settings), momentum=settings.momentum, **common)
    kind = optim.Adam if settings.optimizer == "adam" else optim.AdamW
    return kind(_groups(network, settings), betas=settings.betas, eps=settings.eps, **common)


def _groups(network: nn.Module, settings: TrainSettings) -> list[dict[str, Any]]:
    trained = [(name, tensor) for name, tensor in network.named_parameters() if tensor.requires_grad]
    trunk = [tensor for name, tensor in trained if name.startswith("backbone.")]
    rest = [tensor for name, tensor in trained if not name.startswith("backbone.")]
    groups = [{"params": trunk, "lr": settings.lr}, {"params": rest, "lr": settings.head_lr or settings.lr}]
    return [group for group in groups if group["params"]]


def schedule(optimizer: optim.Optimizer, settings: TrainSettings) -> Any:
    """The schedule of the rates, to be stepped once an epoch; "plateau" wants the val loss."""
    if settings.schedule == "plateau":
        return optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=settings.step_size, factor=settings.gamma)
    return optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: share(epoch, settings))


def share(epoch: int, settings: TrainSettings) -> float:
    """The share of the learning rate in `epoch`, counted from 0."""
    if settings.schedule == "cosine":  # from 1 down to nearly 0 in the last epoch
        return (1 + math.cos(math.pi * epoch / settings.epochs)) / 2
    return settings.gamma ** (epoch // settings.step_size) if settings.schedule == "step" else 1.0
