"""A video file -> frames at random times, exactly those that a player displays then, until enough are informative."""

import hashlib
from bisect import bisect_right
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from trailer_lib.errors import TrailerError
from trailer_lib.settings import ScrapeSettings
from trailer_lib.video.container import VideoError, open_video, probe_open
from trailer_lib.video.decode import Frames, decode_frames
from trailer_lib.video.quality_filter import filter_frames

ENOUGH = 0.5  # of `count`: the original dropped up to 40 %, so a film that keeps half is as full as its films
OVERSAMPLING = (1, 2, 3)  # times `count` frames, until enough are informative
# Bytes that a worker may allocate: twice what the worst trailer took (H.264 of 4320 lines: 0.7 GB; of 1080: 0.2 GB).
WORKER_MEMORY = 1_500_000_000


class NoInformativeFrames(TrailerError):
    """The filter dropped every frame; `reasons` are those of the last sample."""

    def __init__(self, text: str, reasons: list[str | None]) -> None:
        super().__init__(text)
        self.reasons = reasons


class FrameSample(NamedTuple):
    """Sampled frames in the film's order, for each one None (kept) or why it is dropped; what is missing, or ''."""

    frames: Frames
    reasons: list[str | None]
    remark: str


def random_times(seed: int, key: str, duration: float, count: int) -> np.ndarray:
    """`count` sorted times in [0, duration) seconds, the same for the same arguments on every machine."""
    digest = hashlib.sha256(f"{seed}/{key}".encode()).digest()
    return np.sort(np.random.default_rng(list(digest)).random(count)) * duration


def sample_frames(path: Path, count: int, seed: int, key: str, height: int = 0, threads: int = 0) -> Frames:
    """The frames displayed at `count` random times, in order, of at most `height` lines, by `threads`; 0: no limit."""
    with open_video(path) as video:
        info = probe_open(video)
        start, pts = info.pts[0], info.pts
        times = start + random_times(seed, key, info.duration, count) / info.time_base
        wanted = [pts[max(bisect_right(pts, time) - 1, 0)] for time in times]  # the last frame at or before each time
        pixels, decoded = decode_frames(video, info, wanted, height, threads)
    seconds = (np.array(wanted, dtype=np.float64) - start) * info.time_base
    if not decoded.any():
        raise VideoError(f"{path.name}: not one of {count} frames could be decoded: is the file damaged?")
    note = "" if decoded.all() else f"{sum(~decoded)} of {count} frames are damaged and left out"
    pixels = pixels if decoded.all() else pixels[decoded]  # no copy where none is missing
    return Frames(pixels, seconds[decoded], note, info.duration, start * info.time_base)


def sample_informative(path: Path, key: str, settings: ScrapeSettings, height: int, threads: int = 0) -> FrameSample:
    """Sample `count` frames of `path`, then two and three times as many while fewer than half of `count` are kept."""
    if height < 0:
        raise TrailerError(f"height {height}: give a number of lines, or 0 to keep them all")
    wanted = max(1, round(ENOUGH * settings.count))
    for factor in OVERSAMPLING:
        sampled = sample_frames(path, factor * settings.count, settings.seed, key, height, threads)
        frames, reasons = filter_frames(sampled, settings.filter)
        kept, count, different = reasons.count(None), len(reasons), len(np.unique(frames.seconds))
        if kept >= wanted:
            return FrameSample(frames, reasons, frames.note)
    size = f"{count} frames" + f", {different} of them different" * (different < count)
    if not kept:
        counts = Counter(reasons)
        dropped = [f"{number if len(counts) > 1 else 'all'} {reason}" for reason, number in counts.items()]
        raise NoInformativeFrames(f"{path.name}: the filter kept none of {size}: {', '.join(dropped)}", reasons)
    few = f"kept {kept} of {size}; asked for at least {wanted}"
    return FrameSample(frames, reasons, "; ".join(filter(None, [few, frames.note])))


def memory_needed(settings: ScrapeSettings) -> int:
    """Bytes that sampling a trailer may allocate: WORKER_MEMORY, or more for more pictures than fit into half of it."""
    pictures = OVERSAMPLING[-1] * settings.count * 3 * settings.height**2 * 16 // 9
    return max(WORKER_MEMORY, WORKER_MEMORY // 2 + 2 * pictures)  # twice: sampled, then the kept ones copied
