"""Frames -> which of them are informative: for each one, None to keep it or the reason to drop it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from trailer_lib.errors import TrailerError
from trailer_lib.video import title_cards
from trailer_lib.video.decode import Frames
from trailer_lib.video.frame_folder import read_picture
from trailer_lib.video.title_cards import SHAPE, card_probabilities

LIT = 24  # brightness of 255 above which a pixel belongs to the picture; bars carry coding noise of up to about 20
SHARE = 0.1  # of a bar's line may be lit: channels put their mark in the bars
VOTE = 10  # per cent of the frames may have a narrower bar: a flash, a frame from another source
LARGEST = 0.3  # of the side: what would be a wider bar is a dark film, and is kept


@dataclass(frozen=True)
class LetterboxBox:
    """What is left of a frame: rows top to bottom and columns left to right, as shares of its sides, 0 to 1."""

    top: float = 0.0
    bottom: float = 1.0
    left: float = 0.0
    right: float = 1.0

    def cut(self, frames: np.ndarray) -> np.ndarray:
        """The box of [..., height, width, 3], as a view."""
        height, width = frames.shape[-3:-1]
        rows = slice(round(self.top * height), round(self.bottom * height))
        columns = slice(round(self.left * width), round(self.right * width))
        return frames[..., rows, columns, :]


def measure_bars(frame: np.ndarray) -> np.ndarray:
    """The bars of one uint8 frame [height, width, 3]: float [4], above, below, left and right, as shares of the side.

    A dark frame looks as if its bars were wide; `agree` lets the other frames overrule it.
    """
    return np.concatenate([_ends(frame[:, ::12]), _ends(frame[::12].swapaxes(0, 1))])


def _ends(lines: np.ndarray) -> list[float]:
    brightness = np.maximum(np.maximum(lines[..., 0], lines[..., 1]), lines[..., 2])
    lit = np.flatnonzero((brightness > LIT).mean(1) > SHARE)
    return [lit[0] / len(lines), 1 - (lit[-1] + 1) / len(lines)] if len(lit) else [0.5, 0.5]


def common_box(bars: list[np.ndarray], margin: float = 0.004) -> LetterboxBox:
    """The box within the bars, float [4] a frame, that nearly all frames of a film have.

    `margin` is cut off more where there is a bar: its edge is blurred over a line or two.
    """
    if not len(bars):
        return LetterboxBox()
    top, bottom, left, right = (side + margin if side > 0 else 0.0 for side in np.percentile(bars, VOTE, axis=0))
    if max(top, bottom, left, right) > LARGEST:
        return LetterboxBox()
    return LetterboxBox(float(top), float(1 - bottom), float(left), float(1 - right))


# "informative". The figures are of 1,124 labelled frames of as many trailers.
DARKEST = 18  # a frame is black if 99 % of its pixels are darker: black ones end at 14 of 255, dark scenes begin at 42
FLATTEST = 5.0  # standard deviation, of 255, of each colour under which a frame is blank: the flattest scene has 7
CARD = 0.5  # more likely a card than not
ALIKE = 0.94  # correlation of two frames of a shot; of 450,000 pairs of different trailers none has 0.90
TILES = (16, 9)  # what is correlated: too few pixels for noise and small movements to count

# "percentile"
BLACK = 8.0  # mean brightness of 255 under which a frame shows nothing, whatever the others are like
FILTERS_SHARE = 20  # per cent of the darkest and of the flattest frames that the original dropped


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


def drop_reasons(pixels: Iterable[np.ndarray], rule: str) -> list[str | None]:
    """A reason or None for each frame, uint8 [height, width, 3]; `rule` is ScrapeSettings.filter.

    "informative" drops "black" frames, "blank" ones (one colour), each "card" (logo, rating, title, credits) and all
    but the most contrasty of frames that look alike ("duplicate"). "percentile" is the original's: the 20 % of lowest
    mean are "dark", the 20 % of lowest standard deviation "flat"; and "black" what is so whatever the rest is like.
    """
    return [verdict.reason for verdict in verdicts(pixels, rule)]


def filter_frames(frames: Frames, rule: str) -> tuple[Frames, list[str | None]]:
    """`judge` of a film's frames; "informative" also cuts off the black bars that nearly all of the kept ones have."""
    if rule != "informative":
        return frames, drop_reasons(frames.pixels, rule)
    looks = [summarise(frame) for frame in frames.pixels]
    box, found = _informative(looks)
    return replace(frames, pixels=box.cut(frames.pixels)), [verdict.reason for verdict in found]


def verdicts(pictures: Iterable[np.ndarray], rule: str) -> list[Verdict]:
    """`judge` with scores. The pictures may differ in size, and none is held longer than it takes to look at it."""
    if rule == "none":
        return [Verdict(None, 0.0) for _ in pictures]
    if rule == "percentile":
        return _percentile(pictures)
    return _informative([summarise(picture) for picture in pictures])[1]


def judge_pictures(paths: list[Path], rule: str, alone: bool = False) -> list[Verdict]:
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


def summarise(picture: np.ndarray) -> Look:
    return Look(title_cards.thumbnail(picture), measure_bars(picture))


def _informative(looks: list[Look]) -> tuple[LetterboxBox, list[Verdict]]:
    """The box that nearly all kept frames share, and the verdicts. Of frames that are alike the network sees one."""
    lit = [index for index, look in enumerate(looks) if not look.black]
    around = common_box([looks[index].bars for index in lit])
    repeats = _duplicates({index: _tile(looks[index], around) for index in lit})
    seen = [index for index in lit if index not in repeats]
    found = [Verdict("black", 1.0) for _ in looks]
    for index, score in zip(seen, card_probabilities(_thumbnails(looks, seen)).tolist()):
        found[index] = Verdict(None if score < CARD else "card", score)
    box = common_box([looks[index].bars for index in seen if found[index].reason is None])
    for index in seen:
        if box.cut(looks[index].thumbnail).std((0, 1), dtype=np.float32).max() < FLATTEST:
            found[index] = Verdict("blank", 1.0)
    for index, (first, likeness) in repeats.items():
        found[index] = Verdict("duplicate", likeness) if found[first].reason is None else found[first]
    return box, found


def _thumbnails(looks: list[Look], indices: list[int]) -> np.ndarray:
    return np.array([looks[index].thumbnail for index in indices], np.uint8).reshape(-1, *SHAPE)


def _tile(look: Look, box: LetterboxBox) -> np.ndarray:
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
        reasons[spreads < np.percentile(spreads, FILTERS_SHARE)] = "flat"
        reasons[means < np.percentile(means, FILTERS_SHARE)] = "dark"
    reasons[means < BLACK] = "black"
    return [Verdict(reason, 0.0 if reason is None else 1.0) for reason in reasons]
