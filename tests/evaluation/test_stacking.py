"""Several sources' predictions of a film as one: weights, films that lack a source, intervals for each case."""

from itertools import combinations

import numpy as np
import pytest

from trailer_lib.evaluation import Stack, case_of, conformal_intervals
from trailer_lib.evaluation.metrics import nmse

MEAN, GENRES, BEST = 6.0, "genre only", "genre + runtime + year"
NOISE = 0.5


def films(count: int, seed: int = 0) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Scores that are the sum of the mean, three parts that each say one of its terms, and noise."""
    rng = np.random.default_rng(seed)
    terms = rng.normal(0, 0.5, (3, count))
    truth = MEAN + terms.sum(0) + rng.normal(0, NOISE, count)
    return truth, dict(zip(("frames", "sound", GENRES), MEAN + terms))


def stack_of(count: int, seed: int = 0) -> Stack:
    return Stack(*films(count, seed), MEAN)


def test_the_weights_are_those_of_the_parts_and_never_negative() -> None:
    case = ("frames", "sound", GENRES)
    np.testing.assert_allclose(stack_of(2000).fit(case).weights, 1, atol=0.06)
    truth, parts = films(300)
    misleading = Stack(truth, parts | {"sound": 2 * MEAN - parts["sound"]}, MEAN).fit(case)
    assert misleading.weights[1] == 0 and misleading.weights[0] > 0.8


@pytest.mark.parametrize("count, distance", [(0, 0.0), (4, 0.4), (400, 0.8)])
def test_of_few_films_the_weights_are_near_the_mean_of_the_sources(count: int, distance: float) -> None:
    weights = stack_of(count).fit(("frames", "sound")).weights
    assert np.abs(weights - 0.5).max() <= distance and (count < 400 or weights.min() > 0.8)


def test_a_source_that_says_nothing_changes_nothing() -> None:
    truth, parts = films(500)
    new_truth, new = films(2000, seed=1)
    rng = np.random.default_rng(2)
    parts["sound"], new["sound"] = (MEAN + rng.normal(0, 0.2, len(scores)) for scores in (truth, new_truth))
    stack = Stack(truth, parts, MEAN)
    with_it, without = (stack.predict(new, sources) for sources in (["frames", "sound"], ["frames"]))
    assert abs(nmse(new_truth, with_it) - nmse(new_truth, without)) < 0.01
    assert nmse(new_truth, stack.predict(films(2000, 1)[1], ["frames", "metadata"])) < nmse(new_truth, without) - 0.1


def test_a_film_is_predicted_from_what_is_there() -> None:
    stack, (_, new) = stack_of(300), films(4, seed=1)
    new["sound"][1] = new["frames"][2] = np.nan
    for name in new:
        new[name][3] = np.nan
    predicted = stack.predict(new, ["frames", "sound"])
    assert predicted[1] == pytest.approx(new["frames"][1]) and predicted[2] == pytest.approx(new["sound"][2])
    assert predicted[3] == MEAN and predicted[0] not in (new["frames"][0], new["sound"][0])


def test_the_prediction_of_one_film_is_the_mean_and_its_contributions_within_the_scale() -> None:
    stack, case = stack_of(300), ("frames", "sound")
    score, contributions = stack.combine(case, {"frames": 6.5, "sound": 5.0})
    assert score == pytest.approx(MEAN + sum(contributions.values())) and [*contributions] == [*case]
    assert score == pytest.approx(stack.predict({"frames": np.array([6.5]), "sound": np.array([5.0])}, case)[0])
    assert stack.combine(case, {"frames": 1.0, "sound": 1.0})[0] == 1.0


def test_the_prediction_of_a_validation_film_does_not_know_its_score() -> None:
    truth, parts = films(30)
    other = truth.copy()
    other[7] += 3
    before, after = (Stack(scores, parts, MEAN) for scores in (truth, other))
    sources = ["frames", "sound", "metadata"]
    one, two = (stack.predict(stack.parts, sources) for stack in (before, after))
    assert one[7] == two[7] and (one != two).any()
    assert (before.fit(("frames", "sound")).weights != after.fit(("frames", "sound")).weights).any()


def test_the_interval_of_every_case_holds_as_many_scores_as_it_says() -> None:
    stack, (truth, new) = stack_of(500), films(2000, seed=1)
    cases = [case for count in (1, 2, 3) for case in combinations(("frames", "sound", GENRES), count)]
    assert {*cases} == {*stack.possible_cases()}
    widths = {}
    for case in cases:
        (rows, points), fit = stack.predict_case(new, case), stack.fit(case)
        errors, validation = np.abs(points - truth[rows]), stack.truth[fit.films]
        for level, (low, high) in conformal_intervals(5.5, validation, fit.predicted)[0].items():
            widths[case, level] = (high - low) / 2
            assert np.mean(errors <= widths[case, level]) == pytest.approx(level / 100, abs=0.05)
        too_good = validation + 0.6 * (fit.predicted - validation)  # smaller errors than those of new films
        low, high = conformal_intervals(5.5, validation, too_good)[0][80]
        assert np.mean(errors <= (high - low) / 2) < 0.7
    assert len(widths) == 2 * len(cases)
    assert widths[("frames", "sound", GENRES), 80] < 0.8 * widths[("frames",), 80]  # more sources, shorter intervals


def test_the_richest_level_of_metadata_is_taken_and_rows_are_those_of_the_sources() -> None:
    parts = {"frames": 6.0, "sound": np.nan, GENRES: 6.1, BEST: 6.2}
    assert case_of(parts, ("frames", "sound", "metadata")) == ("frames", BEST)
    assert case_of(parts, ("sound",)) == () and case_of(parts | {BEST: np.nan}, ("metadata",)) == (GENRES,)
    stack, (_, new) = stack_of(20), films(3, seed=1)
    for sources, rows in (
        (["frames", "sound", "metadata"], ["frames", "sound", "frames + sound", "metadata", "all"]),
        (["sound", "metadata"], ["sound", "metadata", "all"]),
        (["metadata"], ["metadata"]),
    ):
        assert [*stack.rows(new, sources)] == rows
    without = Stack(stack.truth, {"frames": stack.parts["frames"]}, MEAN)
    assert [*without.rows(new, ["frames", "sound", "metadata"])] == ["frames"]
