"""Metrics with bootstrap intervals over films, and intervals of one prediction."""

import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

# SciPy takes seconds, and one prediction does not need it: imported where it is used.
LEVELS = (80, 95)  # per cent of films whose true score is within the interval
LOWEST, HIGHEST = 1.0, 10.0  # IMDb points
RESAMPLES = 2000
BATCH = 4_000_000  # numbers resampled at once, about 100 MB
MIN_FILMS = 10  # with fewer films no interval is to be believed
COLLAPSE = 0.05  # share of the scores' sd below which the sd of the predictions is a collapse


@dataclass(frozen=True)
class Metric:
    """A value and its 95 % bootstrap interval over films; of equal scores nan, in a result None: undefined."""

    value: float | None
    low: float | None
    high: float | None

    def __format__(self, spec: str) -> str:
        if self.value is None or np.isnan(self.value):
            return "undefined"
        if self.low is None or np.isnan(self.low):
            return f"{self.value:{spec or '.2f'}} [no interval]"
        return "{} [{}, {}]".format(*(format(number, spec or ".2f") for number in (self.value, self.low, self.high)))

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
    """Every metric of `predicted`, float [films] or [repeats, films] (their mean), against `truth`, float [films]."""
    return {name: _with_interval(metric, truth, [predicted], seed) for name, metric in METRICS.items()}


def paired_difference(truth: np.ndarray, first: np.ndarray, second: np.ndarray, seed: int = 0) -> Metric:
    """nMSE of `first` minus nMSE of `second` on the same films; an interval below 0 says `first` is better."""
    return _with_interval(nmse, truth, [first, second], seed)


def paired_differences(truth: np.ndarray, rows: dict[str, np.ndarray], pairs: Iterable[tuple[str, str]]) -> list[dict]:
    """`paired_difference` of each pair of `rows` as plain numbers, for `difference`."""
    gains = {(row, than): paired_difference(truth, rows[row], rows[than]) for row, than in pairs}
    return [{"row": row, "than": than} | asdict(gain) for (row, than), gain in gains.items()]


def _with_interval(metric: Callable, truth: np.ndarray, predictions: Sequence[np.ndarray], seed: int) -> Metric:
    """The metric of the first predictions, minus that of the second if any, with its BCa interval (Efron 1987)."""
    from scipy.stats import bootstrap

    truth, sides = np.asarray(truth, np.float64), [np.atleast_2d(side).astype(np.float64) for side in predictions]

    def statistic(rows: np.ndarray, axis: int = -1) -> np.ndarray:  # of films' rows, int [..., n]
        first, *second = (np.mean([metric(truth[rows], one[rows]) for one in side], 0) for side in sides)
        return first - sum(second)

    rows = np.arange(len(truth))
    if len(rows) < 2:  # one film alone has no interval
        return Metric(float(statistic(rows)), np.nan, np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SciPy and NumPy warn where BCa is undefined
        result = bootstrap((rows,), statistic, n_resamples=RESAMPLES, batch=max(1, BATCH // len(rows)), rng=seed)
        interval = result.confidence_interval
        if not np.isfinite(interval).all():  # only then: of 100 films percentiles hold the true nMSE in 91 % of cases
            interval = np.nanquantile(result.bootstrap_distribution, (0.025, 0.975))
    return Metric(float(statistic(rows)), *map(float, interval))


def collapsed(predicted: np.ndarray, scores: np.ndarray) -> bool:
    """Whether the predictions hardly differ: their sd is under 5 % of the scores'."""
    return bool(np.std(predicted) <= COLLAPSE * np.std(scores))


def evaluate_all(truth: np.ndarray, predictions: dict[str, np.ndarray], median: np.ndarray) -> dict[str, dict]:
    """`evaluate` of every row as plain numbers. "mean baseline" has the MAE of `median`, the best constant for it."""
    rows = {row: evaluate(truth, predicted) for row, predicted in predictions.items()}
    rows["mean baseline"]["MAE"] = evaluate(truth, median)["MAE"]
    return {row: {name: asdict(metric) for name, metric in metrics.items()} for row, metrics in rows.items()}


TRAILER_ROWS = ("frames + sound", "frames", "sound", "metadata")  # the first that a result has stands for its trailer
GAINS = (("frames + sound", "frames"), ("all", "metadata"))  # what a source adds to another


def trailer_row(rows: Iterable[str]) -> str:
    """The row of the trailer alone, of both its sources if they are there."""
    return next(row for row in TRAILER_ROWS if row in rows)


def difference(results: dict, row: str, than: str = "mean baseline") -> Metric | None:
    """The nMSE of a result's row minus that of another; None where they were not compared."""
    found = [pair for pair in results["nMSE minus"] if (pair["row"], pair["than"]) == (row, than)]
    return Metric(*(found[0][name] for name in ("value", "low", "high"))) if found else None


def is_better(results: dict, row: str, than: str = "mean baseline") -> bool:
    """Whether the difference's interval is below zero, of enough films; a collapsed trailer's row is never better."""
    gain = difference(results, row, than)
    enough = results["films"] >= MIN_FILMS and not (results["collapsed"] and row == trailer_row(results["metrics"]))
    return enough and gain is not None and gain.high is not None and gain.high < 0


def conformal_intervals(
    score: float, truth: np.ndarray, predicted: np.ndarray
) -> tuple[dict[int, tuple[float, float]], str]:
    """({80: (low, high), 95: (low, high)} around `score`, why some are missing), all in IMDb points.

    `truth` and `predicted`, float [films], are of validation films. The half width is the k-th smallest of their
    absolute errors, k = ceil((films + 1) * level) (Lei et al. 2018, split conformal prediction).
    """
    errors = np.sort(np.abs(np.asarray(truth, np.float64) - np.asarray(predicted, np.float64)))
    ranks = {level: math.ceil((len(errors) + 1) * level / 100) for level in LEVELS}
    widths = {level: float(errors[rank - 1]) for level, rank in ranks.items() if rank <= len(errors)}
    intervals = {level: (max(LOWEST, score - width), min(HIGHEST, score + width)) for level, width in widths.items()}
    missing = [f"{level} % ({math.ceil(level / (100 - level))} are needed)" for level in LEVELS if level not in widths]
    reason = f"The model file holds {len(errors)} validation films with these sources, too few for an interval of "
    return intervals, reason + " or of ".join(missing) if missing else ""
