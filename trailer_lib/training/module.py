"""The LightningModule of a training, its models and history after each epoch, and the check before it is resumed."""

import json
import logging
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pandas as pd
import torch
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import Tensor, nn, optim

from trailer_lib import files
from trailer_lib.errors import TrailerError
from trailer_lib.networks import FORMAT, FilmRegressor, ModelFile, read_model, save_tensors
from trailer_lib.settings import TrainSettings
from trailer_lib.training.batches import add_noise, augment, seed_of

LOG = logging.getLogger(__name__)
BEST, LAST, HISTORY, SETTINGS = "best_model.pt", "last_model.pt", "history.csv", "settings.json"
RESULTS, PREDICTIONS = "results.json", "predictions.csv"
FEATURES = "features"  # the folder of cached features, of all runs: another scheme or fold needs the same ones
# What may differ when a run is resumed: how long it takes, what reads its batches, how it is tested.
FREE_TO_CHANGE = ("epochs", "patience", "loader_workers", "views")
# What Lightning writes, and needs to resume; the last two are of the moving average.
PARTS = (
    "optimizer_states",
    "lr_schedulers",
    "callbacks",
    "loops",
    "global_step",
    "current_model_state",
    "averaging_state",
)
LOSSES = {"mse": nn.functional.mse_loss, "l1": nn.functional.l1_loss}
Batch = tuple[Tensor, Tensor, Tensor, list[int]]
OnEpoch = Callable[[pd.DataFrame], None]


def make_optimizer(network: nn.Module, settings: TrainSettings) -> optim.Optimizer:
    """The optimiser over the parameters that are not frozen: the backbone's at `lr`, all others at `head_lr`."""
    backbone, others = [], []
    for name, tensor in network.named_parameters():
        if tensor.requires_grad:
            (backbone if name.startswith("backbone.") else others).append(tensor)
    groups = [{"params": backbone, "lr": settings.lr}, {"params": others, "lr": settings.head_lr or settings.lr}]
    groups = [group for group in groups if group["params"]]
    if settings.optimizer == "sgd":
        return optim.SGD(groups, momentum=settings.momentum, weight_decay=settings.l2)
    kind = optim.Adam if settings.optimizer == "adam" else optim.AdamW
    return kind(groups, betas=settings.betas, eps=settings.eps, weight_decay=settings.l2)


def make_schedule(optimizer: optim.Optimizer, settings: TrainSettings) -> Any:
    """The schedule of the learning rates, to be stepped once an epoch; "plateau" needs the validation loss."""
    if settings.schedule == "plateau":
        return optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=settings.step_size, factor=settings.gamma)
    return optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: rate_factor(epoch, settings))


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
        """The backbone's learning rate; the head's, where the backbone is frozen."""
        return self.optimizers().param_groups[0]["lr"]

    def on_train_start(self) -> None:
        # A finished run that is resumed with more epochs continues at the longer run's rate, not at 0.
        if self.settings.schedule != "plateau":
            factor = rate_factor(self.current_epoch, self.settings)
            for group, base in zip(self.optimizers().param_groups, self.lr_schedulers().base_lrs):
                group["lr"] = base * factor

    def on_train_epoch_start(self) -> None:
        # Dropout uses the global generator: seeded here, a resumed epoch equals that of an unbroken run.
        torch.manual_seed(seed_of(self.settings.seed, self.current_epoch, self.global_rank))

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
        optimizer = make_optimizer(self.network, self.settings)
        # Lightning would step the schedule after the epoch's checkpoint, and a resumed run would miss that step.
        never = {"interval": "epoch", "frequency": sys.maxsize, "monitor": "val_loss"}
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": make_schedule(optimizer, self.settings), **never}}

    def file_facts(self) -> dict[str, Any]:
        """What a model file of this moment says of itself."""
        return {"format": FORMAT, **self.facts, "history": self.history}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["trailer_lib"] = self.file_facts()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.history = checkpoint["trailer_lib"]["history"]


