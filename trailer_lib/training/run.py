"""A training from a dataset to models/: a fitted head, epochs of gradients by Lightning, resuming, and the test."""

import gc
import logging
import warnings
from functools import partial
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import pandas as pd
import torch
from lightning.pytorch.callbacks import WeightAveraging
from torch.func import functional_call
from torch.optim.swa_utils import get_ema_multi_avg_fn
from tqdm import tqdm

from trailer_lib import files
from trailer_lib.dataset import Dataset, split_hash
from trailer_lib.errors import Stopped, TrailerError
from trailer_lib.evaluation import baseline_losses
from trailer_lib.networks import FilmRegressor, build
from trailer_lib.progress import bar
from trailer_lib.project import Project
from trailer_lib.settings import TrainSettings, trains
from trailer_lib.training import checkpoints
from trailer_lib.training.batches import film_loader, film_views, process_place, train_loader
from trailer_lib.training.checkpoints import FEATURES, LAST, LOG, RUNS, SETTINGS, OnEpoch
from trailer_lib.training.frozen import fit_head, head_inputs
from trailer_lib.training.module import TrailerModule
from trailer_lib.training.scoring import Run, score_validation_films


def train(
    project: Project, settings: TrainSettings, on_epoch: OnEpoch | None = None, models: Path | None = None,
    data: Dataset | None = None, resume: bool = False,
) -> Run:  # fmt: skip
    """Train on `data`, else on the project's dataset; all is written to `models` or project.models.

    `on_epoch` gets the history after each epoch: epoch, train_loss, val_loss, lr; without it a progress bar is shown. A
    fitted head is epoch 0, and the whole training if nothing else is trained. `resume`: continue the run that stopped
    in `models`, with its settings. The test films are left alone: see Run.test. Of torchrun's processes each returns
    the result, and the first writes the files.
    """
    models = models or project.models
    if not settings.origins:  # made by hand: what its scheme and settings.toml say is not in it yet
        settings = project.settings("train", settings)
    if resume:
        settings = checkpoints.resumed_settings(models, settings)
    else:
        settings.refuse_idle()
        for line in settings.idle(("settings.toml",)):
            LOG.warning(f"settings.toml: {line}")
    refuse_contradictions(settings, process_place().count)
    data = Dataset.open(project) if data is None else data
    fit(project, settings, data, models, on_epoch, resume, models / RUNS)
    return Run(project, models, data, score_validation_films(project, data, models))


def fit(
    project: Project, settings: TrainSettings, data: Dataset, models: Path, on_epoch: OnEpoch | None = None,
    resume: bool = False, runs: Path | None = None,
) -> None:  # fmt: skip
    """`train` without the scores: writes best_model.pt, history.csv and, of an epoch of gradients, last_model.pt.

    `runs`: the folder for the history of a run that a user follows, who is also told how long it takes.
    """
    pl.seed_everything(settings.seed, verbose=False)
    first = process_place().rank == 0
    followed, hidden = bool(runs) and first, on_epoch is not None or not first
    with bar(desc="training", total=settings.epochs, unit="epoch", disable=hidden) as progress:
        on_epoch = on_epoch or partial(_advance, progress)
        if followed:
            on_epoch = checkpoints.recording(runs, settings, data, on_epoch)
        module = new_module(project, data, settings)
        if first:
            files.write_json(models / SETTINGS, settings.as_dict())
        if not trains(settings) or (settings.head != "linear" and not resume):
            _fit_head(module, data, models, project.models / FEATURES)
        if trains(settings):
            _train_by_gradients(module, data, models, on_epoch, resume, followed)
        else:
            on_epoch(pd.DataFrame(module.history))
    del module
    gc.collect()  # network and trainer refer to each other: a VGG's gigabytes, which Python would free much later


def refuse_contradictions(settings: TrainSettings, processes: int = 1) -> None:
    """TrailerError when nothing would be trained, or when the settings do not fit the processes."""
    if settings.epochs == 0 and settings.head == "linear" and "frames" in settings.sources:
        raise TrailerError("epochs = 0 leaves head = 'linear' untrained: set epochs, or head = 'ridge'")
    if processes > 1 and not trains(settings):
        raise TrailerError("a fitted head alone takes one process: run it without torchrun, or set scheme = 'finetune'")
    if settings.batch % processes:
        wrong = f"batch = {settings.batch} can't be shared by {processes} processes"
        raise TrailerError(f"{wrong}: set a multiple of {processes}")


def new_module(project: Project, data: Dataset, settings: TrainSettings) -> TrailerModule:
    """An untrained module for `data`, with what a model file must say of itself."""
    weights = "none" if settings.sources == ("metadata",) else settings.weights  # no picture goes through the network
    weights = weights if weights in ("DEFAULT", "none") else str(project.root / weights)
    scores = data.split("train").score
    if scores.nunique() == 1:
        reason = "there is nothing to learn and, without a variance, no nMSE"
        raise TrailerError(f"all {len(scores)} train films have the score {scores.iloc[0]}: {reason}: check the scores")
    network = build(
        settings.backbone, settings.frames, settings.aggregate, weights, settings.first_conv, settings.pixels,
        settings.freeze, settings.depth,
    )  # fmt: skip
    network.fitted = settings.head != "linear"
    _try_once(network, data.frames.shape[1], settings)
    facts = {
        "settings": settings.as_dict(),
        "dataset": data.card["settings"],
        "scrape": data.card["scrape"],
        "split_hash": split_hash(data.films),
        "splits": {split: int((data.films.split == split).sum()) for split in ("train", "val", "test")},
        "score_mean": float(scores.mean()),
        "score_sd": float(scores.std(ddof=0)),
        "weights": network.report,
    }
    return TrailerModule(network, settings, facts)


