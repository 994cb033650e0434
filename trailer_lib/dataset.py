"""images/ -> dataset/: all frames of all films in one memory-mapped array, a table of films, and their splits."""

import hashlib
import json
import os
import pickle
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd
from PIL import Image

from trailer_lib import catalog, files, titles
from trailer_lib.errors import TrailerError
from trailer_lib.frames import folder_id, picture_paths
from trailer_lib.progress import bar
from trailer_lib.project import Project
from trailer_lib.settings import DatasetSettings

SPLITS = ("train", "val", "test")
FRAMES, FILMS, CARD = "frames.npy", "films.csv", "dataset.json"
TEXTS = dict.fromkeys(["title", "youtube_id", "genres", "url"], str)  # a film may be called "300"
NUMBERS = {"runtime_minutes": [""], "votes": [""]}  # columns in which an empty cell is an unknown number
PICKLE_FRAMES = 15  # the original's pickle holds 15 frames, 45 channels, a film


@dataclass(frozen=True)
class Dataset:
    """`frames` uint8 [frames, size, size, 3], on disk; `films` with split, first, count; `card` the dataset's facts.

    The frames of a film are rows first .. first + count of `frames`, in the film's order.
    """

    frames: np.ndarray
    films: pd.DataFrame
    card: dict

    @classmethod
    def open(cls, project: Project) -> "Dataset":
        folder = project.dataset
        if not (folder / CARD).exists():
            raise TrailerError(
                f"no dataset in {folder}: run notebook 2 or `python -m trailer_lib dataset --root {project.root}`"
            )
        try:
            card = json.loads((folder / CARD).read_text(encoding="utf-8"))
            array = np.load(folder / FRAMES, mmap_mode="r", allow_pickle=False)
            films = pd.read_csv(folder / FILMS, dtype=TEXTS, keep_default_na=False, na_values=NUMBERS)
        except (OSError, ValueError) as error:
            raise TrailerError(
                f"{folder}: damaged ({' '.join(str(error).split())}): build the dataset again"
            ) from error
        if list(array.shape) != card["shape"] or len(films) != card["films"]:
            raise TrailerError(f"{folder}: {FRAMES}, {FILMS} and {CARD} differ: build the dataset again")
        return cls(array, films, card)

    def split(self, name: str) -> pd.DataFrame:
        """The films of "train", "val" or "test"; their index is their row in `films`."""
        return self.films[self.films.split == name]

    def with_split(self, column: list[str]) -> "Dataset":
        """The same films and frames under another split, "train", "val" or "test" a film: of folds, say."""
        if len(column) != len(self.films) or not set(column) <= set(SPLITS):
            raise TrailerError(f"a split of {len(self.films)} films: expected so many of {', '.join(SPLITS)}")
        films = self.films.assign(split=column)
        counted = {split: int((films.split == split).sum()) for split in SPLITS}
        return Dataset(self.frames, films, self.card | {"splits": counted, "split_hash": split_hash(films)})

    def film_frames(self, row: int, count: int = 0) -> np.ndarray:
        """`count` frames of a film, evenly spread over it, or all of them: uint8 [n, size, size, 3]."""
        film = self.films.loc[row]
        return self.frames[film["first"] + (spread(film["count"], count) if count else np.arange(film["count"]))]


def spread(available: int, count: int) -> np.ndarray:
    """`count` indices spread evenly over 0 .. available - 1, in order; some repeat when there are too few."""
    return ((np.arange(count) + 0.5) * available / count).astype(int)


