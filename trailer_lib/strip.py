"""What an answer shows, however it is drawn: a scale from 1 to 10, captioned frames with their pulls, similar films."""

from dataclasses import dataclass

import numpy as np
from PIL import Image

HOT = np.array([255, 120, 0], np.float32)  # the colour of heat
LINES = 180  # of the pictures shown


@dataclass(frozen=True)
class Shot:
    """A picture, uint8 [height, width, 3], its caption, and by how many IMDb points it moved the answer."""

    picture: np.ndarray
    caption: str
    pull: float | None = None


@dataclass(frozen=True)
class Strip:
    """`alerts` come before all else, `notes` after. `marks`: other answers on the scale by name, in IMDb points."""

    title: str
    alerts: list[str]
    score: float
    intervals: dict[int, tuple[float, float]]
    marks: dict[str, float]
    notes: list[str]
    frames: list[Shot]
    heat: list[Shot]
    similar: list[Shot]


def overlay(picture: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """A picture, uint8 [height, width, 3], dark and grey but where it is hot: `heat` float32 [h, w] from 0 to 1."""
    width, height = picture.shape[1], picture.shape[0]
    hot = np.asarray(Image.fromarray(heat).resize((width, height), Image.Resampling.BILINEAR))[..., None]
    grey = np.repeat(picture.mean(2, keepdims=True), 3, 2) * 0.6
    return np.clip(grey * (1 - hot) + (0.6 * picture + 0.4 * HOT) * hot, 0, 255).astype(np.uint8)


def small(picture: np.ndarray, lines: int = LINES) -> np.ndarray:
    """A picture of at most `lines` lines."""
    if picture.shape[0] <= lines:
        return picture
    width = max(1, round(picture.shape[1] * lines / picture.shape[0]))
    return np.asarray(Image.fromarray(picture).resize((width, lines), Image.Resampling.BOX))
