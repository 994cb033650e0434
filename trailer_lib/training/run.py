"""A dataset -> models/: Lightning trains a regressor; two model files, its history, test answers and results."""

import gc
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import pandas as pd
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging
from tqdm import tqdm

from trailer_lib import files
from trailer_lib.dataset import Dataset, split_hash
from trailer_lib.errors import Stopped, TrailerError
from trailer_lib.evaluation import add_metadata, compare_with_baselines, fit_genres, result_warnings, verdict
from trailer_lib.networks import FilmRegressor, ModelFile, build, read_model
from trailer_lib.progress import bar
from trailer_lib.project import Project
from trailer_lib.settings import TrainSettings
from trailer_lib.training.batches import process_place, split_loader, train_loader
from trailer_lib.training.callbacks import (
    BEST,
    HISTORY,
    LAST,
    PREDICTIONS,
    RESULTS,
    Checkpoints,
    OnEpoch,
    WholeFiles,
    resumable_model,
    save_best,
    write_csv,
)
from trailer_lib.training.module import TrailerModule
from trailer_lib.training.scoring import build_index, mean_loss, predict_split

AUGMENTATIONS = ("noise", "crop")


def refuse_contradictions(settings: TrainSettings, processes: int = 1) -> None:
    """TrailerError for the first contradiction in `settings`, or between them and the number of processes."""
    if found := [text for wrong, text in _rules(settings, processes) if wrong]:
        raise TrailerError(found[0])


def _rules(s: TrainSettings, processes: int) -> list[tuple[bool, str]]:
    """(whether it is so, what is wrong and the remedy) of every contradiction."""
    fitted = s.head != "linear"
    only_fitted = fitted and (s.freeze == "backbone" or s.epochs == 0)
    idle = [name for name in AUGMENTATIONS if getattr(s, name) != getattr(TrainSettings, name)]
    return [
        (
            only_fitted and bool(idle),
            f"{', '.join(idle)}: changes nothing where head = {s.head!r} is fitted and nothing else trained: set"
            " freeze = 'none' (and epochs above 0), or leave it",
        ),
        (s.epochs == 0 and not fitted, "epochs = 0 leaves head = 'linear' untrained: set epochs, or head = 'ridge'"),
        (
            only_fitted and processes > 1,
            f"head = {s.head!r} alone is fitted by one process, not {processes}: run it without torchrun, or set"
            " freeze = 'none'",
        ),
        (
            s.batch % processes > 0,
            f"batch = {s.batch} films can't be shared by {processes} processes: set a multiple of {processes}",
        ),
    ]


LOG = logging.getLogger(__name__)
PREDICTED = ["imdb_id", "title", "year", "score", "predicted"]  # the columns of predictions.csv


@dataclass(frozen=True)
class Run:
    """A finished training: `history` a row an epoch, `results` the test result, `predictions` a row a test film."""

    history: pd.DataFrame
    results: dict
    predictions: pd.DataFrame


def train(
    project: Project,
    settings: TrainSettings,
    on_epoch: OnEpoch | None = None,
    models: Path | None = None,
    data: Dataset | None = None,
    resume: bool = False,
    index: bool = True,
) -> Run:
    """Train on `data` and test the best epoch's model once; all is written to `models` or project.models.

    `data`: project.dataset if not given. `on_epoch` gets the history after each epoch: epoch, train_loss, val_loss, lr;
    without it a bar is drawn. A fitted head is epoch 0, and the whole training if nothing else is to be trained.
    `resume`: continue from last_model.pt in `models`.
    `index`: the model file gets the features of its train films, by which an answer shows films that are similar.
    Of the processes that torchrun starts each returns the result, and the first one writes the files.
    """
    refuse_contradictions(settings, process_place().count)
    models, data = models or project.models, Dataset.open(project) if data is None else data
    data = replace(data, films=add_metadata(project, data.films))  # what the baselines know
    cache = project.models / "features"  # of all runs: another scheme or fold wants the same ones
    pl.seed_everything(settings.seed, verbose=False)
    drawn = on_epoch is None and process_place().rank == 0
    with bar(desc="training", total=settings.epochs, unit="epoch", disable=not drawn) as progress:
        module = new_module(project, data, settings)
        _learn(module, data, models, cache, on_epoch or partial(_advance, progress), resume)
    del module
    gc.collect()  # network and trainer hold each other: a VGG's gigabytes, which Python would free much later
    return test(models, data, cache, index)


