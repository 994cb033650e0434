"""Metrics against other implementations and closed formulas, intervals, baselines, and the verdict."""

import json
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy.stats import bootstrap, spearmanr
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

from trailer_lib.evaluation import metrics
from trailer_lib.evaluation.metrics import Metric


def scores(films: int = 60, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(6.5, 1.2, films).clip(1, 10)


def guesses(truth: np.ndarray, error: float, seed: int = 1) -> np.ndarray:
    return truth + np.random.default_rng(seed).normal(0, error, len(truth))


def table_of(truth: np.ndarray, genres: list[str] | None = None) -> pd.DataFrame:
    return pd.DataFrame({"score": truth, "genres": genres or ["Drama"] * len(truth)})


def skewed(films: int, seed: int = 0) -> np.ndarray:
    return 9.6 - np.random.default_rng(seed).gamma(6.0, 0.5, films)


def result(predicted: np.ndarray, test: pd.DataFrame) -> dict:
    return metrics.compare_with_baselines(table_of(scores(seed=5)), test, predicted, "trailer")


@pytest.mark.parametrize(
    "name, other",
    [
        ("nMSE", lambda truth, answer: mean_squared_error(truth, answer) / np.var(truth)),
        ("MAE", mean_absolute_error),
        ("R2", r2_score),
        ("Spearman", lambda truth, answer: spearmanr(truth, answer).statistic),
    ],
)
def test_a_metric_equals_another_implementation(name: str, other: object) -> None:
    truth = scores()
    for error in (0.0, 0.5, 3.0):
        answer = guesses(truth, error)
        assert metrics.METRICS[name](truth, answer) == pytest.approx(other(truth, answer), abs=1e-9)
        assert metrics.evaluate(truth, answer)[name].value == pytest.approx(other(truth, answer), abs=1e-9)


def test_metrics_of_many_resamples_are_those_of_each() -> None:
    truth = np.stack([scores(seed=seed) for seed in range(4)])
    answer = truth[::-1]
    for metric in metrics.METRICS.values():
        assert metric(truth, answer) == pytest.approx([metric(t, a) for t, a in zip(truth, answer)])


@pytest.mark.parametrize("truth, answer", [([1, 2, 3], [5, 5, 5]), ([4, 4, 4], [1, 2, 3])])
def test_spearman_of_a_constant_is_zero(truth: list, answer: list) -> None:
    assert metrics.spearman(np.array(truth, float), np.array(answer, float)) == 0.0


@pytest.mark.parametrize("error", [0.1, 1.0, 3.0])
def test_an_interval_contains_its_value(error: float) -> None:
    measured = metrics.evaluate(scores(200), guesses(scores(200), error))
    assert all(metric.low < metric.value < metric.high for metric in measured.values())


def test_an_interval_holds_95_per_cent() -> None:
    truth, answer = scores(400), guesses(scores(400), 1.0)
    errors = np.abs(truth - answer)
    margin = 1.96 * errors.std() / np.sqrt(400)  # of a mean, by the normal approximation
    metric = metrics.evaluate(truth, answer)["MAE"]
    assert (metric.value - metric.low, metric.high - metric.value) == pytest.approx((margin, margin), rel=0.15)


def peers(truth: np.ndarray, answer: np.ndarray, metric: Callable) -> tuple[float, float]:
    """SciPy's BCa interval."""
    found = bootstrap(
        (truth, answer), lambda *of, axis: metric(*of), paired=True, vectorized=True, n_resamples=2000, rng=1
    )
    return tuple(found.confidence_interval)


@pytest.mark.parametrize("name", metrics.METRICS)
@pytest.mark.parametrize("films", [100, 450])  # under and over GROUPS
def test_an_interval_is_that_of_another_implementation(name: str, films: int) -> None:
    truth, answer = skewed(films), guesses(skewed(films), 1.0)
    low, high = peers(truth, answer, metrics.METRICS[name])
    found = metrics.evaluate(truth, answer)[name]
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.1 * (high - low))


def test_films_resampled_in_blocks_give_the_same_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, answer = scores(40), guesses(scores(40), 1.0)
    whole = metrics.evaluate(truth, answer)
    monkeypatch.setattr(metrics, "AT_ONCE", 40 * 7)
    assert metrics.evaluate(truth, answer) == whole


def test_several_repeats_are_measured_by_their_mean() -> None:
    truth = scores(80)
    repeats = np.stack([guesses(truth, 0.5, seed=2), guesses(truth, 1.5, seed=3)])
    found = metrics.evaluate(truth, repeats)
    for name, metric in metrics.METRICS.items():
        assert found[name].value == pytest.approx(np.mean([metric(truth, answer) for answer in repeats]))
    assert metrics.paired_difference(truth, repeats, repeats) == Metric(0.0, 0.0, 0.0)


def test_the_constants_absolute_error_is_the_medians() -> None:
    train, test = table_of(skewed(101, seed=5)), table_of(skewed(40))
    found = metrics.compare_with_baselines(train, test, guesses(skewed(40), 1.0), "trailer")["metrics"]["mean baseline"]
    assert found["MAE"]["value"] == pytest.approx(np.abs(test.score - train.score.median()).mean())
    assert found["nMSE"]["value"] == pytest.approx(metrics.nmse(test.score.to_numpy(), train.score.mean()))


def test_a_dead_model_is_warned_of_twice() -> None:
    lines = metrics.result_warnings(result(np.full(80, 6.5), table_of(scores(80))))
    assert lines[0].startswith("collapsed: the predictions' sd is 0.0% of the scores'")
    assert lines[1].startswith("Not shown to be better than the constant on 80 test films")
    assert all("\n" not in line for line in lines) and len(lines) == 2


