"""A dataset -> models/: Lightning trains a regressor; best_model.pt, last_model.pt, history.csv, results.json."""

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader
from tqdm import tqdm

from trailer_lib import evaluate, files
from trailer_lib.backbones import FilmRegressor, build
from trailer_lib.batches import loader
from trailer_lib.dataset import Dataset, split_hash
from trailer_lib.errors import Stopped, TrailerError
from trailer_lib.modelfile import read_model_file
from trailer_lib.module import TrailerModule
from trailer_lib.progress import bar
from trailer_lib.project import Project
from trailer_lib.settings import TrainSettings

BEST, LAST, HISTORY, RESULTS = "best_model.pt", "last_model.pt", "history.csv", "results.json"
# What resume must find unchanged: everything but how long to train.
FREE_TO_CHANGE = ("epochs", "resume")


@dataclass(frozen=True)
class Run:
    """A finished training: `history` a row an epoch, `results` the test result, `predictions` a row a test film."""

    history: pd.DataFrame
    results: dict
    predictions: pd.DataFrame


class Checkpoints(pl.Callback):
    """After each epoch: last_model.pt, best_model.pt if it is the best, history.csv; then `on_epoch(history)`."""

    def __init__(self, models: Path, on_epoch: Callable[[pd.DataFrame], None] | None) -> None:
        self.models, self.on_epoch = models, on_epoch

    def on_train_start(self, trainer: pl.Trainer, module: TrailerModule) -> None:
        if module.history and self.on_epoch:  # a resumed run shows at once how far it was
            self.on_epoch(pd.DataFrame(module.history))

    def on_train_epoch_end(self, trainer: pl.Trainer, module: TrailerModule) -> None:
        history = pd.DataFrame(module.history)
        if history.val_loss.idxmin() == len(history) - 1:
            (self.models / RESULTS).unlink(missing_ok=True)  # another model's, from here on
            save_checkpoint(trainer, self.models / BEST, weights_only=True)
        save_checkpoint(trainer, self.models / LAST)
        write_csv(self.models / HISTORY, history)
        if self.on_epoch:
            self.on_epoch(history)


def save_checkpoint(trainer: pl.Trainer, path: Path, weights_only: bool = False) -> None:
    with files.atomic_path(path) as temporary:
        trainer.save_checkpoint(temporary, weights_only=weights_only)


def write_csv(path: Path, table: pd.DataFrame) -> None:
    with files.atomic_path(path) as temporary:
        table.to_csv(temporary, index=False)


def train(
    project: Project,
    settings: TrainSettings,
    on_epoch: Callable[[pd.DataFrame], None] | None = None,
    models: Path | None = None,
    data: Dataset | None = None,
) -> Run:
    """Train on project.dataset and test the best epoch's model once; all is written to `models` or project.models.

    `on_epoch` gets the history after each epoch: epoch, train_loss, val_loss, lr. Without it a bar is drawn.
    """
    models = models or project.models
    data = data or Dataset.open(project)
    pl.seed_everything(settings.seed, verbose=False)
    module = new_module(project, data, settings)
    resume = _resume_path(models / LAST, settings, module.facts) if settings.resume else None
    _quiet()
    progress = bar(desc="training", total=settings.epochs, unit="epoch", disable=on_epoch is not None)
    callbacks = [Checkpoints(models, on_epoch or partial(_advance, progress))]
    trainer = pl.Trainer(
        max_epochs=settings.epochs, accelerator="auto", devices=1, precision=settings.precision, callbacks=callbacks,
        logger=False, enable_checkpointing=False, enable_model_summary=False, enable_progress_bar=False,
        num_sanity_val_steps=0, deterministic="warn",
    )  # fmt: skip
    with _interruptible(module, settings), progress:
        trainer.fit(
            module, loader(data, settings, "train"), loader(data, settings, "val"), ckpt_path=resume, weights_only=True
        )
    return test(models, data)


def _advance(progress: tqdm, history: pd.DataFrame) -> None:
    progress.set_postfix(history.iloc[-1][["train_loss", "val_loss"]].round(3).to_dict(), refresh=False)
    progress.update(len(history) - progress.n)


@contextmanager
def _interruptible(module: TrailerModule, settings: TrainSettings) -> Iterator[None]:
    """Lightning answers Ctrl-C with sys.exit; a notebook, which lives on, wants to know what is kept."""
    try:
        yield
    except (SystemExit, KeyboardInterrupt):
        done = f"stopped after {len(module.history)} of {settings.epochs} epochs"
        raise Stopped(
            f"{done}; with resume=True the training goes on from {LAST}" if module.history else done
        ) from None


