"""The dataset of a project, opened and checked; which films train, validate and test."""

import json
import math
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trailer_lib import files
from trailer_lib.dataset.arrays import ARRAYS, CARD, HEADER, Entry, damaged_films, evenly_spaced, header, sha256
from trailer_lib.errors import TrailerError
from trailer_lib.project import COLAB_DRIVE, Project, on_colab
from trailer_lib.settings import DatasetSettings
from trailer_lib.video import BANDS, CLIP

FEWEST = {"train": 2, "val": 1, "test": 2}  # films; one film alone has no standard deviation
SPLITS = tuple(FEWEST)
COLAB_DISK = Path("/content/trailer_dataset")
FILMS, PAGE = "films.csv", "CARD.md"
TEXTS = dict.fromkeys(["title", "youtube_id", "genres", "url", "file", "folder"], str)  # a film may be called "300"
NUMBERS = {"runtime_minutes": [""], "votes": [""]}  # columns in which an empty cell is an unknown number


def hash_position(text: str) -> float:
    """The hash of a text as a number in [0, 1), uniform over many texts."""
    return int(sha256(text.encode())[:16], 16) / 2**64


def split_of(key: str, settings: DatasetSettings) -> str:
    """The split of a `catalog.trailer_keys` key: films that share a trailer stay together, and adding moves none."""
    position = hash_position(f"{settings.salt}/{key}")
    return "test" if position < settings.test else "val" if position < settings.test + settings.val else "train"


def assign_folds(keys: Iterable[str], k: int, repeat: int = 0, salt: str = "trailer") -> np.ndarray:
    """The fold, 0 .. k - 1, of each film by the hash of its key: int64 [films]. Each `repeat` assigns other folds."""
    if k < 3:
        raise TrailerError(f"{k} folds: at least 3 are needed, one each to train, to validate and to test")
    return np.array([int(hash_position(f"{salt}/repeat {repeat}/{key}") * k) for key in keys], np.int64)


def fold_split(fold: np.ndarray, k: int, test_fold: int) -> list[str]:
    """The split of each film when `test_fold` tests: the fold after it validates, the others train."""
    names = {test_fold: "test", (test_fold + 1) % k: "val"}
    return [names.get(int(number), "train") for number in fold]


def require_splits(split: pd.Series) -> None:
    """TrailerError when a split has too few films to train and to be evaluated on."""
    for name, fewest in FEWEST.items():
        if (count := int((split == name).sum())) < fewest:
            text = f"{count} of {len(split)} films fell into {name!r}, at least {fewest} are needed"
            raise TrailerError(f"{text}: scrape more films, raise its share, or try another salt")


def split_hash(films: pd.DataFrame) -> str:
    """A short hash of the films, their scores and splits: two runs with the same one may be compared."""
    lines = sorted(f"{film.imdb_id} {film.split} {film.score}" for film in films.itertuples())
    return sha256("\n".join(lines).encode())[:12]


def split_facts(films: pd.DataFrame) -> dict[str, Any]:
    """What the card says of the splits: the number of films in each, and their hash."""
    return {"splits": {name: int((films.split == name).sum()) for name in SPLITS}, "split_hash": split_hash(films)}