def split_of(trailer: str, settings: DatasetSettings) -> str:
    """The split of a trailer (its YouTube id, else its link): films that share it stay together, adding moves none."""
    digest = hashlib.sha256(f"{settings.salt}/{trailer}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    if place < settings.test:
        return "test"
    return "val" if place < settings.test + settings.val else "train"


def find_films(project: Project, films: pd.DataFrame) -> pd.DataFrame:
    """The folders of images/ matched to the catalogue: folder, pictures, imdb_id ("" when unmatched), reason.

    A folder is matched by the id in its name, else (the original's layout) by its title, if that is one film's alone.
    """
    known, by_title = set(films.imdb_id), _by_title(films)
    rows = []
    for folder in sorted(path for path in project.images.glob("*") if path.is_dir() and not path.name.startswith(".")):
        matches = [folder_id(folder.name)] if folder_id(folder.name) else by_title[titles.normal_title(folder.name)]
        reason = "" if len(matches) == 1 and matches[0] in known else _no_match(matches)
        rows.append([folder.name, len(picture_paths(folder)), "" if reason else matches[0], reason])
    table = pd.DataFrame(rows, columns=["folder", "pictures", "imdb_id", "reason"])
    fullest = table.sort_values("pictures", ascending=False, kind="stable").imdb_id
    table.loc[fullest.ne("") & fullest.duplicated(), "reason"] = "a fuller folder holds the same film"
    return table


def _by_title(films: pd.DataFrame) -> defaultdict[str, list[str]]:
    ids = defaultdict(list)
    for film in films.itertuples():
        ids[titles.normal_title(film.title)].append(film.imdb_id)
    return ids


def _no_match(matches: list) -> str:
    return "several films have this title" if len(matches) > 1 else "not in the catalogue"


def build(project: Project, settings: DatasetSettings) -> Dataset:
    """Write dataset/ from images/ and open it. A folder that can't be used is left out; `card["left_out"]` says why."""
    films = catalog.load(project).films
    found = find_films(project, films)
    found.loc[found.reason.eq("") & (found.pictures < settings.min_frames), "reason"] = (
        f"under {settings.min_frames} frames"
    )
    usable = found[found.reason == ""].merge(films, on="imdb_id")
    if usable.empty:
        raise TrailerError(
            f"{project.images}: no folder with {settings.min_frames} frames in it: scrape first, or lower min_frames"
        )
    (project.dataset / CARD).unlink(missing_ok=True)  # until all three files are new, there is no dataset
    table, shape, damaged = _write_frames(project, usable, settings)
    left_out = Counter(found[found.reason != ""].reason) + Counter(damaged)
    table["split"] = [split_of(key, settings) for key in catalog.trailer_keys(table)]
    _require_splits(table)
    with files.atomic_path(project.dataset / FILMS) as temporary:
        table.to_csv(temporary, index=False)
    _write_card(project, settings, table, shape, left_out)
    return Dataset.open(project)


def _write_card(
    project: Project, settings: DatasetSettings, table: pd.DataFrame, shape: tuple, left_out: Counter
) -> None:
    card = {
        "settings": settings.as_dict(),
        "scrape": scrape_settings(project),
        "films": len(table),
        "shape": list(shape),
        "splits": {split: int((table.split == split).sum()) for split in SPLITS},
        "split_hash": split_hash(table),
        "left_out": dict(left_out),
    }
    files.write_json(project.dataset / CARD, card)


def scrape_settings(project: Project) -> dict:
    """The settings the frames were scraped with, {} for frames from elsewhere."""
    path = project.images / "settings.json"
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except ValueError as error:
        raise TrailerError(f"{path}: damaged ({error}): remove it, or scrape again") from error


def sizes(project: Project) -> pd.DataFrame:
    """The files of dataset/ and their sizes in MB."""
    paths = sorted(path for path in project.dataset.iterdir() if not path.name.startswith(".") and path.suffix != ".md")
    return pd.DataFrame({"MB": {path.name: round(path.stat().st_size / 1e6, 3) for path in paths}})


def split_hash(films: pd.DataFrame) -> str:
    """A short hash of the films, their scores and splits: two runs with the same one may be compared."""
    lines = sorted(f"{film.imdb_id} {film.split} {film.score}" for film in films.itertuples())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]