def _try_once(network: FilmRegressor, size: int, settings: TrainSettings) -> None:
    """A small batch through the network, which stays as it is: what the backbone can't take is an error at once."""
    processes = 1 if torch.cuda.is_available() else process_place().count  # GPUs synchronise batch normalisation
    frames = torch.zeros(min(2, settings.batch // processes), settings.frames, 3, size, size, dtype=torch.uint8)
    statistics = {name: tensor.clone() for name, tensor in network.named_buffers()}
    try:
        with torch.inference_mode():
            functional_call(network.train(), statistics, (frames,))
    except (AssertionError, RuntimeError, ValueError) as error:
        reason, remedy = " ".join(str(error).split())[:100], "set the dataset's size"
        if "more than 1 value per channel" in reason:  # batch normalisation of one film, whose last map is one cell
            remedy = "set a larger batch, or a larger size of the dataset"
        wrong = f"{settings.backbone} can't take {size} x {size} pictures ({reason})"
        raise TrailerError(f"{wrong}: {remedy}") from error


def _fit_head(module: TrailerModule, data: Dataset, models: Path, cache: Path) -> None:
    """Put a head fitted on frozen features, without frames one that says the mean, into the network: epoch 0."""
    network, settings = module.network, module.settings
    if "frames" in settings.sources:
        fit_head(network, data, cache)
        losses = {split: _loss(module, data, split, cache) for split in ("train", "val")}
    else:
        network.head.requires_grad_(False).weight.zero_()
        network.head.bias.zero_()
        losses = baseline_losses(data, settings.loss)
    module.history.append({"epoch": 0, "train_loss": losses["train"], "val_loss": losses["val"], "lr": 0.0})
    if process_place().rank == 0:
        checkpoints.write_epoch(models, module, network)


@torch.inference_mode()
def _loss(module: TrailerModule, data: Dataset, split: str, cache: Path) -> float:
    """The loss of a just fitted head on a split's films, with evenly spaced frames and no augmentation."""
    films = data.split(split)
    views = film_views(data, module.settings, films.index, 1)
    inputs = torch.from_numpy(np.concatenate([*head_inputs(module.network, data, views, cache)]))
    scores = module.standardised(torch.tensor(films.score.to_numpy(np.float32)))
    return float(module.loss(module.network.head.cpu()(inputs).squeeze(1), scores))


def _train_by_gradients(
    module: TrailerModule, data: Dataset, models: Path, on_epoch: OnEpoch, resume: bool, timed: bool
) -> None:
    settings, average = module.settings, None
    if resume:
        checkpoints.require_resumable(models, module)
    module.network.train()  # Lightning would leave it in eval mode
    if settings.ema_decay:
        # EMAWeightAveraging changes the last bits of frozen weights, by whose hash their features are cached.
        device = "cuda" if torch.cuda.is_available() else None  # where Lightning would keep it on the CPU
        average = WeightAveraging(device, multi_avg_fn=get_ema_multi_avg_fn(settings.ema_decay))
    # The average comes first, so that at the end of an epoch its state is what is saved.
    callbacks = [*[average] * (average is not None), checkpoints.Checkpoints(models, on_epoch, average)]
    callbacks += [checkpoints.TimeEstimate()] if timed else []
    loaders = train_loader(data, settings), film_loader(data, settings, data.split("val").index)
    ckpt_path = models / LAST if resume else None
    try:
        _trainer(settings, callbacks).fit(module, *loaders, ckpt_path=ckpt_path, weights_only=True)
    except (SystemExit, KeyboardInterrupt):  # Lightning turns Ctrl-C into sys.exit, and a notebook stays open
        epochs = int(module.history[-1]["epoch"]) if module.history else 0
        done = f"stopped after {epochs} of {settings.epochs} epochs"
        raise Stopped(f"{done}; resume=True (--resume) continues with the same settings" if epochs else done) from None


def _trainer(settings: TrainSettings, callbacks: list[pl.Callback]) -> pl.Trainer:
    """Without banners, and without hints about loader workers: one process reads a batch fast enough."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    hints = "does not have many workers", "number of training batches", "srun", "LeafSpec", "in eval mode at the start"
    for hint in hints:
        warnings.filterwarnings("ignore", f".*{hint}.*")
    place = process_place()
    several = place.count > 1
    return pl.Trainer(
        max_epochs=settings.epochs, accelerator="auto", devices=place.local_count,
        num_nodes=place.count // place.local_count, strategy="ddp" if several else "auto",
        sync_batchnorm=several and torch.cuda.is_available(), precision=settings.precision, callbacks=callbacks,
        plugins=[checkpoints.AtomicCheckpoints()], logger=False, enable_checkpointing=False, enable_model_summary=False,
        enable_progress_bar=False, num_sanity_val_steps=0, deterministic="warn",
    )  # fmt: skip


def _advance(progress: tqdm, history: pd.DataFrame) -> None:
    progress.set_postfix(history.iloc[-1][["train_loss", "val_loss"]].round(3).to_dict(), refresh=False)
    progress.update(int(history.epoch.iloc[-1]) - progress.n)
