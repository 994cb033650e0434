"""A film's folder of frames: images/<Title (Year) [ttid]>/<n>.jpg, film.json, and a strip of what was dropped."""

import io
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from trailer_lib import files
from trailer_lib.catalog import FILM_ID
from trailer_lib.errors import TrailerError
from trailer_lib.video.decode import Frames

QUALITY = 90  # of the JPEGs: no visible loss, a quarter of the size of 100
STRIP_HEIGHT = 96  # a multiple of 16, so that neighbours in the strip share no JPEG block
Image.MAX_IMAGE_PIXELS = 50_000_000  # pictures are other people's: no decompression bombs


@dataclass(frozen=True)
class DroppedFrame:
    """A small picture, uint8 [96, width, 3], of a frame that was dropped, its second and the reason."""

    pixels: np.ndarray
    seconds: float
    reason: str


def folder_name(imdb_id: str, title: str, year: int) -> str:
    """A film's folder: readable, and its own by the id at the end; at most 150 bytes."""
    return f"{files.safe_name(title, 120)} ({year}) [{imdb_id}]"


def folder_id(name: str) -> str | None:
    """The film's key at the end of a folder's name, None in the original's layout."""
    match = re.search(rf"\[({FILM_ID.pattern})\]\Z", name)
    return match[1] if match else None


def save_frames(folder: Path, frames: Frames, reasons: list[str | None], facts: dict[str, Any]) -> None:
    """Write the kept frames as 0.jpg, 1.jpg, ... in the film's order, whole or not at all, and `facts` in film.json."""
    kept = [index for index, reason in enumerate(reasons) if reason is None]
    dropped = [index for index, reason in enumerate(reasons) if reason is not None]
    with (
        files.reporting_full_disk(folder, lambda: _bytes_needed(frames.pixels[kept])),
        files.atomic_folder(folder) as temporary,
    ):
        for number, index in enumerate(kept):
            (temporary / f"{number}.jpg").write_bytes(_jpeg(frames.pixels[index], QUALITY))
        if dropped:
            strip = np.concatenate([_thumbnail(frames.pixels[index]) for index in dropped])
            (temporary / "dropped.jpg").write_bytes(_jpeg(strip, 80))
        record = facts | {
            "seconds": [round(float(frames.seconds[index]), 3) for index in kept],
            "dropped": [[round(float(frames.seconds[index]), 3), reasons[index]] for index in dropped],
        }
        files.write_json(temporary / "film.json", record)


def _jpeg(picture: np.ndarray, quality: int) -> bytes:
    # Not straight into the file: of a full disk Pillow says no more than "encoder error".
    data = io.BytesIO()
    Image.fromarray(picture).save(data, "JPEG", quality=quality)
    return data.getvalue()


def _bytes_needed(pictures: np.ndarray) -> int:
    """Of a film's folder on a disk of 4 KB blocks: its pictures, and 64 KB for the strip and the record."""
    return 65_536 + sum(-(-len(_jpeg(picture, QUALITY)) // 4096) * 4096 for picture in pictures)


def _thumbnail(frame: np.ndarray) -> np.ndarray:
    width = max(1, round(frame.shape[1] * STRIP_HEIGHT / frame.shape[0]))
    return np.asarray(Image.fromarray(frame).resize((width, STRIP_HEIGHT), Image.Resampling.BOX))


def picture_paths(folder: Path) -> list[Path]:
    """The kept pictures of a folder, 0.jpg first; also in the original's layout."""
    numbered = [path for path in folder.glob("*.jpg") if path.stem.isascii() and path.stem.isdigit()]
    return sorted(numbered, key=lambda path: int(path.stem))


def all_picture_paths(folder: Path) -> list[Path]:
    """Every .jpg, .jpeg and .png of a folder, whatever its name: 2.jpg before 10.jpg, then names that are no numbers.

    The strip of dropped frames is left out: it is many pictures in one.
    """
    found = [path for path in folder.glob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png")]
    found = [path for path in found if path.name != "dropped.jpg" and path.is_file()]
    return sorted(found, key=_by_number_then_name)


def _by_number_then_name(path: Path) -> tuple[bool, str, str]:
    numbered = path.stem.isdecimal()
    return not numbered, path.stem.zfill(20) if numbered else "", path.name


def read_record(folder: Path) -> dict[str, Any]:
    """film.json, or {} where there is none (the original's layout) or it is damaged."""
    try:
        record = json.loads((folder / "film.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def read_dropped(folder: Path) -> list[DroppedFrame]:
    """The strip of dropped frames, cut up again; [] where none were dropped."""
    dropped = read_record(folder).get("dropped", [])
    if not dropped:
        return []
    strip = read_picture(folder / "dropped.jpg")
    return [DroppedFrame(picture, *facts) for picture, facts in zip(np.split(strip, len(dropped)), dropped)]


def read_picture(path: Path) -> np.ndarray:
    """A picture as uint8 RGB [height, width, 3]; TrailerError when it is none."""
    try:
        with Image.open(path, formats=["JPEG", "PNG", "WEBP"]) as picture:
            return np.asarray(picture.convert("RGB"))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise TrailerError(
            f"{path.parent.name}/{path.name}: not a readable picture: remove it or scrape the film again"
        ) from error
