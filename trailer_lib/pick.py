"""A video -> the frames of it that are kept: drawn at random, judged by the filter, more drawn when too few pass."""

from dataclasses import dataclass
from pathlib import Path

from trailer_lib import filters, video
from trailer_lib.errors import TrailerError
from trailer_lib.settings import ScrapeSettings
from trailer_lib.video import Frames

ENOUGH = 0.5  # of `count`: the original dropped up to 40 %, so a film that keeps half is as full as its films
DRAWS = (1, 2, 3)  # times `count` frames, until enough pass


class NothingKept(TrailerError):
    """The filter passed no frame; `reasons` are those of the last draw."""

    def __init__(self, text: str, reasons: list[str | None]) -> None:
        super().__init__(text)
        self.reasons = reasons


@dataclass(frozen=True)
class Picked:
    """Drawn frames in the film's order, None (kept) or a reason for each, and how many had to pass at least."""

    frames: Frames
    reasons: list[str | None]
    least: int

    @property
    def kept(self) -> int:
        return self.reasons.count(None)

    @property
    def remark(self) -> str:
        """'' or what is not quite as asked for: too few frames, frames that are no keyframes."""
        few = f"kept {self.kept} of {len(self.reasons)} drawn; asked for at least {self.least}"
        return "; ".join(filter(None, [few if self.kept < self.least else "", self.frames.note]))


def pick(path: Path, key: str, settings: ScrapeSettings, height: int, threads: int = 0) -> Picked:
    """Draw `count` frames of `path`, then twice and three times as many while fewer than half of `count` pass.

    The times of a larger draw hold those of a smaller one (`video.draw_times`). Pictures taller than `height` lines are
    shrunk to it; 0 keeps them. `threads` decode, 0 takes all cores. NothingKept when not one passes.
    """
    least = max(1, round(ENOUGH * settings.count))
    for times in DRAWS:
        count = settings.count * times
        drawn = video.sample_frames(path, count, settings.seed, key, settings.mode, height, threads)
        picked = Picked(*filters.select(drawn, settings.filter), least)
        if picked.kept >= least:
            break
    if not picked.kept:
        text = f"{path.name}: the filter kept none of {len(picked.reasons)} frames: is the trailer all black?"
        raise NothingKept(text, picked.reasons)
    return picked
