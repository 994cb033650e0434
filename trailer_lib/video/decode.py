"""Chosen pts of a video -> their pictures, as a player displays them, decoded by several threads."""

import io
import math
import os
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import groupby

import av
import av.filter
import numpy as np
from av.sidedata.sidedata import Type
from av.video.reformatter import VideoReformatter

from trailer_lib.video.container import MAX_PIXELS, OpenVideo, Probe, VideoError, open_video

HDR = PQ, HLG = 16, 18  # transfer characteristics (ITU-T H.273)
KNEE = 0.7  # of white; brighter light is compressed
BT709_FROM_BT2020 = np.float32([[1.6605, -0.1246, -0.0182], [-0.5876, 1.1329, -0.1006], [-0.0728, -0.0083, 1.1187]])
MAX_BYTES = 2 << 30  # of the pictures of one call
MAX_THREADS = 8  # each holds a decoder's frames


@dataclass(frozen=True)
class Frames:
    """Frames of a video, whose `duration` is in seconds."""

    pixels: np.ndarray  # uint8 RGB [n, height, width, 3]
    seconds: np.ndarray  # float64 [n], from the video's first frame on
    note: str = ""  # how many frames are missing, "" for none
    duration: float = 0.0
    start: float = 0.0  # the first frame's second by the file's clock


def rotation_of(frame: av.VideoFrame) -> tuple[bool, bool, bool]:
    """Whether the frame is displayed with rows and columns swapped, then mirrored left to right, then top to bottom."""
    # The nearest of the eight to its display matrix: x' = ax + cy, y' = bx + dy (ISO 14496-12, 8.3.2).
    side_data = frame.side_data.get(Type.DISPLAYMATRIX)
    if side_data is None:
        return False, False, False
    a, b, _, c, d = (int(value) for value in np.frombuffer(bytes(side_data), "<i4")[:5])
    return (True, c < 0, b < 0) if abs(b) + abs(c) > abs(a) + abs(d) else (False, a < 0, d < 0)


def cropping_of(stream: av.VideoStream) -> tuple[int, ...]:
    """Pixels that the container crops from the top, bottom, left and right of each stored picture."""
    # PyAV does not pass them on, but FFmpeg writes them into the header of a Matroska file (RFC 9559, 5.1.4.1.28.8).
    header = io.BytesIO()
    with suppress(av.FFmpegError, ValueError), av.open(header, "w", format="matroska") as container:
        container.add_stream_from_template(stream)
        container.start_encoding()
    names = b"\x54\xbb", b"\x54\xaa", b"\x54\xcc", b"\x54\xdd"
    fields = [re.search(re.escape(name) + rb"(?s:\x81(.)|\x82(..))", header.getvalue()) for name in names]
    return tuple(int.from_bytes(field[1] or field[2], "big") if field else 0 for field in fields)


class Display:
    """The pictures that a player makes of a stream's frames: cropped, upright, all of the size of the `first`."""

    def __init__(self, stream: av.VideoStream, first: av.VideoFrame, height: int) -> None:
        self.swap, self.mirror, self.flip = rotation_of(first)
        top, bottom, left, right = cropping_of(stream)
        lines, columns = first.height - top - bottom, first.width - left - right
        if lines < 1 or columns < 1:
            top, left, lines, columns = 0, 0, first.height, first.width
        width = max(1, round(columns * (stream.sample_aspect_ratio or 1)))
        # Of at most `height` lines, 0 for no limit; enlarged only in width, where pixels are wider than high.
        upright_lines = width if self.swap else lines
        scale = Fraction(height, upright_lines) if 0 < height < upright_lines else 1
        self.width, self.lines = max(1, round(width * scale)), max(1, round(lines * scale))
        # The whole frame is scaled, then cropped.
        self.scaled = round(first.width * self.width / columns), round(first.height * self.lines / lines)
        self.left = min(round(left * self.width / columns), self.scaled[0] - self.width)
        self.top = min(round(top * self.lines / lines), self.scaled[1] - self.lines)
        if self.scaled[0] * self.scaled[1] > MAX_PIXELS:
            raise VideoError(f"displayed at {self.width}x{self.lines}: at most {MAX_PIXELS} pixels a picture are made")
        self.shape = (self.width, self.lines, 3) if self.swap else (self.lines, self.width, 3)

    def picture(self, frame: av.VideoFrame, scaler: VideoReformatter) -> np.ndarray:
        """uint8 RGB of `shape`."""
        frame = _deinterlace(frame) if frame.interlaced_frame else frame
        rgb = "rgb48le" if frame.color_trc in HDR else "rgb24"
        scaled = scaler.reformat(frame, *self.scaled, rgb, interpolation="AREA").to_ndarray()
        scaled = scaled[self.top : self.top + self.lines, self.left : self.left + self.width]
        scaled = tone_map(scaled, frame.color_trc) if frame.color_trc in HDR else scaled
        rotated = scaled.transpose(1, 0, 2) if self.swap else scaled
        return rotated[:: -1 if self.flip else 1, :: -1 if self.mirror else 1]


def _deinterlace(frame: av.VideoFrame) -> av.VideoFrame:
    """One field, and between its lines what they suggest: without the other field, which is of another moment."""
    graph = av.filter.Graph()
    source = graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 1000))
    graph.link_nodes(source, graph.add("estdif", "mode=frame:parity=tff"), graph.add("buffersink")).configure()
    graph.push(frame)
    graph.push(None)
    return graph.pull()


