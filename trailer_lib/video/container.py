"""A video file opened without trusting it, and what its container says: its length and its frames' times."""

import re
import shlex
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import av
from av.container import InputContainer
from av.stream import Disposition

from trailer_lib.errors import TrailerError

# Suffixes of the files that are taken for videos. The first six are read; the others are refused with a remedy.
SUFFIXES = ".mp4 .m4v .mov .mkv .webm .avi .3gp .asf .divx .flv .m2ts .mpeg .mpg .mts .ogv .rm .rmvb .ts .vob .wmv"
VIDEO_SUFFIXES = tuple(SUFFIXES.split())
QUICKTIME_BOXES = (b"ftyp", b"moov", b"wide", b"mdat", b"free", b"skip", b"pnot")  # that a file may begin with
COMPLETE = 0.9  # of its claimed length, under which a video is cut short
MAX_PIXELS = 36_000_000  # of a frame: 8K fits; a decoder holds some 20 of them
MAX_FRAMES = 1_000_000  # of a file: nine hours at 30 a second


class VideoError(TrailerError):
    """A file that gives no frames; the text says why."""


class NoPicture(VideoError):
    """A file without a video stream, such as one of sound alone."""


def is_video_name(name: str) -> bool:
    """Whether a file of this name is taken for a video; hidden files, such as "._film.mp4", are not."""
    return name.lower().endswith(VIDEO_SUFFIXES) and not name.startswith(".")


class Probe(NamedTuple):
    """The stored picture's size, the length in seconds, and the sorted pts, in units of `time_base` seconds."""

    width: int
    height: int
    duration: float
    time_base: float
    pts: list[int]
    keyframes: list[int]
    pts_at: dict[int, int]  # byte of the file -> pts of the packet there, which a seek may change (fragmented mp4)

    def keyframe_of(self, pts: int) -> int:
        """The keyframe from which the frame at `pts` is decoded."""
        return self.keyframes[max(bisect_right(self.keyframes, pts) - 1, 0)]


class OpenVideo(NamedTuple):
    """A file that is open, and the stream of it that is the video."""

    path: Path
    container: InputContainer
    stream: av.VideoStream


