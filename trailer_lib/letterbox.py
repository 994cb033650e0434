"""Black bars above, below and beside the picture: measured frame by frame, agreed on for a film, and cut off."""

from dataclasses import dataclass

import numpy as np

LIT = 24  # brightness of 255 above which a pixel belongs to the picture; bars carry coding noise of up to about 20
SHARE = 0.1  # of a bar's line may be lit: channels put their mark in the bars
VOTE = 10  # per cent of the frames may have a narrower bar: a flash, a frame from another source
LARGEST = 0.3  # of the side: what would be a wider bar is a dark film, and is kept


@dataclass(frozen=True)
class Box:
    """What is left of a frame: rows top to bottom and columns left to right, as shares of its sides, 0 to 1."""

    top: float = 0.0
    bottom: float = 1.0
    left: float = 0.0
    right: float = 1.0

    def cut(self, frames: np.ndarray) -> np.ndarray:
        """The box of [..., height, width, 3], as a view."""
        height, width = frames.shape[-3:-1]
        rows = slice(round(self.top * height), round(self.bottom * height))
        columns = slice(round(self.left * width), round(self.right * width))
        return frames[..., rows, columns, :]


def measure(frame: np.ndarray) -> np.ndarray:
    """The bars of one uint8 frame [height, width, 3]: float [4], above, below, left and right, as shares of the side.

    A dark frame looks as if its bars were wide; `agree` lets the other frames overrule it.
    """
    return np.concatenate([_ends(frame[:, ::12]), _ends(frame[::12].swapaxes(0, 1))])


def _ends(lines: np.ndarray) -> list[float]:
    brightness = np.maximum(np.maximum(lines[..., 0], lines[..., 1]), lines[..., 2])
    lit = np.flatnonzero((brightness > LIT).mean(1) > SHARE)
    return [lit[0] / len(lines), 1 - (lit[-1] + 1) / len(lines)] if len(lit) else [0.5, 0.5]


def agree(bars: list[np.ndarray], margin: float = 0.004) -> Box:
    """The box within the bars, float [4] a frame, that nearly all frames of a film have.

    `margin` is cut off more where there is a bar: its edge is blurred over a line or two.
    """
    if not len(bars):
        return Box()
    top, bottom, left, right = (side + margin if side > 0 else 0.0 for side in np.percentile(bars, VOTE, axis=0))
    if max(top, bottom, left, right) > LARGEST:
        return Box()
    return Box(float(top), float(1 - bottom), float(left), float(1 - right))
