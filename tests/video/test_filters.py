"""Which frames are dropped: by the informative rule black, blank, cards, repeats; by the original's dark and flat."""

import weakref
from collections.abc import Iterator
from pathlib import Path

import drawn
import numpy as np
import pytest
from PIL import Image

from trailer_lib.video import quality_filter
from trailer_lib.video.decode import Frames

COUNT = 10
FEWEST = COUNT * quality_filter.FILTERS_SHARE // 100


def frame(mean: int, spread: int) -> np.ndarray:
    """A picture whose left half is `spread` darker than `mean` and whose right half is as much brighter."""
    picture = np.full((8, 8, 3), mean, np.int64)
    picture[:, :4] -= spread
    picture[:, 4:] += spread
    return picture.astype(np.uint8)


def judged(*looks: tuple[int, int], rule: str = "percentile") -> list[str | None]:
    return quality_filter.drop_reasons(np.stack([frame(mean, spread) for mean, spread in looks]), rule)


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


def likeness(count: int) -> list[np.ndarray]:
    """`count` frames of one shot: the same scene, each with noise of its own."""
    rng = np.random.default_rng(5)
    shot = drawn.scene(3)
    return [np.clip(shot + rng.normal(0, 6, shot.shape), 0, 255).astype(np.uint8) for _ in range(count)]


