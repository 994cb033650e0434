"""What a training leaves in its folder after each epoch, and when it has gone on for long enough."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pandas as pd
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging
from lightning.pytorch.plugins.io import TorchCheckpointIO

from trailer_lib import files
from trailer_lib.errors import TrailerError
from trailer_lib.networks import FilmRegressor, ModelFile, read_model, save_tensors
from trailer_lib.settings import TrainSettings
from trailer_lib.training.module import TrailerModule

BEST, LAST, HISTORY, RESULTS = "best_model.pt", "last_model.pt", "history.csv", "results.json"
PREDICTIONS = "predictions.csv"
OnEpoch = Callable[[pd.DataFrame], None]


class WholeFiles(TorchCheckpointIO):
    """Lightning's files of checkpoints, written as all of ours are: whole or not at all."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        save_tensors(Path(path), checkpoint)


class Checkpoints(pl.Callback):
    """After each epoch: best_model.pt if it is the best, last_model.pt, history.csv; then `on_epoch(history)`.

    The training stops when its val loss has not fallen for `patience` epochs; 0 is never.
    """

    def __init__(self, models: Path, on_epoch: OnEpoch, patience: int, average: EMAWeightAveraging | None) -> None:
        self.models, self.on_epoch, self.patience, self.average = models, on_epoch, patience, average

    def on_train_start(self, trainer: pl.Trainer, module: TrailerModule) -> None:
        if module.history:  # a resumed run shows at once how far it was, and may have been through
            trainer.should_stop = out_of_patience(module.history, self.patience)
            if trainer.is_global_zero:
                self.on_epoch(pd.DataFrame(module.history))

    def on_train_epoch_end(self, trainer: pl.Trainer, module: TrailerModule) -> None:
        history = pd.DataFrame(module.history)
        if trainer.is_global_zero:
            if best_epoch(module.history) == len(history) - 1:
                averaged = self.average._average_model.module if self.average else module
                save_best(self.models, module, averaged.network)
            write_csv(self.models / HISTORY, history)
        # Last, as a run goes on from this file: what a kill leaves half done is then done again.
        trainer.save_checkpoint(self.models / LAST, weights_only=False)
        trainer.should_stop = out_of_patience(module.history, self.patience)
        if trainer.is_global_zero:
            self.on_epoch(history)


def best_epoch(history: list[dict[str, float]]) -> int:
    """The place in `history` of the lowest val loss, the first one of equals."""
    return min(range(len(history)), key=lambda place: history[place]["val_loss"])


def out_of_patience(history: list[dict[str, float]], patience: int) -> bool:
    return patience > 0 and len(history) - 1 - best_epoch(history) >= patience


def save_best(models: Path, module: TrailerModule, network: FilmRegressor) -> None:
    for name in (RESULTS, PREDICTIONS):  # another model's, from here on
        (models / name).unlink(missing_ok=True)
    ModelFile(network, module.file_facts()).save(models / BEST)


def write_csv(path: Path, table: pd.DataFrame) -> None:
    with files.atomic_path(path) as temporary:
        table.to_csv(temporary, index=False)


# What may differ when a training goes on: how long it takes, what reads its batches, how it is tested.
FREE_TO_CHANGE = ("epochs", "patience", "loader_workers", "views")
# What Lightning writes, and needs to go on where it was.
PARTS = ("state_dict", "optimizer_states", "lr_schedulers", "callbacks", "loops", "epoch", "global_step")
AVERAGE_PARTS = ("current_model_state", "averaging_state")


def resumable_model(models: Path, settings: TrainSettings, facts: dict[str, Any]) -> ModelFile:
    """`models`/last_model.pt, if it is of these settings and this dataset, whole, and best_model.pt is of its run."""
    last, best = read_model(models / LAST), read_model(models / BEST)
    _require_same_settings(last.facts["settings"], settings)
    if (last.facts["split_hash"], last.facts["dataset"]) != (facts["split_hash"], facts["dataset"]):
        raise TrailerError(
            f"{LAST} was trained on another dataset or split ({last.facts['split_hash']}): set resume=False"
        )
    _require_whole(models / LAST, settings)
    if any(one != other for one, other in zip(last.facts["history"], best.facts["history"])):
        raise TrailerError(f"{BEST} and {LAST} in {models} are of two runs: set resume=False")
    return last


def _require_same_settings(saved: dict[str, Any], settings: TrainSettings) -> None:
    for name, value in settings.as_dict().items():
        before = saved.get(name)
        if name not in FREE_TO_CHANGE and (tuple(before) if isinstance(before, list) else before) != value:
            raise TrailerError(
                f"{LAST} was trained with {name}={before!r}, not {value!r}: set it back, or resume=False"
            )


def _require_whole(path: Path, settings: TrainSettings) -> None:
    content = torch.load(path, map_location="cpu", weights_only=True)
    wanted = PARTS + AVERAGE_PARTS if settings.ema_decay else PARTS
    if missing := [name for name in wanted if name not in content]:
        raise TrailerError(f"{path}: no {missing[0]} in it, so no training can go on from it: set resume=False")
