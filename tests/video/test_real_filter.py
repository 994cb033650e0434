"""The filter on labelled frames of real trailers in ../shared, where they are.

The stored head has learnt from these frames too: this says that what is shipped works. What it does on films it has not
seen is measured by benchmarks/filters.py, which leaves the judged films out.
"""

import json

import numpy as np
import pytest
from conftest import SHARED

from trailer_lib.video import frame_folder, quality_filter, sampling

REAL = SHARED / "real"
pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason=f"the real frames are not there ({REAL})")


def labels(name: str) -> dict:
    return json.loads((REAL / name).read_text(encoding="utf-8"))


def alone(rule: str) -> tuple[float, float]:
    """Per cent of the kept that are cards and of the scenes that are kept, of 480 frames each judged alone."""
    known = labels("trailer_frames_labels.json")
    names = sorted(set(known["labelled"]) - set(known["ambiguous"]))
    verdicts = quality_filter.judge_pictures(
        [REAL / "trailer_frames" / f"{name}.jpg" for name in names], rule, alone=True
    )
    kept = np.array([verdict.reason is None for verdict in verdicts])
    card = np.array([name in known["card"] for name in names])
    return 100 * (card & kept).sum() / kept.sum(), 100 * (~card & kept).sum() / (~card).sum()


def test_of_480_frames_judged_alone_few_kept_are_cards_and_few_scenes_are_lost() -> None:
    cards, scenes = alone("informative")
    assert cards <= 1.5 and scenes >= 96


@pytest.mark.parametrize("rule", ["none", "percentile"])
def test_the_other_rules_leave_the_cards_in(rule: str) -> None:
    assert alone(rule)[0] > 1.5


def film_folders(rule: str) -> tuple[int, int, int, int]:
    """Kept frames, cards among them, scenes, and scenes dropped for another reason than their like being kept."""
    counts = np.zeros(4, int)
    for film, known in labels("frame_labels.json").items():
        paths = frame_folder.picture_paths(REAL / "images" / film)
        for path, verdict in zip(paths, quality_filter.judge_pictures(paths, rule)):
            number, kept = int(path.stem), verdict.reason is None
            scene = number not in known["card"] + known["ambiguous"]
            counts += (
                kept,
                kept and number in known["card"],
                scene,
                scene and verdict.reason not in (None, "duplicate"),
            )
    return tuple(counts.tolist())


def test_in_the_folders_of_five_films_cards_go_and_scenes_stay() -> None:
    kept, cards, scenes, lost = film_folders("informative")
    assert cards <= 0.02 * kept and lost <= 0.05 * scenes


def test_the_originals_rule_does_neither_in_the_five_folders() -> None:
    kept, cards, scenes, lost = film_folders("percentile")
    assert cards > 0.02 * kept and lost > 0.05 * scenes


def reels(rule: str) -> tuple[int, int, int, int]:
    """Kept frames, cards or black among them, scenes drawn, and scenes of which nothing is kept, of five reels."""
    counts = np.zeros(4, int)
    for path in sorted((REAL / "trailers").glob("*.mp4")):
        reel = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        known = labels("frame_labels.json")[reel["film"]]
        sampled = sampling.sample_frames(path, 100, 0, path.stem, "exact", 360)
        shots = [source_of(reel, second) for second in sampled.seconds]
        selected, reasons = quality_filter.filter_frames(sampled, rule)
        kept = [shot for shot, reason in zip(shots, reasons) if reason is None]
        alike = {shot for shot, reason in zip(shots, reasons) if reason in (None, "duplicate")}
        scenes = set(shots) - {None, *known["card"], *known["ambiguous"]}
        bad = sum(shot is None or shot in known["card"] for shot in kept)
        counts += (len(kept), bad, len(scenes), len(scenes - alike))
        assert selected.pixels.shape[1:3] <= sampled.pixels.shape[1:3]
    return tuple(counts.tolist())


def source_of(reel: dict, second: float) -> int | None:
    number = round(second * reel["fps"])
    return next(shot["source"] for shot in reel["shots"] if shot["start"] <= number < shot["start"] + shot["frames"])


def test_of_five_reels_cards_gaps_and_black_go_and_scenes_stay() -> None:
    kept, bad, scenes, lost = reels("informative")
    assert bad <= 0.02 * kept and lost <= 0.05 * scenes


def test_without_a_filter_the_reels_keep_cards_and_gaps() -> None:
    kept, bad, _, _ = reels("none")
    assert bad > 0.02 * kept


@pytest.mark.parametrize(
    ("film", "bars"), [("Captain America_ The First Avenger", True), ("Step Brothers", True), ("11_14", False)]
)
def test_bars_of_real_films_are_cut_off_and_nothing_else(film: str, bars: bool) -> None:
    pixels = np.stack([frame_folder.read_picture(path) for path in frame_folder.picture_paths(REAL / "images" / film)])
    cut = quality_filter.filter_frames(sampling.Frames(pixels, np.arange(float(len(pixels)))), "informative")[0].pixels
    if not bars:
        assert cut.shape == pixels.shape
        return
    assert 0.6 * pixels.shape[1] < cut.shape[1] < 0.8 * pixels.shape[1] and cut.shape[2] == pixels.shape[2]
    lit = np.sort(cut.max(axis=-1), axis=0)[-len(cut) // 4]  # what a quarter of the frames show
    assert np.median(lit[0]) > 24 and np.median(lit[-1]) > 24
