"""images/ -> dataset/: all frames of all films in one memory-mapped array, a table of films, and their splits."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trailer_lib.dataset.frames import FRAMES, HEADER, Entry, damaged_films, evenly_spaced, header
from trailer_lib.errors import TrailerError
from trailer_lib.project import Project
from trailer_lib.settings import DatasetSettings

SPLITS = ("train", "val", "test")
LEAST = {"train": 2, "val": 1, "test": 2}  # films; of one train or test film there is no spread


def hash_position(text: str) -> float:
    """Where in [0, 1) the hash of a text falls, evenly over many texts."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def split_of(key: str, settings: DatasetSettings) -> str:
    """The split of a `catalog.trailer_keys` key: films that share a trailer stay together, and adding moves none."""
    fell = hash_position(f"{settings.salt}/{key}")
    if fell < settings.test:
        return "test"
    return "val" if fell < settings.test + settings.val else "train"


def assign_folds(keys: Iterable[str], k: int, repeat: int = 0, salt: str = "trailer") -> np.ndarray:
    """The fold, 0 .. k - 1, of each film by the hash of its key: int64 [films]. Another `repeat` deals them anew.

    Films of one key share a fold and films added later move none; for that the folds differ a little in size.
    """
    if k < 3:
        raise TrailerError(f"{k} folds: at least 3 are needed, one each to train, to validate and to test")
    return np.array([int(hash_position(f"{salt}/repeat {repeat}/{key}") * k) for key in keys], np.int64)


def fold_split(fold: np.ndarray, k: int, test_fold: int) -> list[str]:
    """The split of each film when `test_fold` tests: the fold after it validates, the others train."""
    if not 0 <= test_fold < k:
        raise TrailerError(f"fold {test_fold} of {k}: expected 0 to {k - 1}")
    names = {test_fold: "test", (test_fold + 1) % k: "val"}
    return [names.get(int(number), "train") for number in fold]


def require_splits(split: pd.Series) -> None:
    """TrailerError when a split has too few films to train and to be scored on."""
    for name, least in LEAST.items():
        fell = int((split == name).sum())
        if fell < least:
            remedy = "scrape more films, raise its share, or try another salt"
            raise TrailerError(
                f"{fell} of {len(split)} films fell into {name!r}, at least {least} are needed: {remedy}"
            )


def split_hash(films: pd.DataFrame) -> str:
    """A short hash of the films, their scores and splits: two runs with the same one may be compared."""
    lines = sorted(f"{film.imdb_id} {film.split} {film.score}" for film in films.itertuples())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]


FILMS, CARD, TEXT = "films.csv", "dataset.json", "CARD.md"
TEXTS = dict.fromkeys(["title", "youtube_id", "genres", "url", "file", "folder"], str)  # a film may be called "300"
NUMBERS = {"runtime_minutes": [""], "votes": [""]}  # columns in which an empty cell is an unknown number
AGAIN = "build the dataset again"


@dataclass(frozen=True)
class Dataset:
    """`frames` uint8 [frames, size, size, 3], on disk; `films` with split, first, count; `card` the dataset's facts.

    The frames of a film are rows first .. first + count of `frames`, in the film's order.
    """

    frames: np.ndarray
    films: pd.DataFrame
    card: dict

    @classmethod
    def open(cls, project: Project, verify: bool = True) -> "Dataset":
        """The dataset of a project; TrailerError when there is none or a byte of it is not as it was built.

        `verify` reads the whole array, at 0.8 GB a second and core, to check each film's frames by their hash.
        """
        folder = project.dataset
        if not (folder / CARD).exists():
            raise TrailerError(
                f"no dataset in {folder}: run notebook 2 or `python -m trailer_lib dataset --root {project.root}`"
            )
        try:
            card = _read_card(folder / CARD)
            films = _read_films(folder / FILMS, card)
            frames = _map_frames(folder / FRAMES, card)
        except (OSError, ValueError, KeyError) as error:
            raise TrailerError(f"{folder}: damaged ({' '.join(str(error).split())}): {AGAIN}") from error
        if verify:
            _verify(folder / FRAMES, films, frames.shape[1])
        return cls(frames, films, card)

    def split(self, name: str) -> pd.DataFrame:
        """The films of "train", "val" or "test"; their index is their row in `films`."""
        return self.films[self.films.split == name]

    def with_split(self, column: list[str]) -> "Dataset":
        """The same films and frames under another split, "train", "val" or "test" a film: of folds, say."""
        if len(column) != len(self.films) or not set(column) <= set(SPLITS):
            raise TrailerError(f"a split of {len(self.films)} films: expected so many of {', '.join(SPLITS)}")
        films = self.films.assign(split=column)
        return Dataset(self.frames, films, self.card | _counted(films))

    def film_frames(self, row: int, count: int = 0) -> np.ndarray:
        """`count` frames of a film, evenly spread over it, or all of them: uint8 [n, size, size, 3]."""
        film = self.films.loc[row]
        return self.frames[film["first"] + (evenly_spaced(film["count"], count) if count else np.arange(film["count"]))]


def _read_card(path: Path) -> dict[str, Any]:
    card = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(card, dict) or card.pop("hash", "") != _hash_of(card):
        raise ValueError(f"{path.name} is not as it was written, or an earlier version's")
    return card


def _hash_of(card: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(card, sort_keys=True).encode()).hexdigest()


def _read_films(path: Path, card: dict[str, Any]) -> pd.DataFrame:
    if hashlib.sha256(path.read_bytes()).hexdigest() != card["hashes"][FILMS]:
        raise ValueError(f"{path.name} is not as it was written")
    return pd.read_csv(path, dtype=TEXTS, keep_default_na=False, na_values=NUMBERS)


def _map_frames(path: Path, card: dict[str, Any]) -> np.ndarray:
    rows, side = card["shape"][:2]
    with open(path, "rb") as file:
        if file.read(HEADER) != header(rows, side):
            raise ValueError(f"the head of {path.name} is not as it was written")
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _verify(path: Path, films: pd.DataFrame, side: int) -> None:
    columns = (films[name] for name in ("imdb_id", "first", "count", "sha256"))
    damaged = damaged_films(path, side, [Entry(*row, pictures="") for row in zip(*columns)])
    if damaged:
        film = films[films.imdb_id.isin(damaged)].iloc[0]
        others = f" and {len(damaged) - 1} more" if len(damaged) > 1 else ""
        raise TrailerError(
            f"{path}: the frames of {film.title} ({film.imdb_id}){others} are damaged: {AGAIN}, it mends them alone"
        )


def _counted(films: pd.DataFrame) -> dict[str, Any]:
    counts = {split: int((films.split == split).sum()) for split in SPLITS}
    return {"splits": counts, "split_hash": split_hash(films)}


def sizes(project: Project) -> pd.DataFrame:
    """The files of dataset/ and their sizes in MB."""
    paths = sorted(path for path in project.dataset.iterdir() if not path.name.startswith(".") and path.suffix != ".md")
    return pd.DataFrame({"MB": {path.name: round(path.stat().st_size / 1e6, 3) for path in paths}})