@contextmanager
def open_container(path: Path) -> Iterator[InputContainer]:
    """Open a file of video or sound; VideoError, also for errors in the block."""
    kind = _container_format(path)
    # "file:" keeps a name like "concat:a|b" a name; the whitelist keeps the file from opening anything else.
    options = {"protocol_whitelist": "file", "max_pixels": str(MAX_PIXELS)}
    try:
        with av.open(f"file:{path.resolve()}", format=kind, options=options) as container:
            yield container
    except (av.FFmpegError, ValueError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or error
        raise VideoError(f"{path.name}: not readable as video ({reason}): is it cut short or damaged?") from error


@contextmanager
def open_video(path: Path, index: int | None = None) -> Iterator[OpenVideo]:
    """Open `path` and choose its video stream, or take that of `index`; VideoError, also for errors in the block."""
    with open_container(path) as container:
        stream = _choose_stream(path, container) if index is None else container.streams[index]
        codec = stream.codec_context
        if codec is None:
            raise VideoError(f"{path.name}: its video is in no codec that can be decoded here: convert it to H.264")
        if max(codec.width * codec.height, codec.coded_width * codec.coded_height) > MAX_PIXELS:
            raise VideoError(f"{path.name}: {codec.width}x{codec.height}: at most {MAX_PIXELS} pixels a frame are read")
        codec.options = {"max_pixels": str(MAX_PIXELS)}  # a frame within may still claim another size
        yield OpenVideo(path, container, stream)


def _container_format(path: Path) -> str:
    """The demuxer, by the file's first bytes: FFmpeg's own guess also follows playlists to other files and URLs."""
    try:
        with open(path, "rb") as file:
            head = file.read(16)
    except OSError as error:
        raise VideoError(f"{path}: {error.strerror}") from error
    matroska, avi = head.startswith(b"\x1aE\xdf\xa3"), head[8:12] == b"AVI "
    if head[4:8] in QUICKTIME_BOXES or matroska or avi:
        return "matroska" if matroska else "avi" if avi else "mov"
    remedy = f"ffmpeg -fflags +genpts -i {shlex.quote(path.name)} -c copy {shlex.quote(path.stem + '.mkv')}"
    begins = f"(mp4, mov, mkv, webm and avi are read; it begins with {head[:8]!r})"
    raise VideoError(f"{path.name}: not a video {begins}: if it is another kind of video, {remedy}")


def _choose_stream(path: Path, container: InputContainer) -> av.VideoStream:
    """The stream that players choose: one that can be decoded, no thumbnail, the default, the largest, the longest."""
    streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not streams:
        raise NoPicture(f"{path.name}: no video stream in it, only {len(container.streams)} other")
    if len(streams) == 1:
        return streams[0]
    frames = Counter(packet.stream_index for packet in container.demux(streams) if packet.size)
    container.seek(0, any_frame=True)

    def rank(stream: av.VideoStream) -> tuple:
        codec, default = stream.codec_context, bool(stream.disposition & Disposition.default)
        pixels, count = codec.width * codec.height if codec else 0, frames[stream.index]
        return codec is not None, count > 1, default, pixels, count

    return max(streams, key=rank)


def probe(path: Path) -> Probe:
    with open_video(path) as video:
        return probe_open(video)


def probe_open(video: OpenVideo) -> Probe:
    """What the packets say, without decoding; VideoError when it is cut short."""
    stream, codec = video.stream, video.stream.codec_context
    _refuse_guessed_times(video)
    durations, keyframes, pts_at = _packets(video)
    if not keyframes or not durations:
        raise VideoError(f"{video.path.name}: the video stream holds no frames: is the file cut short?")
    base, pts = float(stream.time_base), sorted(durations)
    first, end = min(pts_at.values(), default=pts[0]) * base, (pts[-1] + durations[pts[-1]]) * base
    claimed = _claimed_end(video, first, end) - first
    if end - first < COMPLETE * claimed:
        raise VideoError(f"{video.path.name}: cut short: {end - first:.1f} s of {claimed:.1f} s are there")
    return Probe(codec.width, codec.height, end - pts[0] * base, base, pts, sorted(keyframes), pts_at)


def _refuse_guessed_times(video: OpenVideo) -> None:
    """VideoError where FFmpeg has to guess the times of B-frames: frames would be returned for others."""
    codec, in_avi = video.stream.codec_context, video.container.format.name == "avi"
    packed = codec.name == "mpeg4" and re.search(rb"DivX\d+(b|Build)\d+p", codec.extradata or b"")
    if packed or (in_avi and codec.name in ("h264", "hevc") and codec.has_b_frames):
        kind = "packed B-frames" if packed else "B-frames in AVI"
        raise VideoError(f"{video.path.name}: {codec.name} with {kind} has no frame times: convert it to mp4")


def _packets(video: OpenVideo) -> tuple[dict[int, int], list[int], dict[int, int]]:
    """pts -> duration of the frames that are displayed, the pts of the keyframes, and byte -> pts of all packets."""
    durations, keyframes, pts_at = {}, [], {}
    for count, packet in enumerate(video.container.demux(video.stream)):
        if packet.pts is None:
            continue
        pts_at[packet.pos] = packet.pts
        if packet.is_keyframe:
            keyframes.append(packet.pts)
        # What an edit list hides is decoded but not displayed; what comes before the first keyframe is not decoded.
        if keyframes and not packet.is_discard:
            durations[packet.pts] = packet.duration or 0
        if count >= MAX_FRAMES:
            raise VideoError(f"{video.path.name}: more than {MAX_FRAMES} frames: cut the file into parts")
    pts_at.pop(-1, None)  # of packets that are not stored as they are
    return durations, keyframes, pts_at


def _claimed_end(video: OpenVideo, start: float, end: float) -> float:
    """The second at which the container says that the video ends; `end` where it says it of another track only."""
    stream, container = video.stream, video.container
    if stream.duration:
        return start + float(stream.duration * stream.time_base)
    claimed = (container.duration or 0) / av.time_base
    enough = start + COMPLETE * (claimed - start)
    if end < enough:
        container.seek(0, any_frame=True)
        packets = (packet for packet in container.demux() if packet.pts is not None)
        last = max(float((packet.pts + (packet.duration or 0)) * packet.time_base) for packet in packets)
        return claimed if last < enough else end
    return claimed
