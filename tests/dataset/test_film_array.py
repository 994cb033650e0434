"""The array of all films' frames or clips of sound, and its index."""

from pathlib import Path

import numpy as np
import pytest

from trailer_lib.dataset.arrays import FilmArray, damaged_films, read_index

SHAPE = (8, 8, 3)


def made(count: int, value: int) -> np.ndarray:
    return np.full((count, *SHAPE), value, np.uint8)


def new_array(folder: Path, *counts: int) -> FilmArray:
    array = FilmArray(folder, "frames", SHAPE, {f"film{number}": "print" for number in range(len(counts))})
    for number, count in enumerate(counts):
        array.put(f"film{number}", "print", made(count, number))
    return array


def opened(folder: Path) -> FilmArray:
    """The array as a later build finds it."""
    entries = read_index(folder / "frames.jsonl")
    return FilmArray(folder, "frames", SHAPE, {entry.film: entry.source for entry in entries} | {"new": "print"})


def test_a_changed_film_is_appended_and_the_same_frames_are_written_where_they_were(tmp_path: Path) -> None:
    array = new_array(tmp_path, 3, 5)
    array.put("film0", "other", made(3, 7))
    array.put("film1", "other", made(5, 1))
    again = opened(tmp_path)
    again.put("new", "print", made(2, 9))
    again.close()
    rows = np.load(tmp_path / "frames.npy")
    assert rows.shape == (13, 8, 8, 3) and rows[:, 0, 0, 0].tolist() == [0] * 3 + [1] * 5 + [7] * 3 + [9] * 2
    assert damaged_films(again.path, again.row, again.films.values()) == set()
    again.put("new", "print", made(0, 0))
    again.close()
    assert len(np.load(tmp_path / "frames.npy")) == 11  # unused rows at the end are cut off


@pytest.mark.parametrize(("wanted", "left"), [({"film0": "print"}, 1), ({"film1": "print"}, 0), ({}, 0)])
def test_the_array_is_begun_anew_when_under_half_of_it_is_wanted(tmp_path: Path, wanted: dict, left: int) -> None:
    new_array(tmp_path, 5, 3)
    (tmp_path / "dataset.json").touch()
    assert len(FilmArray(tmp_path, "frames", SHAPE, wanted).films) == left
    assert len(read_index(tmp_path / "frames.jsonl")) == 2 * left
    assert (tmp_path / "dataset.json").exists() == (left > 0)


def test_a_killed_build_is_resumed_and_an_array_without_its_file_or_index_is_begun_anew(tmp_path: Path) -> None:
    for lost in (None, "frames.npy", "frames.jsonl"):
        FilmArray(tmp_path, "frames", SHAPE, {}).close()
        (tmp_path / "dataset.json").touch()
        opened(tmp_path).put("film0", "print", made(3, 1))  # killed before `close`
        assert len(opened(tmp_path).films) == 1 and (tmp_path / "dataset.json").exists()
        opened(tmp_path).close()
        if lost:
            (tmp_path / lost).unlink()
        assert len(opened(tmp_path).films) == (not lost) == (tmp_path / "dataset.json").exists()


def test_a_torn_line_is_ignored_and_spoils_no_other(tmp_path: Path) -> None:
    for tail in (b'0badbad0 {"film', b"\xff\xff", b"\n\n", b"00000000 "):
        (tmp_path / "frames.jsonl").unlink(missing_ok=True)
        array = new_array(tmp_path, 3, 5)
        with open(tmp_path / "frames.jsonl", "ab") as file:
            file.write(tail)
        again = opened(tmp_path)
        assert again.films == array.films
        again.put("new", "print", made(2, 2))
        assert opened(tmp_path).films == again.films and len(again.films) == 3
