"""A training's files after each epoch, the curves of earlier runs, and what is checked before one is resumed."""

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import lightning.pytorch as pl
import pandas as pd
import torch
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.plugins.io import TorchCheckpointIO

from trailer_lib import files
from trailer_lib.dataset import Dataset, split_hash
from trailer_lib.errors import TrailerError
from trailer_lib.networks import FilmRegressor, ModelFile, read_model, save_tensors
from trailer_lib.settings import TrainSettings
from trailer_lib.training.module import TrailerModule

LOG = logging.getLogger(__name__)
BEST, LAST, HISTORY, SETTINGS = "best_model.pt", "last_model.pt", "history.csv", "settings.json"
RESULTS, PREDICTIONS = "results.json", "predictions.csv"
RUNS = "runs"
NAMELESS = ("scheme", "precision", "loader_workers")  # the last two are of speed alone: they do not name a run
FEATURES = "features"  # the folder of cached features, of all runs: another scheme or fold needs the same ones
# What may differ when a run is resumed: how long it takes, what reads its batches, how it is tested.
FREE_TO_CHANGE = ("epochs", "patience", "loader_workers", "views")
TIMED_STEPS = 3  # after one that warms up
SLOW = 60.0  # seconds an epoch from which a CPU's user is told of the quicker scheme
OnEpoch = Callable[[pd.DataFrame], None]


class AtomicCheckpoints(TorchCheckpointIO):
    """Lightning's checkpoint files, written whole or not at all."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        save_tensors(Path(path), checkpoint)


class Checkpoints(pl.Callback):
    """After each epoch: best_model.pt if it is the best, history.csv, last_model.pt, `on_epoch`; early stopping."""

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
        trainer.should_stop = 0 < patience <= worse  # with patience 0 never
        if trainer.is_global_zero:
            self.on_epoch(pd.DataFrame(module.history))


class TimeEstimate(pl.Callback):
    """Says once, after the first steps, how long an epoch and the whole training take on this machine."""

    def __init__(self) -> None:
        self.steps, self.start = 0, 0.0

    def on_train_batch_end(self, trainer: pl.Trainer, module: TrailerModule, *_: Any) -> None:
        self.steps += 1
        if self.steps == 1:
            self.start = time.monotonic()
        elif self.steps == 1 + TIMED_STEPS:
            step = (time.monotonic() - self.start) / TIMED_STEPS
            # A validation step has no gradients: about a third of a training step.
            seconds = step * (trainer.num_training_batches + sum(trainer.num_val_batches) / 3)
            print(estimate(seconds, module.settings.epochs, trainer.strategy.root_device.type))


def estimate(seconds: float, epochs: int, device: str) -> str:
    """A line on how long `epochs` of `seconds` each take, and on a slow CPU which word makes it quicker."""
    total = f"at most {span(seconds * epochs)} for {epochs} epochs"
    text = f"about {span(seconds)} an epoch on this {device.upper()}, {total}"
    slow = device == "cpu" and seconds > SLOW
    return text + ("; scheme='frozen' is quicker: it needs no epochs" if slow else "")


def span(seconds: float) -> str:
    """A duration for people: "40 s", "12 min", "2.5 h"."""
    if seconds < 100:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


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


class EarlierRun(NamedTuple):
    name: str  # the scheme, and the settings that the user chose beside it: "finetune, noise=0.3"
    history: pd.DataFrame  # epoch, train_loss, val_loss, lr


def recording(runs: Path, settings: TrainSettings, data: Dataset, on_epoch: OnEpoch) -> OnEpoch:
    """`on_epoch`, after the history so far is written to a file of this run in the folder `runs`."""
    path = runs / f"{time.strftime('%Y-%m-%d %H-%M-%S')}.json"
    unchosen = (None, "settings.toml", f"scheme {settings.scheme!r}")
    names = [name for name in settings.changed() if name not in NAMELESS and settings.origins.get(name) not in unchosen]
    name = ", ".join([settings.scheme, *(f"{name}={getattr(settings, name)}" for name in names)])
    facts = {"name": name, "loss": settings.loss, "split_hash": split_hash(data.films)}

    def write(history: pd.DataFrame) -> None:
        files.write_json(path, facts | {"history": history.to_dict("list")})
        on_epoch(history)

    return write


def earlier_runs(models: Path, settings: TrainSettings, data: Dataset, count: int = 3) -> list[EarlierRun]:
    """The last `count` runs in `models` on this split with this loss, the latest last; damaged files are left out."""
    wanted = {"loss": settings.loss, "split_hash": split_hash(data.films)}
    runs = []
    for path in sorted((models / RUNS).glob("*.json")):
        content = files.read_json(path)
        if wanted.items() <= content.items() and {"name", "history"} <= content.keys():
            runs.append(EarlierRun(str(content["name"]), pd.DataFrame(content["history"])))
    # A run that was stopped and resumed is there twice: its first part is not drawn beside the whole.
    whole = [run for run, later in pairwise(runs) if not is_start(run, later.history)]
    return (whole + runs[-1:])[-count:]


def is_start(run: EarlierRun, history: pd.DataFrame) -> bool:
    """Whether the run's curve is that of the first epochs of `history`."""
    return run.history.equals(history.head(len(run.history)))


def resumed_settings(models: Path, settings: TrainSettings) -> TrainSettings:
    """The settings of the run that stopped in `models`, with what `settings` has set explicitly and may be changed."""
    saved = files.read_json(models / SETTINGS) or read_model(models / LAST).facts["settings"]
    before, changes = TrainSettings.layered({"the run that stopped": saved}), {}
    for name, value in settings.as_dict().items():
        old, origin = getattr(before, name), settings.origins.get(name, "default")
        if value == old or origin == "default" or origin.startswith("scheme "):
            continue
        if origin == "settings.toml":
            LOG.warning(f"settings.toml: {name}={value!r} is not used: the run to resume has {old!r}")
        elif name in FREE_TO_CHANGE and (value or name != "epochs"):
            changes[name] = value
        else:
            raise TrailerError(f"the run to resume has {name}={old!r}, not {value!r}: leave it out, or don't resume")
    resumed = replace(before, **changes)
    resumed.origins.update(settings.origins)  # they name its curve
    return resumed


def require_resumable(models: Path, module: TrailerModule) -> None:
    """TrailerError unless last_model.pt is whole, of the module's settings and dataset, and of best_model.pt's run."""
    last, best, settings = read_model(models / LAST), read_model(models / BEST), module.settings
    saved = TrainSettings.layered({LAST: last.facts["settings"]})
    if replace(saved, **{name: getattr(settings, name) for name in FREE_TO_CHANGE}) != settings:
        raise TrailerError(f"{models / LAST} is of another run; the one that stopped finished no epoch: don't resume")
    if any(last.facts[name] != module.facts[name] for name in ("split_hash", "dataset")):
        raise TrailerError(f"{models / LAST} was trained on another dataset or split: don't resume")
    if settings.epochs < (done := last.facts["history"][-1]["epoch"]):
        raise TrailerError(f"epochs={settings.epochs}: the run that stopped has finished {done}: set at least {done}")
    if "optimizer_states" not in torch.load(models / LAST, map_location="cpu", weights_only=True):
        raise TrailerError(f"{models / LAST}: a {BEST}, which can't be resumed: train anew")
    if any(one != other for one, other in zip(last.facts["history"], best.facts["history"])):
        raise TrailerError(f"{BEST} and {LAST} in {models} are of two runs: don't resume")
