"""Roots that several test files share: made frames without a video, the dataset of them, and a trained model."""

import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import clips
import imageio_ffmpeg
import matplotlib
import numpy as np
import pandas as pd
import pytest
import trustme
from server import Site, serving

from trailer_lib import download, files
from trailer_lib.catalog.join import METADATA, TRAILERS
from trailer_lib.dataset import Dataset, builder
from trailer_lib.project import Project
from trailer_lib.video import frame_folder
from trailer_lib.video.decode import Frames

# Run in the background of a script, pytest is started with Ctrl-C ignored, and so would be what it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

SHARED = Path(__file__).resolve().parents[2] / "shared"  # real films and trailers, where they are
FILMS, FRAMES = 30, 16
SETTINGS = """
[scrape]
count = 20
filter = "percentile"
[dataset]
size = 32
val = 0.2
test = 0.25
[train]
backbone = "squeezenet1_1"
weights = "none"
head = "linear"
freeze = "none"
depth = "last"
aggregate = "channels"
ema_decay = 0.0
views = 1
frames = 3
epochs = 3
batch = 8
lr = 1e-3
head_lr = 0.0
"""
WORDS = "Amber Brook Cedar Dune Ember Fjord".split()


@pytest.fixture(autouse=True)
def quiet_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """No window may open, and no root may come from the environment of whoever runs the tests."""
    matplotlib.use("Agg")
    monkeypatch.setenv("MPLBACKEND", "Agg")
    monkeypatch.delenv("TRAILER_ROOT", raising=False)


@pytest.fixture(autouse=True, scope="session")
def no_waiting_for_the_disk() -> Iterator[None]:
    """No power fails in these processes, and waiting for the disk would take up to a third of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="session")
def frames_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """excels/, images/ and settings.toml of 30 fictional films, 16 small frames each; not to be changed."""
    root = tmp_path_factory.mktemp("frames_root")
    films = [fictional_film(number) for number in range(FILMS)]
    write_tables(root, films)
    for film in films:
        add_folder(root, film)
    files.write_text(root / "settings.toml", SETTINGS)
    files.write_json(root / "images" / "settings.json", Project(root).settings("scrape").as_dict())
    return root


@pytest.fixture(scope="session")
def dataset_root(frames_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of frames_root with its dataset; not to be changed."""
    root = tmp_path_factory.mktemp("dataset_root")
    shutil.copytree(frames_root, root, dirs_exist_ok=True)
    project = Project(root)
    builder.build(project, project.settings("dataset"))
    return root


@pytest.fixture(scope="session")
def data(dataset_root: Path) -> Dataset:
    return Dataset.open(Project(dataset_root))


@pytest.fixture(scope="session")
def trained_root(dataset_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of dataset_root with a model of three epochs in models/; not to be changed."""
    from trailer_lib.evaluation import metrics
    from trailer_lib.training import run  # torch takes seconds, and not every test file needs it

    root = tmp_path_factory.mktemp("trained_root")
    shutil.copytree(dataset_root, root, dirs_exist_ok=True)
    project = Project(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "RESAMPLES", 200)
        run.train(project, project.settings("train"), on_epoch=lambda history: None).test()
    return root


@pytest.fixture(scope="session")
def best(trained_root: Path) -> Path:
    """The model file of trained_root."""
    return trained_root / "models" / "best_model.pt"


@pytest.fixture(scope="session")
def trailer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of twelve seconds, of which the first two are black."""
    black = [np.zeros((36, 64, 3), np.uint8)] * 24
    return write_video(tmp_path_factory.mktemp("trailer") / "trailer.mp4", [*black, *pictures(7.0, 120, seed=1)])


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of clips.FRAMES numbered pictures, a keyframe at each 12th and three B-frames between others."""
    return clips.render(tmp_path_factory.mktemp("clip") / "clip.mp4")


@pytest.fixture(scope="session")
def make_video() -> Callable[[Path, list[np.ndarray]], Path]:
    """A function that writes pictures as an mp4 of 12 frames a second."""
    return write_video


@pytest.fixture
def copy_of(tmp_path: Path) -> Callable[[Path], Project]:
    """A function that copies a root to where the test may change it."""

    def copy(root: Path) -> Project:
        return Project(Path(shutil.copytree(root, tmp_path / "copy")))

    return copy


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures each block of features had that was computed."""
    from trailer_lib.training import frozen  # torch takes seconds, and not every test file needs it

    blocks, compute = [], frozen._compute_features
    monkeypatch.setattr(frozen, "_compute_features", lambda *given: blocks.append(len(given[1])) or compute(*given))
    return blocks


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """An HTTPS site whose certificate is known here; a silence of 0.4 s is a stall."""
    authority, trusted = trustme.CA(), tmp_path_factory.mktemp("authority") / "authority.pem"
    authority.cert_pem.write_to_path(trusted)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(trusted))
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(download, "TIMEOUT", (5.0, 0.4))
    with serving(authority) as site:
        yield site


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits asked for between two tries of a download; none is really waited for."""
    asked: list[float] = []
    monkeypatch.setattr(download, "time", SimpleNamespace(sleep=asked.append, time=time.time))
    return asked


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every connection is refused, as on a machine without a network."""
    for name in ("socket.socket.connect", "socket.create_connection", "socket.getaddrinfo"):
        monkeypatch.setattr(name, Mock(side_effect=OSError("no network in the tests")))


