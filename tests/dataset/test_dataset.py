"""Opening and checking a dataset; which films train, validate and test."""

import random
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from conftest import FILMS, amount, fictional_film, write_tables
from sounds import built, by_film, note_reads, with_dataset, with_sound

from trailer_lib.catalog import trailer_keys
from trailer_lib.dataset import SPLITS, Dataset, assign_folds, fold_split, split_hash, split_of
from trailer_lib.dataset import dataset as dataset_file
from trailer_lib.dataset.arrays import ARRAYS, HEADER
from trailer_lib.errors import TrailerError
from trailer_lib.project import Project
from trailer_lib.settings import DatasetSettings

Copy = Callable[[Path], Project]
ROWS = {"frames": 32 * 32 * 3, "sound": 128 * 128}  # bytes
FILES = ("frames.npy", "sound.npy", "films.csv", "dataset.json", "frames.jsonl", "sound.jsonl")
FLIPS = amount(200, 12)


@pytest.fixture(scope="module")
def dataset_root(frames_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dataset")
    return with_dataset(with_sound(frames_root, folder / "films"), folder / "root")


def opened(root: Path) -> Dataset:
    return Dataset.open(Project(root))


def flip(path: Path, place: int, bit: int = 0) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1 << bit
    path.write_bytes(content)


@pytest.mark.parametrize("name", ARRAYS)
def test_damaged_files_are_an_error_and_a_build_repairs_them(dataset_root: Path, copy_of: Copy, name: str) -> None:
    project = copy_of(dataset_root)
    array, first, count = project.dataset / f"{name}.npy", *ARRAYS[name][:2]
    films = opened(dataset_root).films.query(f"{count} > 0")

    def three_films() -> None:
        for row in films[first].iloc[[2, 7, 9]]:
            flip(array, HEADER + row * ROWS[name])

    damages = {
        rf"damaged {name} of .* \(tt88\d+\) and 2 more": three_films,
        f"the header of {name}.npy": lambda: flip(array, 60),
        r"damaged \(.*mmap": lambda: array.write_bytes(array.read_bytes()[:-1]),
        r"damaged \(.*No such file": array.unlink,
        r"damaged \(pop": lambda: (project.dataset / "dataset.json").write_text("[1]"),
    }
    for text, damage in damages.items():
        damage()
        with pytest.raises(TrailerError, match=f"{text}.*build the dataset again"):
            Dataset.open(project)
        built(project)
        for file in FILES:
            assert (project.dataset / file).read_bytes() == (dataset_root / "dataset" / file).read_bytes()


def test_a_flipped_bit_is_named_by_film_and_only_that_film_is_made_again(
    dataset_root: Path, copy_of: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, rng, read = copy_of(dataset_root), random.Random(7), note_reads(monkeypatch)
    whole = {name: (project.dataset / name).read_bytes() for name in FILES}
    before = Dataset.open(project)
    expected, films = by_film(before), before.films
    for number in range(FLIPS):
        name = FILES[number % 6]
        kind, ending = name.split(".")
        place = rng.randrange(len(whole[name]))
        flip(project.dataset / name, place, rng.randrange(8))
        hit = films[:0]
        if ending == "npy":
            row, (first, count, _) = (place - HEADER) // ROWS[kind], ARRAYS[kind]
            hit = films[(films[first] <= row) & (films[first] + films[count] > row)]
        if ending != "jsonl":  # read by builds alone
            text = rf"damaged {kind} of .* \({hit.imdb_id.iloc[0]}\)" if len(hit) else "damaged"
            with pytest.raises(TrailerError, match=text):
                Dataset.open(project)
        read.clear()
        assert by_film(built(project)) == expected
        assert len(read) <= {"npy": 1, "jsonl": 2}.get(ending, 0)
        assert ending != "npy" or read == ["sound of " * (kind == "sound") + film for film in hit.imdb_id]
        assert ending == "jsonl" or (project.dataset / name).read_bytes() == whole[name]
        for name in FILES:  # a film that is lost from the index goes to the end
            (project.dataset / name).write_bytes(whole[name])


def test_the_shares_are_those_asked_for_and_another_salt_gives_another_split() -> None:
    films = [f"film{number:07d}" for number in range(5000)]
    first, second = ([split_of(film, DatasetSettings(val=0.1, test=0.3, salt=salt)) for film in films] for salt in "ab")
    assert Counter(first)["val"] / 5000 == pytest.approx(0.1, abs=0.02)
    assert Counter(first)["test"] / 5000 == pytest.approx(0.3, abs=0.02)
    assert first != second


def test_splits_and_folds_do_not_change_between_versions() -> None:
    films = [f"film{number:07d}" for number in range(10)]
    splits = [split_of(film, DatasetSettings(val=0.3, test=0.3)) for film in films]
    assert splits == "val val val train val val test train test val".split()
    assert assign_folds(films, 5).tolist() == [3, 0, 3, 4, 1, 3, 0, 2, 4, 3]
    assert assign_folds([films[9], "another", *films[:2]], 5).tolist()[::2] == [3, 3]  # other films move none


def test_the_split_in_the_table_is_that_of_the_trailer(frames_root: Path, copy_of: Copy) -> None:
    project = copy_of(frames_root)
    films = [fictional_film(number) for number in range(FILMS)]
    write_tables(project.root, [film | {"youtube_id": films[n // 2]["youtube_id"]} for n, film in enumerate(films)])
    table, settings = built(project).films, project.settings("dataset")
    assert table.youtube_id.nunique() == FILMS // 2 and set(table.split) == set(SPLITS)
    assert table.split.tolist() == [split_of(key, settings) for key in table.youtube_id]


def test_the_split_hash_is_that_of_films_scores_and_splits_alone(dataset_root: Path) -> None:
    films = opened(dataset_root).films
    moved = films.assign(split=films.split.replace({"val": "test", "test": "val"}))
    rated = films.assign(score=films.score.replace({films.score[3]: 1.5}))
    assert split_hash(films) == split_hash(films[::-1]) == opened(dataset_root).card["split_hash"]
    assert split_hash(films.assign(title="")) == split_hash(films)
    assert len({split_hash(table) for table in (films, moved, rated, films[1:])}) == 4


def test_films_of_one_trailer_are_in_one_split_and_fold_and_more_films_move_none() -> None:
    numbers = np.arange(2000)
    trailers = [f"clip{number - (number % 40 == 1):07d}" if number % 50 else "" for number in numbers]
    films = pd.DataFrame({"imdb_id": [f"tt{number:07d}" for number in numbers], "youtube_id": trailers, "url": ""})

    def places(table: pd.DataFrame) -> pd.DataFrame:
        keys = trailer_keys(table)
        splits = [split_of(key, DatasetSettings()) for key in keys]
        return table.assign(split=splits, fold=assign_folds(keys, 5), another=assign_folds(keys, 5, repeat=1))

    found, columns = places(films), ["split", "fold", "another"]
    assert (found[found.youtube_id != ""].groupby("youtube_id")[columns].nunique() == 1).all(axis=None)
    assert found[columns].nunique().tolist() == [3, 5, 5]
    assert places(films.sample(500, random_state=0)).equals(found.sample(500, random_state=0))


def test_folds_are_of_about_one_size_others_in_each_repeat_and_each_tests_and_validates_once() -> None:
    keys = [f"film{number}" for number in range(5000)]
    first, second = assign_folds(keys, 5), assign_folds(keys, 5, repeat=1)
    assert first.dtype == np.int64 and np.bincount(first) == pytest.approx(1000, abs=120)
    assert (first == second).mean() == pytest.approx(0.2, abs=0.03)
    assert not np.array_equal(first, assign_folds(keys, 5, salt="another"))
    columns = np.array([fold_split(first, 5, test_fold) for test_fold in range(5)])
    assert ((columns == "test").sum(0) == 1).all() and ((columns == "val").sum(0) == 1).all()
    assert ((columns == "train").sum(0) == 3).all()
    assert (columns[4][first == 4] == "test").all() and (columns[4][first == 0] == "val").all()
    with pytest.raises(TrailerError, match="2 folds: at least 3"):
        assign_folds(keys, 2)


def test_a_dataset_under_the_split_of_a_fold_keeps_its_films(dataset_root: Path) -> None:
    data = opened(dataset_root)
    column = fold_split(assign_folds(trailer_keys(data.films), 3), 3, test_fold=1)
    other = data.with_split(column)
    assert other.films.split.tolist() == column != data.films.split.tolist()
    assert other.frames is data.frames and other.sound is data.sound
    assert other.films.drop(columns="split").equals(data.films.drop(columns="split"))
    assert other.card["splits"] == {name: column.count(name) for name in SPLITS}
    assert other.card["split_hash"] == split_hash(other.films) != data.card["split_hash"]


def test_a_film_keeps_its_rows_without_a_split_and_has_no_sound_in_a_table_without_it(dataset_root: Path) -> None:
    data = opened(dataset_root)
    expected, some = by_film(data), data.without("test")
    assert by_film(some) == {film: expected[film] for film in some.films.imdb_id} != expected
    plain = Dataset(data.frames, data.films.drop(columns=ARRAYS["sound"]), {})
    assert plain.film_sound(3).shape == (0, 128, 128) and plain.with_split(data.films.split).film_sound(3).size == 0


def test_on_colab_a_dataset_on_drive_is_copied_once_to_the_machines_disk(
    dataset_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    drive, disk = tmp_path / "drive", tmp_path / "content" / "trailer_dataset"
    project = Project(Path(shutil.copytree(dataset_root, drive / "trailers")))
    monkeypatch.setattr(dataset_file, "COLAB_DRIVE", drive)
    monkeypatch.setattr(dataset_file, "COLAB_DISK", disk)
    Dataset.open(project)
    assert not disk.exists()  # not on Colab
    monkeypatch.setitem(sys.modules, "google.colab", ModuleType("google.colab"))
    opened = [Dataset.open(project) for _ in range(2)]
    assert all(Path(rows.filename).is_relative_to(disk) for data in opened for rows in (data.frames, data.sound))
    assert capsys.readouterr().out.count("copying the dataset from Drive") == 1
    built(project, size=40)  # another dataset takes the place of the copy
    assert Dataset.open(project).frames.shape[1] == 40 and len(list(disk.iterdir())) == 1
    assert Path(Dataset.open(Project(dataset_root)).frames.filename).is_relative_to(dataset_root)  # not on Drive
