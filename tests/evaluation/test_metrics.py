"""Metrics against other implementations and closed formulas, their intervals, the verdict, conformal intervals."""

import json
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

from trailer_lib.evaluation import metrics, results
from trailer_lib.evaluation.metrics import Metric


def scores(films: int = 60, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(6.5, 1.2, films).clip(1, 10)


def with_errors(truth: np.ndarray, sd: float, seed: int = 1) -> np.ndarray:
    return truth + np.random.default_rng(seed).normal(0, sd, len(truth))


def table(truth: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({"score": truth, "genres": "Drama"})


def result(truth: np.ndarray, predicted: np.ndarray, **rows: np.ndarray) -> dict:
    genres = {"genre only": np.full(len(truth), scores(seed=5).mean())}
    train = table(scores(seed=5))
    return results.compare_with_baselines(train, table(truth), {"frames": predicted, **rows}, genres)


@pytest.mark.parametrize(
    "name, other",
    [
        ("nMSE", lambda truth, predicted: mean_squared_error(truth, predicted) / np.var(truth)),
        ("MAE", mean_absolute_error),
        ("R2", r2_score),
        ("Spearman", lambda truth, predicted: spearmanr(truth, predicted).statistic),
    ],
)
@pytest.mark.parametrize("sd", [0.0, 0.5, 3.0])
def test_a_metric_equals_another_implementation(name: str, other: Callable, sd: float) -> None:
    truth, predicted = scores(), with_errors(scores(), sd)
    assert metrics.evaluate(truth, predicted)[name].value == pytest.approx(other(truth, predicted), abs=1e-9)


@pytest.mark.parametrize("truth, predicted", [([1, 2, 3], [5, 5, 5]), ([4, 4, 4], [1, 2, 3])])
def test_spearman_of_a_constant_is_zero_with_an_interval_of_zero(truth: list, predicted: list) -> None:
    assert metrics.evaluate(np.array(truth), np.array(predicted))["Spearman"] == Metric(0.0, 0.0, 0.0)


def test_the_seed_and_not_the_batch_decides_the_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, predicted = scores(40), with_errors(scores(40), 1.0)
    whole = metrics.evaluate(truth, predicted)
    monkeypatch.setattr(metrics, "BATCH", 40 * 7)
    assert metrics.evaluate(truth, predicted) == whole != metrics.evaluate(truth, predicted, seed=1)


def test_a_metric_of_several_repeats_is_their_mean() -> None:
    truth = scores(80)
    repeats = np.stack([with_errors(truth, 0.5, seed=2), with_errors(truth, 1.5, seed=3)])
    for name, metric in metrics.evaluate(truth, repeats).items():
        assert metric.value == pytest.approx(np.mean([metrics.METRICS[name](truth, one) for one in repeats]))
    assert metrics.paired_difference(truth, repeats, repeats) == Metric(0.0, 0.0, 0.0)


@pytest.mark.parametrize("films", [2, 30])
@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_test_films_of_one_score_leave_nmse_undefined_and_the_verdict_says_why(films: int, spread: float) -> None:
    train = table(6.1 + spread * (scores() - 6.1))
    test = np.full(films, 6.1)  # whose variance is 1e-30 in floats
    found = results.compare_with_baselines(train, table(test), {"frames": test + 1}, {})
    assert found["metrics"]["frames"]["MAE"]["value"] == pytest.approx(1.0)
    assert found["metrics"]["frames"]["nMSE"] == dict.fromkeys(("value", "low", "high"))
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    rows = results.metric_table(found)
    assert set(rows.nMSE) == set(rows.R2) == {"undefined"} and not rows.map(lambda cell: "nan" in cell).any(axis=None)
    assert results.verdict(found).startswith(f"Nothing to compare: all {films} test films have the same score")
    assert not metrics.is_better(found, "frames") and len(results.result_warnings(found)) == 1


def test_a_paired_difference_is_below_zero_for_the_better_and_above_for_the_worse() -> None:
    truth = scores(100)
    good, bad = with_errors(truth, 0.3), with_errors(truth, 2.0)
    better, worse = metrics.paired_difference(truth, good, bad), metrics.paired_difference(truth, bad, good)
    assert better.low < better.value < better.high < 0 < worse.low
    assert better.value == pytest.approx(-worse.value)


@pytest.mark.parametrize("share, expected", [(0.0, True), (0.04, True), (0.06, False), (1.0, False)])
def test_predictions_that_hardly_differ_are_collapsed(share: float, expected: bool) -> None:
    assert metrics.collapsed(6.0 + (scores() - scores().mean()) * share, scores()) is expected


def test_the_mean_baselines_absolute_error_is_the_medians() -> None:
    truth = 9.6 - np.random.default_rng(0).gamma(6.0, 0.5, 40)
    found = result(truth, with_errors(truth, 1.0))["metrics"]["mean baseline"]
    assert found["MAE"]["value"] == pytest.approx(np.abs(truth - np.median(scores(seed=5))).mean())
    assert found["nMSE"]["value"] == pytest.approx(metrics.nmse(truth, scores(seed=5).mean()))


def test_a_result_holds_model_and_baselines_and_survives_json() -> None:
    found = result(scores(30), with_errors(scores(30), 1.0))
    assert json.loads(json.dumps(found)) == found
    assert list(found["metrics"]) == ["frames", "mean baseline", "genre only"] and found["row"] == "frames"
    assert [pair["than"] for pair in found["nMSE minus"]] == ["mean baseline", "genre only"]
    assert list(found["left out"]) == ["genre + runtime + year", "all metadata"]
    rows = results.metric_table(found)
    assert (list(rows.index), list(rows.columns)) == (list(found["metrics"]), list(metrics.METRICS))
    mae = found["metrics"]["frames"]["MAE"]
    assert rows.loc["frames", "MAE"] == f"{mae['value']:.2f} [{mae['low']:.2f}, {mae['high']:.2f}]"


@pytest.mark.parametrize(
    "films, predicted, sentence",
    [
        (80, with_errors(scores(80), 0.3), "Better than the mean baseline on 80 test films (nMSE of frames minus"),
        (80, scores(80, seed=8), "Not shown to be better than the mean baseline on 80 test films (nMSE of frames"),
        (12, with_errors(scores(12), 0.8), "Not shown to be better"),  # a gain that may be chance
        (80, scores(80).mean() + 0.01 * scores(80), "Collapsed: the sd of the predictions is 1.0% of the scores'"),
        (9, with_errors(scores(9), 0.1), "Too few to tell: 9 test films, at least 10"),
    ],
)
def test_the_verdict_follows_from_the_numbers(films: int, predicted: np.ndarray, sentence: str) -> None:
    found = result(scores(films), predicted)
    gain = found["nMSE minus"][0]
    better = sentence.startswith("Better")
    assert metrics.is_better(found, "frames") is better
    assert results.verdict(found).startswith(sentence)
    assert (f"{gain['value']:+.2f} [{gain['low']:+.2f}, {gain['high']:+.2f}])" in results.verdict(found)) == (films > 9)
    assert len(results.result_warnings(found)) == (not better)
    assert better or results.verdict(found) in results.result_warnings(found)[0]


@pytest.mark.parametrize("sd, adds", [(0.3, True), (1.2, False)])
def test_the_verdict_says_whether_the_trailer_adds_to_the_metadata(sd: float, adds: bool) -> None:
    truth = scores(80)
    metadata = with_errors(truth, 0.7, seed=3)
    rows = {"metadata": metadata, "all": metadata if not adds else with_errors(truth, sd)}
    found = result(truth, with_errors(truth, 0.9), **rows)
    assert found["row"] == "all" and "genre only" not in found["metrics"]  # it is the row metadata
    assert ("trailer adds to the metadata" in results.verdict(found)) is adds
    assert ("is not shown to add" in results.verdict(found)) is not adds
    gains = results.difference_table(found)
    assert list(gains["minus that of"]) == ["mean baseline"] * 3 + ["metadata"]
    assert metrics.difference(found, "all", "metadata") == metrics.paired_difference(truth, rows["all"], metadata)
    assert metrics.difference(found, "all", "x") is None


@pytest.mark.parametrize("films, levels", [(0, []), (3, []), (4, [80]), (18, [80]), (19, [80, 95])])
def test_too_few_films_give_no_interval_and_the_reason(films: int, levels: list[int]) -> None:
    found, reason = metrics.conformal_intervals(6.0, np.full(films, 6.0), np.full(films, 6.5))
    assert list(found) == levels and set(found.values()) <= {(5.5, 6.5)}
    assert (f"holds {films} validation films" in reason) == (len(levels) < 2)
    assert ("80 % (4 are needed)" in reason) == (80 not in levels)
    assert ("95 % (19 are needed)" in reason) == (95 not in levels)


def test_an_interval_ends_where_the_scale_ends() -> None:
    for score, interval in ((9.5, (7.5, 10.0)), (1.5, (1.0, 3.5))):
        assert metrics.conformal_intervals(score, np.full(30, 5.0), np.full(30, 7.0))[0][80] == interval


def test_one_film_alone_has_an_error_and_no_interval() -> None:
    found = metrics.evaluate(np.array([6.0]), np.array([7.5]))
    assert str(found["MAE"]) == "1.50 [no interval]" and str(found["nMSE"]) == "undefined"
