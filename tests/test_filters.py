"""Which frames are dropped: black, dark and flat ones."""

import numpy as np
import pytest

from trailer_lib import filters

COUNT = 10
FEWEST = COUNT * filters.SHARE // 100


def frame(mean: int, spread: int) -> np.ndarray:
    """A picture whose left half is `spread` darker than `mean` and whose right half is as much brighter."""
    picture = np.full((8, 8, 3), mean, np.int64)
    picture[:, :4] -= spread
    picture[:, 4:] += spread
    return picture.astype(np.uint8)


def judged(*looks: tuple[int, int], rule: str = "percentile") -> list[str | None]:
    return filters.judge(np.stack([frame(mean, spread) for mean, spread in looks]), rule)


def test_the_darkest_fifth_is_dark() -> None:
    reasons = judged(*[(100 + 10 * step, 40) for step in range(COUNT)])
    assert reasons == ["dark"] * FEWEST + [None] * (COUNT - FEWEST)


def test_the_flattest_fifth_is_flat() -> None:
    reasons = judged(*[(120, 10 + 5 * step) for step in range(COUNT)])
    assert reasons == ["flat"] * FEWEST + [None] * (COUNT - FEWEST)


def test_reasons_stay_with_their_frames_in_any_order() -> None:
    looks = [(100 + 10 * step, 40) for step in range(COUNT)]
    order = [3, 0, 9, 1, 5, 2, 8, 4, 7, 6]
    reasons = judged(*[looks[step] for step in order])
    assert [step for step, reason in zip(order, reasons) if reason] == [0, 1]


@pytest.mark.parametrize("mean", [0, 7])
def test_a_black_frame_is_black_among_bright_ones(mean: int) -> None:
    reasons = judged((mean, 0), *[(120, 40)] * (COUNT - 1))
    assert reasons == ["black"] + [None] * (COUNT - 1)


def test_frames_are_black_even_where_all_of_them_are() -> None:
    assert judged(*[(2, 1)] * COUNT) == ["black"] * COUNT


def test_a_dim_frame_is_not_black() -> None:
    assert "black" not in judged(*[(9, 1)] * COUNT)


def test_frames_that_are_all_alike_are_kept() -> None:
    assert judged(*[(120, 40)] * COUNT) == [None] * COUNT


def test_a_single_frame_is_kept_unless_it_is_black() -> None:
    assert judged((120, 40)) == [None]
    assert judged((0, 0)) == ["black"]


def test_the_rule_none_keeps_all() -> None:
    looks = [(0, 0), (20, 0), (120, 40), (200, 20)]
    assert judged(*looks, rule="none") == [None] * len(looks)
    assert judged(*looks) != [None] * len(looks)
