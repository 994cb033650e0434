"""The LightningModule of a training: loss, optimiser, learning rates, history."""

import math
from collections.abc import Sequence
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn, optim

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
    groups = [(others, settings.lr), (new, settings.head_lr or settings.lr)]
    groups = [{"params": tensors, "lr": lr, "initial_lr": lr} for tensors, lr in groups if tensors]
    if settings.optimizer == "sgd":
        return optim.SGD(groups, momentum=settings.momentum, weight_decay=settings.l2)
    kind = optim.Adam if settings.optimizer == "adam" else optim.AdamW
    return kind(groups, betas=settings.betas, eps=settings.eps, weight_decay=settings.l2)


def rate_factor(epoch: int, settings: TrainSettings, val_losses: Sequence[float] = ()) -> float:
    """What the initial learning rates are multiplied by in `epoch`, from 0; `val_losses`: of the epochs before."""
    if settings.schedule == "cosine":  # from 1 down to nearly 0 in the last epoch
        return (1 + math.cos(math.pi * epoch / settings.epochs)) / 2
    if settings.schedule == "step":
        return settings.gamma ** (epoch // settings.step_size)
    if settings.schedule == "constant":
        return 1.0
    # Torch's own rule of the plateau, given all losses anew: a resumed run comes to the same rate.
    unit = optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    plateau = optim.lr_scheduler.ReduceLROnPlateau(unit, "min", settings.gamma, settings.step_size)
    for loss in val_losses:
        plateau.step(loss)
    return unit.param_groups[0]["lr"]


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

    def on_train_epoch_start(self) -> None:
        # Dropout uses the global generator: seeded here, a resumed epoch equals that of an unbroken run.
        torch.manual_seed(seed_of(self.settings.seed, self.current_epoch, self.global_rank))
        losses = [epoch["val_loss"] for epoch in self.history if epoch["epoch"] > 0]
        factor = rate_factor(self.current_epoch, self.settings, losses)
        for group in self.optimizers().param_groups:
            group["lr"] = group["initial_lr"] * factor

    def end_epoch(self, losses: dict[str, float]) -> None:
        """Add the epoch to the history."""
        for loss in losses.values():
            self._require_finite(loss, self.global_step)
        self.history.append({"epoch": self.current_epoch + 1, **losses, "lr": self.rate})

    def _require_finite(self, loss: float, step: int) -> None:
        if not math.isfinite(loss):
            raise TrailerError(
                f"the loss is {loss:g} at step {step}, in epoch {self.current_epoch + 1}: lower lr ({self.rate:g}); the"
                " models of the epochs before are kept"
            )

    def configure_optimizers(self) -> optim.Optimizer:
        return make_optimizer(self.network, self.settings)

    def file_facts(self) -> dict[str, Any]:
        """What a model file of this moment says of itself."""
        return {"format": FORMAT, **self.facts, "history": self.history}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["trailer_lib"] = self.file_facts()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.history = checkpoint["trailer_lib"]["history"]
