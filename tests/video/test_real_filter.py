"""The filter on labelled frames of real trailers in ../shared, where they are.

The stored head has learnt from these frames too: this says that what is shipped works. What it does on films it has not
seen is measured by benchmarks/filters.py, which leaves the judged films out.
"""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from conftest import SHARED

from trailer_lib.video.decode import Frames
from trailer_lib.video.frame_folder import picture_paths, read_picture
from trailer_lib.video.quality_filter import drop_reasons, filter_frames
from trailer_lib.video.sampling import sample_frames

REAL = SHARED / "real"
pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason=f"the real frames are not there ({REAL})")


def labels(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


@cache
def pictures_of(folder: Path) -> list[np.ndarray]:
    return [read_picture(path) for path in picture_paths(folder)]


@cache
def sampled_of(path: Path) -> Frames:
    return sample_frames(path, 100, 0, path.stem, 360)


def frames_alone(rule: str) -> np.ndarray:
    """Kept frames, cards among them, scenes, scenes dropped, of 455 frames of as many trailers."""
    label = labels(REAL / "trailer_frames_labels.json")
    names = sorted(set(label["labelled"]) - set(label["ambiguous"]))
    pictures = (read_picture(REAL / "trailer_frames" / f"{name}.jpg") for name in names)
    if rule == "percentile":  # it compares the pictures
        reasons = drop_reasons(pictures, rule)
    else:
        reasons = [drop_reasons([picture], rule)[0] for picture in pictures]
    kept, card = np.array([reason is None for reason in reasons]), np.isin(names, label["card"])
    return np.array([kept.sum(), (card & kept).sum(), (~card).sum(), (~card & ~kept).sum()])


def film_folders(rule: str) -> np.ndarray:
    """The same of the folders of five films; a scene is not lost where a frame like it is kept."""
    counts = np.zeros(4, int)
    for film, label in labels(REAL / "frame_labels.json").items():
        paths = picture_paths(REAL / "images" / film)
        for path, reason in zip(paths, drop_reasons(pictures_of(REAL / "images" / film), rule)):
            card, scene = int(path.stem) in label["card"], int(path.stem) not in label["card"] + label["ambiguous"]
            counts += [not reason, card and not reason, scene, scene and reason not in (None, "duplicate")]
    return counts


def reels(rule: str) -> np.ndarray:
    """The same of five reels made of these frames, with gaps of black, of which 100 frames each are sampled."""
    counts = np.zeros(4, int)
    for path in sorted((REAL / "trailers").glob("*.mp4")):
        reel = labels(path.with_suffix(".json"))
        label = labels(REAL / "frame_labels.json")[reel["film"]]
        sampled = sampled_of(path)
        shots = [source_of(reel, second) for second in sampled.seconds]
        reasons = filter_frames(sampled, rule)[1]
        kept = [shot for shot, reason in zip(shots, reasons) if reason is None]
        alike = {shot for shot, reason in zip(shots, reasons) if reason in (None, "duplicate")}
        scenes = set(shots) - {None, *label["card"], *label["ambiguous"]}
        bad = sum(shot is None or shot in label["card"] for shot in kept)
        counts += [len(kept), bad, len(scenes), len(scenes - alike)]
    return counts


def source_of(reel: dict, second: float) -> int | None:
    number = round(second * reel["fps"])
    return next(shot["source"] for shot in reel["shots"] if shot["start"] <= number < shot["start"] + shot["frames"])


@pytest.mark.parametrize("measure", [frames_alone, film_folders, reels])
def test_cards_and_black_go_and_scenes_stay(measure: Callable[[str], np.ndarray]) -> None:
    kept, bad, scenes, lost = measure("informative")
    assert bad <= 0.02 * kept and lost <= 0.03 * scenes
    kept, bad, scenes, lost = measure("percentile")  # the original's rule leaves cards in, and drops scenes
    assert bad > 0.02 * kept and lost > 0.03 * scenes


@pytest.mark.parametrize(("film", "bars"), [("Step Brothers", True), ("11_14", False)])
def test_bars_of_real_films_are_cropped_and_nothing_else(film: str, bars: bool) -> None:
    pixels = np.stack(pictures_of(REAL / "images" / film))
    cropped = filter_frames(Frames(pixels, np.arange(float(len(pixels)))), "informative")[0].pixels
    if not bars:
        assert cropped.shape == pixels.shape
        return
    assert 0.6 * pixels.shape[1] < cropped.shape[1] < 0.8 * pixels.shape[1] and cropped.shape[2] == pixels.shape[2]
    lit = np.sort(cropped.max(axis=-1), axis=0)[-len(cropped) // 4]  # what a quarter of the frames show
    assert np.median(lit[0]) > 24 and np.median(lit[-1]) > 24