class AtomicCheckpoints(TorchCheckpointIO):
    """Lightning's checkpoint files, written whole or not at all."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        save_tensors(Path(path), checkpoint)


class Checkpoints(pl.Callback):
    """After each epoch: best_model.pt if it is the best, history.csv, last_model.pt; then `on_epoch(history)`.

    The training stops when its val loss has not fallen for the setting `patience` epochs; 0 is never.
    """

    def __init__(self, models: Path, on_epoch: OnEpoch, average: WeightAveraging | None) -> None:
        self.models, self.on_epoch, self.average = models, on_epoch, average

    def on_train_start(self, trainer: pl.Trainer, module: TrailerModule) -> None:
        if module.history:  # of a resumed run, which may have ended already
            self._report(trainer, module)

    def on_train_epoch_end(self, trainer: pl.Trainer, module: TrailerModule) -> None:
        module.end_epoch({name: float(trainer.callback_metrics[name]) for name in ("train_loss", "val_loss")})
        if trainer.is_global_zero:
            # Private, but Lightning offers no other way to it before the training ends.
            averaged = self.average._average_model.module if self.average else module
            write_epoch(self.models, module, averaged.network)
        # Last, as a run is resumed from this file: what a kill leaves half done is then done again.
        trainer.save_checkpoint(self.models / LAST, weights_only=False)
        self._report(trainer, module)

    def _report(self, trainer: pl.Trainer, module: TrailerModule) -> None:
        patience, worse = module.settings.patience, len(module.history) - 1 - best_epoch(module.history)
        trainer.should_stop = 0 < patience <= worse
        if trainer.is_global_zero:
            self.on_epoch(pd.DataFrame(module.history))


def best_epoch(history: list[dict[str, float]]) -> int:
    """The place in `history` of the lowest val loss, the first one of equals."""
    return min(range(len(history)), key=lambda place: history[place]["val_loss"])


def write_epoch(models: Path, module: TrailerModule, network: FilmRegressor) -> None:
    """Write history.csv and, after the best epoch so far, best_model.pt in place of the last one and its results."""
    if best_epoch(module.history) == len(module.history) - 1:
        for name in (RESULTS, PREDICTIONS):
            (models / name).unlink(missing_ok=True)
        ModelFile(network, module.file_facts()).save(models / BEST)
    write_csv(models / HISTORY, pd.DataFrame(module.history))


def write_csv(path: Path, table: pd.DataFrame) -> None:
    with files.atomic_path(path) as temporary:
        table.to_csv(temporary, index=False)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; {} for a file that is missing or damaged."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def resumed_settings(models: Path, settings: TrainSettings) -> TrainSettings:
    """The settings of the run that stopped in `models`, with what `settings` has set explicitly and may be changed."""
    saved = read_json(models / SETTINGS) or read_model(models / LAST).facts["settings"]
    before, changes = TrainSettings.layered({"the run that stopped": saved}), {}
    for name, value in settings.as_dict().items():
        old, origin = getattr(before, name), settings.origins.get(name, "default")
        if not settings.origins and value != getattr(TrainSettings, name):
            origin = "code"  # TrainSettings(name=value)
        if value == old or origin == "default" or origin.startswith("scheme "):
            continue
        if origin == "settings.toml":
            LOG.warning(f"settings.toml: {name}={value!r} is not used: the run to resume has {old!r}")
        elif name in FREE_TO_CHANGE and (value or name != "epochs"):
            changes[name] = value
        else:
            raise TrailerError(f"the run to resume has {name}={old!r}, not {value!r}: leave it out, or don't resume")
    return replace(before, **changes)


def resumable_model(models: Path, module: TrailerModule) -> ModelFile:
    """last_model.pt in `models`, if it is of the module's settings and dataset, whole, and best_model.pt of its run."""
    last, best, settings = read_model(models / LAST), read_model(models / BEST), module.settings
    saved = TrainSettings.layered({LAST: last.facts["settings"]})
    if replace(saved, **{name: getattr(settings, name) for name in FREE_TO_CHANGE}) != settings:
        raise TrailerError(f"{models / LAST} is of another run; the one that stopped finished no epoch: don't resume")
    if any(last.facts[name] != module.facts[name] for name in ("split_hash", "dataset")):
        raise TrailerError(f"{models / LAST} was trained on another dataset or split: don't resume")
    if settings.epochs < (done := last.facts["history"][-1]["epoch"]):
        raise TrailerError(f"epochs={settings.epochs}: the run that stopped has finished {done}: set at least {done}")
    content = torch.load(models / LAST, map_location="cpu", weights_only=True)
    if missing := [name for name in (PARTS if settings.ema_decay else PARTS[:-2]) if name not in content]:
        raise TrailerError(f"{models / LAST}: no {missing[0]} in it, so it can't be resumed: train anew")
    if any(one != other for one, other in zip(last.facts["history"], best.facts["history"])):
        raise TrailerError(f"{BEST} and {LAST} in {models} are of two runs: don't resume")
    return last
