"""The LightningModule of a training: loss, optimiser, learning rates, history."""

import math
import sys
from typing import Any

import lightning.pytorch as pl
from torch import Tensor, manual_seed, nn, optim

from trailer_lib.errors import TrailerError
from trailer_lib.networks import FORMAT, FilmRegressor
from trailer_lib.settings import TrainSettings
from trailer_lib.training.batches import Batch, add_noise, augment, seed_of

LOSSES = {"mse": nn.functional.mse_loss, "l1": nn.functional.l1_loss}


def make_optimizer(network: nn.Module, settings: TrainSettings) -> optim.Optimizer:
    """The optimiser over the parameters that are not frozen: new layers at `head_lr`, all others at `lr`."""
    new_layers = ("attention.", "head.") if settings.head == "linear" else ("attention.",)
    new, others = [], []
    for name, tensor in network.named_parameters():
        if tensor.requires_grad:
            (new if name.startswith(new_layers) else others).append(tensor)
    groups = [{"params": others, "lr": settings.lr}, {"params": new, "lr": settings.head_lr or settings.lr}]
    groups = [group for group in groups if group["params"]]
    if settings.optimizer == "sgd":
        return optim.SGD(groups, momentum=settings.momentum, weight_decay=settings.l2)
    kind = optim.Adam if settings.optimizer == "adam" else optim.AdamW
    return kind(groups, betas=settings.betas, eps=settings.eps, weight_decay=settings.l2)


def rate_factor(epoch: int, settings: TrainSettings) -> float:
    """What the learning rate is multiplied by in `epoch`, counted from 0."""
    if settings.schedule == "cosine":  # from 1 down to nearly 0 in the last epoch
        return (1 + math.cos(math.pi * epoch / settings.epochs)) / 2
    return settings.gamma ** (epoch // settings.step_size) if settings.schedule == "step" else 1.0


class TrailerModule(pl.LightningModule):
    """A FilmRegressor in training, the history of its losses, and `facts` for its model file."""

    def __init__(self, network: FilmRegressor, settings: TrainSettings, facts: dict[str, Any]) -> None:
        super().__init__()
        self.network, self.settings, self.facts = network, settings, facts
        self.loss = LOSSES[settings.loss]
        self.history: list[dict[str, float]] = []

    def training_step(self, batch: Batch, index: int) -> Tensor:
        frames, scores, _, seeds = batch
        pictures = self.network.normalise(augment(frames, self.settings, seeds))
        pictures = add_noise(pictures, self.settings, seeds)
        loss = self.loss(self.network.score(pictures), self.standardised(scores))
        self._require_finite(loss.item(), self.global_step + 1)
        # Lightning takes the mean over the epoch's films and all processes.
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(scores), sync_dist=True)
        return loss

    def validation_step(self, batch: Batch, index: int) -> None:
        frames, scores, *_ = batch
        loss = self.loss(self.network(frames), self.standardised(scores))
        self.log("val_loss", loss, on_step=False, on_epoch=True, batch_size=len(scores), sync_dist=True)

    def standardised(self, scores: Tensor) -> Tensor:
        return (scores - self.facts["score_mean"]) / self.facts["score_sd"]

    @property
    def rate(self) -> float:
        """The backbone's learning rate; the head's, where nothing else is trained."""
        return self.optimizers().param_groups[0]["lr"]

    def on_train_start(self) -> None:
        # A finished run that is resumed with more epochs continues at the longer run's rate, not at 0.
        if self.settings.schedule != "plateau":
            factor = rate_factor(self.current_epoch, self.settings)
            for group, base in zip(self.optimizers().param_groups, self.lr_schedulers().base_lrs):
                group["lr"] = base * factor

    def on_train_epoch_start(self) -> None:
        # Dropout uses the global generator: seeded here, a resumed epoch equals that of an unbroken run.
        manual_seed(seed_of(self.settings.seed, self.current_epoch, self.global_rank))

    def end_epoch(self, losses: dict[str, float]) -> None:
        """Add the epoch to the history and step the schedule."""
        for loss in losses.values():
            self._require_finite(loss, self.global_step)
        self.history.append({"epoch": self.current_epoch + 1, **losses, "lr": self.rate})
        self.lr_schedulers().step(*[losses["val_loss"]] if self.settings.schedule == "plateau" else [])

    def _require_finite(self, loss: float, step: int) -> None:
        if not math.isfinite(loss):
            raise TrailerError(
                f"the loss is {loss:g} at step {step}, in epoch {self.current_epoch + 1}: lower lr ({self.rate:g}); the"
                " models of the epochs before are kept"
            )

    def configure_optimizers(self) -> dict[str, Any]:
        settings, optimizer = self.settings, make_optimizer(self.network, self.settings)
        if settings.schedule == "plateau":
            schedule = optim.lr_scheduler.ReduceLROnPlateau(optimizer, "min", settings.gamma, settings.step_size)
        else:
            schedule = optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: rate_factor(epoch, settings))
        # Lightning would step the schedule after the epoch's checkpoint, and a resumed run would miss that step.
        never = {"interval": "epoch", "frequency": sys.maxsize, "monitor": "val_loss"}
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, **never}}

    def file_facts(self) -> dict[str, Any]:
        """What a model file of this moment says of itself."""
        return {"format": FORMAT, **self.facts, "history": self.history}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["trailer_lib"] = self.file_facts()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.history = checkpoint["trailer_lib"]["history"]
