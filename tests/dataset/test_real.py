"""The real reels, frames, spreadsheets and ImageNet weights of ../shared, where they are."""

from pathlib import Path

import pandas as pd
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


@pytest.fixture(scope="module")
def films() -> pd.DataFrame:
    return load(Project(REAL.resolve())).films


def test_five_of_five_original_folders_are_matched(films: pd.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "images").symlink_to(REAL / "images")
    folders = match_folders(Project(tmp_path), films)
    assert dict(zip(folders.folder, folders.imdb_id)) == IDS and (folders.reason == "").all()


@pytest.mark.skipif(not VGG16.is_file(), reason=f"the real weights are not there ({VGG16})")
def test_five_reels_become_predictions(films: pd.DataFrame, tmp_path: Path) -> None:
    (tmp_path / "excels").symlink_to(REAL / "excels")
    project, films = Project.open(tmp_path), films[films.imdb_id.isin(IDS.values())]
    settings = project.settings("scrape", source=f"folder:{REAL / 'trailers'}", count=20)
    assert (scrape(project, films, settings).status == "ok").all()
    for number in range(1000):  # five films fall into three splits only by luck
        split = DatasetSettings(size=32, val=0.2, test=0.4, salt=str(number), min_frames=5)
        if sorted(split_of(name, split) for name in films.youtube_id) == ["test", "test", "train", "train", "val"]:
            break
    build(project, split)
    chosen = {"backbone": "vgg16", "frames": 3, "weights": str(VGG16), "head": "linear", "lr": 1e-4, "epochs": 1}
    run = train(project, project.settings("train", batch=2, **chosen))
    assert run.validation.results["weights"].endswith("26 tensors loaded; at random: head")
    made = Predictor.load(project.models / BEST).predict(REAL / "trailers" / f"{films.youtube_id.iloc[0]}.mp4")
    assert 1 <= made.score <= 10 and 3 <= len(made.frames) <= 20
