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

    `width` and `height` are those of the stored picture, before it is rotated or stretched for display.
    """

    width: int
    height: int
    duration: float
    time_base: float
    pts: list[int]
    keyframes: list[int]

    def group_by_keyframe(self, wanted: Iterable[int]) -> dict[int, list[int]]:
        """The pts `wanted`, by the keyframe from which each of them is decoded."""
        groups: dict[int, list[int]] = {}
        for pts in wanted:
            groups.setdefault(self.keyframes[max(bisect_right(self.keyframes, pts) - 1, 0)], []).append(pts)
        return groups


@dataclass(frozen=True)
class OpenVideo:
    """A file that is open, and the stream of it that is the video."""

    path: Path
    container: InputContainer
    stream: av.VideoStream


@contextmanager
def open_video(path: Path) -> Iterator[OpenVideo]:
    """Open `path`; VideoError for what is no video, there and within the block."""
    container_format = _container_format(path)
    # "file:" keeps a name like "concat:a|b" a name; the whitelist keeps the file from opening anything else.
    options = {"protocol_whitelist": "file", "max_pixels": str(MAX_PIXELS)}
    try:
        with av.open(f"file:{path.resolve()}", format=container_format, options=options) as container:
            yield OpenVideo(path, container, _video_stream(path, container))
    except (av.FFmpegError, ValueError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or error
        raise VideoError(f"{path.name}: not readable as video ({reason}): is it cut short or damaged?") from error


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


def _video_stream(path: Path, container: InputContainer) -> av.VideoStream:
    """The first video stream that is no cover picture and can be decoded within MAX_PIXELS."""
    streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not streams:
        raise VideoError(f"{path.name}: no video stream in it, only {len(container.streams)} other")
    codec = streams[0].codec_context
    if codec is None:
        raise VideoError(f"{path.name}: its video is in no codec that can be decoded here: convert it to H.264")
    if max(codec.width * codec.height, codec.coded_width * codec.coded_height) > MAX_PIXELS:
        raise VideoError(f"{path.name}: {codec.width}x{codec.height}: at most {MAX_PIXELS} pixels a frame are read")
    codec.options = {"max_pixels": str(MAX_PIXELS)}  # a frame within may still claim another size
    return streams[0]


def probe(path: Path) -> Probe:
    """What the packets say, without decoding; VideoError when it is no video or is cut short."""
    with open_video(path) as video:
        return probe_open(video)


def probe_open(video: OpenVideo) -> Probe:
    name, stream, codec = video.path.name, video.stream, video.stream.codec_context
    if video.container.format.name == "avi" and codec.name in ("h264", "hevc") and codec.has_b_frames:
        # AVI stores no times: with the B-frames of H.264 they are guessed wrong.
        raise VideoError(f"{name}: {codec.name} with B-frames in AVI has no frame times: convert it to mp4")
    durations, keyframes = _packets(video)
    if not keyframes or not durations:
        raise VideoError(f"{name}: the video stream holds no frames: is the file cut short?")
    base, pts = float(stream.time_base), sorted(durations)
    duration = (pts[-1] - pts[0] + durations[pts[-1]]) * base
    claimed = float(stream.duration * base) if stream.duration else (video.container.duration or 0) / av.time_base
    if duration < 0.9 * claimed:
        raise VideoError(f"{name}: cut short: {duration:.1f} s of {claimed:.1f} s are there")
    return Probe(codec.width, codec.height, duration, base, pts, sorted(keyframes))


def _packets(video: OpenVideo) -> tuple[dict[int, int], list[int]]:
    """pts -> duration of the frames that are displayed, and the pts of the keyframes."""
    durations, keyframes = {}, []
    for packet in video.container.demux(video.stream):
        if packet.pts is None:
            continue
        if packet.is_keyframe:
            keyframes.append(packet.pts)
        if not packet.is_discard:  # what an edit list hides is decoded but never displayed
            durations[packet.pts] = packet.duration or 0
        if len(durations) > MAX_FRAMES:
            raise VideoError(f"{video.path.name}: more than {MAX_FRAMES} frames: cut the file into parts")
    return durations, keyframes