def test_scenes_are_kept_light_and_dark_with_and_without_bars() -> None:
    for change in (lambda frame: frame, lambda frame: frame // 4, lambda frame: drawn.with_bars(frame, 22)):
        scenes = [change(drawn.scene(seed)) for seed in range(12)]
        assert quality_filter.drop_reasons(scenes, "informative") == [None] * 12


@pytest.mark.parametrize("bars", [0, 22])
@pytest.mark.parametrize("name", drawn.CARDS)
def test_cards_are_dropped_whatever_they_say(name: str, bars: int) -> None:
    frames = [drawn.scene(0), drawn.with_bars(drawn.CARDS[name], bars), drawn.scene(1)]
    assert quality_filter.drop_reasons(frames, "informative") == [None, "card", None]
    assert quality_filter.drop_reasons(frames, "percentile") != [None, "card", None]


def test_black_and_nearly_black_frames_are_black_and_a_dark_scene_is_not() -> None:
    noise = np.random.default_rng(0).integers(0, 15, (180, 320, 3)).astype(np.uint8)
    frames = [np.zeros_like(noise), noise, drawn.scene(2, light=0.2)]
    assert frames[2].mean() < 25
    assert quality_filter.drop_reasons(frames, "informative") == ["black", "black", None]


@pytest.mark.parametrize("colour", [(255, 255, 255), (120, 120, 120), (200, 30, 30), (40, 40, 40)])
def test_a_frame_of_one_colour_is_blank_also_between_bars(colour: tuple) -> None:
    flat = np.full((180, 320, 3), colour, np.uint8)
    assert quality_filter.drop_reasons([flat], "informative") == ["blank"]
    framed = [drawn.with_bars(frame, 22) for frame in (drawn.scene(0), drawn.scene(1), flat)]
    assert quality_filter.drop_reasons(framed, "informative")[2] in ("blank", "card")


def test_of_frames_that_are_alike_the_most_contrasty_stays() -> None:
    shot = likeness(3)
    faded = [(frame * light).astype(np.uint8) for frame, light in zip(shot, (0.5, 1.0, 0.7))]
    frames = [drawn.scene(0), *faded, drawn.scene(1)]
    assert quality_filter.drop_reasons(frames, "informative") == [None, "duplicate", None, "duplicate", None]


def test_bars_do_not_make_different_scenes_alike() -> None:
    dark = [drawn.with_bars(drawn.scene(seed, light=0.3), 45, 60) for seed in range(12)]
    assert "duplicate" not in quality_filter.drop_reasons(dark, "informative")
    twice = [*dark, np.clip(dark[5].astype(int) + 2, 0, 255).astype(np.uint8)]
    assert quality_filter.drop_reasons(twice, "informative").count("duplicate") == 1


def test_the_score_says_how_sure_it_is() -> None:
    frames = [drawn.scene(0), drawn.CARDS["title"], np.zeros((180, 320, 3), np.uint8), *likeness(2)]
    kept, card, black, *pair = quality_filter.verdicts(frames, "informative")
    assert 0 <= kept.score < quality_filter.CARD < card.score <= 1 and black.score == 1
    assert sorted(verdict.reason or "" for verdict in pair) == ["", "duplicate"]
    assert max(verdict.score for verdict in pair) > quality_filter.ALIKE


def test_no_frames_give_no_verdicts() -> None:
    assert [quality_filter.drop_reasons([], rule) for rule in ("informative", "percentile", "none")] == [[], [], []]


def test_only_cards_and_black_leave_nothing() -> None:
    frames = [drawn.CARDS["title"], np.zeros((180, 320, 3), np.uint8)]
    assert quality_filter.drop_reasons(frames, "informative") == ["card", "black"]


def film(bars: int) -> Frames:
    """Seven scenes and a title between bars, and a title over all of the frame."""
    frames = [drawn.with_bars(drawn.scene(seed), bars) for seed in range(7)]
    frames += [drawn.with_bars(drawn.CARDS["title"], bars), drawn.CARDS["coloured"]]
    return Frames(np.stack(frames), np.arange(9.0))


def test_selecting_cuts_the_bars_off_all_frames_and_keeps_the_times() -> None:
    given = film(bars=22)
    selected, reasons = quality_filter.filter_frames(given, "informative")
    assert reasons == [None] * 7 + ["card"] * 2
    assert 180 - 2 * 22 - 4 <= selected.pixels.shape[1] <= 180 - 2 * 22 and selected.pixels.shape[2:] == (320, 3)
    assert (selected.seconds == given.seconds).all()


@pytest.mark.parametrize(("rule", "bars"), [("informative", 0), ("percentile", 22), ("none", 22)])
def test_nothing_is_cut_off_without_bars_or_by_another_rule(rule: str, bars: int) -> None:
    given = film(bars)
    assert quality_filter.filter_frames(given, rule)[0].pixels.shape == given.pixels.shape


def saved(folder: Path, **pictures: np.ndarray) -> list[Path]:
    paths = [folder / f"{name}.png" for name in pictures]
    for path, picture in zip(paths, pictures.values()):
        Image.fromarray(picture).save(path)
    return paths


def test_files_of_any_size_are_judged_and_unreadable_ones_said(tmp_path: Path) -> None:
    paths = saved(tmp_path, a=drawn.scene(0), b=drawn.scene(1)[:, :200], c=drawn.CARDS["logo"][10:170])
    paths.insert(1, tmp_path / "broken.jpg")
    paths[1].write_bytes(b"not a picture")
    verdicts = quality_filter.judge_pictures(paths, "informative")
    assert [verdict.reason for verdict in verdicts] == [None, "unreadable", None, "card"]


def test_alone_no_file_is_compared_with_another(tmp_path: Path) -> None:
    first, second = likeness(2)
    paths = saved(tmp_path, first=first, second=second, card=drawn.CARDS["title"])
    reasons = [
        [verdict.reason for verdict in quality_filter.judge_pictures(paths, "informative", alone)]
        for alone in (True, False)
    ]
    assert reasons[0] == [None, None, "card"]
    assert sorted(map(str, reasons[1])) == ["None", "card", "duplicate"]


def test_pictures_are_looked_at_one_by_one() -> None:
    """A thousand pictures must not be held at once."""
    alive: list[weakref.ref] = []

    def pictures() -> Iterator[np.ndarray]:
        for seed in range(8):
            picture = drawn.scene(seed)
            alive.append(weakref.ref(picture))
            yield picture
            del picture
            assert sum(reference() is not None for reference in alive) <= 1

    assert len(quality_filter.verdicts(pictures(), "informative")) == 8
