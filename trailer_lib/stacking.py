"""Choosing and joining models by their answers out of fold: within the train films, never by a test film."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold, cross_val_predict

FOLDS = 5


class Answers(NamedTuple):
    """`inner` float [train films]: each film's score by a model that had not seen it. `outer` float [test films]."""

    inner: np.ndarray
    outer: np.ndarray


def answers(model: BaseEstimator, train: Any, scores: np.ndarray, test: Any, seed: int = 0) -> Answers:
    """Of a scikit-learn regressor over the rows of `train` and `test` (tables or arrays)."""
    folds = KFold(min(FOLDS, len(scores)), shuffle=True, random_state=seed)
    inner = cross_val_predict(model, train, scores, cv=folds)
    return Answers(np.ravel(inner), np.ravel(clone(model).fit(train, scores).predict(test)))


def choose(found: dict[str, Answers], scores: np.ndarray) -> str:
    """The name whose answers out of fold have the least squared error."""
    return min(found, key=lambda name: ((found[name].inner - scores) ** 2).mean())


def best(models: dict[str, BaseEstimator], train: Any, scores: np.ndarray, test: Any) -> np.ndarray:
    """The answers for `test` of the model that cross-validation in `train` prefers, float [test films]."""
    if len(models) == 1:
        (model,) = models.values()
        return np.ravel(clone(model).fit(train, scores).predict(test))
    found = {name: answers(model, train, scores, test) for name, model in models.items()}
    return found[choose(found, scores)].outer


def stack(found: Sequence[Answers], scores: np.ndarray) -> Answers:
    """Several models' answers under weights that are not negative (Breiman 1996, stacked regressions)."""
    inner, outer = (np.column_stack(columns) for columns in zip(*found))
    model = LinearRegression(positive=True).fit(inner, scores)
    return Answers(model.predict(inner), model.predict(outer))