def _learn(module: TrailerModule, data: Dataset, models: Path, cache: Path, on_epoch: OnEpoch, resumed: bool) -> None:
    settings = module.settings
    if settings.head != "linear" and (settings.freeze == "backbone" or settings.epochs == 0):
        _fit_head(module, data, models, cache)
        on_epoch(pd.DataFrame(module.history))
    else:
        _descend(module, data, models, cache, on_epoch, resumed)


def _fit_head(module: TrailerModule, data: Dataset, models: Path, cache: Path) -> None:
    """Put a head fitted on frozen features into the network: the model of epoch 0, and the best one so far."""
    from trailer_lib.training.frozen import fit_head  # scikit-learn takes a second

    module.facts["head"] = fit_head(module.network, data, module.settings, cache)
    module.network.fitted = True
    losses = {f"{split}_loss": mean_loss(module, data, split, cache) for split in ("train", "val")}
    module.history.append({"epoch": 0, **losses, "lr": 0.0})
    module.network.train()
    if process_place().rank == 0:
        save_best(models, module, module.network)
        write_csv(models / HISTORY, pd.DataFrame(module.history))


def _descend(module: TrailerModule, data: Dataset, models: Path, cache: Path, on_epoch: OnEpoch, resumed: bool) -> None:
    """Train by gradients: from the file's state, a fitted head, or the beginning."""
    settings = module.settings
    if resumed:
        _take_head(module, resumable_model(models, settings, module.facts))
    elif settings.head != "linear":
        _fit_head(module, data, models, cache)
    average = EMAWeightAveraging(decay=settings.ema_decay) if settings.ema_decay else None
    # The average goes first, so that at the end of an epoch its state is what is saved.
    callbacks = [*[average] * (average is not None), Checkpoints(models, on_epoch, settings.patience, average)]
    with _interruptible(module, settings):
        _trainer(settings, callbacks).fit(
            module, train_loader(data, settings, process_place()), split_loader(data, settings, "val"),
            ckpt_path=models / LAST if resumed else None, weights_only=True,
        )  # fmt: skip


def _take_head(module: TrailerModule, last: ModelFile) -> None:
    """A fitted head decides its own layers: those that the file's tensors belong to."""
    if module.settings.head != "linear":
        module.network.head, module.facts["head"] = last.network.head, last.facts["head"]
        module.network.fitted = True
        module.network.train()


def _trainer(settings: TrainSettings, callbacks: list[pl.Callback]) -> pl.Trainer:
    _quiet()
    place = process_place()
    several = place.count > 1
    return pl.Trainer(
        max_epochs=settings.epochs, accelerator="auto", devices=place.here, num_nodes=place.count // place.here,
        strategy="ddp" if several else "auto", sync_batchnorm=several and torch.cuda.is_available(),
        precision=settings.precision, callbacks=callbacks, plugins=[WholeFiles()], logger=False,
        enable_checkpointing=False, enable_model_summary=False, enable_progress_bar=False, num_sanity_val_steps=0,
        deterministic="warn",
    )  # fmt: skip


def _advance(progress: tqdm, history: pd.DataFrame) -> None:
    progress.set_postfix(history.iloc[-1][["train_loss", "val_loss"]].round(3).to_dict(), refresh=False)
    progress.update(int(history.epoch.iloc[-1]) - progress.n)


