"""A head fitted on frozen features is epoch 0: the whole training, or the start of one."""

from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pandas as pd
import pytest
import torch
from test_train import split_loss
from torch import nn
from training_runs import Copy, Stop, assert_same_checkpoint, content, few_resamples, trained  # noqa: F401

from trailer_lib.dataset.dataset import Dataset
from trailer_lib.errors import TrailerError
from trailer_lib.networks.model_file import read_model
from trailer_lib.project import Project
from trailer_lib.training import run as run_file
from trailer_lib.training.checkpoints import BEST, HISTORY, LAST, PREDICTIONS, RESULTS, RUNS, SETTINGS


def val_mean(data: Dataset) -> float:
    """The standardised prediction that no constant improves on for the val films."""
    scores = data.split("train").score
    return float((data.split("val").score.mean() - scores.mean()) / scores.std(ddof=0))


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The caches of the fits that were made; each is a stand-in's: nearly a constant, which is hard to improve on."""
    caches: list[Path] = []

    def fit_head(network: nn.Module, data: Dataset, cache: Path) -> None:
        caches.append(cache)
        nn.init.normal_(network.head.weight, 0, 1e-3, generator=torch.Generator().manual_seed(3))
        nn.init.constant_(network.head.bias, val_mean(data))

    monkeypatch.setattr(run_file, "fit_head", fit_head)
    return caches


@pytest.mark.parametrize("chosen", [{"freeze": "backbone"}, {"epochs": 0}], ids=str)
def test_a_fitted_head_alone_is_the_model(dataset_root: Path, tmp_path: Path, fits: list, chosen: dict) -> None:
    seen: list[pd.DataFrame] = []
    run = trained(Project(dataset_root), tmp_path, seen.append, head="ridge", **chosen)
    assert len(fits) == 1 and len(seen) == 1
    assert run.history.epoch.tolist() == [0] and run.history.lr.tolist() == [0]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        [BEST, HISTORY, PREDICTIONS, RESULTS, SETTINGS, RUNS]
    )
    model = read_model(tmp_path / BEST)
    assert model.network.head.bias.item() == pytest.approx(val_mean(Dataset.open(Project(dataset_root))))
    for split in ("train", "val"):
        loss = split_loss(tmp_path / BEST, Dataset.open(Project(dataset_root)), split)
        assert run.history[f"{split}_loss"][0] == pytest.approx(loss, rel=1e-5)
    again = trained(Project(dataset_root), tmp_path, resume=True, head="ridge", **chosen)
    pd.testing.assert_frame_equal(run.history, again.history)
    assert len(fits) == 2


def test_a_fitted_head_is_trained_on_and_may_stay_the_best(dataset_root: Path, tmp_path: Path, fits: list) -> None:
    chosen = {"head": "ridge", "epochs": 2}
    better = trained(Project(dataset_root), tmp_path / "better", **chosen, lr=1e-3).history
    assert better.epoch.tolist() == [0, 1, 2] and better.lr[0] == 0
    assert better.val_loss[0] != better.val_loss[1]
    assert content(tmp_path / "better" / LAST)["trailer_lib"]["history"][0]["epoch"] == 0
    worse = trained(Project(dataset_root), tmp_path / "worse", **chosen, lr=0.05).history
    assert worse.val_loss.idxmin() == 0
    best = read_model(tmp_path / "worse" / BEST)
    assert best.network.head.bias.item() == pytest.approx(val_mean(Dataset.open(Project(dataset_root))))


def test_a_fit_that_fails_leaves_the_models_as_they_were(
    trained_root: Path, copy_of: Callable, monkeypatch: pytest.MonkeyPatch, fits: list
) -> None:
    project = copy_of(trained_root)
    before = {path.name: path.read_bytes() for path in project.models.glob("*.*") if path.name != SETTINGS}
    monkeypatch.setattr(run_file, "fit_head", Mock(side_effect=TrailerError("no features")))
    with pytest.raises(TrailerError, match="no features"):
        run_file.train(project, project.settings("train", head="ridge"), on_epoch=lambda history: None)
    assert {path.name: path.read_bytes() for path in project.models.glob("*.*") if path.name != SETTINGS} == before


def test_under_a_fitted_head_the_batch_statistics_stay(dataset_root: Path, tmp_path: Path, fits: list) -> None:
    """Batch statistics of the films would give other features than those that the head knows."""

    def statistics(folder: str, **chosen: object) -> dict[str, torch.Tensor]:
        trained(Project(dataset_root), tmp_path / folder, backbone="mobilenet_v3_small", epochs=1, **chosen)
        state = content(tmp_path / folder / LAST)["state_dict"]
        return {name: tensor for name, tensor in state.items() if name.endswith("running_mean")}

    linear, unfitted = statistics("linear", head="linear"), not fits
    fitted = statistics("fitted", head="ridge")
    assert unfitted and len(fits) == 1
    assert fitted and all((tensor == 0).all() for tensor in fitted.values())
    assert any((tensor != 0).any() for tensor in linear.values())
