"""The real reels, frames, spreadsheets and ImageNet weights of ../shared, where they are."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
from conftest import SHARED

from trailer_lib import Project
from trailer_lib.catalog import catalog
from trailer_lib.dataset import builder, dataset
from trailer_lib.predict.predictor import Predictor
from trailer_lib.scrape import run as run_file
from trailer_lib.training import callbacks
from trailer_lib.training import run as run_file
from trailer_lib.video import frame_folder

SHARED = SHARED
REAL, VGG16 = SHARED / "real", SHARED / "weights" / "vgg16_features-imagenet1k_v1-fp16.pth"
IDS = {
    "11_14": "tt0331811",
    "Brooklyn": "tt2381111",
    "Captain America_ The First Avenger": "tt0458339",
    "Home Alone": "tt0099785",
    "Step Brothers": "tt0838283",
}
pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason=f"the real films are not there ({REAL})")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    shutil.copytree(REAL / "excels", tmp_path / "excels")
    return Project.open(tmp_path)


def reels(project: Project) -> pd.DataFrame:
    films = catalog.load(project).films
    return films[films.imdb_id.isin(IDS.values())]


def salt_with_two_test_films(films: pd.DataFrame) -> str:
    """Five films fall into three splits only by luck: the first salt that gives 2 to train, 1 to val and 2 to test."""
    for salt in map(str, range(1000)):
        chosen = dataset.DatasetSettings(val=0.2, test=0.4, salt=salt)
        if sorted(dataset.split_of(name, chosen) for name in films.youtube_id) == ["test"] * 2 + ["train"] * 2 + [
            "val"
        ]:
            return salt
    raise AssertionError("no salt splits five films")


def test_five_of_five_original_folders_are_found(project: Project) -> None:
    shutil.copytree(REAL / "images", project.images)
    found = builder.match_folders(project, catalog.load(project).films)
    assert dict(zip(found.folder, found.imdb_id)) == IDS
    assert (found.reason == "").all()


def test_the_catalogue_holds_4018_films_of_the_same_year_and_60_of_a_year_off_by_one(project: Project) -> None:
    found = catalog.load(project)
    joined = found.films.joined_by.value_counts()
    assert joined["title and year"] >= 4018 and joined["year off by one"] >= 60
    assert found.films.imdb_id.is_unique
    for name, rows in found.rows.items():
        assert rows == len(found.films) + (found.dropped.file == name).sum()


@pytest.mark.parametrize(
    ("imdb_id", "why"),
    [
        ("tt3882082", "The Boy of 2016 is not The Boy (2015)"),
        ("tt3099638", "Barfi of 2013 is not Barfi! (2012)"),
        ("tt3683702", "Fugly of 2014 is not Fugly! (2013)"),
        ("tt1680310", "a game, not Harry Potter and the Deathly Hallows: Part 2 (2011)"),
    ],
)
def test_films_that_look_like_another_get_no_trailer_of_it(project: Project, imdb_id: str, why: str) -> None:
    assert imdb_id not in set(catalog.load(project).films.imdb_id), why


@pytest.mark.skipif(not VGG16.is_file(), reason=f"the real weights are not there ({VGG16})")
def test_five_reels_become_five_predictions(project: Project) -> None:
    films = reels(project)
    source = f"folder:{REAL / 'trailers'}"
    status = run_file.scrape(project, films, project.settings("scrape", source=source, count=40))
    assert (status.status == "ok").all()
    assert all(
        len(frame_folder.picture_paths(folder)) == kept for folder, kept in zip(folders(project, films), status.kept)
    )

    salt = salt_with_two_test_films(films)
    builder.build(project, project.settings("dataset", size=64, val=0.2, test=0.4, salt=salt))
    settings = project.settings(
        "train", backbone="vgg16", frames=5, weights=str(VGG16), head="linear", lr=1e-4, epochs=2, batch=2
    )
    run = run_file.train(project, settings)
    assert run.results["weights"].endswith("26 tensors loaded; at random: head")

    predictor = Predictor.load(project.models / callbacks.BEST)
    answers = [predictor.predict(REAL / "trailers" / f"{name}.mp4") for name in films.youtube_id]
    assert all(1 <= answer.score <= 10 and 5 <= len(answer.frames) <= 40 for answer in answers)


def folders(project: Project, films: pd.DataFrame) -> list[Path]:
    done = run_file.finished(project)
    return [done[imdb_id] for imdb_id in films.imdb_id]
