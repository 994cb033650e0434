"""Answers on a split: averaged over draws, the same every time; the losses of the best constant and of the genres."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.optimize import minimize

from trailer_lib.dataset.dataset import Dataset
from trailer_lib.evaluation import baselines
from trailer_lib.networks.backbone import AGGREGATIONS
from trailer_lib.networks.regressor import build
from trailer_lib.project import Project
from trailer_lib.settings import TrainSettings
from trailer_lib.training import scoring
from trailer_lib.training.batches import split_loader


@pytest.fixture(scope="module")
def data(dataset_root: Path) -> Dataset:
    return Dataset.open(Project(dataset_root))


@pytest.mark.parametrize("aggregate", AGGREGATIONS)
@pytest.mark.parametrize("freeze", ["none", "backbone"])
def test_an_answer_is_the_mean_over_the_draws(data: Dataset, tmp_path: Path, freeze: str, aggregate: str) -> None:
    torch.manual_seed(0)
    network = build("squeezenet1_1", 3, aggregate, "none", depth="stages")
    settings = TrainSettings(frames=3, batch=4, views=5, freeze=freeze, aggregate=aggregate)
    found = scoring.predict_split(network, data, settings, "test", tmp_path)
    with torch.inference_mode():
        each = [
            torch.cat([network(frames) for frames, *_ in split_loader(data, settings, "test", k)]) for k in range(5)
        ]
    torch.testing.assert_close(torch.from_numpy(found), torch.stack(each).mean(0))
    assert not torch.allclose(each[0], each[1])
    np.testing.assert_array_equal(found, scoring.predict_split(network, data, settings, "test", tmp_path))


def test_what_an_untrained_backbone_sees_is_computed_once(data: Dataset, tmp_path: Path) -> None:
    network, settings = build("squeezenet1_1", 3, "mean", "none"), TrainSettings(frames=3, views=2)
    first = scoring.predict_split(network, data, settings, "test", tmp_path)
    network.unpooled = None  # to ask the backbone again would be an error
    assert np.array_equal(scoring.predict_split(network, data, settings, "test", tmp_path), first)
    with pytest.raises(TypeError):
        scoring.predict_split(network, data, settings, "test", tmp_path / "elsewhere")


def test_more_draws_differ_less(data: Dataset, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = build("squeezenet1_1", 2, "mean", "none")
    spreads = []
    for draws in (2, 30):
        answers = [
            scoring.predict_split(network, data, TrainSettings(frames=2, views=draws, seed=seed), "val", tmp_path)
            for seed in range(4)
        ]
        spreads.append(np.std(answers, 0).mean())
    assert spreads[1] < 0.6 * spreads[0]


@pytest.mark.parametrize("delta", [0.1, 1.0, 10.0])
def test_the_hubers_best_constant_is_found(data: Dataset, delta: float) -> None:
    known = data.split("train").score.to_numpy()
    scaled = torch.tensor((known - known.mean()) / known.std())

    def loss(answer: np.ndarray) -> float:
        return torch.nn.functional.huber_loss(torch.full_like(scaled, float(answer[0])), scaled, delta=delta).item()

    expected = minimize(loss, [0.3], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12}).fun
    assert baselines.baseline_losses(data, "huber", delta)["train"] == pytest.approx(expected, rel=1e-4)


def with_genres(data: Dataset, genres: pd.Series) -> Dataset:
    return Dataset(data.frames, data.films.assign(genres=genres), data.card)


def told(data: Dataset) -> Dataset:
    """The films' genres tell whether a score is above the mean."""
    return with_genres(data, (data.films.score > data.films.score.mean()).map({True: "Drama", False: "Horror"}))


@pytest.mark.parametrize("loss", ["mse", "l1", "huber"])
def test_the_genres_loss_is_that_of_their_baseline(data: Dataset, loss: str) -> None:
    told_data = told(data)
    train, val = (told_data.split(name) for name in ("train", "val"))
    sd = train.score.std(ddof=0)
    answers = baselines.baseline_predictions(train, val)["genre only"]
    error = torch.tensor((answers - val.score.to_numpy()) / sd)
    huber = torch.nn.functional.huber_loss(error, torch.zeros_like(error)).item()
    expected = {"mse": float((error**2).mean()), "l1": float(error.abs().mean()), "huber": huber}[loss]
    assert baselines.genre_loss(told_data, loss) == pytest.approx(expected)


def test_genres_that_tell_beat_the_constant_and_others_do_not(data: Dataset) -> None:
    constant = baselines.baseline_losses(data, "mse")["val"]
    assert baselines.genre_loss(told(data), "mse") < 0.7 * constant
    same = with_genres(data, pd.Series("Drama", data.films.index))
    assert baselines.genre_loss(same, "mse") == pytest.approx(constant)


def test_without_genres_there_is_no_such_loss(data: Dataset) -> None:
    assert baselines.genre_loss(with_genres(data, pd.Series("", data.films.index)), "mse") is None
