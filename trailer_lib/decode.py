"""Chosen pts of a video -> their pictures, groups of pictures side by side in several threads."""

import os
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer

from trailer_lib.container import MAX_PIXELS, Probe, VideoError, opened
from trailer_lib.display import Display

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
