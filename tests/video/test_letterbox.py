"""Black bars: found on lit frames, agreed on for a film, and left alone where they are none."""

import drawn
import numpy as np
import pytest

from trailer_lib.video import quality_filter
from trailer_lib.video.quality_filter import LetterboxBox

ROWS, COLUMNS = 20 / 180, 36 / 320


def bars_of(*frames: np.ndarray) -> list[np.ndarray]:
    return [quality_filter.measure_bars(frame) for frame in frames]


def scenes(count: int = 20, rows: int = 0, columns: int = 0) -> list[np.ndarray]:
    return [drawn.with_bars(drawn.scene(seed), rows, columns) for seed in range(count)]


@pytest.mark.parametrize(
    ("rows", "columns", "expected"),
    [(20, 0, (ROWS, 0)), (0, 36, (0, COLUMNS)), (20, 36, (ROWS, COLUMNS)), (0, 0, (0, 0))],
)
def test_bars_are_found_to_the_line(rows: int, columns: int, expected: tuple) -> None:
    box = quality_filter.common_box(bars_of(*scenes(rows=rows, columns=columns)), margin=0)
    assert (box.top, 1 - box.bottom, box.left, 1 - box.right) == pytest.approx([*[expected[0]] * 2, *[expected[1]] * 2])


def test_cutting_leaves_what_is_within_the_bars() -> None:
    frames = np.stack(scenes(rows=20, columns=36))
    cut = quality_filter.common_box(bars_of(*frames), margin=0).cut(frames)
    assert cut.shape == (20, 140, 248, 3)
    assert (cut == frames[:, 20:160, 36:284]).all()


def test_dark_scenes_do_not_widen_the_bars_nor_a_bright_flash_remove_them() -> None:
    dark = [drawn.with_bars(drawn.scene(seed, light=0.1), 20) for seed in range(12)]
    flash = [np.full((180, 320, 3), 255, np.uint8)]
    box = quality_filter.common_box(bars_of(*scenes(20, rows=20), *dark, *flash), margin=0)
    assert box.top == pytest.approx(ROWS) and box.bottom == pytest.approx(1 - ROWS)


def test_a_mark_and_noise_in_the_bars_do_not_hide_them() -> None:
    frames = np.stack(scenes(rows=20)).astype(int)
    frames[:, 168:176, 10:34] = 200
    frames += np.random.default_rng(0).integers(0, 15, frames.shape)
    box = quality_filter.common_box(bars_of(*np.clip(frames, 0, 255).astype(np.uint8)), margin=0)
    assert box.bottom == pytest.approx(1 - ROWS)


def test_no_bars_where_a_fifth_of_the_frames_has_none() -> None:
    assert quality_filter.common_box(bars_of(*scenes(16, rows=20), *scenes(4))) == LetterboxBox()


def test_a_film_of_darkness_is_not_cut_down() -> None:
    lamp = np.zeros((180, 320, 3), np.uint8)
    lamp[80:110, 100:220] = 255
    assert quality_filter.common_box(bars_of(*[lamp] * 10)) == LetterboxBox()
    assert quality_filter.common_box(bars_of(*[np.zeros_like(lamp)] * 10)) == LetterboxBox()


def test_no_frames_have_no_bars() -> None:
    assert quality_filter.common_box([]) == LetterboxBox()
