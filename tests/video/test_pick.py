"""Frames picked from a video: more are drawn when too few pass, and a film that gives none says so."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from trailer_lib.settings import ScrapeSettings
from trailer_lib.video import quality_filter, sampling
from trailer_lib.video.decode import Frames

LENGTH = 60.0  # seconds


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The counts asked of a video of LENGTH seconds in which each picture is of its own second."""
    counts = []

    def sample_frames(path: Path, count: int, seed: int, key: str, mode: str, height: int, threads: int) -> Frames:
        counts.append(count)
        seconds = sampling.draw_times(seed, key, LENGTH, count)
        return Frames(np.zeros((count, 4, 4, 3), np.uint8), seconds)

    monkeypatch.setattr(sampling, "sample_frames", sample_frames)
    return counts


@pytest.fixture
def passing(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """A function that makes the filter keep this share of the film, its beginning."""

    def let_pass(share: float) -> None:
        def select(frames: Frames, rule: str) -> tuple[Frames, list[str | None]]:
            return frames, [None if second < share * LENGTH else "card" for second in frames.seconds]

        monkeypatch.setattr(quality_filter, "filter_frames", select)

    return let_pass


def picked(count: int = 100) -> sampling.FrameSample:
    return sampling.sample_informative(Path("film.mp4"), "tt0000001", ScrapeSettings(count=count), 360)


def test_a_larger_draw_holds_the_smaller_one() -> None:
    few, many = (sampling.draw_times(3, "tt0000001", LENGTH, count) for count in (100, 300))
    assert set(few) < set(many) and len(set(many)) == 300


@pytest.mark.parametrize("share, draws", [(1.0, [100]), (0.7, [100]), (0.3, [100, 200]), (0.2, [100, 200, 300])])
def test_more_frames_are_drawn_until_half_the_number_pass(
    drawn: list[int], passing: Callable, share: float, draws: list[int]
) -> None:
    passing(share)
    result = picked()
    assert drawn == draws
    assert result.kept >= result.least == 50 and result.remark == ""
    assert len(result.reasons) == len(result.frames) == draws[-1]
    assert result.frames.seconds.tolist() == sorted(result.frames.seconds)


def test_after_three_times_the_number_it_gives_up_and_says_so(drawn: list[int], passing: Callable) -> None:
    passing(0.1)
    result = picked()
    assert drawn == [100, 200, 300] and 0 < result.kept < 50
    assert result.remark == f"kept {result.kept} of 300 drawn; asked for at least 50"


def test_a_film_that_gives_no_frame_is_an_error_with_every_reason(drawn: list[int], passing: Callable) -> None:
    passing(0.0)
    with pytest.raises(sampling.NoInformativeFrames, match=r"film\.mp4: the filter kept none of 30 frames") as caught:
        picked(10)
    assert caught.value.reasons == ["card"] * 30


def test_an_all_black_film_is_an_error_with_the_filter_as_it_is(make_video: Callable, tmp_path: Path) -> None:
    path = make_video(tmp_path / "black.mp4", [np.zeros((36, 64, 3), np.uint8)] * 24)
    with pytest.raises(sampling.NoInformativeFrames, match="kept none of 12 frames"):
        sampling.sample_informative(path, "tt0000001", ScrapeSettings(count=4), 0)
