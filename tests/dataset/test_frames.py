"""A film's pictures as frames of one size, and the array that they are written to."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import FRAMES, fictional_film
from PIL import Image

from trailer_lib import files
from trailer_lib.dataset import build, evenly_spaced, frames, resize_frame
from trailer_lib.dataset.frames import FrameArray, damaged_films, load_film_frames
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


def made(count: int, value: int) -> np.ndarray:
    return np.full((count, 8, 8, 3), value, np.uint8)


def new_array(folder: Path, *counts: int) -> FrameArray:
    array = FrameArray(folder, 8, {})
    for number, count in enumerate(counts):
        array.put(f"film{number}", "print", made(count, number))
    return array


def opened(folder: Path) -> FrameArray:
    """The array as a later build finds it."""
    entries = frames.read_index(folder / "frames.jsonl")
    return FrameArray(folder, 8, {entry.film: entry.pictures for entry in entries})


def places(array: FrameArray) -> dict[str, tuple[int, int]]:
    return {film: (entry.first, entry.count) for film, entry in array.films.items()}


def test_a_changed_film_is_appended_and_the_same_frames_are_written_where_they_were(tmp_path: Path) -> None:
    array = new_array(tmp_path, 3, 5)
    array.put("film0", "other", made(3, 7))
    array.put("film1", "other", made(5, 1))
    again = opened(tmp_path)
    assert places(again) == places(array) == {"film0": (8, 3), "film1": (3, 5)}
    again.put("new", "print", made(2, 9))
    again.close(again.films)
    rows = np.load(tmp_path / "frames.npy")
    assert rows.shape == (13, 8, 8, 3) and rows[:, 0, 0, 0].tolist() == [0] * 3 + [1] * 5 + [7] * 3 + [9] * 2
    assert damaged_films(again.path, 8, again.films.values()) == set()


def test_unused_rows_at_the_end_are_cut_off(tmp_path: Path) -> None:
    new_array(tmp_path, 3, 5).close(["film0"])
    assert (tmp_path / "frames.npy").stat().st_size == frames.HEADER + 3 * 192
    assert np.array_equal(np.load(tmp_path / "frames.npy"), made(3, 0))


@pytest.mark.parametrize(("wanted", "left"), [({"film0": "print"}, 2), ({"film1": "print"}, 0), ({}, 0)])
def test_the_array_is_begun_anew_when_under_half_of_it_is_wanted(tmp_path: Path, wanted: dict, left: int) -> None:
    new_array(tmp_path, 5, 3)
    (tmp_path / "dataset.json").touch()
    assert len(FrameArray(tmp_path, 8, wanted).films) == left == len(frames.read_index(tmp_path / "frames.jsonl"))
    assert (tmp_path / "dataset.json").exists() == (left > 0)


def test_the_header_has_one_length() -> None:
    assert len(frames.header(0, 8)) == len(frames.header(10**12, 1024)) == frames.HEADER


def test_a_torn_line_is_ignored_and_spoils_no_other(tmp_path: Path) -> None:
    for tail in (b'0badbad0 {"film', b"\xff\xff", b"\n\n", b"00000000 "):
        array = new_array(tmp_path, 3, 5)
        with open(tmp_path / "frames.jsonl", "ab") as file:
            file.write(tail)
        again = opened(tmp_path)
        assert again.films == array.films
        again.put("new", "print", made(2, 2))
        assert opened(tmp_path).films == again.films and len(again.films) == 3
