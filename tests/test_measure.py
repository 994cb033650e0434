"""Answers on a split: averaged over draws, the same every time; and the losses of the best constant."""

from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from trailer_lib import measure
from trailer_lib.backbones import build
from trailer_lib.batches import split_loader
from trailer_lib.dataset import Dataset
from trailer_lib.project import Project
from trailer_lib.settings import TrainSettings


@pytest.fixture(scope="module")
def data(dataset_root: Path) -> Dataset:
    return Dataset.open(Project(dataset_root))


def test_an_answer_is_the_mean_over_the_draws(data: Dataset) -> None:
    torch.manual_seed(0)
    network = build("squeezenet1_1", 3, "mean", "none")
    settings = TrainSettings(frames=3, batch=4, draws=5)
    found = measure.predict(network, data, settings, "test")
    with torch.inference_mode():
        each = [
            torch.cat([network(frames) for frames, *_ in split_loader(data, settings, "test", k)]) for k in range(5)
        ]
    torch.testing.assert_close(torch.from_numpy(found), torch.stack(each).mean(0))
    assert not torch.allclose(each[0], each[1])
    np.testing.assert_array_equal(found, measure.predict(network, data, settings, "test"))


def test_more_draws_differ_less(data: Dataset) -> None:
    torch.manual_seed(0)
    network = build("squeezenet1_1", 2, "mean", "none")
    spreads = []
    for draws in (2, 30):
        answers = [
            measure.predict(network, data, TrainSettings(frames=2, draws=draws, seed=seed), "val") for seed in range(4)
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
    assert measure.constant_losses(data, "huber", delta)["train"] == pytest.approx(expected, rel=1e-4)
