"""A video file -> its frames at random times, exactly those that a player shows then, or its keyframes."""

import hashlib
from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trailer_lib.container import Probe, VideoError, opened, probe, probe_opened
from trailer_lib.decode import decoded

__all__ = ["Frames", "Probe", "VideoError", "draw_times", "probe", "sample_frames"]


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
