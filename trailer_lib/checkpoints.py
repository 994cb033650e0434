"""What a training leaves in its folder after each epoch, and when it has gone on for long enough."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pandas as pd
from lightning.pytorch.callbacks import EMAWeightAveraging
from lightning.pytorch.plugins.io import TorchCheckpointIO

from trailer_lib import files
from trailer_lib.backbones import FilmRegressor
from trailer_lib.modelfile import ModelFile, save_tensors
from trailer_lib.module import TrailerModule

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
