"""Which frames are dropped: by the informative rule black, blank, cards, repeats; by the original's dark and flat."""

import drawn
import numpy as np
import pytest

from trailer_lib.video import LetterboxBox, common_box, drop_reasons, measure_bars, quality_filter
from trailer_lib.video.decode import Frames
from trailer_lib.video.quality_filter import filter_frames

COUNT = 10
FEWEST = COUNT * quality_filter.ORIGINAL_SHARE // 100


def frame(mean: int, spread: int) -> np.ndarray:
    """A picture whose left half is `spread` darker than `mean` and whose right half is as much brighter."""
    picture = np.full((8, 8, 3), mean, np.int64)
    picture[:, :4] -= spread
    picture[:, 4:] += spread
    return picture.astype(np.uint8)


def test_the_darkest_fifth_is_dark_and_the_flattest_flat_in_any_order() -> None:
    order = [3, 0, 9, 1, 5, 2, 8, 4, 7, 6]
    dark = drop_reasons([frame(100 + 10 * step, 40) for step in order], "percentile")
    assert dark == ["dark" if step < FEWEST else None for step in order]
    flat = drop_reasons([frame(120, 10 + 5 * step) for step in order], "percentile")
    assert flat == ["flat" if step < FEWEST else None for step in order]


@pytest.mark.parametrize(("rule", "looks", "reasons"), [
    ("percentile", [(7, 0), *[(120, 40)] * 9], ["black", *[None] * 9]),
    ("percentile", [(2, 1)] * COUNT, ["black"] * COUNT),
    ("percentile", [(9, 1)] * COUNT, [None] * COUNT),  # dim, and all alike
    ("none", [(0, 0), (20, 0), (120, 40), (200, 20)], [None] * 4),
    ("informative", [], []), ("percentile", [], []),
])  # fmt: skip
def test_black_is_black_whatever_the_others_are_like(rule: str, looks: list, reasons: list) -> None:
    assert drop_reasons([frame(mean, spread) for mean, spread in looks], rule) == reasons


