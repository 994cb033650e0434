"""A video file -> what it is, and its frames at chosen times."""

import hashlib
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from trailer_lib.errors import TrailerError

# The demuxer is chosen by the file's first bytes and forced: FFmpeg's own guess would also follow playlists,
# which can read other files and open connections.
MAGIC = {b"ftyp": (4, "mov"), b"moov": (4, "mov"), b"\x1aE\xdf\xa3": (0, "matroska"), b"AVI ": (8, "avi")}


class VideoError(TrailerError):
    """A file that gives no frames; the text says why."""


@dataclass(frozen=True)
class Probe:
    """A video's length and its frames' times. `pts` are sorted, in units of `time_base` seconds."""

    width: int
    height: int
    duration: float
    time_base: float
    pts: list[int]
    keyframes: list[int]


@dataclass(frozen=True)
class Frames:
    """`pixels` uint8 RGB [n, height, width, 3] and `seconds` float64 [n], the frames' own times from the start."""

    pixels: np.ndarray
    seconds: np.ndarray

    def __len__(self) -> int:
        return len(self.seconds)


def draw_times(seed: int, key: str, duration: float, count: int) -> np.ndarray:
    """`count` sorted times in [0, duration) seconds, the same for the same arguments on every machine."""
    digest = hashlib.sha256(f"{seed}/{key}".encode()).digest()
    return np.sort(np.random.default_rng(list(digest)).random(count)) * duration


def probe(path: Path) -> Probe:
    """Read the container's packets without decoding; VideoError when it is no video or is cut short."""
    with _opened(path) as (container, stream):
        return _probe(path, container, stream)


def sample_frames(path: Path, count: int, seed: int, key: str, mode: str = "exact", height: int = 0) -> Frames:
    """`count` random frames of `path` in the film's order, at the times of `draw_times`.

    `mode="exact"` gives the frame shown at each time; "keyframes" the nearest keyframe, each once, so perhaps fewer.
    Pictures taller than `height` lines are shrunk to it; 0 keeps them. VideoError when there is nothing to decode.
    """
    with _opened(path) as (container, stream):
        facts = _probe(path, container, stream)
        times = draw_times(seed, key, facts.duration, count)
        wanted = _shown_at(facts.pts, times, facts) if mode == "exact" else _nearest_keyframes(facts, times)
        size = _target_size(facts, height)
        decoded = dict(_decode(container, stream, facts, wanted, size))
    if not decoded:
        raise VideoError(f"{path.name}: not one frame could be decoded: is the file damaged?")
    # A damaged stretch loses its frames; the others stand. A frame drawn twice is given twice.
    wanted = [pts for pts in wanted if pts in decoded]
    seconds = (np.array(wanted, dtype=np.float64) - facts.pts[0]) * facts.time_base
    return Frames(np.stack([decoded[pts] for pts in wanted]), seconds)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    container_format = _container_format(path)
    # "file:" keeps a name like "concat:a|b" a name; the whitelist keeps the file from opening anything else.
    options = {"protocol_whitelist": "file"}
    try:
        with av.open(f"file:{path.resolve()}", format=container_format, options=options) as container:
            if not container.streams.video:
                raise VideoError(f"{path.name}: no video stream in it, only {len(container.streams)} other")
            yield container, container.streams.video[0]
    except (av.FFmpegError, ValueError, MemoryError) as error:
        raise VideoError(
            f"{path.name}: not readable as video ({_reason(error)}): is it cut short or damaged?"
        ) from error


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _container_format(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            head = file.read(16)
    except OSError as error:
        raise VideoError(f"{path}: {error.strerror}") from error
    for magic, (offset, name) in MAGIC.items():
        if head[offset : offset + len(magic)] == magic:
            return name
    raise VideoError(f"{path.name}: not a video (mp4, mov, mkv, webm and avi are read; it starts with {head[:8]!r})")


def _probe(path: Path, container: av.container.InputContainer, stream: av.VideoStream) -> Probe:
    _refuse_timeless(path, container, stream)
    packets = [packet for packet in container.demux(stream) if packet.pts is not None]
    keyframes = sorted(packet.pts for packet in packets if packet.is_keyframe)
    # Packets that an edit list hides are decoded but never shown.
    shown = sorted((packet.pts, packet.duration or 0) for packet in packets if not packet.is_discard)
    if not keyframes or not shown:
        raise VideoError(f"{path.name}: the video stream holds no frames: is the file cut short?")
    base, pts = float(stream.time_base), [pts for pts, _ in shown]
    length = (pts[-1] - pts[0] + shown[-1][1]) * base
    claimed = float(stream.duration * base) if stream.duration else (container.duration or 0) / av.time_base
    if length < 0.9 * claimed:
        raise VideoError(f"{path.name}: cut short: {length:.1f} s of {claimed:.1f} s are there")
    return Probe(stream.codec_context.width, stream.codec_context.height, length, base, pts, keyframes)


def _refuse_timeless(path: Path, container: av.container.InputContainer, stream: av.VideoStream) -> None:
    """AVI stores no times: with the B-frames of H.264 they are guessed wrong, and frames would be given for others."""
    codec = stream.codec_context
    if container.format.name == "avi" and codec.name in ("h264", "hevc") and codec.has_b_frames:
        raise VideoError(f"{path.name}: {codec.name} with B-frames in AVI has no frame times: convert it to mp4")


def _shown_at(pts: list[int], times: np.ndarray, facts: Probe) -> list[int]:
    """The last of the sorted `pts` at or before each time: what a player shows then."""
    return [pts[max(bisect_right(pts, pts[0] + time / facts.time_base) - 1, 0)] for time in times]


def _nearest_keyframes(facts: Probe, times: np.ndarray) -> list[int]:
    keyframes = np.array(facts.keyframes)
    targets = facts.pts[0] + times / facts.time_base
    return sorted({int(keyframes[np.abs(keyframes - target).argmin()]) for target in targets})


def _decode(
    container: av.container.InputContainer,
    stream: av.VideoStream,
    facts: Probe,
    wanted: list[int],
    size: tuple[int, int],
) -> Iterator[tuple[int, np.ndarray]]:
    """(pts, picture) of the wanted frames: per group of pictures, a seek to its keyframe, no decoding past the last."""
    stream.thread_type = "AUTO"
    groups: dict[int, set[int]] = {}
    for pts in wanted:
        groups.setdefault(facts.keyframes[max(bisect_right(facts.keyframes, pts) - 1, 0)], set()).add(pts)
    for keyframe, left in groups.items():
        yield from _decode_group(container, stream, keyframe, left, size)


def _decode_group(
    container: av.container.InputContainer, stream: av.VideoStream, keyframe: int, left: set[int], size: tuple[int, int]
) -> Iterator[tuple[int, np.ndarray]]:
    try:
        container.seek(keyframe, stream=stream, backward=True)
        for frame in container.decode(stream):
            if frame.pts in left:
                left.remove(frame.pts)
                yield frame.pts, frame.to_ndarray(format="rgb24", width=size[0], height=size[1], interpolation="AREA")
            if not left:
                return
    except av.FFmpegError:
        return


def _target_size(facts: Probe, height: int) -> tuple[int, int]:
    if not height or facts.height <= height:
        return facts.width, facts.height
    return max(2, round(facts.width * height / facts.height / 2) * 2), height
