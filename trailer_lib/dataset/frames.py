"""dataset/frames.npy and its index: films' frames are added one by one, checked by hash, and never moved.

The index, frames.jsonl, has a line for each film, written once its frames are: a checksum, then what `Entry` holds. A
line that is torn or damaged is no line, and its film is made again. Rows that no line names are free.
"""

import hashlib
import io
import json
import os
import zlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from trailer_lib import files
from trailer_lib.progress import bar
from trailer_lib.settings import DatasetSettings
from trailer_lib.video import LetterboxBox, common_box, measure_bars, picture_paths

RULES = 1  # of making frames of pictures; a new number makes every film anew
AGREE = 15  # frames, spread over the film, whose bars are measured
FEWEST = 8  # frames that can agree on bars: fewer may all be dark where the film has none


def evenly_spaced(available: int, count: int) -> np.ndarray:
    """`count` indices spread evenly over 0 .. available - 1, in order; some repeat when there are too few."""
    return ((np.arange(count) + 0.5) * available / count).astype(int)


def load_film_frames(folder: Path, settings: DatasetSettings, bars: bool = False) -> np.ndarray | None:
    """The pictures of a folder as uint8 [n, size, size, 3], None when one is damaged; `bars`: cut off black ones."""
    paths = picture_paths(folder)
    try:
        measured = evenly_spaced(len(paths), AGREE) if bars and len(paths) >= FEWEST else []
        read = {index: _read(paths[index], settings) for index in measured}
        box = common_box([measure_bars(np.asarray(picture)) for picture in read.values()])
        pictures = (read.pop(index, None) or _read(path, settings) for index, path in enumerate(paths))
        return np.stack([resize_frame(picture, settings, box) for picture in pictures])
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def _read(path: Path, settings: DatasetSettings) -> Image.Image:
    with Image.open(path, formats=["JPEG"]) as picture:
        # JPEG decodes to a half or a quarter by itself, faster and as smoothly; never to less than the size wanted.
        picture.draft("RGB", (settings.size, settings.size))
        picture.load()
        return picture if picture.mode == "RGB" else picture.convert("RGB")


def resize_frame(picture: Image.Image, settings: DatasetSettings, around: LetterboxBox | None = None) -> np.ndarray:
    """What is within `around` of a picture, by default all, as the dataset holds it: uint8 [size, size, 3]."""
    box = _corners(picture, around or LetterboxBox())
    if settings.fit == "crop":
        box = _middle_square(*box)
    return np.asarray(picture.resize((settings.size, settings.size), Image.Resampling.BOX, box=box))


def _corners(picture: Image.Image, around: LetterboxBox) -> tuple[float, float, float, float]:
    width, height = picture.size
    return around.left * width, around.top * height, around.right * width, around.bottom * height


def _middle_square(left: float, top: float, right: float, bottom: float) -> tuple[float, float, float, float]:
    width, height = right - left, bottom - top
    side = min(width, height)
    left, top = left + (width - side) // 2, top + (height - side) // 2
    return left, top, left + side, top + side


def fingerprint(folder: Path, settings: DatasetSettings, bars: bool) -> str:
    """What a folder's frames depend on, in 16 letters: the pictures' names, sizes and times, and the settings."""
    found = [(path.name, path.stat()) for path in picture_paths(folder)]
    facts = [RULES, settings.size, settings.fit, bars, [(name, stat.st_size, stat.st_mtime_ns) for name, stat in found]]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]


FRAMES, INDEX = "frames.npy", "frames.jsonl"
HEADER = 128  # bytes, of NumPy's format 1.0; it leaves room for the number of rows to grow
CHUNK = 1 << 20


@dataclass(frozen=True)
class Entry:
    """Rows first .. first + count of the array are a film's frames, with this SHA-256, made of these pictures."""

    film: str
    first: int
    count: int
    sha256: str
    pictures: str

    @property
    def end(self) -> int:
        return self.first + self.count


def header(rows: int, side: int) -> bytes:
    """The beginning of frames.npy: uint8 [rows, side, side, 3]."""
    written = io.BytesIO()
    facts = {"descr": "|u1", "fortran_order": False, "shape": (rows, side, side, 3)}
    np.lib.format.write_array_header_1_0(written, facts)
    return written.getvalue()


def sha256(frames: np.ndarray) -> str:
    return hashlib.sha256(frames).hexdigest()