def new_module(project: Project, data: Dataset, settings: TrainSettings) -> TrailerModule:
    """An untrained module for `data`, with what a model file must say of itself."""
    weights = settings.weights
    if weights not in ("DEFAULT", "none"):
        weights = str(project.root / weights)
    scores = data.split("train").score
    facts = {
        "settings": settings.as_dict(),
        "dataset": data.card["settings"],
        "scrape": data.card["scrape"],
        "split_hash": split_hash(data.films),
        "splits": data.card["splits"],
        "score_mean": float(scores.mean()),
        "score_sd": float(scores.std(ddof=0)) or 1.0,
    }
    network = build(settings.backbone, settings.frames, settings.join, weights)
    _try_once(network, data.frames.shape[1], settings)
    return TrailerModule(network, settings, facts | {"weights": network.report})


def _try_once(network: FilmRegressor, size: int, settings: TrainSettings) -> None:
    """One film through the network: a picture size that the backbone can't take is an error at once."""
    try:
        with torch.inference_mode():
            network.eval()(torch.zeros(1, settings.frames, 3, size, size, dtype=torch.uint8))
    except (AssertionError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:100]
        raise TrailerError(
            f"{settings.backbone} can't take {size} x {size} pictures ({reason}): set the dataset's size"
        ) from error
    network.train()


def test(models: Path, data: Dataset) -> Run:
    """Score the test films with best_model.pt, beside the baselines; adds the result to the file and results.json."""
    path = models / BEST
    model = read_model_file(path)
    settings = TrainSettings.layered({"the model file": model.facts["settings"]})
    predicted, rows = predict_split(model.network, loader(data, settings, "test"))
    films = data.films.loc[rows]
    points = model.points(predicted)
    results = evaluate.compare_with_baselines(data.split("train"), films, points, "trailer")
    results |= {name: model.facts[name] for name in ("weights", "settings", "dataset", "split_hash")}
    model.facts["results"] = results
    model.save(path)
    files.write_json(models / RESULTS, results)
    history = pd.read_csv(models / HISTORY)
    return Run(history, results, films.assign(predicted=points, error=points - films.score))


def predict_split(network: FilmRegressor, batches: DataLoader) -> tuple[np.ndarray, np.ndarray]:
    """(standardised predictions float32 [films], rows int64 [films]) of all batches."""
    network.eval()
    answers, rows = [], []
    with torch.inference_mode():
        for frames, _, row in batches:
            answers.append(network(frames).numpy())
            rows.append(row.numpy())
    return np.concatenate(answers), np.concatenate(rows)


def constant_losses(data: Dataset, loss: str) -> dict[str, float]:
    """The train and val loss of the best constant, the train films' mean (mse) or median (l1)."""
    train_scores = data.split("train").score
    answer = train_scores.mean() if loss == "mse" else train_scores.median()
    sd = train_scores.std(ddof=0) or 1.0
    misses = {split: (data.split(split).score - answer) / sd for split in ("train", "val")}
    return {split: float((miss**2).mean() if loss == "mse" else miss.abs().mean()) for split, miss in misses.items()}


def _resume_path(path: Path, settings: TrainSettings, facts: dict[str, Any]) -> Path:
    """`path`, if it belongs to these settings and this dataset; a mismatch is an error, never a fresh start."""
    saved = read_model_file(path).facts
    for name, value in settings.as_dict().items():
        before = saved["settings"].get(name)
        if name not in FREE_TO_CHANGE and (tuple(before) if isinstance(before, list) else before) != value:
            raise TrailerError(
                f"{path.name} was trained with {name}={before!r}, not {value!r}: set it back, or resume=False"
            )
    if (saved["split_hash"], saved["dataset"]) != (facts["split_hash"], facts["dataset"]):
        raise TrailerError(
            f"{path.name} was trained on another dataset or split ({saved['split_hash']}): set resume=False"
        )
    return path


def _quiet() -> None:
    """No banners and no hints about more loader workers: one gather a batch needs none."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    warnings.filterwarnings("ignore", ".*number of training batches.*")
    warnings.filterwarnings("ignore", ".*srun.*")
    warnings.filterwarnings("ignore", ".*LeafSpec.*")
