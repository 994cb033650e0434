"""Answers out of fold: no model answers for a film that it was fitted on; the better model and weights are found."""

import numpy as np
import pytest
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import KNeighborsRegressor

from trailer_lib.evaluation import baselines
from trailer_lib.evaluation.baselines import FoldPredictions


def data(films: int = 100, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    features = np.random.default_rng(seed).normal(0, 1, (films, 3))
    return features, features @ [1.0, -1.0, 0.5] + 6


def test_no_inner_answer_is_of_a_model_that_saw_the_film() -> None:
    features, scores = data(50)
    remember = KNeighborsRegressor(1)
    found = baselines.fold_predictions(remember, features, scores, features)
    assert found.outer == pytest.approx(scores)
    assert (found.inner != scores).all()


def test_the_better_model_is_chosen_and_fitted_on_all_train_films() -> None:
    features, scores = data()
    unseen, truth = data(seed=1)
    models = {"mean": DummyRegressor(), "line": LinearRegression()}
    assert baselines.predictions_of_best(models, features, scores, unseen) == pytest.approx(truth)
    assert (
        baselines.best_of(
            {n: baselines.fold_predictions(m, features, scores, unseen) for n, m in models.items()}, scores
        )
        == "line"
    )


def test_the_test_films_scores_choose_nothing() -> None:
    features, scores = data(seed=2)
    models = {"mean": DummyRegressor(), "line": LinearRegression()}
    chance = np.random.default_rng(3).permutation(scores)  # in train there is nothing to learn
    assert baselines.predictions_of_best(models, features, chance, features) == pytest.approx(
        np.full(100, chance.mean())
    )


def test_a_stack_weighs_two_halves_of_the_truth() -> None:
    random = np.random.default_rng(0)
    halves = random.normal(0, 1, (2, 200))
    scores = 2 * halves[0] + 0.5 * halves[1] + 6
    stacked = baselines.stack([FoldPredictions(half[:150], half[150:]) for half in halves], scores[:150])
    assert stacked.outer == pytest.approx(scores[150:])


def test_a_stack_gives_no_weight_below_zero() -> None:
    good, bad = np.linspace(0, 1, 50), -np.linspace(0, 1, 50)
    stacked = baselines.stack([FoldPredictions(bad, bad)], good)
    assert stacked.outer == pytest.approx(np.full(50, good.mean()))
