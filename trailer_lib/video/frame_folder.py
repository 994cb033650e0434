"""A film's folder of frames: images/<Title (Year) [ttid]>/<n>.jpg, film.json, and a strip of what was dropped."""

import re
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from trailer_lib import files
from trailer_lib.catalog import FILM_ID
from trailer_lib.errors import TrailerError
from trailer_lib.video.decode import Frames
from trailer_lib.video.sound import PICTURE_ERRORS, SOUND, encoded

RECORD, STRIP = "film.json", "dropped.jpg"
PICTURES = (".jpg", ".jpeg", ".png", ".webp")
QUALITY = 90  # of the JPEGs: no visible loss, a quarter of the size of 100
STRIP_HEIGHT = 96  # a multiple of 16, so that neighbours in the strip share no JPEG block
Image.MAX_IMAGE_PIXELS = 50_000_000  # pictures are other people's: no decompression bombs


def folder_name(imdb_id: str, title: str, year: int) -> str:
    """A film's folder: readable, and its own by the id at the end; at most 150 bytes."""
    return f"{files.safe_name(title, 120)} ({year}) [{imdb_id}]"


def folder_id(name: str) -> str | None:
    """The film's key at the end of a folder's name, None in the original's layout."""
    match = re.search(rf"\[({FILM_ID.pattern})\]\Z", name)
    return match[1] if match else None


def save_frames(
    folder: Path, frames: Frames, reasons: list[str | None], facts: dict[str, Any], sound: np.ndarray | None = None
) -> None:
    """Write the kept frames as 0.jpg, 1.jpg, ..., `facts` in film.json and the sound, if any: all or nothing."""
    kept = [index for index, reason in enumerate(reasons) if reason is None]
    dropped = [index for index, reason in enumerate(reasons) if reason is not None]
    content = {f"{n}.jpg": encoded(frames.pixels[index], "JPEG", quality=QUALITY) for n, index in enumerate(kept)}
    if dropped:
        size = max(1, round(frames.pixels.shape[2] * STRIP_HEIGHT / frames.pixels.shape[1])), STRIP_HEIGHT
        thumbnails = [Image.fromarray(frames.pixels[index]).resize(size, Image.Resampling.BOX) for index in dropped]
        content[STRIP] = encoded(np.concatenate(thumbnails), "JPEG", quality=80)
    if sound is not None:
        content[SOUND] = encoded(sound, "PNG")
    seconds = np.round(frames.seconds, 3).tolist()
    record = facts | {"seconds": [seconds[index] for index in kept]}
    record["dropped"] = [[seconds[index], reasons[index]] for index in dropped]
    size = sum(map(len, content.values()))
    with files.reporting_full_disk(folder, lambda: size), files.atomic_path(folder) as temporary:
        temporary.mkdir()
        for name, data in content.items():
            (temporary / name).write_bytes(data)
        files.write_json(temporary / RECORD, record)


def save_sound(folder: Path, sound: np.ndarray | None, outcome: str) -> None:
    """Add its sound, None for none, to the folder of a film, and `outcome` ("ok", or why none) to its film.json."""
    files.remove_temporary(folder)
    if record := read_record(folder):
        files.write_json(folder / RECORD, record | {"sound": outcome})
    if sound is not None:  # last: as long as it is not there, it is fetched again
        files.write_bytes(folder / SOUND, encoded(sound, "PNG"))


def picture_paths(folder: Path) -> list[Path]:
    """The pictures of a folder, 2.jpg before 10.jpg, then names that are no numbers; of a scraped film those kept."""
    paths = [path for path in folder.iterdir() if path.suffix.lower() in PICTURES and path.name[0] != "."]
    numbers = {path: path.stem.isdecimal() for path in paths if path.name not in (STRIP, SOUND)}
    kept = [path for path, number in numbers.items() if number or not (folder / RECORD).exists()]
    return sorted(kept, key=lambda path: (not numbers[path], path.stem.zfill(20 * numbers[path]), path.name))


def read_record(folder: Path) -> dict[str, Any]:
    """film.json, or {} where there is none (the original's layout) or it is damaged."""
    return files.read_json(folder / RECORD)


def read_dropped(folder: Path) -> list[tuple[np.ndarray, str]]:
    """The dropped frames, uint8 [96, width, 3] and the reason of each: their strip, cut up again."""
    dropped = read_record(folder).get("dropped", [])
    pictures = np.split(read_picture(folder / STRIP), len(dropped)) if dropped else []
    return [(picture, reason) for picture, (_, reason) in zip(pictures, dropped)]


def read_picture(path: Path) -> np.ndarray:
    """A JPEG, PNG or WebP of any name, upright, as uint8 RGB [height, width, 3]; TrailerError when it is none."""
    try:
        with Image.open(path, formats=["JPEG", "PNG", "WEBP"]) as picture:
            picture.load()
            if picture.mode.startswith("I"):  # 16-bit grey, which Pillow would clip
                picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
            return np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
    except PICTURE_ERRORS as error:
        name = f"{path.parent.name}/{path.name}"
        raise TrailerError(f"{name}: not a readable picture: remove it or scrape the film again") from error
