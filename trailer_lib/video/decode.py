"""Chosen pts of a video -> their pictures, groups of pictures side by side in several threads."""

import os
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import chain
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.sidedata.sidedata import Type
from av.video.reformatter import VideoReformatter

from trailer_lib.video.container import MAX_PIXELS, Probe, VideoError, opened


@dataclass(frozen=True)
class Frames:
    """`pixels` uint8 RGB [n, height, width, 3] and `seconds` float64 [n], the frames' own times from the start.

    `note` says where they are not quite what was asked for, in a sentence; "" where they are.
    """

    pixels: np.ndarray
    seconds: np.ndarray
    note: str = ""

    def __len__(self) -> int:
        return len(self.seconds)


@dataclass(frozen=True)
class Rotation:
    """What becomes of a stored picture: rows and columns swapped, then mirrored left to right, then top to bottom."""

    swap: bool = False
    mirror: bool = False
    flip: bool = False

    def apply(self, picture: np.ndarray) -> np.ndarray:
        """uint8 [height, width, 3] turned, as a view."""
        picture = picture.transpose(1, 0, 2) if self.swap else picture
        return picture[:: -1 if self.flip else 1, :: -1 if self.mirror else 1]


def rotation_of(frame: av.VideoFrame) -> Rotation:
    """The nearest of the eight turns to the display matrix: x' = ax + cy, y' = bx + dy (ISO 14496-12, 8.3.2)."""
    side_data = frame.side_data.get(Type.DISPLAYMATRIX)
    if side_data is None:
        return Rotation()
    a, b, _, c, d = (int(value) for value in np.frombuffer(bytes(side_data), "<i4")[:5])
    if abs(b) + abs(c) > abs(a) + abs(d):
        return Rotation(swap=True, mirror=c < 0, flip=b < 0)
    return Rotation(mirror=a < 0, flip=d < 0)


class Display:
    """Turns the frames of one video into pictures of one size, the size and turn of its first decoded frame.

    `shape` is (height, width, 3) of the pictures: not over `height` lines, 0 for no limit, and never enlarged but for
    pixels that are wider than high (`aspect`, the sample aspect ratio). VideoError for a shape over MAX_PIXELS.
    """

    def __init__(self, first: av.VideoFrame, aspect: Fraction | None, height: int) -> None:
        self.turn = rotation_of(first)
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


MAX_BYTES = 2 << 30  # of the pictures of one call
MAX_THREADS = 8  # each holds a decoder's frames

Group = tuple[int, list[int]]  # the pts of a keyframe and those wanted of what is decoded from it


def decoded(
    path: Path,
    container: InputContainer,
    stream: av.VideoStream,
    facts: Probe,
    wanted: list[int],
    height: int,
    threads: int,
) -> tuple[np.ndarray, np.ndarray]:
    """uint8 RGB [n, height, width, 3] of the frames at the sorted pts `wanted`, and bool [n]: False where damaged.

    They are shrunk to `height` lines as they come, so that few full ones are held at a time. `threads` decode, at most
    MAX_THREADS; 0 takes all cores.
    """
    groups = list(facts.groups(wanted).items())
    threads = min(threads or _cores(), MAX_THREADS)
    decoders = _decoders(facts, len(groups), threads)
    # FFmpeg's own threads wait for one another at every seek: they serve where there is but one decoder.
    stream.thread_type, stream.codec_context.thread_count = "AUTO", threads if decoders == 1 else 1
    todo = iter(groups)  # from which every thread takes its next: a list's iterator is safe to share
    frames = _decode(container, stream, facts, todo)
    first = next(frames, None)
    if first is None:
        raise VideoError(f"{path.name}: not one frame could be decoded: is the file damaged?")
    sheet = _Sheet(path, wanted, partial(Display, first, stream.sample_aspect_ratio, height))
    with ThreadPoolExecutor(MAX_THREADS) as pool:
        others = [pool.submit(_help, path, facts, todo, sheet) for _ in range(decoders - 1)]
        try:
            sheet.fill(chain([first], frames))
        finally:
            list(todo)  # after an error or Ctrl-C the others begin no further group
    for other in others:
        other.result()
    return sheet.pixels, sheet.there


def _decoders(facts: Probe, groups: int, threads: int) -> int:
    """How many work side by side: together they hold no more pixels than one does of a frame of MAX_PIXELS."""
    return max(1, min(threads, groups, MAX_PIXELS // max(1, facts.width * facts.height)))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Sheet:
    """The pictures of one call in the order of `wanted`, filled by several threads; `there` marks those that came."""

    def __init__(self, path: Path, wanted: list[int], display: partial[Display]) -> None:
        shape = display().shape
        if len(wanted) * np.prod(shape) > MAX_BYTES:
            size = f"{len(wanted)} pictures of {shape[1]}x{shape[0]}"
            raise VideoError(f"{path.name}: {size} take more than {MAX_BYTES} bytes: choose fewer or a smaller height")
        self.rows = {pts: slice(bisect_left(wanted, pts), bisect_right(wanted, pts)) for pts in wanted}
        self.pixels, self.there = np.empty((len(wanted), *shape), np.uint8), np.zeros(len(wanted), bool)
        self.display = display

    def fill(self, frames: Iterable[av.VideoFrame]) -> None:
        display = self.display()  # one for each thread: its scaler serves one at a time
        for frame in frames:
            rows = self.rows[frame.pts]
            self.pixels[rows], self.there[rows] = display.picture(frame), True


def _help(path: Path, facts: Probe, todo: Iterator[Group], sheet: _Sheet) -> None:
    """Another decoder of the same file takes its part of the groups that are still to do."""
    with opened(path) as (container, stream):
        stream.codec_context.thread_count = 1
        sheet.fill(_decode(container, stream, facts, todo))


def _decode(
    container: InputContainer, stream: av.VideoStream, facts: Probe, groups: Iterable[Group]
) -> Iterator[av.VideoFrame]:
    """The wanted frames: per group of pictures, a seek to its keyframe, no decoding past the last."""
    for keyframe, wanted in groups:
        left = set(wanted)
        yield from _decode_group(container, stream, keyframe, left, skip=stream.codec_context.name == "h264")
        if left:  # a stream that says little of its order can need more than its own group, in full
            before = facts.keyframes[max(bisect_left(facts.keyframes, keyframe) - 1, 0)]
            yield from _decode_group(container, stream, before, left, skip=False)


def _decode_group(
    container: InputContainer, stream: av.VideoStream, keyframe: int, left: set[int], skip: bool
) -> Iterator[av.VideoFrame]:
    """The frames at the pts `left`, which are taken out of it; `skip` those that nothing depends on."""
    codec, unsent, last = stream.codec_context, set(left), max(left)
    try:
        container.seek(keyframe, stream=stream, backward=True)
        for packet in container.demux(stream):
            # In H.264 a picture that is no reference changes no other. A packet without a time may be a second field.
            unwanted = packet.pts is not None and packet.pts not in unsent
            codec.skip_frame = "NONREF" if skip and unwanted else "DEFAULT"
            unsent.discard(packet.pts)
            done = not unsent or (packet.dts is not None and packet.dts > last)
            for frame in packet.decode() + (codec.decode(None) if done else []):
                if frame.pts in left:
                    left.remove(frame.pts)
                    yield frame
            if done:
                return
    except av.FFmpegError:
        return
