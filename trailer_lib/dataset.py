"""images/ -> dataset/: all frames of all films in one memory-mapped array, a table of films, and their splits."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trailer_lib import store
from trailer_lib.errors import TrailerError
from trailer_lib.pictures import spread
from trailer_lib.project import Project
from trailer_lib.splits import SPLITS, split_hash
from trailer_lib.store import FRAMES, Entry

FILMS, CARD, TEXT = "films.csv", "dataset.json", "CARD.md"
TEXTS = dict.fromkeys(["title", "youtube_id", "genres", "url", "folder"], str)  # a film may be called "300"
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
        return self.frames[film["first"] + (spread(film["count"], count) if count else np.arange(film["count"]))]


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
        if file.read(store.HEADER) != store.header(rows, side):
            raise ValueError(f"the head of {path.name} is not as it was written")
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _verify(path: Path, films: pd.DataFrame, side: int) -> None:
    columns = (films[name] for name in ("imdb_id", "first", "count", "sha256"))
    damaged = store.damaged(path, side, [Entry(*row, pictures="") for row in zip(*columns)])
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