def damaged_films(path: Path, side: int, entries: Iterable[Entry]) -> set[str]:
    """The films whose rows of the array at `path` do not have their hash. Reads every row, on all cores."""
    entries = list(entries)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            digests = pool.map(lambda entry: _digest(descriptor, side, entry), entries)
            checked = bar(zip(entries, digests), total=len(entries), desc="checking", unit="film", delay=1)
            return {entry.film for entry, digest in checked if digest != entry.sha256}
    finally:
        os.close(descriptor)


def _digest(descriptor: int, side: int, entry: Entry) -> str:
    # Read, not mapped: the pages of a map would count as this process's memory.
    hashed, row = hashlib.sha256(), side * side * 3
    place, end = HEADER + entry.first * row, HEADER + entry.end * row
    while place < end and (data := os.pread(descriptor, min(CHUNK, end - place), place)):
        hashed.update(data)
        place += len(data)
    return hashed.hexdigest()


class FrameArray:
    """The array and its index while they are written; what a killed writer left is found and gone on from."""

    def __init__(self, folder: Path, side: int) -> None:
        self.path, self.index, self.side = folder / FRAMES, folder / INDEX, side
        entries = read_index(self.index)
        self.films = {entry.film: entry for entry in entries}
        # Rows of entries that were replaced are not free: until `close`, the dataset as it was reads them.
        self._gaps, self._end = _gaps(entries)

    def keeps(self, pictures: dict[str, str]) -> bool:
        """Whether at least half of the array is of these films, film -> pictures, as they are now."""
        kept = sum(entry.count for entry in self.films.values() if pictures.get(entry.film) == entry.pictures)
        return self.path.exists() and kept > 0 and 2 * kept >= self._end

    def clear(self) -> None:
        self.index.unlink(missing_ok=True)
        self.path.write_bytes(header(0, self.side))
        self.films, self._gaps, self._end = {}, [], 0

    def damaged(self) -> set[str]:
        return damaged_films(self.path, self.side, self.films.values())

    def put(self, film: str, pictures: str, frames: np.ndarray) -> None:
        """Write a film's frames, uint8 [n, side, side, 3]: where they were if they are the same, else to free rows."""
        digest, before = sha256(frames), self.films.get(film)
        same = before is not None and (before.count, before.sha256) == (len(frames), digest)
        first = before.first if same else self._free(len(frames))
        self.films[film] = Entry(film, first, len(frames), digest, pictures)
        with files.reporting_full_disk(self.path, lambda: frames.nbytes), open(self.path, "r+b") as file:
            file.seek(HEADER + first * self.side**2 * 3)
            file.write(frames.data)
        line = _line(self.films[film])
        with files.reporting_full_disk(self.index, lambda: len(line)), open(self.index, "ab") as file:
            file.write(b"\n" + line)  # of its own, whatever a killed writer left of the line before

    def _free(self, count: int) -> int:
        """The first row of the first gap of `count` rows."""
        for number, (first, end) in enumerate(self._gaps):
            if end - first >= count:
                self._gaps[number] = (first + count, end)
                return first
        self._end += count
        return self._end - count

    def close(self, films: Iterable[str]) -> list[Entry]:
        """Forget all other films and finish both files; the entries in the order of their rows."""
        entries = sorted((self.films[film] for film in films), key=lambda entry: entry.first)
        rows = entries[-1].end
        with open(self.path, "r+b") as file:
            file.write(header(rows, self.side))
            file.truncate(HEADER + rows * self.side**2 * 3)
            file.flush()
            os.fsync(file.fileno())
        with files.atomic_path(self.index) as temporary:
            temporary.write_bytes(b"".join(map(_line, entries)))
        return entries


def _gaps(entries: list[Entry]) -> tuple[list[tuple[int, int]], int]:
    """The runs of rows that no entry names, and the row after the last that one does."""
    gaps, end = [], 0
    for entry in sorted(entries, key=lambda entry: entry.first):
        if entry.first > end:
            gaps.append((end, entry.first))
        end = max(end, entry.end)
    return gaps, end


def read_index(path: Path) -> list[Entry]:
    """The whole lines of an index, oldest first."""
    lines = path.read_bytes().split(b"\n") if path.exists() else []
    return [Entry(**json.loads(line[9:])) for line in lines if line and line[:9] == _checksum(line[9:])]


def _line(entry: Entry) -> bytes:
    text = json.dumps(asdict(entry)).encode()
    return _checksum(text) + text + b"\n"


def _checksum(text: bytes) -> bytes:
    return b"%08x " % zlib.crc32(text)
