"""Chosen pts of a video -> their pictures, as a player displays them, decoded by several threads."""

import os
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.sidedata.sidedata import Type
from av.video.reformatter import VideoReformatter

from trailer_lib.video.container import MAX_PIXELS, OpenVideo, Probe, VideoError, open_video

MAX_BYTES = 2 << 30  # of the pictures of one call
MAX_THREADS = 8  # each holds a decoder's frames


@dataclass(frozen=True)
class Frames:
    """`pixels` uint8 RGB [n, height, width, 3] and `seconds` float64 [n], the frames' own times from the start.

    `note` says in a sentence which of the requested frames are missing; "" where none are.
    """

    pixels: np.ndarray
    seconds: np.ndarray
    note: str = ""


def rotation_of(frame: av.VideoFrame) -> tuple[bool, bool, bool]:
    """Whether the frame is displayed with rows and columns swapped, then mirrored left to right, then top to bottom.

    The nearest of the eight to its display matrix: x' = ax + cy, y' = bx + dy (ISO 14496-12, 8.3.2).
    """
    side_data = frame.side_data.get(Type.DISPLAYMATRIX)
    if side_data is None:
        return False, False, False
    a, b, _, c, d = (int(value) for value in np.frombuffer(bytes(side_data), "<i4")[:5])
    return (True, c < 0, b < 0) if abs(b) + abs(c) > abs(a) + abs(d) else (False, a < 0, d < 0)


class Display:
    """The pictures that a player makes of a video's frames: of one size and rotation, those of its `first` frame.

    They have at most `height` lines, 0 for no limit. They are never enlarged, except in width where pixels are wider
    than high (`aspect`, the sample aspect ratio). VideoError for more than MAX_PIXELS.
    """

    def __init__(self, first: av.VideoFrame, aspect: Fraction | None, height: int) -> None:
        self.swap, self.mirror, self.flip = rotation_of(first)
        width, lines = max(1, round(first.width * (aspect or 1))), first.height
        upright_lines = width if self.swap else lines
        scale = Fraction(height, upright_lines) if 0 < height < upright_lines else 1
        self.width, self.lines = max(1, round(width * scale)), max(1, round(lines * scale))
        if self.width * self.lines > MAX_PIXELS:
            raise VideoError(f"displayed at {self.width}x{self.lines}: at most {MAX_PIXELS} pixels a picture are made")
        self.shape = (self.width, self.lines, 3) if self.swap else (self.lines, self.width, 3)

    def picture(self, frame: av.VideoFrame, scaler: VideoReformatter) -> np.ndarray:
        """uint8 RGB of `shape`; a frame of another size than the first is scaled to it."""
        scaled = scaler.reformat(frame, self.width, self.lines, "rgb24", interpolation="AREA").to_ndarray()
        rotated = scaled.transpose(1, 0, 2) if self.swap else scaled
        return rotated[:: -1 if self.flip else 1, :: -1 if self.mirror else 1]


class _Pictures:
    """The pictures of one call, in the order of `wanted`, filled in by several threads; `decoded` marks those done."""

    def __init__(self, name: str, wanted: list[int], display: Display) -> None:
        height, width, _ = display.shape
        if len(wanted) * height * width * 3 > MAX_BYTES:
            size = f"{len(wanted)} pictures of {width}x{height}"
            raise VideoError(f"{name}: {size} take more than {MAX_BYTES} bytes: choose fewer or a smaller height")
        self.rows = {pts: slice(bisect_left(wanted, pts), bisect_right(wanted, pts)) for pts in wanted}
        self.pixels, self.decoded = np.empty((len(wanted), height, width, 3), np.uint8), np.zeros(len(wanted), bool)
        self.display = display

    def fill(self, frames: Iterable[av.VideoFrame]) -> None:
        scaler = VideoReformatter()  # for all frames, as it keeps its tables; one a thread
        for frame in frames:
            rows = self.rows[frame.pts]
            self.pixels[rows], self.decoded[rows] = self.display.picture(frame, scaler), True


def decode_frames(
    video: OpenVideo, info: Probe, wanted: list[int], height: int, threads: int
) -> tuple[np.ndarray, np.ndarray]:
    """uint8 RGB [n, height, width, 3] of the frames at the sorted pts `wanted`, and bool [n]: False where damaged.

    They are scaled to `height` lines as they come, so that few full ones are in memory. `threads` decode.
    """
    stream, groups = video.stream, info.group_by_keyframe(wanted)
    threads = min(threads or getattr(os, "process_cpu_count", os.cpu_count)() or 1, MAX_THREADS)
    # Together the decoders hold no more pixels than one does of a frame of MAX_PIXELS.
    decoders = max(1, min(threads, len(groups), MAX_PIXELS // max(1, info.width * info.height)))
    # FFmpeg's own threads wait for one another at every seek: they help where there is but one decoder.
    stream.thread_type, stream.codec_context.thread_count = "AUTO", threads if decoders == 1 else 1
    first = next(_decode(video, info, info.group_by_keyframe([info.pts[0], *info.keyframes]).items()), None)
    if first is None:
        raise VideoError(f"{video.path.name}: not one frame could be decoded: is the file damaged?")
    pictures = _Pictures(video.path.name, wanted, Display(first, stream.sample_aspect_ratio, height))
    todo = iter(groups.items())  # shared by the threads; each takes the next group from it
    with ThreadPoolExecutor(MAX_THREADS) as pool:
        others = [pool.submit(_decode_beside, video.path, info, todo, pictures) for _ in range(decoders - 1)]
        try:
            pictures.fill(_decode(video, info, todo))
        finally:
            list(todo)  # after an error or Ctrl-C the others begin no further group
    for other in others:
        other.result()
    return pictures.pixels, pictures.decoded


def _decode_beside(path: Path, info: Probe, todo: Iterator[tuple[int, list[int]]], pictures: _Pictures) -> None:
    """Another decoder of the same file takes its part of the groups that are still to do."""
    with open_video(path) as video:
        video.stream.codec_context.thread_count = 1
        pictures.fill(_decode(video, info, todo))


def _decode(video: OpenVideo, info: Probe, groups: Iterable[tuple[int, list[int]]]) -> Iterator[av.VideoFrame]:
    """The wanted frames: for each group of pictures a seek to its keyframe, and no decoding past the last."""
    for keyframe, wanted in groups:
        missing = set(wanted)
        yield from _decode_group(video, keyframe, missing, skip=video.stream.codec_context.name == "h264")
        if missing:  # a stream that says little of its order can need more than its own group, in full
            before = info.keyframes[max(bisect_left(info.keyframes, keyframe) - 1, 0)]
            yield from _decode_group(video, before, missing, skip=False)


def _decode_group(video: OpenVideo, keyframe: int, missing: set[int], skip: bool) -> Iterator[av.VideoFrame]:
    """The frames at the pts `missing`, which are removed from it; `skip` those that no other frame depends on."""
    codec, unsent, last = video.stream.codec_context, set(missing), max(missing)
    try:
        video.container.seek(keyframe, stream=video.stream, backward=True)
        for packet in video.container.demux(video.stream):
            # In H.264 a picture that is no reference changes no other. A packet without a time may be a second field.
            unwanted = packet.pts is not None and packet.pts not in unsent
            codec.skip_frame = "NONREF" if skip and unwanted else "DEFAULT"
            unsent.discard(packet.pts)
            done = not unsent or (packet.dts is not None and packet.dts > last)
            for frame in packet.decode() + (codec.decode(None) if done else []):
                if frame.pts in missing:
                    missing.remove(frame.pts)
                    yield frame
            if done:
                return
    except av.FFmpegError:
        return
