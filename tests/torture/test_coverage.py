"""The 95 % intervals hold the true value in 93 to 97 % of simulated test sets: each metric, and the paired difference.

TORTURE=1 simulates 1,000 sets of 100 and of 300 films, else some: fewer sets measure the coverage less exactly.
"""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from conftest import amount

from trailer_lib.evaluation import metrics

Films = tuple[np.ndarray, np.ndarray, np.ndarray]
SETS = amount(1000, 40)
POPULATION = 1_000_000
MARGIN = max(0.02, 3 * np.sqrt(0.95 * 0.05 / SETS))


def normal(films: int, seed: list[int]) -> Films:
    return _predicted(np.random.default_rng(seed).normal(6.5, 1.1, films), seed)


def skewed(films: int, seed: list[int]) -> Films:
    """As IMDb's scores are: steps of 0.1, a long tail of bad films."""
    return _predicted(np.round(9.6 - np.random.default_rng(seed).gamma(6.0, 0.5, films), 1).clip(1, 10), seed)


def _predicted(truth: np.ndarray, seed: list[int]) -> Films:
    """The scores and the predictions of two models, alike in part, of which the first is the better."""
    noise = np.random.default_rng([*seed, 1]).normal(0, 1, (3, len(truth)))
    first = 6.5 + 0.25 * (truth - 6.5) + 0.45 * noise[0]
    second = 6.5 + 0.18 * (truth - 6.5) + 0.22 * noise[0] + 0.35 * noise[1]
    return truth, first, second


@cache
def true_values(sample: Callable[..., Films]) -> dict[str, float]:
    truth, first, second = sample(POPULATION, [0])
    values = {name: float(metric(truth, first)) for name, metric in metrics.METRICS.items()}
    return values | {"paired": float(metrics.nmse(truth, first) - metrics.nmse(truth, second))}


def coverage(sample: Callable[..., Films], films: int, sets: int) -> dict[str, float]:
    """The share of simulated sets whose interval holds the true value."""
    true, held = true_values(sample), dict.fromkeys([*metrics.METRICS, "paired"], 0)
    for number in range(sets):
        truth, first, second = sample(films, [number, films])
        found = metrics.evaluate(truth, first, seed=number) | {
            "paired": metrics.paired_difference(truth, first, second, seed=number)
        }
        for name, metric in found.items():
            held[name] += metric.low <= true[name] <= metric.high
    return {name: count / sets for name, count in held.items()}


@pytest.mark.parametrize("films", [100, 300][: amount(2, 1)])
@pytest.mark.parametrize("sample", [normal, skewed])
def test_an_interval_holds_the_truth_95_times_of_100(
    sample: Callable[..., Films], films: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "RESAMPLES", amount(1000, 200))
    shares = coverage(sample, films, SETS)
    print(f"\n{sample.__name__}, {films} films, {SETS} sets: {shares}")
    assert all(abs(share - 0.95) <= MARGIN for share in shares.values()), shares


def test_an_interval_that_is_too_narrow_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "RESAMPLES", 200)
    whole = metrics._with_interval

    def half_as_wide(*arguments: object) -> metrics.Metric:
        metric = whole(*arguments)
        return metrics.Metric(metric.value, *((metric.value + end) / 2 for end in (metric.low, metric.high)))

    monkeypatch.setattr(metrics, "_with_interval", half_as_wide)
    assert all(abs(share - 0.95) > MARGIN for share in coverage(normal, 100, SETS).values())