def amount(full: int, short: int) -> int:
    """How many of something `make torture` tries, and how many `make test`."""
    return full if os.environ.get("TORTURE") == "1" else short


def fictional_film(number: int) -> dict:
    score = round(2.0 + 7.0 * number / (FILMS - 1), 1)
    return {
        "imdb_id": f"tt88{number:05d}",
        "title": f"The {WORDS[number % 6]} {number}: Part" if number == 2 else f"{WORDS[number % 6]} {number}",
        "year": 1990 + number % 20,
        "score": score,
        "genres": "Drama|Comedy" if score > 6 else "Horror" if number % 3 else "Horror|Action",
        "youtube_id": f"pade{number:07d}",
    }


def write_tables(root: Path, films: list[dict]) -> None:
    """The two spreadsheets, with the columns that the catalogue reads."""
    header = "movie_title title_year imdb_score movie_imdb_link genres".split()
    link = "http://www.imdb.com/title/{imdb_id}/"
    facts = [[film["title"], film["year"], film["score"], link.format(**film), film["genres"]] for film in films]
    table = pd.DataFrame(facts, columns=header).assign(duration=100, num_voted_users=1000)
    trailers = [[film["youtube_id"], number, f"{film['title']} ({film['year']})"] for number, film in enumerate(films)]
    (root / "excels").mkdir(exist_ok=True)
    table.to_csv(root / "excels" / METADATA, index=False)
    pd.DataFrame(trailers, columns=["youtubeId", "movieId", "title"]).to_csv(root / "excels" / TRAILERS, index=False)


def add_folder(root: Path, film: dict, count: int = FRAMES) -> Path:
    """The film's folder of frames: `count` kept, two dropped."""
    pixels = pictures(film["score"], count + 2, seed=int(film["imdb_id"][2:]))
    frames, reasons = Frames(pixels, np.arange(count + 2) * 1.5), [None] * count + ["dark", "flat"]
    folder = root / "images" / frame_folder.folder_name(film["imdb_id"], film["title"], film["year"])
    frame_folder.save_frames(folder, frames, reasons, {name: film[name] for name in ("imdb_id", "youtube_id")})
    return folder


def add_new_films(root: Path, count: int = 8) -> list[str]:
    """More films for frames_root, which come first in every table; their ids."""
    numbers = range(FILMS, FILMS + count)
    new = [fictional_film(number) | {"score": 5.0, "title": f"A New {number}"} for number in numbers]
    for film in new:
        add_folder(root, film)
    write_tables(root, [*new, *map(fictional_film, range(FILMS))])
    return [film["imdb_id"] for film in new]


def pictures(score: float, count: int, seed: int) -> np.ndarray:
    """uint8 [count, 36, 64, 3]: the higher the score, the brighter and the bluer."""
    rng = np.random.default_rng(seed)
    colour = np.array([230 - 18 * score, 60 + 10 * score, 40 + 19 * score])
    noise = rng.normal(0, 12, (count, 36, 64, 3)) + rng.normal(0, 10, (count, 1, 1, 1))
    return np.clip(colour + np.linspace(-30, 30, 64)[:, None] + noise, 0, 255).astype(np.uint8)


def write_video(path: Path, shown: list[np.ndarray]) -> Path:
    height, width = shown[0].shape[:2]
    writer = imageio_ffmpeg.write_frames(str(path), (width, height), fps=12, codec="libx264", macro_block_size=2)
    writer.send(None)
    for picture in shown:
        writer.send(np.ascontiguousarray(picture))
    writer.close()
    return path
