"""A film's pictures as frames of one size."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import FRAMES, fictional_film
from PIL import Image

from trailer_lib import files
from trailer_lib.dataset import build, evenly_spaced, resize_frame
from trailer_lib.dataset.arrays import load_film_frames
from trailer_lib.project import Project
from trailer_lib.settings import DatasetSettings


@pytest.mark.parametrize(
    "available, count, expected",
    [(15, 5, [1, 4, 7, 10, 13]), (4, 4, [0, 1, 2, 3]), (9, 1, [4]), (2, 4, [0, 0, 1, 1]), (5, 0, [])],
)
def test_evenly_spaced_is_in_order_and_repeats_where_it_must(available: int, count: int, expected: list[int]) -> None:
    assert evenly_spaced(available, count).tolist() == expected


def flag() -> Image.Image:
    """A wide picture with a red left and a blue right end, green between."""
    pixels = np.zeros((32, 96, 3), np.uint8)
    pixels[:, :32, 0], pixels[:, 32:64, 1], pixels[:, 64:, 2] = 255, 255, 255
    return Image.fromarray(pixels)


def test_squash_keeps_the_whole_picture() -> None:
    shrunk = resize_frame(flag(), DatasetSettings(size=16, fit="squash"))
    assert shrunk[:, 1].tolist() == [[255, 0, 0]] * 16 and shrunk[:, -2].tolist() == [[0, 0, 255]] * 16


@pytest.mark.parametrize("picture", [flag(), flag().rotate(90, expand=True)])
def test_crop_keeps_the_middle_square(picture: Image.Image) -> None:
    assert (resize_frame(picture, DatasetSettings(size=16, fit="crop")) == [0, 255, 0]).all()


def barred(folder: Path, count: int = FRAMES, bar: int = 12) -> np.ndarray:
    """Pictures 128 wide and 72 high with black bars above and below; what is between, uint8 [count, 48, 128, 3]."""
    ramp = np.linspace(100, 200, 128)[:, None] + np.arange(count)[:, None, None, None]
    scenes = np.broadcast_to(ramp + np.array([0, 20, 40]), (count, 72 - 2 * bar, 128, 3)).astype(np.uint8)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for number, picture in enumerate(np.pad(scenes, ((0, 0), (bar, bar), (0, 0), (0, 0)))):
        Image.fromarray(picture).save(folder / f"{number}.jpg", quality=98)
    return scenes


@pytest.mark.parametrize("fit", ["squash", "crop"])
def test_bars_that_a_films_frames_share_are_cropped(tmp_path: Path, fit: str) -> None:
    settings = DatasetSettings(size=16, fit=fit)
    scenes = barred(tmp_path / "film")
    expected = np.stack([resize_frame(Image.fromarray(picture), settings) for picture in scenes])
    cropped, whole = (load_film_frames(tmp_path / "film", settings, bars) for bars in (True, False))
    assert np.abs(cropped.astype(int) - expected).mean() < 6 and cropped[:, 0].min() > 60
    assert whole[:, 0].max() < 30
    barred(tmp_path / "film", count=7)  # too few to tell
    assert load_film_frames(tmp_path / "film", settings, True)[:, 0].max() < 30


@pytest.mark.parametrize(
    "rule, record, cropped", [("informative", True, False), ("informative", False, True), ("none", True, True)]
)
def test_a_build_crops_bars_where_scraping_did_not(
    frames_root: Path, copy_of: Callable[[Path], Project], rule: str, record: bool, cropped: bool
) -> None:
    project, film = copy_of(frames_root), fictional_film(4)
    files.write_json(project.images / "settings.json", {"filter": rule})
    folder = next(project.images.glob(f"*{film['imdb_id']}*"))
    barred(folder)
    if record:
        files.write_json(folder / "film.json", {})
    data = build(project, project.settings("dataset", fit="crop"))
    row = data.films.index[data.films.imdb_id == film["imdb_id"]][0]
    assert (data.film_frames(row)[:, 0].min() > 60) == cropped
