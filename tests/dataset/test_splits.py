"""Which films train, validate and test: fixed by a hash, so that no trailer leaks and added films move none."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import FILMS, SHARED, add_new_films, fictional_film, write_tables

from trailer_lib.catalog import catalog
from trailer_lib.dataset import builder, dataset
from trailer_lib.dataset.dataset import Dataset, assign_folds, fold_split, split_hash, split_of
from trailer_lib.errors import TrailerError
from trailer_lib.project import Project
from trailer_lib.settings import DatasetSettings

Copy = Callable[[Path], Project]
REAL = SHARED / "real" / "excels"


def built(project: Project, **chosen: object) -> Dataset:
    return builder.build(project, project.settings("dataset", **chosen))


def opened(root: Path) -> Dataset:
    return Dataset.open(Project(root))


def test_the_shares_are_those_asked_for() -> None:
    settings = DatasetSettings(val=0.1, test=0.3)
    counts = Counter(split_of(f"film{number:07d}", settings) for number in range(5000))
    assert counts["val"] / 5000 == pytest.approx(0.1, abs=0.02)
    assert counts["test"] / 5000 == pytest.approx(0.3, abs=0.02)


def test_another_salt_gives_another_split() -> None:
    films = [f"film{number:07d}" for number in range(100)]
    first, again, other = ([split_of(f, DatasetSettings(salt=salt)) for f in films] for salt in ("a", "a", "b"))
    assert first == again != other


def test_the_split_of_a_trailer_does_not_change_between_versions() -> None:
    splits = [split_of(f"film{number:07d}", DatasetSettings(val=0.3, test=0.3)) for number in range(10)]
    assert splits == "val val val train val val test train test val".split()


def test_the_split_in_the_table_is_that_of_the_trailer(dataset_root: Path) -> None:
    settings = Project(dataset_root).settings("dataset")
    films = opened(dataset_root).films
    assert films.split.tolist() == [split_of(key, settings) for key in films.youtube_id]
    assert set(films.split) == {"train", "val", "test"}


def test_films_that_share_a_trailer_share_a_split(frames_root: Path, copy_of: Copy) -> None:
    project = copy_of(frames_root)
    films = [fictional_film(number) for number in range(FILMS)]
    write_tables(project.root, [film | {"youtube_id": films[n // 2]["youtube_id"]} for n, film in enumerate(films)])
    table = built(project).films
    assert table.youtube_id.nunique() == FILMS // 2
    assert (table.groupby("youtube_id").split.nunique() == 1).all()


def test_more_films_move_none_to_another_split(dataset_root: Path, copy_of: Copy) -> None:
    before = opened(dataset_root).films.set_index("imdb_id").split
    project = copy_of(dataset_root)
    new = add_new_films(project.root)
    after = built(project).films.set_index("imdb_id").split
    assert set(after.index) - set(before.index) == set(new)
    assert after[before.index].equals(before)


def test_the_split_hash_is_that_of_films_scores_and_splits_alone(dataset_root: Path) -> None:
    films = opened(dataset_root).films
    moved = films.assign(split=films.split.replace({"val": "test", "test": "val"}))
    rated = films.assign(score=films.score.replace({films.score[3]: 1.5}))
    assert split_hash(films) == split_hash(films[::-1]) == opened(dataset_root).card["split_hash"]
    assert split_hash(films.assign(title="")) == split_hash(films)
    assert len({split_hash(table) for table in (films, moved, rated, films[1:])}) == 4


def test_the_mean_and_sd_of_the_scores_are_the_train_films_alone(dataset_root: Path) -> None:
    data = opened(dataset_root)
    scores = data.split("train").score
    assert data.card["train_score"] == {"mean": scores.mean(), "sd": scores.std(ddof=0)}
    assert data.films.score.mean() != pytest.approx(scores.mean())


# Many films: D8.


def many(films: int, first: int = 0) -> pd.DataFrame:
    """Films of which every 40th shares its trailer with the one before."""
    numbers = np.arange(first, first + films)
    shared = np.where(numbers % 40 == 1, numbers - 1, numbers)
    trailers = [f"clip{number:07d}" for number in shared]
    return pd.DataFrame({"imdb_id": [f"tt{n:07d}" for n in numbers], "youtube_id": trailers, "url": ""})


def everyway(keys: pd.Series) -> dict[str, list]:
    """The split and, for three repeats of five folds, the fold of each film."""
    found = {"split": [split_of(key, DatasetSettings()) for key in keys]}
    return found | {f"folds {repeat}": assign_folds(keys, 5, repeat).tolist() for repeat in range(3)}


def check_no_leak(films: pd.DataFrame, more: pd.DataFrame) -> None:
    before, after = (everyway(catalog.trailer_keys(table)) for table in (films, pd.concat([more, films])))
    for name, places in before.items():
        assert after[name][len(more) :] == places, "adding films moved one"
        for column in ("imdb_id", "youtube_id"):
            assert (pd.Series(places).groupby(films[column].to_numpy()).nunique() == 1).all()


def test_of_2960_films_no_trailer_is_in_two_splits_and_500_more_move_none() -> None:
    assert many(2960).youtube_id.duplicated().sum() == 74
    check_no_leak(many(2960), many(500, first=2960))


@pytest.mark.skipif(not REAL.is_dir(), reason=f"the real spreadsheets are not there ({REAL})")
def test_the_real_films_do_not_leak_and_more_move_none() -> None:
    films = catalog.load(Project(REAL.parent.resolve())).films
    check_no_leak(films[500:].reset_index(drop=True), films[:500])
    assert len(films) >= 4018


def test_films_without_a_trailer_are_split_by_their_own_id() -> None:
    posters = many(300).assign(youtube_id="")
    keys = catalog.trailer_keys(posters)
    assert keys.tolist() == posters.imdb_id.tolist()
    assert set(everyway(keys)["split"]) == {"train", "val", "test"}


# Folds.


def test_folds_are_of_about_one_size_and_other_ones_each_repeat() -> None:
    keys = [f"film{number}" for number in range(5000)]
    first, again, second = assign_folds(keys, 5), assign_folds(keys, 5, repeat=0), assign_folds(keys, 5, repeat=1)
    assert np.array_equal(first, again) and first.dtype == np.int64
    assert np.bincount(first) == pytest.approx(1000, abs=120)
    assert (first == second).mean() == pytest.approx(0.2, abs=0.03)
    assert not np.array_equal(first, assign_folds(keys, 5, salt="another"))


def test_the_fold_of_a_trailer_does_not_change_between_versions() -> None:
    assert assign_folds([f"film{number:07d}" for number in range(10)], 5).tolist() == [3, 0, 3, 4, 1, 3, 0, 2, 4, 3]


def test_every_film_is_tested_and_validates_once() -> None:
    fold = assign_folds([f"film{number}" for number in range(200)], 4)
    columns = np.array([fold_split(fold, 4, test_fold) for test_fold in range(4)])
    assert ((columns == "test").sum(0) == 1).all() and ((columns == "val").sum(0) == 1).all()
    assert ((columns == "train").sum(0) == 2).all()
    assert (columns[3][fold == 3] == "test").all() and (columns[3][fold == 0] == "val").all()


@pytest.mark.parametrize("k", [-1, 0, 1, 2])
def test_under_three_folds_are_refused(k: int) -> None:
    with pytest.raises(TrailerError, match=f"{k} folds: at least 3"):
        assign_folds(["a", "b"], k)


@pytest.mark.parametrize("test_fold", [-1, 5])
def test_a_fold_that_is_not_there_is_refused(test_fold: int) -> None:
    with pytest.raises(TrailerError, match=f"fold {test_fold} of 5: expected 0 to 4"):
        fold_split(np.array([0, 1]), 5, test_fold)


def test_a_dataset_under_the_split_of_a_fold_keeps_its_films(dataset_root: Path) -> None:
    data = opened(dataset_root)
    column = fold_split(assign_folds(catalog.trailer_keys(data.films), 3), 3, test_fold=1)
    other = data.with_split(column)
    assert other.films.split.tolist() == column != data.films.split.tolist()
    assert other.frames is data.frames and other.films.drop(columns="split").equals(data.films.drop(columns="split"))
    assert other.card["splits"] == {name: column.count(name) for name in dataset.SPLITS}
    assert other.card["split_hash"] == split_hash(other.films) != data.card["split_hash"]
    assert opened(dataset_root).films.equals(data.films)


@pytest.mark.parametrize("column", [[], ["train"] * (FILMS - 1), ["train"] * (FILMS - 1) + ["valid"]])
def test_a_split_of_other_films_or_names_is_refused(dataset_root: Path, column: list[str]) -> None:
    with pytest.raises(TrailerError, match=f"a split of {FILMS} films: expected so many of train, val, test"):
        opened(dataset_root).with_split(column)