@contextmanager
def _interruptible(module: TrailerModule, settings: TrainSettings) -> Iterator[None]:
    """Lightning answers Ctrl-C with sys.exit; a notebook, which lives on, wants to know what is kept."""
    try:
        yield
    except (SystemExit, KeyboardInterrupt):
        epochs = int(module.history[-1]["epoch"]) if module.history else 0
        done = f"stopped after {epochs} of {settings.epochs} epochs"
        raise Stopped(f"{done}; with resume=True the training goes on from {LAST}" if epochs else done) from None


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
        "splits": {split: int((data.films.split == split).sum()) for split in ("train", "val", "test")},
        "score_mean": float(scores.mean()),
        "score_sd": float(scores.std(ddof=0)) or 1.0,
    }
    network = build(
        settings.backbone, settings.frames, settings.aggregate, weights, first_conv=settings.first_conv,
        pixels=settings.pixels, freeze=settings.freeze, depth=settings.depth,
    )  # fmt: skip
    _try_once(network, data.frames.shape[1], settings)
    return TrailerModule(network, settings, facts | {"weights": network.report, "blocks": list(network.blocks)})


def _try_once(network: FilmRegressor, size: int, settings: TrainSettings) -> None:
    """One film through the network: a picture size that the backbone can't take is an error at once."""
    if settings.head == "linear" and settings.epochs:  # under a fitted head batch normalisation is in eval mode
        processes = 1 if torch.cuda.is_available() else process_place().count  # GPUs synchronise batch normalisation
        network.require_batch(settings.batch // processes, size)
    try:
        with torch.inference_mode():
            network.eval()(torch.zeros(1, settings.frames, 3, size, size, dtype=torch.uint8))
    except (AssertionError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:100]
        raise TrailerError(
            f"{settings.backbone} can't take {size} x {size} pictures ({reason}): set the dataset's size"
        ) from error
    network.train()


def test(models: Path, data: Dataset, cache: Path, index: bool = True) -> Run:
    """Score the test films with best_model.pt, beside the baselines; adds the result to the file and results.json.

    predictions.csv gets the answers on the test films, and the file those on the val films, whose errors say how far
    off an answer may be.
    """
    model = read_model(models / BEST)
    films = data.split("test")
    points = _points(model, data, "test", cache)
    results = compare_with_baselines(data.split("train"), films, points, "trailer")
    results |= {name: model.facts[name] for name in ("weights", "settings", "dataset", "split_hash")}
    results["warnings"] = result_warnings(results)
    results["verdict"] = verdict(results)
    model.facts |= {"results": results, "validation": _validation(model, data, cache)}
    model.facts["genre_ridge"] = fit_genres(data.split("train"))
    if index:
        model.facts["index"] = build_index(model.network, data)
    predictions = films.assign(predicted=points, error=points - films.score)
    if process_place().rank == 0:
        model.save(models / BEST)
        write_csv(models / PREDICTIONS, predictions[PREDICTED])
        files.write_json(models / RESULTS, results)
        for line in results["warnings"]:
            LOG.warning(line)
    return Run(pd.read_csv(models / HISTORY), results, predictions)


def _points(model: ModelFile, data: Dataset, split: str, cache: Path) -> np.ndarray:
    settings = TrainSettings.layered({"the model file": model.facts["settings"]})
    return model.points(predict_split(model.network, data, settings, split, cache))


def _validation(model: ModelFile, data: Dataset, cache: Path) -> dict[str, list]:
    """The val films' ids, scores and predicted scores, in IMDb points."""
    films = data.split("val")
    predicted = _points(model, data, "val", cache).tolist()
    return {"imdb_id": films.imdb_id.tolist(), "score": films.score.tolist(), "predicted": predicted}


def _quiet() -> None:
    """No banners and no hints about loader workers, of which one gather a batch needs none."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    hints = "does not have many workers", "number of training batches", "srun", "LeafSpec", "in eval mode at the start"
    for hint in hints:
        warnings.filterwarnings("ignore", f".*{hint}.*")
