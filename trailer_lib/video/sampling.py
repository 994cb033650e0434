"""A video file -> its frames at random times, exactly those that a player shows then, or its keyframes."""

import hashlib
from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trailer_lib.errors import TrailerError
from trailer_lib.settings import ScrapeSettings
from trailer_lib.video.container import Probe, opened, probe_opened
from trailer_lib.video.decode import Frames, decoded
from trailer_lib.video.quality_filter import filter_frames


def draw_times(seed: int, key: str, duration: float, count: int) -> np.ndarray:
    """`count` sorted times in [0, duration) seconds, the same for the same arguments on every machine."""
    digest = hashlib.sha256(f"{seed}/{key}".encode()).digest()
    return np.sort(np.random.default_rng(list(digest)).random(count)) * duration


def sample_frames(
    path: Path, count: int, seed: int, key: str, mode: str = "exact", height: int = 0, threads: int = 0
) -> Frames:
    """`count` random frames of `path` in the film's order, as a player shows them: upright, with square pixels.

    `mode="exact"` gives the frame shown at each of the times of `draw_times`, one drawn twice twice. "keyframes" gives
    a keyframe near each time, none twice; when there are too few, all of them, and exact frames at those of thrice as
    many times that cost the least decoding, and `note` says how many. Pictures of more than `height` lines are shrunk
    to it; 0 keeps them, and then the memory is that of `count` full pictures (100 of 1080 lines: 620 MB). `threads`
    decode, at most 8; 0 takes all cores. The pictures do not depend on it. VideoError when there is nothing to decode.
    """
    with opened(path) as (container, stream):
        facts = probe_opened(path, container, stream)
        times = draw_times(seed, key, facts.duration, count)
        wanted, note = _exact(facts, times), ""
        if mode == "keyframes":
            wanted, note = _keyframes_first(facts, times, draw_times(seed, key, facts.duration, 3 * count))
        pixels, there = decoded(path, container, stream, facts, wanted, height, threads)
    seconds = (np.array(wanted, dtype=np.float64) - facts.pts[0]) * facts.time_base
    if there.all():
        return Frames(pixels, seconds, note)
    # A damaged stretch loses its frames; the others stand.
    lost = f"{len(wanted) - there.sum()} of {len(wanted)} frames are damaged and left out"
    return Frames(pixels[there], seconds[there], "; ".join(filter(None, [note, lost])))


def _exact(facts: Probe, times: np.ndarray) -> list[int]:
    """The last pts at or before each time: what a player shows then."""
    pts = facts.pts
    return [pts[max(bisect_right(pts, pts[0] + time / facts.time_base) - 1, 0)] for time in times]


def _keyframes_first(facts: Probe, times: np.ndarray, more: np.ndarray) -> tuple[list[int], str]:
    """As many sorted pts as `times`: the nearest keyframes, then the cheapest at `more`; and a note if they mix."""
    free = sorted(set(facts.keyframes) & set(facts.pts))
    if len(free) >= len(times):
        return sorted(_nearest(free, facts.pts[0] + time / facts.time_base) for time in times), ""
    missing = len(times) - len(free)
    drawn = _exact(facts, more)
    others = sorted(set(drawn) - set(free), key=_prices(facts, drawn).__getitem__)[:missing]
    again = drawn[: missing - len(others)]  # a video of few frames gives some of them twice
    note = f"only {len(free)} keyframes: {missing} of the {len(times)} frames are not keyframes but exact ones"
    return sorted(free + others + again), note


def _prices(facts: Probe, wanted: list[int]) -> dict[int, float]:
    """pts -> pictures to decode for each one gained, when its group is decoded up to it or, if cheaper, beyond."""
    prices = {}
    for keyframe, group in facts.groups(sorted(set(wanted))).items():
        pictures = np.searchsorted(facts.pts, group) - np.searchsorted(facts.pts, keyframe) + 1
        each = pictures / np.arange(1, len(group) + 1)
        prices |= zip(group, np.minimum.accumulate(each[::-1])[::-1].tolist())
    return prices


def _nearest(free: list[int], target: float) -> int:
    """Take the pts nearest to `target` out of the sorted list `free`."""
    right = bisect_right(free, target)
    closest = min(range(max(right - 1, 0), min(right + 1, len(free))), key=lambda index: abs(free[index] - target))
    return free.pop(closest)


ENOUGH = 0.5  # of `count`: the original dropped up to 40 %, so a film that keeps half is as full as its films
# Bytes that a worker may allocate: twice what the worst trailer took (H.264 of 4320 lines: 0.7 GB; of 1080: 0.2 GB).
WORKER_MEMORY = 1_500_000_000
OVERSAMPLING = (1, 2, 3)  # times `count` frames, until enough pass


class NoInformativeFrames(TrailerError):
    """The filter passed no frame; `reasons` are those of the last draw."""

    def __init__(self, text: str, reasons: list[str | None]) -> None:
        super().__init__(text)
        self.reasons = reasons


@dataclass(frozen=True)
class FrameSample:
    """Drawn frames in the film's order, None (kept) or a reason for each, and how many had to pass at least."""

    frames: Frames
    reasons: list[str | None]
    least: int

    @property
    def kept_frames(self) -> int:
        return self.reasons.count(None)

    @property
    def remark(self) -> str:
        """'' or what is not quite as asked for: too few frames, frames that are no keyframes."""
        few = f"kept {self.kept_frames} of {len(self.reasons)} drawn; asked for at least {self.least}"
        return "; ".join(filter(None, [few if self.kept_frames < self.least else "", self.frames.note]))


def sample_informative(path: Path, key: str, settings: ScrapeSettings, height: int, threads: int = 0) -> FrameSample:
    """Draw `count` frames of `path`, then twice and three times as many while fewer than half of `count` pass.

    The times of a larger draw hold those of a smaller one (`video.draw_times`). Pictures taller than `height` lines are
    shrunk to it; 0 keeps them. `threads` decode, 0 takes all cores. NothingKept when not one passes.
    """
    least = max(1, round(ENOUGH * settings.count))
    for times in OVERSAMPLING:
        count = settings.count * times
        drawn = sample_frames(path, count, settings.seed, key, settings.mode, height, threads)
        picked = FrameSample(*filter_frames(drawn, settings.filter), least)
        if picked.kept_frames >= least:
            break
    if not picked.kept_frames:
        text = f"{path.name}: the filter kept none of {len(picked.reasons)} frames: is the trailer all black?"
        raise NoInformativeFrames(text, picked.reasons)
    return picked


def memory_needed(settings: ScrapeSettings) -> int:
    """Bytes that sampling one trailer may allocate: WORKER_MEMORY, more only where the pictures asked for would not fit into half."""
    pictures = OVERSAMPLING[-1] * settings.count * 3 * settings.height**2 * 16 // 9
    return max(WORKER_MEMORY, WORKER_MEMORY // 2 + 2 * pictures)  # twice: decoded one by one, then stacked