@dataclass(frozen=True)
class Dataset:
    """`frames` uint8 [n, size, size, 3] and `sound` [clips, 128, 128] are on disk; `films`: a film's rows in them."""

    frames: np.ndarray
    films: pd.DataFrame
    card: dict
    sound: np.ndarray = field(default_factory=lambda: np.empty((0, BANDS, CLIP), np.uint8))

    @classmethod
    def open(cls, project: Project, verify: bool = True) -> "Dataset":
        """The dataset of a project; TrailerError where there is none, or with `verify` a byte has changed."""
        folder = _near(project.dataset)
        if not (folder / CARD).exists():
            command = f"python -m trailer_lib dataset --root {project.root}"
            raise TrailerError(f"no dataset in {folder}: run notebook 2 or `{command}`")
        try:
            data = _read(folder)
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            text = " ".join(str(error).split())
            raise TrailerError(f"{folder}: damaged ({text}): build the dataset again") from error
        for name in ARRAYS if verify else ():  # at 0.8 GB a second and core
            _verify(folder, name, data)
        return data

    def split(self, name: str) -> pd.DataFrame:
        """The films of "train", "val" or "test"; their index is their row in `films`."""
        return self.films[self.films.split == name]

    def with_split(self, column: list[str]) -> "Dataset":
        """The same films and arrays under another split, "train", "val" or "test" for each film."""
        films = self.films.assign(split=column)
        return replace(self, films=films, card=self.card | split_facts(films))

    def without(self, name: str) -> "Dataset":
        """The dataset without the films of a split; the others keep their frames, and get other rows in `films`."""
        films = self.films[self.films.split != name].reset_index(drop=True)
        return replace(self, films=films, card=self.card | split_facts(films))

    def film_frames(self, row: int, count: int = 0) -> np.ndarray:
        """`count` frames of a film, evenly spaced over it, or all of them: uint8 [n, size, size, 3]."""
        film = self.films.loc[row]
        return self.frames[film["first"] + (evenly_spaced(film["count"], count) if count else np.arange(film["count"]))]

    def film_sound(self, row: int) -> np.ndarray:
        """The clips of a film's sound in its order, uint8 [n, 128, 128]; n is 0 for a film without sound."""
        film = self.films.loc[row]
        return self.sound[film.get("sound_first", 0) + np.arange(film.get("sound_count", 0))]


def card_hash(card: dict[str, Any]) -> str:
    return sha256(json.dumps(card, sort_keys=True).encode())


def _read(folder: Path) -> Dataset:
    """dataset/ with its arrays mapped; ValueError when a file is not as it was written."""
    card = json.loads((folder / CARD).read_text(encoding="utf-8-sig"))
    if card.pop("hash", "") != card_hash(card) or "shapes" not in card:
        raise ValueError(f"{CARD} is not as it was written, or an earlier version's")
    if sha256((folder / FILMS).read_bytes()) != card["hashes"][FILMS]:
        raise ValueError(f"{FILMS} is not as it was written")
    films = pd.read_csv(folder / FILMS, dtype=TEXTS, keep_default_na=False, na_values=NUMBERS)
    for name in ARRAYS:
        if np.fromfile(folder / f"{name}.npy", np.uint8, HEADER).tobytes() != header(*card["shapes"][name]):
            raise ValueError(f"the header of {name}.npy is not as it was written")
    arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in ARRAYS}
    return Dataset(films=films, card=card, **arrays)


def _verify(folder: Path, name: str, data: Dataset) -> None:
    """TrailerError when films' rows in an array are not as they were built."""
    films = data.films[data.films[ARRAYS[name][1]] > 0]
    entries = [Entry(*row, "") for row in films[["imdb_id", *ARRAYS[name]]].itertuples(index=False)]
    damaged = damaged_films(folder / f"{name}.npy", math.prod(data.card["shapes"][name][1:]), entries)
    if hit := [f"{film.title} ({film.imdb_id})" for film in films.itertuples() if film.imdb_id in damaged]:
        more = f" and {len(hit) - 1} more" if len(hit) > 1 else ""
        text = f"damaged {name} of {hit[0]}{more}: build the dataset again, it repairs that alone"
        raise TrailerError(f"{folder}: {text}")


def _near(folder: Path) -> Path:
    """On Colab, a copy of `folder` on the machine's own disk, made once: Drive is slow to read."""
    if not (on_colab() and folder.is_relative_to(COLAB_DRIVE) and (folder / CARD).exists()):
        return folder
    copy = COLAB_DISK / sha256((folder / CARD).read_bytes())[:12]
    if not copy.exists():
        print(f"copying the dataset from Drive to this machine's disk, {COLAB_DISK}, once")
        shutil.rmtree(COLAB_DISK, ignore_errors=True)  # of an earlier dataset
        with files.atomic_path(copy) as temporary:
            shutil.copytree(folder, temporary)
    return copy


def sizes(project: Project) -> pd.DataFrame:
    """The files of dataset/ and their sizes in MB."""
    paths = sorted(path for path in project.dataset.iterdir() if not path.name.startswith(".") and path.suffix != ".md")
    return pd.DataFrame({"MB": {path.name: round(path.stat().st_size / 1e6, 3) for path in paths}})
