"""The real reels, frames, spreadsheets and ImageNet weights of ../shared, where they are."""

import shutil
from pathlib import Path

import pytest
from conftest import SHARED

from trailer_lib import Project
from trailer_lib.catalog import load
from trailer_lib.dataset import build, match_folders, split_of
from trailer_lib.predict import Predictor
from trailer_lib.scrape import scrape
from trailer_lib.settings import DatasetSettings
from trailer_lib.training import BEST, train

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


def test_five_of_five_original_folders_are_matched(project: Project) -> None:
    shutil.copytree(REAL / "images", project.images)
    folders = match_folders(project, load(project).films)
    assert dict(zip(folders.folder, folders.imdb_id)) == IDS and (folders.reason == "").all()


@pytest.mark.skipif(not VGG16.is_file(), reason=f"the real weights are not there ({VGG16})")
def test_five_reels_become_five_predictions(project: Project) -> None:
    films = load(project).films
    films = films[films.imdb_id.isin(IDS.values())]
    settings = project.settings("scrape", source=f"folder:{REAL / 'trailers'}", count=40)
    assert (scrape(project, films, settings).status == "ok").all()
    for number in range(1000):  # five films fall into three splits only by luck
        split = DatasetSettings(size=64, val=0.2, test=0.4, salt=str(number))
        if sorted(split_of(name, split) for name in films.youtube_id) == ["test", "test", "train", "train", "val"]:
            break
    build(project, split)
    chosen = {"backbone": "vgg16", "frames": 5, "weights": str(VGG16), "head": "linear", "lr": 1e-4, "epochs": 2}
    run = train(project, project.settings("train", batch=2, **chosen))
    assert run.results["weights"].endswith("26 tensors loaded; at random: head")
    predictor = Predictor.load(project.models / BEST)
    predictions = [predictor.predict(REAL / "trailers" / f"{name}.mp4") for name in films.youtube_id]
    assert all(1 <= made.score <= 10 and 5 <= len(made.frames) <= 40 for made in predictions)
