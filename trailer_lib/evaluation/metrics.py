"""Honest numbers: metrics with bootstrap intervals, beside the constant and trailer-free baselines."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from scipy.stats import norm, rankdata

from trailer_lib.evaluation.baselines import baseline_predictions, median_prediction, missing_baselines

LEVELS = (80, 95)  # per cent of films whose true score is within the interval
LOWEST, HIGHEST = 1.0, 10.0  # IMDb points


def conformal_intervals(
    score: float, truth: np.ndarray, predicted: np.ndarray
) -> tuple[dict[int, tuple[float, float]], str]:
    """({80: (low, high), 95: (low, high)} around `score`, why some are missing), all in IMDb points.

    `truth` and `predicted`, float [films], are of validation films. The half width is the k-th smallest of their
    absolute errors, k = ceil((films + 1) * share) (Lei et al. 2018, split conformal prediction): a new film of the same
    kind is within it in at least that share of cases. With too few films for a share there is no such error. The
    validation films also chose the best epoch, which makes the intervals a little too narrow.
    """
    errors = np.sort(np.abs(np.asarray(truth, np.float64) - np.asarray(predicted, np.float64)))
    ranks = {share: rank(share, len(errors)) for share in LEVELS}
    widths = {share: errors[place - 1] for share, place in ranks.items() if place <= len(errors)}
    missing = [f"{share} % ({fewest(share)} are needed)" for share in LEVELS if share not in widths]
    reason = (
        f"The model file holds {len(errors)} validation films, too few for an interval of {' or of '.join(missing)}"
    )
    found = {
        share: (max(LOWEST, float(score - width)), min(HIGHEST, float(score + width)))
        for share, width in widths.items()
    }
    return found, reason if missing else ""


def rank(share: int, films: int) -> int:
    """Which of `films` sorted errors bounds a new film's in `share` per cent of cases; beyond `films` none does."""
    return math.ceil((films + 1) * share / 100)


def fewest(share: int) -> int:
    """The fewest films from which there is an interval of `share` per cent."""
    return math.ceil(share / (100 - share))


RESAMPLES = 2000
GROUPS = 200  # at most, in the jackknife: of more films it leaves out several at once
AT_ONCE = 4_000_000  # numbers resampled at once, about 100 MB
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
    first, second = (rankdata(values, axis=-1) - (values.shape[-1] + 1) / 2 for values in (truth, predicted))
    scale = np.sqrt((first**2).sum(-1) * (second**2).sum(-1))
    return (first * second).sum(-1) / np.where(scale > 0, scale, 1)


METRICS: dict[str, Callable] = {"nMSE": nmse, "MAE": mae, "R2": r2, "Spearman": spearman}


def evaluate(truth: np.ndarray, predicted: np.ndarray, seed: int = 0) -> dict[str, Metric]:
    """Every metric of `predicted`, float [films] or [repeats, films], against `truth`, float [films].

    Of several repeats (other folds, other seeds) a metric is the mean over them. The intervals are over films.
    """
    return {name: _interval(_mean_over_repeats(metric, truth, predicted), len(truth), seed)
            for name, metric in METRICS.items()}  # fmt: skip


def paired_difference(truth: np.ndarray, first: np.ndarray, second: np.ndarray, seed: int = 0) -> Metric:
    """nMSE of `first` minus nMSE of `second` on the same films; an interval below 0 says `first` is better."""
    one, other = (_mean_over_repeats(nmse, truth, answers) for answers in (first, second))
    return _interval(lambda rows: one(rows) - other(rows), len(truth), seed)


def _mean_over_repeats(metric: Callable, truth: np.ndarray, predicted: np.ndarray) -> Callable:
    """The metric of the films at `rows`, int [..., n], as a function of them."""
    truth, repeats = np.asarray(truth, np.float64), np.atleast_2d(np.asarray(predicted, np.float64))
    return lambda rows: np.mean([metric(truth[rows], answers[rows]) for answers in repeats], 0)


def _interval(statistic: Callable, films: int, seed: int) -> Metric:
    """`statistic` of all films, with its bias-corrected and accelerated interval (Efron 1987, eq. 6.8).

    The plain percentiles of a ratio like nMSE hold its true value too seldom: 91 % of the time for 100 films. SciPy's
    own takes a jackknife of films x films, and gives nan where all resamples agree, as of a constant.
    """
    value, resampled = float(statistic(np.arange(films))), _resampled(statistic, films, seed)
    # Of few films, some draws are all of one score: nMSE and R2 are nan there and take no part.
    known = resampled[np.isfinite(resampled)]
    if not len(known):
        return Metric(value, np.nan, np.nan)
    half = 0.5 / len(known)
    below = np.mean(known < value) + np.mean(known == value) / 2
    bias, tails = norm.ppf(np.clip(below, half, 1 - half)), norm.ppf((0.025, 0.975))
    shares = norm.cdf(bias + (bias + tails) / (1 - _acceleration(statistic, films) * (bias + tails)))
    low, high = np.quantile(known, shares)
    return Metric(value, float(low), float(high))


