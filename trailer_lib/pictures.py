"""A film's folder of pictures -> its frames as the dataset holds them: one size, no black bars."""

import hashlib
import json
from pathlib import Path

import numpy as np
from PIL import Image

from trailer_lib import letterbox
from trailer_lib.frames import picture_paths
from trailer_lib.letterbox import Box
from trailer_lib.settings import DatasetSettings

RULES = 1  # of making frames of pictures; a new number makes every film anew
AGREE = 15  # frames, spread over the film, whose bars are measured
FEWEST = 8  # frames that can agree on bars: fewer may all be dark where the film has none


def spread(available: int, count: int) -> np.ndarray:
    """`count` indices spread evenly over 0 .. available - 1, in order; some repeat when there are too few."""
    return ((np.arange(count) + 0.5) * available / count).astype(int)


def load_folder(folder: Path, settings: DatasetSettings, bars: bool = False) -> np.ndarray | None:
    """The pictures of a folder as uint8 [n, size, size, 3], None when one is damaged; `bars`: cut off black ones."""
    paths = picture_paths(folder)
    try:
        measured = spread(len(paths), AGREE) if bars and len(paths) >= FEWEST else []
        read = {index: _read(paths[index], settings) for index in measured}
        box = letterbox.agree([letterbox.measure(np.asarray(picture)) for picture in read.values()])
        pictures = (read.pop(index, None) or _read(path, settings) for index, path in enumerate(paths))
        return np.stack([shrink(picture, settings, box) for picture in pictures])
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None


def _read(path: Path, settings: DatasetSettings) -> Image.Image:
    with Image.open(path, formats=["JPEG"]) as picture:
        # JPEG decodes to a half or a quarter by itself, faster and as smoothly; never to less than the size wanted.
        picture.draft("RGB", (settings.size, settings.size))
        picture.load()
        return picture if picture.mode == "RGB" else picture.convert("RGB")


def shrink(picture: Image.Image, settings: DatasetSettings, around: Box | None = None) -> np.ndarray:
    """What is within `around` of a picture, by default all, as the dataset holds it: uint8 [size, size, 3]."""
    box = _corners(picture, around or Box())
    if settings.fit == "crop":
        box = _middle_square(*box)
    return np.asarray(picture.resize((settings.size, settings.size), Image.Resampling.BOX, box=box))


def _corners(picture: Image.Image, around: Box) -> tuple[float, float, float, float]:
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
