"""Intervals hold what they promise on films of the same kind, and say when there are too few films for one."""

import numpy as np
import pytest

from trailer_lib.evaluation.metrics import conformal_intervals, fewest

SPLITS = 200


def coverage(rng: np.random.Generator, validation_sd: float) -> dict[int, float]:
    """The share of new films whose score is in their interval, over SPLITS splits of made films, errors of sd 1."""
    inside = {80: [], 95: []}
    for _ in range(SPLITS):
        truth = rng.normal(5.5, 0.5, 149)
        predicted = truth + rng.normal(0, validation_sd, 149)
        new = rng.normal(5.5, 0.5, 100)
        for score, answer in zip(new, new + rng.normal(0, 1.0, 100)):
            for share, (low, high) in conformal_intervals(answer, truth, predicted)[0].items():
                inside[share].append(low <= score <= high)
    return {share: 100 * float(np.mean(hits)) for share, hits in inside.items()}


def test_the_intervals_cover_as_many_films_as_they_say() -> None:
    found = coverage(np.random.default_rng(0), 1.0)
    assert found[80] == pytest.approx(80, abs=2) and found[95] == pytest.approx(95, abs=2)


def test_validation_films_that_were_too_easy_give_intervals_that_are_too_narrow() -> None:
    found = coverage(np.random.default_rng(0), 0.6)
    assert found[80] < 70 and found[95] < 90


def test_the_width_is_the_error_of_the_rank_that_the_share_asks_for() -> None:
    truth = np.full(19, 5.0)
    found, reason = conformal_intervals(5.0, truth, truth + np.arange(19) / 10)
    assert found[80] == pytest.approx((5 - 1.5, 5 + 1.5))  # ceil(20 * 0.8) = 16th smallest
    assert found[95] == pytest.approx((5 - 1.8, 5 + 1.8))  # the largest
    assert reason == ""


@pytest.mark.parametrize(("films", "shares"), [(0, []), (3, []), (4, [80]), (18, [80]), (19, [80, 95])])
def test_too_few_films_give_no_interval_and_the_reason(films: int, shares: list[int]) -> None:
    found, reason = conformal_intervals(6.0, np.full(films, 6.0), np.full(films, 6.5))
    assert list(found) == shares
    assert (f"holds {films} validation films" in reason) == (len(shares) < 2)
    assert ("80 % (4 are needed)" in reason) == (80 not in shares)
    assert ("95 % (19 are needed)" in reason) == (95 not in shares)


def test_the_fewest_films_are_the_fewest() -> None:
    assert (fewest(80), fewest(95)) == (4, 19)


def test_an_interval_ends_where_the_scale_ends() -> None:
    truth = np.full(30, 5.0)
    found, _ = conformal_intervals(9.5, truth, truth + 2.0)
    assert found[80] == (7.5, 10.0)
    assert conformal_intervals(1.5, truth, truth + 2.0)[0][95] == (1.0, 3.5)
