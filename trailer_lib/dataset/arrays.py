"""A film's pictures as frames of one size; frames.npy and sound.npy, the arrays of all films, each with its index."""

import hashlib
import io
import json
import math
import os
import zlib
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from trailer_lib import files
from trailer_lib.progress import bar
from trailer_lib.settings import DatasetSettings
from trailer_lib.video import LetterboxBox, common_box, measure_bars, picture_paths, read_picture

CARD = "dataset.json"
# The arrays, and the columns of films.csv that say which rows are a film's, and their SHA-256.
ARRAYS = {"frames": ["first", "count", "sha256"], "sound": ["sound_first", "sound_count", "sound_sha256"]}
VERSION = 2  # of making frames from pictures; a new number makes every film again
BAR_FRAMES, FEWEST_BAR_FRAMES = 15, 8  # whose black bars are measured; fewer may all be dark where there are no bars
HEADER = 128  # bytes, of NumPy's format 1.0; it leaves room for the number of rows to grow


class Entry(NamedTuple):
    """Rows first .. first + count of the array are a film's; `source` is the fingerprint of the files they are of."""

    film: str
    first: int
    count: int
    sha256: str
    source: str


def sha256(data: bytes | np.ndarray) -> str:
    return hashlib.sha256(data).hexdigest()


def evenly_spaced(available: int, count: int) -> np.ndarray:
    """`count` indices spread evenly over 0 .. available - 1, in order; some repeat when there are too few."""
    return ((np.arange(count) + 0.5) * available / count).astype(int)


def load_film_frames(folder: Path, settings: DatasetSettings, crop_bars: bool = False) -> np.ndarray:
    """The pictures of a folder, with or without the black bars they share, uint8 [n, size, size, 3]."""
    paths = picture_paths(folder)
    measured = evenly_spaced(len(paths), BAR_FRAMES) if crop_bars and len(paths) >= FEWEST_BAR_FRAMES else []
    box = common_box([measure_bars(read_picture(paths[index])) for index in measured])
    return np.stack([resize_frame(Image.fromarray(read_picture(path)), settings, box) for path in paths])


def resize_frame(picture: Image.Image, settings: DatasetSettings, box: LetterboxBox | None = None) -> np.ndarray:
    """The part of a picture within `box`, by default all of it, as uint8 [size, size, 3]."""
    box = box or LetterboxBox()
    left, right, top, bottom = np.repeat(picture.size, 2) * (box.left, box.right, box.top, box.bottom)
    if settings.fit == "crop":  # the middle square
        side = min(right - left, bottom - top)
        left, top = left + (right - left - side) // 2, top + (bottom - top - side) // 2
        right, bottom = left + side, top + side
    size = (settings.size, settings.size)
    return np.asarray(picture.resize(size, Image.Resampling.BOX, box=(left, top, right, bottom)))


def fingerprint(paths: Iterable[Path], *facts: object) -> str:
    """A hash of what a film's rows depend on: `facts`, and the names, sizes and times of its files."""
    stats = [(path.name, path.stat()) for path in paths]
    text = json.dumps([*facts, [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]])
    return sha256(text.encode())[:16]


def header(*shape: int) -> bytes:
    """The first bytes of an array's file: uint8 [rows, ...]."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def damaged_films(path: Path, row: int, entries: Collection[Entry]) -> set[str]:
    """The films whose rows of `row` bytes in the array at `path` do not have their hash. Reads them on all cores."""

    def is_damaged(entry: Entry) -> bool:
        # Read, not mapped: the pages of a map would count as this process's memory.
        rows = np.fromfile(path, np.uint8, entry.count * row, offset=HEADER + entry.first * row)
        return sha256(rows) != entry.sha256

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        damaged = bar(pool.map(is_damaged, entries), total=len(entries), desc="checking", unit="film", delay=1)
        return {entry.film for entry, found in zip(entries, damaged) if found}


class FilmArray:
    """An array and its index while a build writes them; a new build resumes what a killed one left.

    `wanted`: film -> fingerprint. New rows are appended. With under half of the rows as wanted it is begun anew.
    """

    def __init__(self, folder: Path, name: str, shape: tuple[int, ...], wanted: dict[str, str]) -> None:
        self.path, self.index, self.shape = folder / f"{name}.npy", folder / f"{name}.jsonl", shape
        self.name, self.wanted, self.row = name, wanted, math.prod(shape)  # bytes
        entries = read_index(self.index)
        self.films = {entry.film: entry for entry in entries if entry.film in wanted}
        # Also after the rows of replaced entries: until `close`, the dataset as it was reads them.
        self.rows = max((entry.first + entry.count for entry in entries), default=0)
        used = sum(entry.count for film, entry in self.films.items() if wanted[film] == entry.source)
        start = np.fromfile(self.path, np.uint8, HEADER).tobytes() if self.path.exists() else b""
        usable = self.rows <= 2 * used if self.rows else start == header(0, *shape)  # else its index is lost
        if not (start and usable):
            (folder / CARD).unlink(missing_ok=True)  # there is no dataset until the new one is complete
            self.index.unlink(missing_ok=True)
            self.path.write_bytes(header(0, *shape))
            self.films, self.rows = {}, 0

    def stale(self) -> list[str]:
        """The films wanted whose rows are missing, of other files than now, or damaged."""
        repair = damaged_films(self.path, self.row, self.films.values())
        built = {film: entry.source for film, entry in self.films.items() if film not in repair}
        return [film for film, source in self.wanted.items() if built.get(film) != source]

    def put(self, film: str, source: str, rows: np.ndarray) -> None:
        """Write a film's rows, uint8 [n, *shape], over the same ones (a repair), else at the end; none removes it."""
        if not len(rows):
            self.films.pop(film, None)
            return
        digest, before = sha256(rows), self.films.get(film)
        same = before is not None and (before.count, before.sha256) == (len(rows), digest)
        entry = Entry(film, before.first if same else self.rows, len(rows), digest, source)
        with files.reporting_full_disk(self.path, lambda: rows.nbytes):
            with open(self.path, "r+b") as file:
                file.seek(HEADER + entry.first * self.row)
                file.write(rows.data)
            with open(self.index, "ab") as file:
                file.write(b"\n" + _line(entry))  # a line of its own, whatever a killed build left before it
        self.films[film], self.rows = entry, max(self.rows, entry.first + entry.count)

    def close(self) -> None:
        """Complete both files: `films` alone are in the index, in the order of their rows."""
        entries = sorted(self.films.values(), key=lambda entry: entry.first)
        self.rows = entries[-1].first + entries[-1].count if entries else 0
        with open(self.path, "r+b") as file:
            file.write(header(self.rows, *self.shape))
            file.truncate(HEADER + self.rows * self.row)
            file.flush()
            os.fsync(file.fileno())
        with files.atomic_path(self.index) as temporary:
            temporary.write_bytes(b"".join(map(_line, entries)))


def read_index(path: Path) -> list[Entry]:
    """The undamaged lines of an index, oldest first: each a CRC-32 and an `Entry` as JSON, written after its rows."""
    lines = [line.partition(b" ") for line in path.read_bytes().split(b"\n")] if path.exists() else []
    whole = [text for checksum, _, text in lines if text and checksum == b"%08x" % zlib.crc32(text)]
    return [Entry(*json.loads(text).values()) for text in whole]  # by place: `source` was named `pictures`


def _line(entry: Entry) -> bytes:
    text = json.dumps(entry._asdict()).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)
