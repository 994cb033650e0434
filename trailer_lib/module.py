"""The LightningModule: standardised targets, loss, optimiser, schedule, and the history of a training."""

import hashlib
import math
import sys
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor, nn

from trailer_lib.augment import augment
from trailer_lib.backbones import FilmRegressor
from trailer_lib.errors import TrailerError
from trailer_lib.modelfile import FORMAT
from trailer_lib.settings import TrainSettings

LOSSES = {"mse": nn.functional.mse_loss, "l1": nn.functional.l1_loss}


class TrailerModule(pl.LightningModule):
    """The training of a FilmRegressor: standardised targets, loss, optimiser, schedule, and the history of it."""

    def __init__(self, network: FilmRegressor, settings: TrainSettings, facts: dict[str, Any]) -> None:
        super().__init__()
        self.network, self.settings, self.facts = network, settings, facts
        self.loss = LOSSES[settings.loss]
        self.history: list[dict[str, float]] = []
        self.sums = _nothing_summed()

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], index: int) -> Tensor:
        frames, scores, _ = batch
        generator = torch.Generator(self.device).manual_seed(_mix(self.settings.seed, self.current_epoch, index))
        pictures = augment(self.network.normalise(frames), self.settings, generator)
        loss = self.loss(self.network.score(pictures), self.standardised(scores))
        self._note("train", loss.detach(), len(scores))
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor, Tensor], index: int) -> None:
        frames, scores, _ = batch
        self._note("val", self.loss(self.network(frames), self.standardised(scores)), len(scores))

    def _note(self, split: str, loss: Tensor, films: int) -> None:
        total, count = self.sums[split]
        self.sums[split] = (total + loss * films, count + films)

    def standardised(self, scores: Tensor) -> Tensor:
        return (scores - self.facts["score_mean"]) / self.facts["score_sd"]

    def on_train_start(self) -> None:
        # A finished run that is resumed with more epochs goes on at the longer run's rate, not at the end's 0.
        if self.settings.schedule == "cosine":
            self.optimizers().param_groups[0]["lr"] = self.settings.lr * _cosine(
                self.current_epoch, self.settings.epochs
            )

    def on_train_epoch_start(self) -> None:
        # Dropout draws from the global generator: seeded here, a resumed epoch is the epoch of an unbroken run.
        torch.manual_seed(_mix(self.settings.seed, self.current_epoch))

    def on_validation_epoch_end(self) -> None:
        losses = {f"{split}_loss": float(total) / count for split, (total, count) in self.sums.items()}
        self.sums = _nothing_summed()
        rate = self.optimizers().param_groups[0]["lr"]
        if not np.isfinite(list(losses.values())).all():
            raise TrailerError(
                f"a loss that is no number in epoch {self.current_epoch + 1} ({losses}): lower lr ({rate:g})"
            )
        self.history.append({"epoch": self.current_epoch + 1, **losses, "lr": rate})
        self._step_schedule(losses["val_loss"])

    def _step_schedule(self, val_loss: float) -> None:
        schedule = self.lr_schedulers()
        schedule.step(*[val_loss] if self.settings.schedule == "plateau" else [])

    def configure_optimizers(self) -> dict[str, Any]:
        optimizer = _optimizer(self.network, self.settings)
        # Lightning would step the schedule after the epoch's checkpoint, and a resumed run would miss that step.
        never = {"interval": "epoch", "frequency": sys.maxsize, "monitor": "val_loss"}
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": _schedule(optimizer, self.settings), **never}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["trailer_lib"] = {"format": FORMAT, **self.facts, "history": self.history}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.history = checkpoint["trailer_lib"]["history"]


def _nothing_summed() -> dict[str, tuple[Tensor | float, int]]:
    """Per split: the sum of the films' losses in this epoch, and their number."""
    return {"train": (0.0, 0), "val": (0.0, 0)}


def _optimizer(network: nn.Module, settings: TrainSettings) -> torch.optim.Optimizer:
    common = {"lr": settings.lr, "weight_decay": settings.l2}
    if settings.optimizer == "sgd":
        return torch.optim.SGD(network.parameters(), momentum=settings.betas[0], **common)
    kind = torch.optim.Adam if settings.optimizer == "adam" else torch.optim.AdamW
    return kind(network.parameters(), betas=settings.betas, eps=settings.eps, **common)


def _schedule(optimizer: torch.optim.Optimizer, settings: TrainSettings) -> Any:
    schedulers = torch.optim.lr_scheduler
    if settings.schedule == "cosine":
        return schedulers.LambdaLR(optimizer, lambda epoch: _cosine(epoch, settings.epochs))
    if settings.schedule == "step":
        return schedulers.StepLR(optimizer, settings.step_size, settings.gamma)
    if settings.schedule == "plateau":
        return schedulers.ReduceLROnPlateau(optimizer, patience=settings.step_size, factor=settings.gamma)
    return schedulers.ConstantLR(optimizer, factor=1.0)


def _cosine(epoch: int, epochs: int) -> float:
    """The share of the learning rate in `epoch`, counted from 0: from 1 down to nearly 0 in the last."""
    return (1 + math.cos(math.pi * epoch / epochs)) / 2


def _mix(*numbers: int) -> int:
    """A seed that a list of numbers decides."""
    return int.from_bytes(hashlib.sha256(repr(numbers).encode()).digest()[:4], "big")
