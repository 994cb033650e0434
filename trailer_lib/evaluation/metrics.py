"""Metrics with bootstrap intervals over films, the comparison with the baselines, and intervals of one prediction."""

import math
import warnings
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

# pandas, SciPy and scikit-learn take seconds, and one prediction needs none of them: imported where they are used.
LEVELS = (80, 95)  # per cent of films whose true score is within the interval
LOWEST, HIGHEST = 1.0, 10.0  # IMDb points
RESAMPLES = 2000
BATCH = 4_000_000  # numbers resampled at once, about 100 MB
MIN_FILMS = 10  # with fewer test films no interval is to be believed
COLLAPSE = 0.05  # share of the scores' sd below which the sd of the predictions is a collapse


@dataclass(frozen=True)
class Metric:
    """A value and its 95 % bootstrap interval over films."""

    value: float
    low: float
    high: float

    def __format__(self, spec: str) -> str:
        numbers = [format(number, spec or ".2f") for number in (self.value, self.low, self.high)]
        return "undefined" if np.isnan(self.value) else "{} [{}, {}]".format(*numbers)  # of equal scores

    def __str__(self) -> str:
        return format(self)


def nmse(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Mean squared error / variance of the true scores. Their mean scores 1; lower is better; nan if all are equal."""
    variance = truth.var(-1)
    return ((truth - predicted) ** 2).mean(-1) / np.where(variance > 1e-12, variance, np.nan)


def spearman(truth: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Spearman's rank correlation, -1 to 1; 0 where all predictions or all scores are equal."""
    from scipy.stats import rankdata

    first, second = (rankdata(values, axis=-1) - (values.shape[-1] + 1) / 2 for values in (truth, predicted))
    scale = np.sqrt((first**2).sum(-1) * (second**2).sum(-1))
    return (first * second).sum(-1) / np.where(scale > 0, scale, 1)


METRICS: dict[str, Callable] = {
    "nMSE": nmse,
    "MAE": lambda truth, predicted: np.abs(truth - predicted).mean(-1),  # mean absolute error, in IMDb points
    "R2": lambda truth, predicted: 1 - nmse(truth, predicted),  # 1 is perfect, 0 the mean, negative worse than the mean
    "Spearman": spearman,
}


def evaluate(truth: np.ndarray, predicted: np.ndarray, seed: int = 0) -> dict[str, Metric]:
    """Every metric of `predicted`, float [films] or [repeats, films], against `truth`, float [films].

    With several repeats (other folds, other seeds) a metric is the mean over them.
    """
    return {name: _with_interval(_of_rows(of, truth, predicted), len(truth), seed) for name, of in METRICS.items()}


def paired_difference(truth: np.ndarray, first: np.ndarray, second: np.ndarray, seed: int = 0) -> Metric:
    """nMSE of `first` minus nMSE of `second` on the same films; an interval below 0 says `first` is better."""
    one, other = _of_rows(nmse, truth, first), _of_rows(nmse, truth, second)
    return _with_interval(lambda rows: one(rows) - other(rows), len(truth), seed)


def _of_rows(metric: Callable, truth: np.ndarray, predicted: np.ndarray) -> Callable:
    """The metric, its mean over repeats, as a function of the films' rows, int [..., n]."""
    truth, repeats = np.asarray(truth, np.float64), np.atleast_2d(predicted).astype(np.float64)
    return lambda rows: np.mean([metric(truth[rows], one[rows]) for one in repeats], 0)


def _with_interval(statistic: Callable, films: int, seed: int) -> Metric:
    """`statistic` of all films, with its bias-corrected and accelerated interval (BCa, Efron 1987).

    The plain percentiles of a ratio like nMSE hold its true value too seldom: 91 % of the time for 100 films. They
    serve only where BCa is undefined: all resamples agree, or some of a few films hold one score alone.
    """
    from scipy.stats import bootstrap

    rows = np.arange(films)
    value = float(statistic(rows))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SciPy and NumPy warn where BCa is undefined
        result = bootstrap(
            (rows,), lambda rows, axis: statistic(rows), vectorized=True, method="BCa", n_resamples=RESAMPLES,
            batch=max(1, BATCH // films), rng=seed,
        )  # fmt: skip
        interval = result.confidence_interval
        if not np.isfinite(interval).all():
            interval = np.nanquantile(result.bootstrap_distribution, (0.025, 0.975))
    return Metric(value, *map(float, interval))


def collapsed(predicted: np.ndarray, scores: np.ndarray) -> bool:
    """Whether the predictions hardly differ: their sd is under 5 % of the scores'."""
    return bool(np.std(predicted) <= COLLAPSE * np.std(scores))


def compare_with_baselines(train: "pd.DataFrame", test: "pd.DataFrame", predicted: np.ndarray, name: str) -> dict:
    """The test result as plain numbers: every metric of `name` and of the baselines, and the paired differences.

    `train` and `test`: a row a film, with its score and what the baselines need; "left out" says which lack what.
    """
    from trailer_lib.evaluation.baselines import baseline_predictions, median_prediction, missing_baselines

    baselines, truth = baseline_predictions(train, test), test.score.to_numpy()
    return {
        "films": len(test),
        "train_mean": float(train.score.mean()),
        "metrics": evaluate_all(truth, {name: predicted, **baselines}, median_prediction(train, test)),
        "nMSE minus": {row: asdict(paired_difference(truth, predicted, other)) for row, other in baselines.items()},
        "left out": missing_baselines(train),
        "sd of predictions / sd of scores": float(np.std(predicted) / max(train.score.std(ddof=0), 1e-9)),
        "collapsed": collapsed(predicted, train.score.to_numpy()),
    }


def evaluate_all(truth: np.ndarray, predictions: dict[str, np.ndarray], median: np.ndarray) -> dict[str, dict]:
    """`evaluate` of every row as plain numbers. "mean baseline" has the MAE of `median`, the best constant for it."""
    rows = {row: evaluate(truth, predicted) for row, predicted in predictions.items()}
    rows["mean baseline"]["MAE"] = evaluate(truth, median)["MAE"]
    return {row: {name: asdict(metric) for name, metric in metrics.items()} for row, metrics in rows.items()}


def metric_table(results: dict) -> "pd.DataFrame":
    """The metrics of a result as a table: a row each, "value [low, high]" in the cells."""
    import pandas as pd

    return pd.DataFrame(results["metrics"]).map(lambda metric: str(Metric(**metric))).T


def is_better(results: dict) -> bool:
    """Whether the interval of the difference to the mean baseline is below zero, of no collapse and enough films."""
    below = results["nMSE minus"]["mean baseline"]["high"] < 0
    return bool(below and not results["collapsed"] and results["films"] >= MIN_FILMS)


def verdict(results: dict) -> str:
    """`is_better` in a sentence, with the numbers."""
    gain = Metric(**results["nMSE minus"]["mean baseline"])
    if np.isnan(gain.value):
        return f"Nothing to compare: all {results['films']} test films have the same score, so their nMSE is undefined."
    if results["films"] < MIN_FILMS:
        return f"Too few test films to tell: {results['films']}, at least {MIN_FILMS} are needed."
    films = f"on {results['films']} test films (nMSE minus the mean baseline's: {gain:+.2f})"
    if results["collapsed"]:
        share, remedy = (
            results["sd of predictions / sd of scores"],
            "another scheme, a lower lr, or freeze the backbone",
        )
        return f"Collapsed: the sd of the predictions is {share:.1%} of the scores' {films}: try {remedy}."
    return f"{'Better' if is_better(results) else 'Not shown to be better'} than the mean baseline {films}."


def result_warnings(results: dict) -> list[str]:
    """What must not be overlooked in a result, a line each."""
    return [] if is_better(results) else [f"{verdict(results)} Its predictions are worth no more than the mean score."]


def conformal_intervals(
    score: float, truth: np.ndarray, predicted: np.ndarray
) -> tuple[dict[int, tuple[float, float]], str]:
    """({80: (low, high), 95: (low, high)} around `score`, why some are missing), all in IMDb points.

    `truth` and `predicted`, float [films], are of validation films. The half width is the k-th smallest of their
    absolute errors, k = ceil((films + 1) * level), which holds a new film of the same kind in that share of cases (Lei
    et al. 2018, split conformal prediction); a little less, as the validation films also chose the best epoch.
    """
    errors = np.sort(np.abs(np.asarray(truth, np.float64) - np.asarray(predicted, np.float64)))
    intervals, missing = {}, []
    for level in LEVELS:
        rank = math.ceil((len(errors) + 1) * level / 100)
        if rank > len(errors):
            missing.append(f"{level} % ({math.ceil(level / (100 - level))} are needed)")
            continue
        width = float(errors[rank - 1])
        intervals[level] = (max(LOWEST, float(score) - width), min(HIGHEST, float(score) + width))
    reason = f"The model file holds {len(errors)} validation films, too few for an interval of "
    return intervals, reason + " or of ".join(missing) if missing else ""


def genre_prediction(fitted: dict[str, Any], genres: str | Iterable[str]) -> float | None:
    """The score in IMDb points for `genres` ("Drama|Comedy" or a list) by `fit_genres`; None if all are new to it."""
    names = {name.strip() for name in (genres.split("|") if isinstance(genres, str) else genres)}
    known = [points for term, points in zip(fitted["genres"], fitted["coef"]) if set(term.split("|")) <= names]
    return float(np.clip(fitted["intercept"] + sum(known), LOWEST, HIGHEST)) if known else None
