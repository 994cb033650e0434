"""Frames -> which of them are informative: for each one, None to keep it or the reason to drop it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from trailer_lib import cards, letterbox
from trailer_lib.errors import TrailerError
from trailer_lib.frames import read_picture
from trailer_lib.letterbox import Box
from trailer_lib.video import Frames

# "informative". The figures are of 1,124 labelled frames of as many trailers.
DARKEST = 18  # a frame is black if 99 % of its pixels are darker: black ones end at 14 of 255, dark scenes begin at 42
FLATTEST = 5.0  # standard deviation, of 255, of each colour under which a frame is blank: the flattest scene has 7
CARD = 0.5  # more likely a card than not
ALIKE = 0.94  # correlation of two frames of a shot; of 450,000 pairs of different trailers none has 0.90
TILES = (16, 9)  # what is correlated: too few pixels for noise and small movements to count

# "percentile"
BLACK = 8.0  # mean brightness of 255 under which a frame shows nothing, whatever the others are like
SHARE = 20  # per cent of the darkest and of the flattest frames that the original dropped


@dataclass(frozen=True)
class Verdict:
    """None or the reason to drop a picture, and a score in [0, 1]: how sure it is that the picture tells nothing.

    The score is the probability of a card; of a duplicate, the correlation with the frame that is kept; 1 where no
    doubt is possible (black, blank, unreadable, and whatever "percentile" drops). What repeats a card is judged as it.
    """

    reason: str | None
    score: float


@dataclass(frozen=True)
class Look:
    """What is remembered of a picture: a thumbnail, uint8 [45, 80, 3], and its bars, float [4]."""

    thumbnail: np.ndarray
    bars: np.ndarray

    @property
    def black(self) -> bool:
        return bool((self.thumbnail < DARKEST).mean() > 0.99)


def judge(pixels: Iterable[np.ndarray], rule: str) -> list[str | None]:
    """A reason or None for each frame, uint8 [height, width, 3]; `rule` is ScrapeSettings.filter.

    "informative" drops "black" frames, "blank" ones (one colour), each "card" (logo, rating, title, credits) and all
    but the most contrasty of frames that look alike ("duplicate"). "percentile" is the original's: the 20 % of lowest
    mean are "dark", the 20 % of lowest standard deviation "flat"; and "black" what is so whatever the rest is like.
    """
    return [verdict.reason for verdict in verdicts(pixels, rule)]


def select(frames: Frames, rule: str) -> tuple[Frames, list[str | None]]:
    """`judge` of a film's frames; "informative" also cuts off the black bars that nearly all of the kept ones have."""
    if rule != "informative":
        return frames, judge(frames.pixels, rule)
    looks = [look(frame) for frame in frames.pixels]
    box, found = _informative(looks)
    return replace(frames, pixels=box.cut(frames.pixels)), [verdict.reason for verdict in found]


def verdicts(pictures: Iterable[np.ndarray], rule: str) -> list[Verdict]:
    """`judge` with scores. The pictures may differ in size, and none is held longer than it takes to look at it."""
    if rule == "none":
        return [Verdict(None, 0.0) for _ in pictures]
    if rule == "percentile":
        return _percentile(pictures)
    return _informative([look(picture) for picture in pictures])[1]


def judge_files(paths: list[Path], rule: str, alone: bool = False) -> list[Verdict]:
    """Verdicts on pictures on disk; `alone` compares none with another. What is no picture is "unreadable"."""
    readable: list[bool] = []
    if alone:
        found = iter([verdict for picture in _read(paths, readable) for verdict in verdicts([picture], rule)])
    else:
        found = iter(verdicts(_read(paths, readable), rule))
    return [next(found) if is_readable else Verdict("unreadable", 1.0) for is_readable in readable]


def _read(paths: list[Path], readable: list[bool]) -> Iterator[np.ndarray]:
    for path in paths:
        try:
            picture = read_picture(path)
        except TrailerError:
            readable.append(False)
            continue
        readable.append(True)
        yield picture


def look(picture: np.ndarray) -> Look:
    return Look(cards.thumbnail(picture), letterbox.measure(picture))


def _informative(looks: list[Look]) -> tuple[Box, list[Verdict]]:
    """The box that nearly all kept frames share, and the verdicts. Of frames that are alike the network sees one."""
    lit = [index for index, look in enumerate(looks) if not look.black]
    around = letterbox.agree([looks[index].bars for index in lit])
    repeats = _duplicates({index: _tile(looks[index], around) for index in lit})
    seen = [index for index in lit if index not in repeats]
    found = [Verdict("black", 1.0) for _ in looks]
    for index, score in zip(seen, cards.probabilities(_thumbnails(looks, seen)).tolist()):
        found[index] = Verdict(None if score < CARD else "card", score)
    box = letterbox.agree([looks[index].bars for index in seen if found[index].reason is None])
    for index in seen:
        if box.cut(looks[index].thumbnail).std((0, 1), dtype=np.float32).max() < FLATTEST:
            found[index] = Verdict("blank", 1.0)
    for index, (first, likeness) in repeats.items():
        found[index] = Verdict("duplicate", likeness) if found[first].reason is None else found[first]
    return box, found


def _thumbnails(looks: list[Look], indices: list[int]) -> np.ndarray:
    return np.array([looks[index].thumbnail for index in indices], np.uint8).reshape(-1, *cards.SHAPE)


def _tile(look: Look, box: Box) -> np.ndarray:
    """The picture within the box as float32 [9 * 16 * 3]."""
    picture = Image.fromarray(np.ascontiguousarray(box.cut(look.thumbnail)))
    return np.asarray(picture.resize(TILES, Image.Resampling.BOX), np.float32).ravel()


def _duplicates(tiles: dict[int, np.ndarray]) -> dict[int, tuple[int, float]]:
    """Which frames repeat which other one, and how exactly; the most contrasty of those alike stays."""
    around = {index: tile - tile.mean() for index, tile in tiles.items()}
    lengths = {index: float(np.linalg.norm(tile)) for index, tile in around.items()}
    stays, names, repeats = np.empty((len(tiles), 3 * TILES[0] * TILES[1]), np.float32), [], {}
    for index in sorted(lengths, key=lambda index: -lengths[index]):
        direction = around[index] / max(lengths[index], 1e-6)
        likeness = stays[: len(names)] @ direction
        if len(names) and likeness.max() > ALIKE:
            repeats[index] = names[likeness.argmax()], min(float(likeness.max()), 1.0)
        else:
            stays[len(names)] = direction
            names.append(index)
    return repeats


def _percentile(pictures: Iterable[np.ndarray]) -> list[Verdict]:
    means, spreads = np.array([(picture.mean(), picture.std()) for picture in pictures]).reshape(-1, 2).T
    reasons = np.full(len(means), None, dtype=object)
    if len(means):
        reasons[spreads < np.percentile(spreads, SHARE)] = "flat"
        reasons[means < np.percentile(means, SHARE)] = "dark"
    reasons[means < BLACK] = "black"
    return [Verdict(reason, 0.0 if reason is None else 1.0) for reason in reasons]