def _require_splits(table: pd.DataFrame) -> None:
    for split, least in (("train", 2), ("val", 1), ("test", 2)):
        fell = int((table.split == split).sum())
        if fell < least:
            remedy = "scrape more films, raise its share, or try another salt"
            raise TrailerError(
                f"{fell} of {len(table)} films fell into {split!r}, at least {least} are needed: {remedy}"
            )


def _write_frames(
    project: Project, usable: pd.DataFrame, settings: DatasetSettings
) -> tuple[pd.DataFrame, tuple, list[str]]:
    """Write frames.npy film by film. Returns the table with first and count, the array's shape, why films were lost."""
    rows, damaged, total = [], [], 0
    side = settings.size
    with files.atomic_path(project.dataset / FRAMES) as temporary, open(temporary, "wb") as file:
        _write_header(file, (int(usable.pictures.sum()), side, side, 3))
        for film, pictures in _loaded(project, usable, settings):
            if pictures is None:
                damaged.append("a picture is damaged")
                continue
            file.write(pictures.tobytes())
            rows.append(film | {"first": total, "count": len(pictures)})
            total += len(pictures)
        file.seek(0)
        _write_header(file, (total, side, side, 3))
    if not rows:
        raise TrailerError(f"{project.images}: each of {len(usable)} films has a damaged picture: scrape again")
    columns = [*catalog.COLUMNS, "folder", "first", "count"]
    return pd.DataFrame(rows)[columns], (total, side, side, 3), damaged


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    # NumPy leaves room for the first number to grow, so a second header fits over the first.
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})


def _loaded(
    project: Project, usable: pd.DataFrame, settings: DatasetSettings
) -> Iterator[tuple[dict, np.ndarray | None]]:
    """Each film with its pictures, in order; None when one is damaged. A few films at a time, so memory stays flat."""
    films = usable.to_dict("records")
    workers = os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as pool, bar(total=len(films), desc="building", unit="film") as progress:
        for start in range(0, len(films), 2 * workers):
            batch = films[start : start + 2 * workers]
            loading = pool.map(lambda film: load_folder(project.images / film["folder"], settings), batch)
            for film, pictures in zip(batch, loading):
                yield film, pictures
                progress.update()


def load_folder(folder: Path, settings: DatasetSettings) -> np.ndarray | None:
    """The pictures of a folder as uint8 [n, size, size, 3], None when one of them is damaged."""
    try:
        return np.stack([_load(path, settings) for path in picture_paths(folder)])
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def _load(path: Path, settings: DatasetSettings) -> np.ndarray:
    with Image.open(path, formats=["JPEG"]) as picture:
        # JPEG decodes to a half or a quarter at no cost; twice the size wanted keeps the shrinking smooth.
        picture.draft("RGB", (2 * settings.size, 2 * settings.size))
        return shrink(picture.convert("RGB"), settings)


def shrink(picture: Image.Image, settings: DatasetSettings) -> np.ndarray:
    """A picture as the dataset holds it: uint8 [size, size, 3]."""
    width, height = picture.size
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    box = (left, top, left + side, top + side) if settings.fit == "crop" else None
    return np.asarray(picture.resize((settings.size, settings.size), Image.Resampling.BOX, box=box))


def write_pickle(project: Project) -> Path:
    """dataset/Dataset as the original wrote it: a list of [uint8 array (45, size, size), score]."""
    opened = Dataset.open(project)
    rows = [[_channels(opened, row), float(opened.films.score[row])] for row in opened.films.index]
    path = project.dataset / "Dataset"
    with files.atomic_path(path) as temporary, open(temporary, "wb") as file:
        pickle.dump(rows, file, protocol=4)
    return path


def _channels(opened: Dataset, row: int) -> np.ndarray:
    frames = opened.film_frames(row, PICKLE_FRAMES).transpose(0, 3, 1, 2)
    return np.ascontiguousarray(frames.reshape(-1, *frames.shape[2:]))
