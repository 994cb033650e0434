"""The original project's `Dataset` file, out and in: a pickled list of [uint8 array (45, H, W), score].

The 45 channels are 15 frames of blue, green and red: it read its pictures with OpenCV.

A pickle is a program. It is read here without pickle's own machine: of its instructions only those that make lists,
tuples, numbers, bytes and NumPy arrays are known, nothing is imported or called, and each film is handed on and
forgotten as soon as it is whole, so that a file of any size takes little memory.
"""

import hashlib
import math
import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from trailer_lib import files, splits, unpickle
from trailer_lib.dataset import Dataset, finish, store_for
from trailer_lib.errors import TrailerError
from trailer_lib.pictures import shrink
from trailer_lib.progress import bar
from trailer_lib.project import Project
from trailer_lib.settings import DatasetSettings

NAME = "Dataset"
FRAMES = 15  # the original's pickle holds 15 frames, 45 channels, a film
TWICE = "the same frames as an earlier film"


def write_pickle(project: Project) -> Path:
    """dataset/Dataset as the original wrote it: a list of [uint8 array (45, size, size), score], 15 frames a film."""
    opened = Dataset.open(project)
    rows = [[_channels(opened, row), float(opened.films.score[row])] for row in opened.films.index]
    path = project.dataset / NAME
    with files.atomic_path(path) as temporary, open(temporary, "wb") as file:
        pickle.dump(rows, file, protocol=4)
    return path


def _channels(opened: Dataset, row: int) -> np.ndarray:
    frames = opened.film_frames(row, FRAMES)[..., ::-1].transpose(0, 3, 1, 2)
    return np.ascontiguousarray(frames.reshape(-1, *frames.shape[2:]))


def read_pickle(path: Path) -> Iterator[tuple[np.ndarray, float]]:
    """Each film's (frames uint8 RGB [n, height, width, 3], score); TrailerError at what is no such list."""
    if not path.is_file():
        raise TrailerError(f"{path}: no such file: name the original's pickle")
    try:
        with open(path, "rb") as file:
            for channels, score in unpickle.pairs(file):
                yield _frames(channels), _score(score)
    except unpickle.Refused as error:
        raise TrailerError(f"{path}: not the original's list of [uint8 array, score]: {error}") from error


def _frames(channels: np.ndarray) -> np.ndarray:
    if channels.dtype != np.uint8 or channels.ndim != 3 or len(channels) % 3 or not channels.size:
        raise unpickle.Refused(f"an array of {channels.dtype} {channels.shape}, expected uint8 (3 x frames, H, W)")
    return channels.reshape(-1, 3, *channels.shape[1:]).transpose(0, 2, 3, 1)[..., ::-1]


def _score(score: float) -> float:
    if not (math.isfinite(score) and 1 <= score <= 10):
        raise unpickle.Refused("a score that is not from 1 to 10")
    return float(score)


def import_pickle(project: Project, path: Path, settings: DatasetSettings) -> Dataset:
    """Make dataset/ of the original's pickle instead of images/, and open it.

    The file says no film's name: its key is the hash of its frames, which also decides its split, so that the same
    frames stay together and films added move none. Title and year stay unknown ("film 1", 0). Frames of another size
    are brought to `settings.size`. A file that is refused changes nothing.
    """
    every = _table(path, settings)
    films = every.drop_duplicates("imdb_id")
    splits.require(films.split)
    project.dataset.mkdir(exist_ok=True)
    with files.only_run(project.dataset):
        files.remove_temporary(project.dataset)
        written = store_for(project, settings, {})
        for frames, _ in bar(_sized(path, settings), total=len(every), desc="building", unit="film"):
            if _key(frames) not in written.films:
                written.put(_key(frames), "", frames)
        left_out = {TWICE: len(every) - len(films)} if len(films) < len(every) else {}
        facts = {"source": path.name, "scores_from": path.name, "scrape": {}, "left_out": left_out}
        return finish(project, written, films, settings, facts)


def _table(path: Path, settings: DatasetSettings) -> pd.DataFrame:
    """The films of a pickle as the catalogue would list them."""
    rows = [(_key(frames), score) for frames, score in _sized(path, settings)]
    films = pd.DataFrame(rows, columns=["imdb_id", "score"])
    films["title"] = [f"film {number + 1}" for number in range(len(films))]
    films = films.assign(year=0, youtube_id="", url="", genres="", runtime_minutes=None, votes=None, shared=False)
    films = films.assign(joined_by="the original's pickle", folder="")
    return films.assign(split=[splits.split_of(key, settings) for key in films.imdb_id])


def _sized(path: Path, settings: DatasetSettings) -> Iterator[tuple[np.ndarray, float]]:
    for frames, score in read_pickle(path):
        yield np.stack([shrink(Image.fromarray(np.ascontiguousarray(frame)), settings) for frame in frames]), score


def _key(frames: np.ndarray) -> str:
    """A key like that of a film without an IMDb id: see `ids.OWN_ID`."""
    return "own-" + hashlib.sha256(frames).hexdigest()[:10]
