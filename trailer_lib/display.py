"""A decoded frame -> the picture a player shows: upright, with square pixels, at most so many lines."""

from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from av.sidedata.sidedata import Type
from av.video.reformatter import VideoReformatter

from trailer_lib.container import MAX_PIXELS, VideoError


@dataclass(frozen=True)
class Turn:
    """What becomes of a stored picture: rows and columns swapped, then mirrored left to right, then top to bottom."""

    swap: bool = False
    mirror: bool = False
    flip: bool = False

    def apply(self, picture: np.ndarray) -> np.ndarray:
        """uint8 [height, width, 3] turned, as a view."""
        picture = picture.transpose(1, 0, 2) if self.swap else picture
        return picture[:: -1 if self.flip else 1, :: -1 if self.mirror else 1]


def turn_of(frame: av.VideoFrame) -> Turn:
    """The nearest of the eight turns to the display matrix: x' = ax + cy, y' = bx + dy (ISO 14496-12, 8.3.2)."""
    side_data = frame.side_data.get(Type.DISPLAYMATRIX)
    if side_data is None:
        return Turn()
    a, b, _, c, d = (int(value) for value in np.frombuffer(bytes(side_data), "<i4")[:5])
    if abs(b) + abs(c) > abs(a) + abs(d):
        return Turn(swap=True, mirror=c < 0, flip=b < 0)
    return Turn(mirror=a < 0, flip=d < 0)


class Display:
    """Turns the frames of one video into pictures of one size, the size and turn of its first decoded frame.

    `shape` is (height, width, 3) of the pictures: not over `height` lines, 0 for no limit, and never enlarged but for
    pixels that are wider than high (`aspect`, the sample aspect ratio). VideoError for a shape over MAX_PIXELS.
    """

    def __init__(self, first: av.VideoFrame, aspect: Fraction | None, height: int) -> None:
        self.turn = turn_of(first)
        width, lines = max(1, round(first.width * (aspect or 1))), first.height
        shown_lines = width if self.turn.swap else lines
        scale = Fraction(height, shown_lines) if 0 < height < shown_lines else 1
        self.width, self.lines = max(1, round(width * scale)), max(1, round(lines * scale))
        if self.width * self.lines > MAX_PIXELS:
            raise VideoError(f"{self.width}x{self.lines} as shown: at most {MAX_PIXELS} pixels a picture are made")
        self.shape = (self.width, self.lines, 3) if self.turn.swap else (self.lines, self.width, 3)
        self.scaler = VideoReformatter()  # one for all frames: it keeps its tables

    def picture(self, frame: av.VideoFrame) -> np.ndarray:
        """uint8 RGB `shape`; a frame of another size than the first is scaled to it."""
        scaled = self.scaler.reformat(frame, self.width, self.lines, "rgb24", interpolation="AREA")
        return self.turn.apply(scaled.to_ndarray())