def test_a_model_that_is_wrong_but_varied_is_warned_of_once() -> None:
    lines = metrics.result_warnings(result(scores(80, seed=8), table_of(scores(80))))
    assert len(lines) == 1 and lines[0].startswith("Not shown to be better")


def test_a_good_model_is_not_warned_of() -> None:
    assert metrics.result_warnings(result(guesses(scores(80), 0.3), table_of(scores(80)))) == []


def test_a_result_on_too_few_films_is_warned_of() -> None:
    lines = metrics.result_warnings(result(scores(9, seed=8), table_of(scores(9))))
    assert len(lines) == 1 and lines[0].startswith("Too few test films to tell")


@pytest.mark.parametrize("name", metrics.METRICS)
def test_an_interval_narrows_with_more_films(name: str) -> None:
    widths = []
    for films in (30, 500):
        metric = metrics.evaluate(scores(films), guesses(scores(films), 1.0))[name]
        widths.append(metric.high - metric.low)
    assert widths[0] > 2 * widths[1] > 0


def test_the_seed_decides_the_interval() -> None:
    truth, answer = scores(), guesses(scores(), 1.0)
    assert metrics.evaluate(truth, answer, seed=3) == metrics.evaluate(truth, answer, seed=3)
    assert metrics.evaluate(truth, answer, seed=3) != metrics.evaluate(truth, answer, seed=4)


@pytest.mark.parametrize("truth", [[6.0], [6.0, 6.0]])
def test_test_films_of_one_score_are_measured(truth: list[float]) -> None:
    assert metrics.evaluate(np.array(truth), np.array(truth) + 1)["MAE"].value == pytest.approx(1.0)


def test_a_paired_difference_is_below_zero_for_the_better_and_above_for_the_worse() -> None:
    truth = scores(100)
    good, bad = guesses(truth, 0.3), guesses(truth, 2.0)
    better, worse = metrics.paired_difference(truth, good, bad), metrics.paired_difference(truth, bad, good)
    assert better.low < better.value < better.high < 0 < worse.low
    assert better.value == pytest.approx(-worse.value)


def test_a_paired_difference_of_equals_is_zero() -> None:
    assert metrics.paired_difference(scores(), guesses(scores(), 1), guesses(scores(), 1)) == Metric(0.0, 0.0, 0.0)


@pytest.mark.parametrize("share, expected", [(0.0, True), (0.04, True), (0.06, False), (1.0, False)])
def test_predictions_that_hardly_differ_are_collapsed(share: float, expected: bool) -> None:
    spread = (scores() - scores().mean()) * share
    assert metrics.collapsed(6.0 + spread, scores()) is expected


def test_the_verdict_on_a_good_model_is_better() -> None:
    test = table_of(scores(80))
    assert metrics.verdict(result(guesses(scores(80), 0.3), test)).startswith("Better than the constant on 80 test")


def test_the_verdict_on_a_model_no_better_than_the_constant_is_not_shown() -> None:
    text = metrics.verdict(result(scores(80, seed=8), table_of(scores(80))))
    assert text.startswith("Not shown to be better than the constant on 80 test films")


def test_the_verdict_on_a_gain_that_may_be_chance_is_not_shown() -> None:
    found = result(guesses(scores(12), 0.8), table_of(scores(12)))
    gain = found["nMSE minus"]["mean baseline"]
    assert gain["value"] < 0 < gain["high"]
    assert metrics.verdict(found).startswith("Not shown to be better")


def test_the_verdict_on_one_answer_for_all_is_collapsed() -> None:
    test = table_of(scores(80))
    assert metrics.verdict(result(np.full(80, scores(80).mean()), test)).startswith("Collapsed")


def test_the_verdict_gives_the_difference_with_its_interval() -> None:
    found = result(guesses(scores(80), 0.3), table_of(scores(80)))
    gain = found["nMSE minus"]["mean baseline"]
    assert f": {gain['value']:+.2f} [{gain['low']:+.2f}, {gain['high']:+.2f}])" in metrics.verdict(found)


def test_a_result_holds_model_and_baselines_and_survives_json() -> None:
    found = result(guesses(scores(30), 1.0), table_of(scores(30)))
    assert json.loads(json.dumps(found)) == found
    assert list(found["metrics"]) == ["trailer", "mean baseline", "genre only"]
    assert list(found["nMSE minus"]) == ["mean baseline", "genre only"]
    assert list(found["left out"]) == ["genre + runtime + year", "all metadata"]
    assert found["films"] == 30


def test_the_table_has_a_row_each_with_intervals() -> None:
    found = result(guesses(scores(30), 1.0), table_of(scores(30)))
    table = metrics.metric_table(found)
    assert list(table.index) == ["trailer", "mean baseline", "genre only"]
    assert list(table.columns) == ["nMSE", "MAE", "R2", "Spearman"]
    assert table.loc["mean baseline", "MAE"] == str(Metric(**found["metrics"]["mean baseline"]["MAE"]))


def test_a_metric_prints_its_interval() -> None:
    assert str(Metric(0.804, 0.7, 0.99)) == "0.80 [0.70, 0.99]"


def test_the_verdict_on_a_few_films_is_that_they_are_too_few() -> None:
    found = result(guesses(scores(9), 0.1), table_of(scores(9)))
    assert metrics.verdict(found).startswith("Too few test films")
