"""The original project's `Dataset` file, out and in: a pickled list of [uint8 array (45, H, W), score].

The 45 channels are 15 frames of blue, green and red: it read its pictures with OpenCV.

A pickle is a program: it is read by an unpickler that can make numbers, texts, lists and NumPy arrays, nothing else.
"""

import hashlib
import math
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from trailer_lib import files
from trailer_lib.dataset.builder import finish, store_for
from trailer_lib.dataset.dataset import Dataset, require_splits, split_of
from trailer_lib.dataset.frames import resize_frame
from trailer_lib.errors import TrailerError
from trailer_lib.progress import bar
from trailer_lib.project import Project
from trailer_lib.settings import DatasetSettings

NAME = "Dataset"
FRAMES = 15  # the original's pickle holds 15 frames, 45 channels, a film
TWICE = "the same frames as an earlier film"
LARGEST = 16_000_000_000  # bytes of a pickle: 20,000 films
NUMPY = re.compile(r"numpy\.(?:_?core)\.(?:multiarray|numeric)")
MAKERS = {"_reconstruct", "scalar", "_frombuffer"}  # of NUMPY


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


class ArrayUnpickler(pickle._Unpickler):
    """Admits what a pickled NumPy array needs and nothing else; UnpicklingError for any other name.

    pickle's own Python version: the C one allocates 64 GB when a few bytes claim a large place in its memo.
    """

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("_codecs", "encode"):  # protocols 0 to 2 write bytes as text
            return _latin1
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype")) or (NUMPY.fullmatch(module) and name in MAKERS):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"the name {module[:40]}.{name[:40]}")


def _latin1(text: str, encoding: str) -> bytes:
    return text.encode("latin1")


def read_pickle(path: Path) -> list[tuple[np.ndarray, float]]:
    """(frames uint8 RGB [n, height, width, 3], score) of each film; TrailerError at what is no such list.

    It takes the file's size in memory.
    """
    if not path.is_file():
        raise TrailerError(f"{path}: no such file: name the original's pickle")
    size = path.stat().st_size
    if size > LARGEST:
        raise TrailerError(f"{path}: {size:,} bytes: at most {LARGEST:,} are read: split the list")
    try:
        with open(path, "rb") as file:
            films = ArrayUnpickler(file).load()
        return [_film(film, size) for film in _list(films)]
    except Exception as error:  # a pickle can raise anything
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise TrailerError(f"{path}: not the original's list of [uint8 array, score]: {reason}") from error


def _list(films: Any) -> list:
    if type(films) is not list or not films:
        raise ValueError(f"a {type(films).__name__}, expected a list of films")
    return films


def _film(film: Any, size: int) -> tuple[np.ndarray, float]:
    if type(film) not in (list, tuple) or len(film) != 2 or type(film[0]) is not np.ndarray:
        raise ValueError("an item that is not [array, score]")
    channels, score = film[0], _score(film[1])
    if channels.dtype != np.uint8 or channels.ndim != 3 or len(channels) % 3 or not channels.size:
        raise ValueError(f"an array of {channels.dtype} {channels.shape}, expected uint8 (3 x frames, H, W)")
    if channels.nbytes > size:  # made without its bytes
        raise ValueError(f"an array of {channels.nbytes:,} bytes in a file of {size:,}")
    return channels.reshape(-1, 3, *channels.shape[1:]).transpose(0, 2, 3, 1)[..., ::-1], score


def _score(score: Any) -> float:
    """A number, or an array of one."""
    if isinstance(score, np.ndarray | np.generic) and score.size == 1 and score.dtype.kind in "fiu":
        score = score.item()
    if type(score) not in (int, float) or not (math.isfinite(score) and 1 <= score <= 10):
        raise ValueError("a score that is not a number from 1 to 10")
    return float(score)


def import_pickle(project: Project, path: Path, settings: DatasetSettings) -> Dataset:
    """Make dataset/ of the original's pickle instead of images/, and open it.

    The file says no film's name: its key is the hash of its frames, which also decides its split, so that the same
    frames stay together and films added move none. Title and year stay unknown ("film 1", 0). Frames of another size
    are brought to `settings.size`. A file that is refused changes nothing.
    """
    read = read_pickle(path)
    every = _table([(_key(_sized(frames, settings)), score) for frames, score in read], settings)
    films = every.drop_duplicates("imdb_id")
    require_splits(films.split)
    project.dataset.mkdir(exist_ok=True)
    with files.single_run(project.dataset):
        files.remove_temporary(project.dataset)
        written = store_for(project, settings, {})
        for frames, key in bar(list(zip((frames for frames, _ in read), every.imdb_id)), desc="building", unit="film"):
            if key not in written.films:
                written.put(key, "", _sized(frames, settings))
        left_out = {TWICE: len(every) - len(films)} if len(films) < len(every) else {}
        facts = {"source": path.name, "scores_from": path.name, "scrape": {}, "left_out": left_out}
        return finish(project, written, films, settings, facts)


def _table(rows: list[tuple[str, float]], settings: DatasetSettings) -> pd.DataFrame:
    """The films of a pickle as the catalogue would list them."""
    films = pd.DataFrame(rows, columns=["imdb_id", "score"])
    films["title"] = [f"film {number + 1}" for number in range(len(films))]
    films = films.assign(
        year=0, youtube_id="", url="", file="", genres="", runtime_minutes=None, votes=None, shared=False
    )
    films = films.assign(joined_by="the original's pickle", folder="")
    return films.assign(split=[split_of(key, settings) for key in films.imdb_id])


def _sized(frames: np.ndarray, settings: DatasetSettings) -> np.ndarray:
    return np.stack([resize_frame(Image.fromarray(np.ascontiguousarray(frame)), settings) for frame in frames])


def _key(frames: np.ndarray) -> str:
    """A key like that of a film without an IMDb id: see `ids.OWN_ID`."""
    return "own-" + hashlib.sha256(frames).hexdigest()[:10]
