"""A dataset -> models/: Lightning trains a regressor; best_model.pt, last_model.pt, history.csv, results.json."""

import hashlib
import logging
import math
import sys
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
from torch import Tensor, nn
from torch.utils.data import DataLoader, DistributedSampler
from tqdm.auto import tqdm

from trailer_lib import evaluate, files
from trailer_lib.augment import augment
from trailer_lib.backbones import FilmRegressor, build
from trailer_lib.dataset import Dataset, FilmBatches, split_hash
from trailer_lib.errors import TrailerError
from trailer_lib.modelfile import FORMAT, read_model_file
from trailer_lib.project import Project
from trailer_lib.settings import TrainSettings

BEST, LAST, HISTORY, RESULTS = "best_model.pt", "last_model.pt", "history.csv", "results.json"
LOSSES = {"mse": nn.functional.mse_loss, "l1": nn.functional.l1_loss}
# What resume must find unchanged: everything but how long to train.
FREE_TO_CHANGE = ("epochs", "resume")


@dataclass(frozen=True)
class Run:
    """A finished training: `history` a row an epoch, `results` the test result, `predictions` a row a test film."""

    history: pd.DataFrame
    results: dict
    predictions: pd.DataFrame


class EpochSampler(DistributedSampler):
    """(epoch, row) of the films in an order that (seed, epoch) alone decide; Lightning tells it the epoch."""

    def __init__(self, rows: np.ndarray, seed: int, shuffle: bool) -> None:
        super().__init__(rows, num_replicas=1, rank=0, shuffle=shuffle, seed=seed)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return ((self.epoch, int(self.dataset[index])) for index in super().__iter__())


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


class Checkpoints(pl.Callback):
    """After each epoch: last_model.pt, best_model.pt if it is the best, history.csv; then `on_epoch(history)`."""

    def __init__(self, models: Path, on_epoch: Callable[[pd.DataFrame], None] | None) -> None:
        self.models, self.on_epoch = models, on_epoch

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
) -> Run:
    """Train on project.dataset and test the best epoch's model once; all is written to `models` or project.models.

    `on_epoch` gets the history after each epoch: epoch, train_loss, val_loss, lr. Without it a bar is drawn.
    """
    models = models or project.models
    data = Dataset.open(project)
    pl.seed_everything(settings.seed, verbose=False)
    module = new_module(project, data, settings)
    resume = _resume_path(models / LAST, settings, module.facts) if settings.resume else None
    _quiet()
    bar = tqdm(desc="training", total=settings.epochs, unit="epoch", leave=False, disable=on_epoch is not None)
    callbacks = [Checkpoints(models, on_epoch or partial(_advance, bar))]
    trainer = pl.Trainer(
        max_epochs=settings.epochs, accelerator="auto", devices=1, precision=settings.precision, callbacks=callbacks,
        logger=False, enable_checkpointing=False, enable_model_summary=False, enable_progress_bar=False,
        num_sanity_val_steps=0, deterministic="warn",
    )  # fmt: skip
    with _interruptible(), bar:
        trainer.fit(
            module, loader(data, settings, "train"), loader(data, settings, "val"), ckpt_path=resume, weights_only=True
        )
    return test(models, data)


def _advance(bar: tqdm, history: pd.DataFrame) -> None:
    bar.set_postfix(history.iloc[-1][["train_loss", "val_loss"]].round(3).to_dict(), refresh=False)
    bar.update(len(history) - bar.n)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Lightning answers Ctrl-C with sys.exit; a notebook, which lives on, wants a KeyboardInterrupt."""
    try:
        yield
    except SystemExit as error:
        raise KeyboardInterrupt from error


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


def loader(data: Dataset, settings: TrainSettings, split: str) -> DataLoader:
    """Batches (frames uint8 [films, frames, 3, size, size], scores [films], rows [films]) of a split."""
    training = split == "train"
    batches = FilmBatches(
        data, settings.frames, settings.seed if training else None, settings.other_frames, settings.reorder_frames
    )
    sampler = EpochSampler(data.split(split).index.to_numpy(), settings.seed, shuffle=training)
    # A last batch of one film would break batch normalisation; which films are left over differs each epoch.
    drop_last = training and len(sampler) > settings.batch
    # A generator of its own: else each epoch's loader would draw from the one that seeds dropout.
    own = torch.Generator()
    return DataLoader(
        batches, settings.batch, sampler=sampler, collate_fn=_to_tensors, drop_last=drop_last, generator=own
    )


def _to_tensors(batch: tuple[np.ndarray, np.ndarray, np.ndarray]) -> tuple[Tensor, Tensor, Tensor]:
    frames, scores, rows = map(torch.from_numpy, batch)
    return frames.permute(0, 1, 4, 2, 3), scores, rows


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


def _quiet() -> None:
    """No banners and no hints about more loader workers: one gather a batch needs none."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    warnings.filterwarnings("ignore", ".*number of training batches.*")
    warnings.filterwarnings("ignore", ".*srun.*")
    warnings.filterwarnings("ignore", ".*LeafSpec.*")
