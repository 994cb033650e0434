"""A film's pictures as frames of one size, and frames.npy, the array of all films' frames, with its index.

The index, frames.jsonl, has one line per film, written after its frames: a CRC-32, then an `Entry` as JSON.
"""

import hashlib
import io
import json
import os
import zlib
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from trailer_lib import files
from trailer_lib.progress import bar
from trailer_lib.settings import DatasetSettings
from trailer_lib.video import LetterboxBox, common_box, measure_bars, picture_paths, read_picture

VERSION = 2  # of making frames from pictures; a new number makes every film again
BAR_FRAMES, FEWEST_BAR_FRAMES = 15, 8  # whose black bars are measured; fewer may all be dark where there are no bars


def evenly_spaced(available: int, count: int) -> np.ndarray:
    """`count` indices spread evenly over 0 .. available - 1, in order; some repeat when there are too few."""
    return ((np.arange(count) + 0.5) * available / count).astype(int)


def load_film_frames(folder: Path, settings: DatasetSettings, crop_bars: bool = False) -> np.ndarray:
    """The pictures of a folder as uint8 [n, size, size, 3]; TrailerError when one is damaged.

    `crop_bars`: crop the black bars that the film's frames have in common.
    """
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


def fingerprint(folder: Path, settings: DatasetSettings, crop_bars: bool) -> str:
    """A hash of what a folder's frames depend on: the pictures' names, sizes and times, and the settings."""
    stats = {path.name: path.stat() for path in picture_paths(folder)}
    pictures = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats.items()]
    text = json.dumps([VERSION, settings.size, settings.fit, crop_bars, pictures])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


CARD, FRAMES, INDEX = "dataset.json", "frames.npy", "frames.jsonl"
HEADER = 128  # bytes, of NumPy's format 1.0; it leaves room for the number of rows to grow


@dataclass(frozen=True)
class Entry:
    """Rows first .. first + count of the array are a film's frames; `pictures` is the fingerprint of their source."""

    film: str
    first: int
    count: int
    sha256: str
    pictures: str


def header(rows: int, side: int) -> bytes:
    """The first bytes of frames.npy: uint8 [rows, side, side, 3]."""
    buffer, shape = io.BytesIO(), (rows, side, side, 3)
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def damaged_films(path: Path, side: int, entries: Collection[Entry]) -> set[str]:
    """The films whose rows in the array at `path` do not have their hash. Reads every row, on all cores."""

    def is_damaged(entry: Entry) -> bool:
        # Read, not mapped: the pages of a map would count as this process's memory.
        row = side * side * 3
        frames = np.fromfile(path, np.uint8, entry.count * row, offset=HEADER + entry.first * row)
        return hashlib.sha256(frames).hexdigest() != entry.sha256

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        damaged = bar(pool.map(is_damaged, entries), total=len(entries), desc="checking", unit="film", delay=1)
        return {entry.film for entry, found in zip(entries, damaged) if found}


class FrameArray:
    """frames.npy and its index while a build writes them; a new build resumes what a killed one left.

    New films are appended; rows of films that changed or are gone stay unused. When under half of the rows are of the
    films that are wanted, film -> fingerprint, the array is begun anew.
    """

    def __init__(self, folder: Path, side: int, wanted: dict[str, str]) -> None:
        self.path, self.index, self.side = folder / FRAMES, folder / INDEX, side
        entries = read_index(self.index)
        self.films = {entry.film: entry for entry in entries}
        # Also after the rows of replaced entries: until `close`, the dataset as it was reads them.
        self.rows = max((entry.first + entry.count for entry in entries), default=0)
        used = sum(entry.count for entry in self.films.values() if wanted.get(entry.film) == entry.pictures)
        if not self.path.exists() or not 0 < self.rows <= 2 * used:
            (folder / CARD).unlink(missing_ok=True)  # there is no dataset until the new one is complete
            self.index.unlink(missing_ok=True)
            self.path.write_bytes(header(0, side))
            self.films, self.rows = {}, 0

    def put(self, film: str, pictures: str, frames: np.ndarray) -> None:
        """Write a film's frames, uint8 [n, side, side, 3]: over the same ones (to repair them), else at the end."""
        digest, before = hashlib.sha256(frames).hexdigest(), self.films.get(film)
        same = before is not None and (before.count, before.sha256) == (len(frames), digest)
        entry = Entry(film, before.first if same else self.rows, len(frames), digest, pictures)
        with files.reporting_full_disk(self.path, lambda: frames.nbytes):
            with open(self.path, "r+b") as file:
                file.seek(HEADER + entry.first * self.side**2 * 3)
                file.write(frames.data)
            with open(self.index, "ab") as file:
                file.write(b"\n" + _line(entry))  # a line of its own, whatever a killed build left before it
        self.films[film], self.rows = entry, max(self.rows, entry.first + entry.count)

    def close(self, films: Iterable[str]) -> list[Entry]:
        """Remove all other films from the index and complete both files; the entries in the order of their rows."""
        entries = sorted((self.films[film] for film in films), key=lambda entry: entry.first)
        rows = entries[-1].first + entries[-1].count
        with open(self.path, "r+b") as file:
            file.write(header(rows, self.side))
            file.truncate(HEADER + rows * self.side**2 * 3)
            file.flush()
            os.fsync(file.fileno())
        with files.atomic_path(self.index) as temporary:
            temporary.write_bytes(b"".join(map(_line, entries)))
        return entries


def read_index(path: Path) -> list[Entry]:
    """The undamaged lines of an index, oldest first."""
    lines = [line.partition(b" ") for line in path.read_bytes().split(b"\n")] if path.exists() else []
    return [Entry(**json.loads(text)) for checksum, _, text in lines if text and checksum == b"%08x" % zlib.crc32(text)]


def _line(entry: Entry) -> bytes:
    text = json.dumps(asdict(entry)).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)
