"""Which films train, validate and test: by the hash of a key, so that films added later move none."""

import hashlib
from collections.abc import Iterable

import numpy as np
import pandas as pd

from trailer_lib.errors import TrailerError
from trailer_lib.settings import DatasetSettings

SPLITS = ("train", "val", "test")
LEAST = {"train": 2, "val": 1, "test": 2}  # films; of one train or test film there is no spread


def place(text: str) -> float:
    """Where in [0, 1) the hash of a text falls, evenly over many texts."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def split_of(key: str, settings: DatasetSettings) -> str:
    """The split of a `catalog.trailer_keys` key: films that share a trailer stay together, and adding moves none."""
    fell = place(f"{settings.salt}/{key}")
    if fell < settings.test:
        return "test"
    return "val" if fell < settings.test + settings.val else "train"


def folds(keys: Iterable[str], k: int, repeat: int = 0, salt: str = "trailer") -> np.ndarray:
    """The fold, 0 .. k - 1, of each film by the hash of its key: int64 [films]. Another `repeat` deals them anew.

    Films of one key share a fold and films added later move none; for that the folds differ a little in size.
    """
    if k < 3:
        raise TrailerError(f"{k} folds: at least 3 are needed, one each to train, to validate and to test")
    return np.array([int(place(f"{salt}/repeat {repeat}/{key}") * k) for key in keys], np.int64)


def fold_split(fold: np.ndarray, k: int, test_fold: int) -> list[str]:
    """The split of each film when `test_fold` tests: the fold after it validates, the others train."""
    if not 0 <= test_fold < k:
        raise TrailerError(f"fold {test_fold} of {k}: expected 0 to {k - 1}")
    names = {test_fold: "test", (test_fold + 1) % k: "val"}
    return [names.get(int(number), "train") for number in fold]


def require(split: pd.Series) -> None:
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
