"""What several sources predict of a film -> one prediction: a weighted sum, fitted for the sources that the film has.

A part is one source's prediction in IMDb points: "frames", "sound", or a level of metadata, a baseline's name. A case
is the parts that a film has: frames, sound and its richest level, as far as they are there.
"""

import math
from collections.abc import Collection, Mapping
from itertools import product
from typing import NamedTuple

import numpy as np

from trailer_lib.evaluation.metrics import HIGHEST, LOWEST

TRAILER = ("frames", "sound")
METADATA_PARTS = {  # the levels, from the poorest to the richest, and what each uses, in words
    "genre only": "genres",
    "genre + runtime + year": "genres, running time and year",
    "all metadata": "all of it",
}
FOLDS = 10
PRIOR = 3.0  # films' worth of doubt: 0.8 (variance that no source explains) over 0.5 squared (sd of a weight), rounded
Case = tuple[str, ...]


def case_of(parts: Mapping[str, float], sources: Collection[str]) -> Case:
    """The case of a film whose unknown `parts` are nan or not there, from the `sources` that may be used."""
    present = [name for name, points in parts.items() if not math.isnan(points)]
    levels = [name for name in METADATA_PARTS if name in present][-1:] if "metadata" in sources else []
    return (*(name for name in TRAILER if name in present and name in sources), *levels)


class Fit(NamedTuple):
    weights: np.ndarray  # float64 [parts of the case]
    films: np.ndarray  # int [n]: the validation films that have all parts
    predicted: np.ndarray  # float64 [n]: their predictions in IMDb points, each by a fit without it


class Stack:
    """The validation films' scores and parts, float64 [films] each (nan: unknown), and `mean`, that of the train films.

    None of the parts' models has learnt from these films. A prediction is mean + sum of weight * (part - mean).
    """

    def __init__(self, truth: np.ndarray, parts: Mapping[str, np.ndarray], mean: float) -> None:
        self.truth, self.mean = np.asarray(truth, np.float64), mean
        self.parts = {name: np.asarray(points, np.float64) for name, points in parts.items()}
        self.fits: dict[Case, Fit] = {}

    def fit(self, case: Case) -> Fit:
        """The fit of a case: of a single part 1, of several non-negative least squares (Breiman 1996)."""
        if case not in self.fits:
            films, deviations = self._deviations(self.parts, case)
            target, predicted = self.truth[films] - self.mean, np.empty(len(films))
            fold = np.random.default_rng(0).permutation(len(films)) % FOLDS
            for number in np.unique(fold):
                others, held_out = fold != number, fold == number
                weights = self._weights(deviations[others], target[others])
                predicted[held_out] = self._points(deviations[held_out], weights)
            self.fits[case] = Fit(self._weights(deviations, target), films, predicted)
        return self.fits[case]

    def _weights(self, deviations: np.ndarray, target: np.ndarray) -> np.ndarray:
        """Float [parts]. They are shrunk to the parts' mean, 1 / parts, as by PRIOR films whose parts each deviate by a
        standard deviation of the scores: ridge regression around that mean.
        """
        count = deviations.shape[1]
        if count == 1:
            return np.ones(1)
        prior = PRIOR * np.square(target).mean() if target.any() else 1.0
        square = deviations.T @ deviations + prior * np.eye(count)
        moment = deviations.T @ target + prior / count
        best, least = np.zeros(count), 0.0
        for chosen in product([False, True], repeat=count):  # SciPy's nnls does the same, but takes a second to import
            weights = np.zeros(count)
            weights[[*chosen]] = np.linalg.solve(square[np.ix_(chosen, chosen)], moment[[*chosen]])
            loss = weights @ square @ weights - 2 * weights @ moment
            if weights.min() >= 0 and loss < least:
                best, least = weights, loss
        return best

    def combine(self, case: Case, parts: Mapping[str, float]) -> tuple[float, dict[str, float]]:
        """The prediction for one film, and what each part of its case adds to the mean, in IMDb points."""
        weights = zip(case, self.fit(case).weights)
        contributions = {name: float(weight * (parts[name] - self.mean)) for name, weight in weights}
        return float(np.clip(self.mean + sum(contributions.values()), LOWEST, HIGHEST)), contributions

    def predict_case(self, parts: Mapping[str, np.ndarray], case: Case) -> tuple[np.ndarray, np.ndarray]:
        """The films that have all parts of a case, int [n], and their predictions by it, float64 [n] in IMDb points."""
        fit = self.fit(case)
        if parts is self.parts:  # of the validation films: each by a fit without it
            return fit.films, fit.predicted
        films, deviations = self._deviations(parts, case)
        return films, self._points(deviations, fit.weights)

    def predict(self, parts: Mapping[str, np.ndarray], sources: Collection[str]) -> np.ndarray:
        """Each film's prediction by its own case, float64 [films]; the mean where none of the `sources` is there."""
        cases = [case_of(dict(zip(parts, points)), sources) for points in zip(*parts.values())]
        predicted = np.full(len(cases), self.mean)
        for case in {*cases} - {()}:
            own = np.array([other == case for other in cases])
            films, points = self.predict_case(parts, case)
            predicted[own] = points[own[films]]
        return predicted

    def rows(self, parts: Mapping[str, np.ndarray], sources: Collection[str]) -> dict[str, np.ndarray]:
        """The rows of a result, frames, ..., all: `predict` by the `sources` that have parts, alone and together."""
        trailer = [name for name in TRAILER if name in sources and name in self.parts]
        rows = {name: [name] for name in trailer} | ({"frames + sound": trailer} if len(trailer) > 1 else {})
        if "metadata" in sources and self.parts.keys() & METADATA_PARTS.keys():
            rows |= {"metadata": ["metadata"]} | ({"all": [*trailer, "metadata"]} if trailer else {})
        return {name: self.predict(parts, chosen) for name, chosen in rows.items()}

    def possible_cases(self) -> list[Case]:
        """Every case that a film can be of, by the parts that there are."""
        levels = [(), *((name,) for name in METADATA_PARTS if name in self.parts)]
        trailers = [case for case in ((), ("frames",), ("sound",), TRAILER) if {*case} <= self.parts.keys()]
        return [(*trailer, *level) for trailer in trailers for level in levels if trailer or level]

    def _deviations(self, parts: Mapping[str, np.ndarray], case: Case) -> tuple[np.ndarray, np.ndarray]:
        """The films that have all parts of a case, int [n], and these minus the mean, float64 [n, parts]."""
        deviations = np.column_stack([parts[name] for name in case]) - self.mean
        films = np.flatnonzero(~np.isnan(deviations).any(1))
        return films, deviations[films]

    def _points(self, deviations: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return np.clip(deviations @ weights + self.mean, LOWEST, HIGHEST)
