"""Honest numbers: metrics with bootstrap intervals, beside the constant and trailer-free baselines."""

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from scipy.stats import spearmanr
from sklearn.linear_model import RidgeCV
from sklearn.preprocessing import MultiLabelBinarizer

RESAMPLES = 2000
BASELINES = ("constant", "genre only")
FEWEST = 10  # test films under which no interval is to be believed
COLLAPSE = 0.05  # share of the scores' sd under which the predictions' sd means "always the same answer"


@dataclass(frozen=True)
class Metric:
    """A value and its 95 % bootstrap interval over films."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


def nmse(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Mean squared error / variance of the true scores. Their mean scores 1; lower is better; nan if all are equal."""
    variance = truth.var(-1)
    return ((truth - predicted) ** 2).mean(-1) / np.where(variance > 0, variance, np.nan)


def mae(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Mean absolute error, in the scores' unit (IMDb points)."""
    return np.abs(truth - predicted).mean(-1)


def r2(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Share of the scores' variance explained, 1 - nMSE: 1 is perfect, 0 the mean, negative worse than the mean."""
    return 1 - nmse(truth, predicted)


def spearman(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Spearman's rank correlation, -1 to 1; 0 where all predictions are equal, as they order nothing."""
    truth, predicted = np.atleast_2d(truth), np.atleast_2d(predicted)
    values = [spearmanr(t, p).statistic if np.ptp(p) and np.ptp(t) else 0.0 for t, p in zip(truth, predicted)]
    return np.array(values) if len(values) > 1 else values[0]


METRICS: dict[str, Callable] = {"nMSE": nmse, "MAE": mae, "R2": r2, "Spearman": spearman}


def measure(truth: np.ndarray, predicted: np.ndarray, seed: int = 0) -> dict[str, Metric]:
    """Every metric of `predicted` against `truth`, both float [films], with percentile bootstrap intervals."""
    truth, predicted = np.asarray(truth, np.float64), np.asarray(predicted, np.float64)
    draws = _resamples(truth, seed)
    return {
        name: _with_interval(metric(truth, predicted), metric(truth[draws], predicted[draws]))
        for name, metric in METRICS.items()
    }


def paired(truth: np.ndarray, first: np.ndarray, second: np.ndarray, seed: int = 0) -> Metric:
    """nMSE of `first` minus nMSE of `second` on the same films; an interval below 0 says `first` is better."""
    truth, first, second = (np.asarray(values, np.float64) for values in (truth, first, second))
    draws = _resamples(truth, seed)
    differences = nmse(truth[draws], first[draws]) - nmse(truth[draws], second[draws])
    return _with_interval(nmse(truth, first) - nmse(truth, second), differences)


def _resamples(truth: np.ndarray, seed: int) -> np.ndarray:
    """Indices of films drawn with replacement, int [RESAMPLES, films]."""
    return np.random.default_rng(seed).integers(0, len(truth), (RESAMPLES, len(truth)))


def _with_interval(value: np.ndarray, resampled: np.ndarray) -> Metric:
    # Of few films, some draws are all of one score: nMSE and R2 are nan there and take no part.
    known = resampled[np.isfinite(resampled)]
    low, high = np.percentile(known, (2.5, 97.5)) if len(known) else (np.nan, np.nan)
    return Metric(float(value), float(low), float(high))


def baselines(train: pd.DataFrame, test: pd.DataFrame) -> dict[str, np.ndarray]:
    """What needs no trailer, fitted on `train` (columns score, genres) and answered for `test`, in IMDb points.

    "constant": the train mean. "genre only": ridge on the list of genres, its strength by cross-validation.
    """
    constant = np.full(len(test), train.score.mean())
    return dict(zip(BASELINES, (constant, _by_genre(train, test))))


def _by_genre(train: pd.DataFrame, test: pd.DataFrame) -> np.ndarray:
    genres = MultiLabelBinarizer(classes=sorted({name for text in train.genres for name in text.split("|")}))
    columns = genres.fit_transform(train.genres.str.split("|"))
    ridge = RidgeCV(alphas=np.logspace(-1, 4, 16)).fit(columns, train.score)
    known = [[name for name in text.split("|") if name in genres.classes] for text in test.genres]
    return ridge.predict(genres.transform(known))


def collapsed(predicted: np.ndarray, scores: np.ndarray) -> bool:
    """Whether the predictions hardly differ: their sd is under 5 % of the scores'."""
    return bool(np.std(predicted) < COLLAPSE * np.std(scores))


def compare_with_baselines(train: pd.DataFrame, test: pd.DataFrame, predicted: np.ndarray, name: str) -> dict:
    """The test result as plain numbers: every metric of `name` and the baselines, and the paired differences."""
    everyone = {name: predicted, **baselines(train, test)}
    truth = test.score.to_numpy()
    return {
        "films": len(test),
        "train_mean": float(train.score.mean()),
        "metrics": {who: _plain(measure(truth, answer)) for who, answer in everyone.items()},
        "nMSE minus": {
            who: asdict(paired(truth, predicted, answer)) for who, answer in everyone.items() if who != name
        },
        "collapsed": collapsed(predicted, train.score.to_numpy()),
    }  # fmt: skip


def _plain(metrics: dict[str, Metric]) -> dict[str, dict[str, float]]:
    return {name: asdict(metric) for name, metric in metrics.items()}


def table(results: dict) -> pd.DataFrame:
    """`compare_with_baselines` as a table: a row each, "value [low, high]" in the cells."""
    everyone = results["metrics"].items()
    rows = {who: {key: str(Metric(**m)) for key, m in metrics.items()} for who, metrics in everyone}
    return pd.DataFrame(rows).T


def verdict(results: dict) -> str:
    """One sentence on whether the model is better than the constant on its test films."""
    gain = Metric(**results["nMSE minus"]["constant"])
    difference = f"{gain.value:+.2f} [{gain.low:+.2f}, {gain.high:+.2f}]"
    films = f"on {results['films']} test films (nMSE minus the constant's: {difference})"
    if results["films"] < FEWEST:
        return f"Too few test films to tell: {results['films']}, at least {FEWEST} are needed."
    if results["collapsed"]:
        return f"Collapsed: the model gives nearly the same answer for every film, {films}."
    if gain.high < 0:
        return f"Better than the constant {films}."
    return f"Not shown to be better than the constant {films}."


def warnings(results: dict) -> list[str]:
    """What anyone who reads the result has to know first: the model collapsed, or isn't better than the constant."""
    better = Metric(**results["nMSE minus"]["constant"]).high < 0
    return [] if better and not results["collapsed"] and results["films"] >= FEWEST else [verdict(results)]
