"""A video file opened without trusting it, and what its container says: its length and its frames' times."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Disposition

from trailer_lib.errors import TrailerError

# The demuxer is chosen by the file's first bytes and forced: FFmpeg's own guess would also follow playlists,
# which can read other files and open connections.
MAGIC = {b"ftyp": (4, "mov"), b"moov": (4, "mov"), b"\x1aE\xdf\xa3": (0, "matroska"), b"AVI ": (8, "avi")}
MAX_PIXELS = 36_000_000  # of a frame: 8K fits; a decoder holds some 20 of them
MAX_FRAMES = 1_000_000  # of a file: nine hours at 30 a second


class VideoError(TrailerError):
    """A file that gives no frames; the text says why."""


@dataclass(frozen=True)
class Probe:
    """A video's length in seconds and its frames' times. `pts` are sorted, in units of `time_base` seconds.

    `width` and `height` are those of the stored picture, before it is turned or stretched for showing.
    """

    width: int
    height: int
    duration: float
    time_base: float
    pts: list[int]
    keyframes: list[int]

    def groups(self, wanted: Iterable[int]) -> dict[int, list[int]]:
        """The pts `wanted`, by the keyframe from which each of them is decoded."""
        groups: dict[int, list[int]] = {}
        for pts in wanted:
            groups.setdefault(self.keyframes[max(bisect_right(self.keyframes, pts) - 1, 0)], []).append(pts)
        return groups


@contextmanager
def opened(path: Path) -> Iterator[tuple[InputContainer, av.VideoStream]]:
    """The container of `path` and its film; VideoError for what is no video, there and within the block."""
    container_format = _container_format(path)
    # "file:" keeps a name like "concat:a|b" a name; the whitelist keeps the file from opening anything else.
    options = {"protocol_whitelist": "file", "max_pixels": str(MAX_PIXELS)}
    try:
        with av.open(f"file:{path.resolve()}", format=container_format, options=options) as container:
            yield container, _film(path, container)
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


def _film(path: Path, container: InputContainer) -> av.VideoStream:
    """The first video stream that is no cover picture and can be decoded within MAX_PIXELS."""
    films = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not films:
        raise VideoError(f"{path.name}: no video stream in it, only {len(container.streams)} other")
    codec = films[0].codec_context
    if codec is None:
        raise VideoError(f"{path.name}: its video is in no codec that can be decoded here: convert it to H.264")
    if max(codec.width * codec.height, codec.coded_width * codec.coded_height) > MAX_PIXELS:
        raise VideoError(f"{path.name}: {codec.width}x{codec.height}: at most {MAX_PIXELS} pixels a frame are read")
    codec.options = {"max_pixels": str(MAX_PIXELS)}  # a frame within may still claim another size
    return films[0]


def probe(path: Path) -> Probe:
    """Read the container's packets without decoding; VideoError when it is no video or is cut short."""
    with opened(path) as (container, stream):
        return probe_opened(path, container, stream)


def probe_opened(path: Path, container: InputContainer, stream: av.VideoStream) -> Probe:
    _refuse_timeless(path, container, stream)
    shown, keyframes = _packet_times(path, container, stream)
    if not keyframes or not shown:
        raise VideoError(f"{path.name}: the video stream holds no frames: is the file cut short?")
    base, pts = float(stream.time_base), [pts for pts, _ in shown]
    length = (pts[-1] - pts[0] + shown[-1][1]) * base
    claimed = float(stream.duration * base) if stream.duration else (container.duration or 0) / av.time_base
    if length < 0.9 * claimed:
        raise VideoError(f"{path.name}: cut short: {length:.1f} s of {claimed:.1f} s are there")
    return Probe(stream.codec_context.width, stream.codec_context.height, length, base, pts, keyframes)


def _packet_times(
    path: Path, container: InputContainer, stream: av.VideoStream
) -> tuple[list[tuple[int, int]], list[int]]:
    """(pts, duration) of the frames that are shown, and the pts of the keyframes, both sorted."""
    shown, keyframes = [], []
    for packet in container.demux(stream):
        if packet.pts is None:
            continue
        if packet.is_keyframe:
            keyframes.append(packet.pts)
        if not packet.is_discard:  # what an edit list hides is decoded but never shown
            shown.append((packet.pts, packet.duration or 0))
        if len(shown) > MAX_FRAMES:
            raise VideoError(f"{path.name}: more than {MAX_FRAMES} frames: cut the file into parts")
    return sorted(shown), sorted(keyframes)


def _refuse_timeless(path: Path, container: InputContainer, stream: av.VideoStream) -> None:
    """AVI stores no times: with the B-frames of H.264 they are guessed wrong, and frames would be given for others."""
    codec = stream.codec_context
    if container.format.name == "avi" and codec.name in ("h264", "hevc") and codec.has_b_frames:
        raise VideoError(f"{path.name}: {codec.name} with B-frames in AVI has no frame times: convert it to mp4")