def tone_map(pixels: np.ndarray, transfer: int) -> np.ndarray:
    """HDR RGB, uint16 [height, width, 3] in BT.2020 colours, -> uint8 sRGB; white is 203 cd/m2 (ITU-R BT.2408)."""
    light = np.maximum(_light(transfer)[pixels] @ BT709_FROM_BT2020, 0)
    brightest = np.maximum(light.max(axis=2, keepdims=True), 1e-6)
    bent = np.where(brightest > KNEE, KNEE + (1 - KNEE) * np.tanh((brightest - KNEE) / (1 - KNEE)), brightest)
    return np.rint(255 * (light * (bent / brightest)) ** (1 / 2.2)).astype(np.uint8)


@cache
def _light(transfer: int) -> np.ndarray:
    """float32 [65536]: the light of each code of PQ (SMPTE ST 2084) or HLG (ITU-R BT.2100), in units of 203 cd/m2."""
    code = np.linspace(0, 1, 65536)
    if transfer == PQ:
        root = code ** (1 / 78.84375)
        nits = 10_000 * (np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)) ** (1 / 0.1593017578125)
    else:  # with the system gamma of a display of 1,000 cd/m2
        scene = np.where(code <= 0.5, code**2 / 3, (np.exp((code - 0.55991073) / 0.17883277) + 0.28466892) / 12)
        nits = 1000 * scene**1.2
    return (nits / 203).astype(np.float32)


def decode_frames(
    video: OpenVideo, info: Probe, wanted: list[int], height: int, threads: int
) -> tuple[np.ndarray, np.ndarray]:
    """uint8 RGB [n, height, width, 3] of the frames at the sorted pts `wanted`, and bool [n]: False where damaged."""
    stream, groups = video.stream, [(key, list(group)) for key, group in groupby(wanted, info.keyframe_of)]
    threads = min(threads or getattr(os, "process_cpu_count", os.cpu_count)() or 1, MAX_THREADS)
    # Together the decoders hold no more pixels than one does of a frame of MAX_PIXELS.
    decoders = max(1, min(threads, len(groups), MAX_PIXELS // max(1, info.width * info.height)))
    # FFmpeg's own threads wait for one another at every seek: they help where there is but one decoder.
    stream.thread_type, stream.codec_context.thread_count = "AUTO", threads if decoders == 1 else 1
    candidates = ((info.keyframe_of(pts), [pts]) for pts in (info.pts[0], *info.keyframes))
    first = next(_decode(video, info, candidates), None)
    if first is None:
        raise VideoError(f"{video.path.name}: not one frame could be decoded: is the file damaged?")
    display = Display(stream, first, height)
    if len(wanted) * math.prod(display.shape) > MAX_BYTES:
        size = f"{len(wanted)} pictures of {display.shape[1]}x{display.shape[0]}"
        remedy = "choose fewer or a smaller height"
        raise VideoError(f"{video.path.name}: {size} take more than {MAX_BYTES} bytes: {remedy}")
    pixels, decoded = np.empty((len(wanted), *display.shape), np.uint8), np.zeros(len(wanted), bool)
    todo = iter(groups)  # shared by the threads; each takes the next group from it

    def fill(opened: OpenVideo) -> None:
        scaler = VideoReformatter()  # for all frames, as it keeps its tables; one a thread
        for frame in _decode(opened, info, todo):
            rows = slice(bisect_left(wanted, frame.pts), bisect_right(wanted, frame.pts))
            pixels[rows], decoded[rows] = display.picture(frame, scaler), True

    def fill_beside() -> None:
        with open_video(video.path, stream.index) as other:
            other.stream.codec_context.thread_count = 1
            fill(other)

    with ThreadPoolExecutor(MAX_THREADS) as pool:
        others = [pool.submit(fill_beside) for _ in range(decoders - 1)]
        try:
            fill(video)
        finally:
            list(todo)  # after an error or Ctrl-C the others begin no further group
    for other in others:
        other.result()
    return pixels, decoded


def _decode(video: OpenVideo, info: Probe, groups: Iterable[tuple[int, list[int]]]) -> Iterator[av.VideoFrame]:
    """The wanted frames: for each group of pictures a seek to its keyframe, and no decoding past the last."""
    for keyframe, wanted in groups:
        missing = set(wanted)
        yield from _decode_group(video, info, keyframe, missing, skip=video.stream.codec_context.name == "h264")
        if missing:  # a stream that says little of its order can need more than its own group, in full
            yield from _decode_group(video, info, info.keyframe_of(keyframe - 1), missing, skip=False)


def _decode_group(video: OpenVideo, info: Probe, start: int, missing: set[int], skip: bool) -> Iterator[av.VideoFrame]:
    """The frames at the pts `missing`, which are removed from it; `skip` those that no other frame depends on."""
    codec, unsent, last = video.stream.codec_context, set(missing), max(missing)
    with suppress(av.FFmpegError):
        try:
            video.container.seek(start, stream=video.stream, backward=True)
        except av.FFmpegError:  # the container's index has no keyframe before it
            video.container.seek(0, stream=video.stream, any_frame=True)
        for packet in video.container.demux(video.stream):
            packet.pts = info.pts_at.get(packet.pos, packet.pts)
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
