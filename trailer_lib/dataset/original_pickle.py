"""The original project's `Dataset` file, out and in: a pickled list of [uint8 array (45, H, W), score].

The 45 channels are 15 frames of blue, green and red: it read its pictures with OpenCV. A pickle is a program: none of
NumPy's functions is called by it, only stand-ins that keep what an array is to be made of.
"""

import pickle
import pickletools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from trailer_lib import files
from trailer_lib.dataset.arrays import FilmArray, resize_frame, sha256
from trailer_lib.dataset.builder import finish, report_left_out
from trailer_lib.dataset.dataset import Dataset, require_splits, split_of
from trailer_lib.errors import TrailerError
from trailer_lib.progress import bar
from trailer_lib.project import Project
from trailer_lib.settings import DatasetSettings
from trailer_lib.video import BANDS, CLIP

FRAMES = 15  # of a film
LARGEST = 16_000_000_000  # bytes of a pickle: 20,000 films


def write_pickle(project: Project) -> Path:
    """dataset/Dataset as the original wrote it, with 15 frames a film."""
    data, path = Dataset.open(project), project.dataset / "Dataset"
    channels = (data.film_frames(row, FRAMES)[..., ::-1].transpose(0, 3, 1, 2) for row in data.films.index)
    rows = [[np.concatenate(film), score] for film, score in zip(channels, data.films.score.tolist())]
    with files.atomic_path(path) as temporary, open(temporary, "wb") as file:
        pickle.dump(rows, file, protocol=4)
    return path


class Dtype:
    """A dtype as a pickle describes it. NumPy's own would take any state, also one that harms memory."""

    def __init__(self, letters: Any, align: Any = False, copy: Any = True) -> None:
        self.letters = letters

    def __setstate__(self, state: Any) -> None:
        self.order = state[1]


class Array:
    """An array, or a number of NumPy's, as a pickle describes it."""

    def __init__(self, data: Any = b"", dtype: Any = None, shape: Any = (), order: Any = "C", axes: Any = None) -> None:
        self.data, self.dtype, self.shape, self.order, self.axes = data, dtype, shape, order, axes

    def __setstate__(self, state: Any) -> None:
        _, self.shape, self.dtype, fortran, self.data = state
        self.order = "F" if fortran else "C"

    def make(self) -> np.ndarray:
        """The array itself; any error where it is not one of numbers."""
        letters = self.dtype.order + self.dtype.letters
        if not re.fullmatch(r"[<>=|][fiu][1248]", letters):
            raise ValueError("an array that is not of numbers")
        data = self.data.encode("latin1") if isinstance(self.data, str) else self.data
        array = np.frombuffer(data, letters).reshape(self.shape, order="C" if self.axes else self.order)
        return array.transpose(self.axes) if self.axes else array


# The names that a pickled array needs, by NumPy 1's modules, and what is called in their place.
CALLS: dict[str, Callable] = {
    "_codecs.encode": lambda text, coding: text,  # protocols 0 to 2 write bytes as text
    "numpy.dtype": Dtype,
    "numpy.ndarray": Array,
    "numpy.core.multiarray._reconstruct": lambda kind, shape, letter: Array(),
    "numpy.core.multiarray.scalar": lambda dtype, data: Array(data, dtype),
    "numpy.core.numeric._frombuffer": Array,
}


class ArrayUnpickler(pickle.Unpickler):
    """Makes lists, tuples, numbers, texts, bytes, `Dtype`s and `Array`s; UnpicklingError for a name not in CALLS."""

    def find_class(self, module: str, name: str) -> Callable:
        if call := CALLS.get(f"{module}.{name}".replace("numpy._core.", "numpy.core.")):
            return call
        raise pickle.UnpicklingError(f"the name {module[:40]}.{name[:40]}")


def _check_opcodes(path: Path) -> None:
    """ValueError for what would take much more memory or time than the file's size explains."""
    most = 1000 + path.stat().st_size // 20  # about 50 for a film of over 3,000 bytes
    with open(path, "rb") as file:
        for number, (opcode, argument, _) in enumerate(pickletools.genops(file)):
            # The memo is an array as long as its largest index; a dict can be filled with keys of one hash.
            huge = "PUT" in opcode.name and argument > number
            if number > most or huge or "DICT" in opcode.name or "SET" in opcode.name:
                raise ValueError(f"opcode {number}, {opcode.name}")


def read_pickle(path: Path) -> list[tuple[np.ndarray, float]]:
    """(frames uint8 RGB [n, height, width, 3], score) of each film; TrailerError at what is no such list."""
    try:
        size = path.stat().st_size
        if size > LARGEST:
            raise ValueError(f"{size:,} bytes, at most {LARGEST:,} are read")
        _check_opcodes(path)
        with open(path, "rb") as file:
            films = ArrayUnpickler(file).load()
        if type(films) is not list or not films:
            raise ValueError(f"a {type(films).__name__}, expected a list of films")
        return _films(films, size)
    except Exception as error:  # a pickle can raise anything
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise TrailerError(f"{path}: not the original's list of [uint8 array, score]: {reason}") from error


def _films(films: list, size: int) -> list[tuple[np.ndarray, float]]:
    """The films of a pickle of `size` bytes; ValueError when its arrays have more bytes than that."""
    read = []
    for channels, score in films:
        channels, score = channels.make(), np.array(score) if type(score) in (int, float) else score.make()
        size -= channels.nbytes + score.nbytes
        if channels.dtype != np.uint8 or channels.ndim != 3 or len(channels) % 3 or not channels.size or size < 0:
            raise ValueError(f"an array of {channels.dtype} {channels.shape}, expected uint8 (3 x frames, H, W)")
        if score.size != 1 or not 1 <= score.item() <= 10:
            raise ValueError("a score that is not a number from 1 to 10")
        frames = channels.reshape(-1, 3, *channels.shape[1:]).transpose(0, 2, 3, 1)[..., ::-1]
        read.append((frames, float(score.item())))
    return read


def import_pickle(project: Project, path: Path, settings: DatasetSettings) -> Dataset:
    """Make dataset/ of the original's pickle instead of images/, and open it. A refused file changes nothing."""
    read = read_pickle(path)
    # It names no film: keys of their frames, like those of the catalogue's films without an IMDb id.
    keys = ["own-" + sha256(frames.tobytes())[:10] for frames, _ in read]
    films = pd.DataFrame({"imdb_id": keys, "score": [score for _, score in read]})
    titles, splits = [f"film {number + 1}" for number in films.index], [split_of(key, settings) for key in keys]
    films = films.assign(title=titles, split=splits, year=0, shared=False, joined_by="the original's pickle")
    twice = films.imdb_id.duplicated()
    left_out = films[twice].assign(folder=films.title, reason="the same frames as an earlier film", detail="")
    films = films[~twice]
    require_splits(films.split)
    project.dataset.mkdir(exist_ok=True)
    with files.single_run(project.dataset):
        files.remove_temporary(project.dataset)
        frames = FilmArray(project.dataset, "frames", (settings.size, settings.size, 3), {})
        sound = FilmArray(project.dataset, "sound", (BANDS, CLIP), {})
        for row, key in bar(films.imdb_id.items(), total=len(films), desc="building", unit="film"):
            frames.put(key, "", np.stack([resize_frame(Image.fromarray(frame), settings) for frame in read[row][0]]))
        facts = {"source": path.name, "scores_from": path.name, "scrape": {}}
        return finish(project, [frames, sound], films, settings, facts | report_left_out(project, left_out))
