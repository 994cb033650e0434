"""The LightningModule: standardised targets, loss, and the history of a training."""

import math
import sys
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor, nn, optim

from trailer_lib.errors import TrailerError
from trailer_lib.networks import FORMAT, FilmRegressor
from trailer_lib.settings import TrainSettings
from trailer_lib.training import module
from trailer_lib.training.batches import add_noise, augment, seed_of


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


LOSSES = {"mse": nn.functional.mse_loss, "l1": nn.functional.l1_loss}
Batch = tuple[Tensor, Tensor, Tensor, list[int]]


class TrailerModule(pl.LightningModule):
    """The training of a FilmRegressor: standardised targets, loss, optimiser, schedule, and the history of it."""

    def __init__(self, network: FilmRegressor, settings: TrainSettings, facts: dict[str, Any]) -> None:
        super().__init__()
        self.network, self.settings, self.facts = network, settings, facts
        self.loss = LOSSES[settings.loss]
        self.history: list[dict[str, float]] = []
        self.sums = _nothing_summed()

    def training_step(self, batch: Batch, index: int) -> Tensor:
        frames, scores, _, seeds = batch
        pictures = self.network.normalise(augment(frames, self.settings, seeds))
        pictures = add_noise(pictures, self.settings, seeds)
        loss = self.loss(self.network.score(pictures), self.standardised(scores))
        self._require_number(loss.detach())
        self._note("train", loss.detach(), len(scores))
        return loss

    def _require_number(self, loss: Tensor) -> None:
        if not loss.isfinite():
            raise TrailerError(
                f"the loss is {loss:g} at step {self.global_step + 1}, in epoch {self.current_epoch + 1}: lower lr"
                f" ({self.rate:g}); the models of the epochs before are kept"
            )

    def validation_step(self, batch: Batch, index: int) -> None:
        frames, scores, *_ = batch
        self._note("val", self.loss(self.network(frames), self.standardised(scores)), len(scores))

    def _note(self, split: str, loss: Tensor, films: int) -> None:
        total, count = self.sums[split]
        self.sums[split] = (total + loss * films, count + films)

    def standardised(self, scores: Tensor) -> Tensor:
        return (scores - self.facts["score_mean"]) / self.facts["score_sd"]

    @property
    def rate(self) -> float:
        """The backbone's learning rate; the head's, where the backbone is frozen."""
        return self.optimizers().param_groups[0]["lr"]

    def on_train_start(self) -> None:
        # A finished run that is resumed with more epochs goes on at the longer run's rate, not at the end's 0.
        if self.settings.schedule != "plateau":
            share = module.share(self.current_epoch, self.settings)
            for group, base in zip(self.optimizers().param_groups, self.lr_schedulers().base_lrs):
                group["lr"] = base * share

    def on_train_epoch_start(self) -> None:
        # Dropout draws from the global generator: seeded here, a resumed epoch is the epoch of an unbroken run.
        torch.manual_seed(seed_of(self.settings.seed, self.current_epoch, self.global_rank))

    def on_validation_epoch_end(self) -> None:
        losses = self._losses()
        self.sums = _nothing_summed()
        if not np.isfinite(list(losses.values())).all():
            raise TrailerError(
                f"a loss that is no number after step {self.global_step}, in epoch {self.current_epoch + 1} ({losses}):"
                f" lower lr ({self.rate:g}); the models of the epochs before are kept"
            )
        self.history.append({"epoch": self.current_epoch + 1, **losses, "lr": self.rate})
        self._step_schedule(losses["val_loss"])

    def _losses(self) -> dict[str, float]:
        """The losses of the epoch: over the train films of all processes, and the val films, which each one saw."""
        strategy = self.trainer.strategy
        total, count = (
            strategy.reduce(torch.as_tensor(value, dtype=torch.float32, device=self.device), reduce_op="sum")
            for value in self.sums["train"]
        )
        val_total, val_count = self.sums["val"]
        return strategy.broadcast({"train_loss": float(total) / float(count), "val_loss": float(val_total) / val_count})

    def _step_schedule(self, val_loss: float) -> None:
        self.lr_schedulers().step(*[val_loss] if self.settings.schedule == "plateau" else [])

    def configure_optimizers(self) -> dict[str, Any]:
        optimizer = module.optimizer(self.network, self.settings)
        # Lightning would step the schedule after the epoch's checkpoint, and a resumed run would miss that step.
        never = {"interval": "epoch", "frequency": sys.maxsize, "monitor": "val_loss"}
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule(optimizer, self.settings), **never}}

    def file_facts(self) -> dict[str, Any]:
        """What a model file of this moment says of itself."""
        return {"format": FORMAT, **self.facts, "history": self.history}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["trailer_lib"] = self.file_facts()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.history = checkpoint["trailer_lib"]["history"]


def _nothing_summed() -> dict[str, tuple[Tensor | float, int]]:
    """Per split: the sum of the films' losses in this epoch, and their number."""
    return {"train": (0.0, 0), "val": (0.0, 0)}