def test_scenes_are_kept_light_and_dark_with_and_without_bars() -> None:
    for change in (lambda frame: frame, lambda frame: frame // 4, lambda frame: drawn.with_bars(frame, 22)):
        scenes = [change(drawn.scene(seed)) for seed in range(12)]
        assert drop_reasons(scenes, "informative") == [None] * 12


@pytest.mark.parametrize("bars", [0, 22])
def test_cards_are_dropped_whatever_they_say(bars: int) -> None:
    cards = [drawn.with_bars(card, bars) for card in drawn.CARDS.values()]
    frames = [drawn.scene(0), *cards, drawn.scene(1)]
    assert drop_reasons(frames, "informative") == [None, *["card"] * len(cards), None]
    assert None in drop_reasons(frames, "percentile")[1:-1]


def test_black_and_nearly_black_frames_are_black_and_a_dark_scene_is_not() -> None:
    noise = np.random.default_rng(0).integers(0, 15, (180, 320, 3)).astype(np.uint8)
    frames = [np.zeros_like(noise), noise, drawn.scene(1, light=0.09), drawn.scene(2, light=0.2)]
    assert frames[-1].mean() < 25
    assert drop_reasons(frames, "informative") == ["black", "black", "black", None]


@pytest.mark.parametrize("colour", [(255, 255, 255), (200, 30, 30), (40, 40, 40)])
def test_a_frame_of_one_colour_is_blank_also_between_bars(colour: tuple) -> None:
    flat = np.full((180, 320, 3), colour, np.uint8)
    assert drop_reasons([flat], "informative") == ["blank"]
    framed = [drawn.with_bars(frame, 22) for frame in (drawn.scene(0), drawn.scene(1), flat)]
    assert drop_reasons(framed, "informative")[2] in ("blank", "card")


def test_of_frames_that_are_alike_the_most_contrasty_stays() -> None:
    rng, shot = np.random.default_rng(5), drawn.scene(3)  # each frame has noise of its own
    shots = [np.clip(shot + rng.normal(0, 6, shot.shape), 0, 255) for _ in range(3)]
    faded = [(frame * light).astype(np.uint8) for frame, light in zip(shots, (0.5, 1.0, 0.7))]
    frames = [drawn.scene(0), *faded, drawn.scene(1)]
    assert drop_reasons(frames, "informative") == [None, "duplicate", None, "duplicate", None]


def test_bars_do_not_make_different_scenes_alike() -> None:
    dark = [drawn.with_bars(drawn.scene(seed, light=0.3), 45, 60) for seed in range(12)]
    assert "duplicate" not in drop_reasons(dark, "informative")
    twice = [*dark, np.clip(dark[5].astype(int) + 2, 0, 255).astype(np.uint8)]
    assert drop_reasons(twice, "informative").count("duplicate") == 1


def film(bars: int) -> Frames:
    """Seven scenes and a title between bars, and a title over all of the frame."""
    frames = [drawn.with_bars(drawn.scene(seed), bars) for seed in range(7)]
    frames += [drawn.with_bars(drawn.CARDS["title"], bars), drawn.CARDS["coloured"]]
    return Frames(np.stack(frames), np.arange(9.0))


def test_filtering_crops_the_bars_off_all_frames_and_keeps_the_times() -> None:
    given = film(bars=22)
    filtered, reasons = filter_frames(given, "informative")
    assert reasons == [None] * 7 + ["card"] * 2
    assert 180 - 2 * 22 - 4 <= filtered.pixels.shape[1] <= 180 - 2 * 22 and filtered.pixels.shape[2:] == (320, 3)
    assert (filtered.seconds == given.seconds).all()
    for rule, frames in (("informative", film(bars=0)), ("percentile", given), ("none", given)):
        assert filter_frames(frames, rule)[0].pixels.shape == given.pixels.shape


ROWS = 20 / 180


def box_of(*frames: np.ndarray, margin: float = 0) -> LetterboxBox:
    return common_box([measure_bars(frame) for frame in frames], margin)


def scenes(count: int = 20, rows: int = 0, columns: int = 0) -> list[np.ndarray]:
    return [drawn.with_bars(drawn.scene(seed), rows, columns) for seed in range(count)]


@pytest.mark.parametrize(("rows", "columns"), [(20, 0), (0, 36), (20, 36), (0, 0)])
def test_bars_are_measured_and_cropped_to_the_line(rows: int, columns: int) -> None:
    frames = np.stack(scenes(6, rows, columns))
    cropped = box_of(*frames).crop(frames)
    assert np.array_equal(cropped, frames[:, rows : 180 - rows, columns : 320 - columns])


def test_dark_scenes_do_not_widen_the_bars_nor_a_bright_flash_remove_them() -> None:
    dark = [drawn.with_bars(drawn.scene(seed, light=0.1), 20) for seed in range(12)]
    box = box_of(*scenes(20, rows=20), *dark, np.full((180, 320, 3), 255, np.uint8))
    assert box.top == pytest.approx(ROWS) and box.bottom == pytest.approx(1 - ROWS)


def test_a_mark_and_noise_in_the_bars_do_not_hide_them() -> None:
    frames = np.stack(scenes(rows=20)).astype(int)
    frames[:, 168:176, 10:34] = 200
    frames += np.random.default_rng(0).integers(0, 15, frames.shape)
    assert box_of(*np.clip(frames, 0, 255).astype(np.uint8)).bottom == pytest.approx(1 - ROWS)


def test_no_bars_where_a_fifth_of_the_frames_has_none_or_all_is_dark() -> None:
    lamp = np.zeros((180, 320, 3), np.uint8)
    lamp[80:110, 100:220] = 255
    for frames in ([*scenes(16, rows=20), *scenes(4)], [lamp] * 10, [np.zeros_like(lamp)] * 10, []):
        assert box_of(*frames, margin=0.004) == LetterboxBox()


def test_the_trunk_is_torchvisions() -> None:
    torch = pytest.importorskip("torch")
    from torchvision.models import squeezenet1_1

    trunk = squeezenet1_1().features[:8].eval()
    stored = quality_filter._weights()
    for name, parameter in trunk.named_parameters():
        published = "0" + name[1:] if name.startswith("0.") else name
        weight = torch.from_numpy(stored[published])
        if parameter.ndim == 4:
            weight = weight.reshape(*parameter.shape[2:], *parameter.shape[1::-1]).permute(3, 2, 0, 1)
        parameter.data = weight.clone()
    thumbnails = np.stack([quality_filter.thumbnail(drawn.scene(seed)) for seed in range(3)])
    normal = torch.from_numpy((thumbnails - quality_filter.MEAN) / quality_filter.SD).permute(0, 3, 1, 2)
    with torch.inference_mode():
        expected = trunk(normal).permute(0, 2, 3, 1).numpy()
    assert quality_filter._trunk(thumbnails) == pytest.approx(expected, rel=1e-3, abs=1e-2)
