"""A film's pictures as frames of one size."""

from pathlib import Path

import numpy as np
from PIL import Image

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