def _resampled(statistic: Callable, films: int, seed: int) -> np.ndarray:
    """The statistic of RESAMPLES draws of all films with replacement."""
    random, at_once = np.random.default_rng(seed), max(1, AT_ONCE // films)
    sizes = [min(at_once, RESAMPLES - start) for start in range(0, RESAMPLES, at_once)]
    return np.concatenate([statistic(random.integers(0, films, (size, films))) for size in sizes])


def _acceleration(statistic: Callable, films: int) -> float:
    """How fast the statistic's sd changes with its value: the skewness of its jackknife values / 6."""
    rows, size = np.arange(films), -(-films // GROUPS)
    groups = rows[: films // size * size].reshape(-1, size)
    left = statistic(np.array([np.delete(rows, group) for group in groups])) if films > 2 else np.zeros(1)
    apart = left.mean() - left
    spread = (apart**2).sum()
    # nan where all films but one have the same score
    return float((apart**3).sum() / (6 * spread**1.5)) if spread > 0 else 0.0


def collapsed(predicted: np.ndarray, scores: np.ndarray) -> bool:
    """Whether the predictions hardly differ: their sd is under 5 % of the scores'."""
    return bool(np.std(predicted) < COLLAPSE * np.std(scores))


def compare_with_baselines(train: pd.DataFrame, test: pd.DataFrame, predicted: np.ndarray, name: str) -> dict:
    """The test result as plain numbers: every metric of `name` and the baselines, and the paired differences.

    `train` and `test`: a row a film, with score and what the baselines need; "left out" says which lack what.
    """
    everyone = {name: predicted, **baseline_predictions(train, test)}
    truth = test.score.to_numpy()
    return {
        "films": len(test),
        "train_mean": float(train.score.mean()),
        "metrics": evaluate_all(truth, everyone, median_prediction(train, test)),
        "nMSE minus": {
            who: asdict(paired_difference(truth, predicted, answer)) for who, answer in everyone.items() if who != name
        },
        "left out": missing_baselines(train),
        "sd of predictions / sd of scores": float(np.std(predicted) / (train.score.std(ddof=0) or np.nan)),
        "collapsed": collapsed(predicted, train.score.to_numpy()),
    }  # fmt: skip


def evaluate_all(truth: np.ndarray, answers: dict[str, np.ndarray], median: np.ndarray) -> dict[str, dict]:
    """`measure` of all `answers` as plain numbers. The MAE of "mean baseline" is that of `median`, its best constant."""
    metrics = {who: _plain(evaluate(truth, answer)) for who, answer in answers.items()}
    metrics["mean baseline"]["MAE"] = asdict(evaluate(truth, median)["MAE"])
    return metrics


def _plain(metrics: dict[str, Metric]) -> dict[str, dict[str, float]]:
    return {name: asdict(metric) for name, metric in metrics.items()}


def metric_table(results: dict) -> pd.DataFrame:
    """`compare_with_baselines` as a table: a row each, "value [low, high]" in the cells."""
    everyone = results["metrics"].items()
    rows = {who: {key: str(Metric(**m)) for key, m in metrics.items()} for who, metrics in everyone}
    return pd.DataFrame(rows).T


def verdict(results: dict) -> str:
    """One sentence on whether the model is better than the constant on its test films."""
    gain = Metric(**results["nMSE minus"]["mean baseline"])
    difference = f"{gain.value:+.2f} [{gain.low:+.2f}, {gain.high:+.2f}]"
    films = f"on {results['films']} test films (nMSE minus the mean baseline's: {difference})"
    if results["films"] < FEWEST:
        return f"Too few test films to tell: {results['films']}, at least {FEWEST} are needed."
    if results["collapsed"]:
        return f"Collapsed: the model gives nearly the same answer for every film, {films}."
    if gain.high < 0:
        return f"Better than the constant {films}."
    return f"Not shown to be better than the constant {films}."


def result_warnings(results: dict) -> list[str]:
    """What of a result must not be overlooked, a line each: a collapse, and no gain over the constant."""
    lines = []
    if results["collapsed"]:
        share = results["sd of predictions / sd of scores"]
        lines.append(
            f"collapsed: the predictions' sd is {share:.1%} of the scores' (under {COLLAPSE:.0%}), nearly the same"
            " answer for every film: try another scheme, a lower learning rate, or freeze the backbone"
        )
    if not results["nMSE minus"]["mean baseline"]["high"] < 0:
        lines.append(f"{verdict(results | {'collapsed': False})} Its answers are worth no more than the mean score.")
    return lines
