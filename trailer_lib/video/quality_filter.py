"""Frames -> which of them are informative: for each one None to keep it, or the reason to drop it."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from trailer_lib.errors import TrailerError
from trailer_lib.video.decode import Frames
from trailer_lib.video.frame_folder import read_picture
from trailer_lib.video.title_cards import SHAPE, card_probabilities, thumbnail

# Letterbox
LIT = 24  # brightness of 255 above which a pixel belongs to the picture; bars carry coding noise of up to about 20
LIT_SHARE = 0.1  # of a bar's line may be lit: channels put their mark in the bars
NARROWER = 10  # per cent of the frames may have a narrower bar: a flash, a frame from another source
WIDEST = 0.3  # of the side: a wider bar is taken for darkness, and nothing is cropped
# "informative". The figures are of labelled frames of 1,124 trailers and five films.
DARKEST = 20  # brightness under which a pixel is dark
BLACK, TEXTLESS = 0.96, 0.99  # shares of dark pixels of a black frame, of 1,236 scenes none, and of one without text
FLATTEST = 5.0  # standard deviation, of 255, of each colour under which a frame is blank: the flattest scene has 7
CARD = 0.5  # more likely a card than not
ALIKE = 0.90  # correlation of two frames of a shot; of 450,000 pairs of different trailers none has it
TILES = (16, 9)  # what is correlated: too few pixels for noise and small movements to count
BLACK_MEAN = 8.0  # "percentile": mean brightness of 255 under which a frame is black, whatever the others are like
ORIGINAL_SHARE = 20  # per cent of the darkest and of the flattest frames that the original dropped


@dataclass(frozen=True)
class LetterboxBox:
    """What is left of a frame: rows top to bottom and columns left to right, as shares of its sides, 0 to 1."""

    top: float = 0.0
    bottom: float = 1.0
    left: float = 0.0
    right: float = 1.0

    def crop(self, frames: np.ndarray) -> np.ndarray:
        """The box of [..., height, width, 3], as a view."""
        height, width = frames.shape[-3:-1]
        rows = slice(round(self.top * height), round(self.bottom * height))
        columns = slice(round(self.left * width), round(self.right * width))
        return frames[..., rows, columns, :]


def measure_bars(frame: np.ndarray) -> np.ndarray:
    """The black bars of a uint8 frame [height, width, 3]: float [4], top, bottom, left, right, as shares of the side.

    A dark frame seems to have wide bars; `common_box` lets the other frames overrule it.
    """
    return np.concatenate([_margins(frame[:, ::12]), _margins(frame[::12].swapaxes(0, 1))])


def _margins(lines: np.ndarray) -> list[float]:
    brightness = np.maximum(np.maximum(lines[..., 0], lines[..., 1]), lines[..., 2])  # faster than max(axis=2)
    lit = np.flatnonzero((brightness > LIT).mean(axis=1) > LIT_SHARE)
    return [lit[0] / len(lines), 1 - (lit[-1] + 1) / len(lines)] if len(lit) else [0.5, 0.5]


def common_box(bars: list[np.ndarray], margin: float = 0.004) -> LetterboxBox:
    """The box within the bars that nearly all frames of a film have, less a `margin` for a bar's blurred edge."""
    if not len(bars):
        return LetterboxBox()
    sides = np.percentile(bars, NARROWER, axis=0)
    top, bottom, left, right = np.where(sides > 0, sides + margin, 0.0).tolist()
    if max(top, bottom, left, right) > WIDEST:
        return LetterboxBox()
    return LetterboxBox(top, 1 - bottom, left, 1 - right)


@dataclass(frozen=True)
class Verdict:
    """None or the reason to drop a picture; the probability of a card, a duplicate's correlation, or 1."""

    reason: str | None
    score: float


def drop_reasons(pictures: Iterable[np.ndarray], rule: str) -> list[str | None]:
    """A reason or None for each picture, uint8 [height, width, 3] of any size; `rule` is ScrapeSettings.filter.

    "informative" drops what is "black", "blank" (of one colour), a "card", or a "duplicate" of a more contrasty frame.
    "percentile" is the original's: the 20 % of lowest mean are "dark", the 20 % of lowest standard deviation "flat";
    and what is "black" goes. One picture at a time is in memory.
    """
    if rule == "none":
        return [None for _ in pictures]
    if rule == "percentile":
        return _percentile(pictures)
    return [verdict.reason for verdict in _judge(map(_summarise, pictures))[1]]


def filter_frames(frames: Frames, rule: str) -> tuple[Frames, list[str | None]]:
    """The frames, and `drop_reasons` of them; "informative" also crops black bars that nearly all kept ones have."""
    if rule != "informative":
        return frames, drop_reasons(frames.pixels, rule)
    box, verdicts = _judge(map(_summarise, frames.pixels))
    return replace(frames, pixels=box.crop(frames.pixels)), [verdict.reason for verdict in verdicts]


def judge_pictures(paths: list[Path], alone: bool = False) -> list[Verdict]:
    """The informative rule's verdicts on picture files; `alone` compares none with another."""
    if alone:
        return [judge_pictures([path])[0] for path in paths]
    summaries = {}
    for path in paths:
        with suppress(TrailerError):
            summaries[path] = _summarise(read_picture(path))
    verdicts = dict(zip(summaries, _judge(summaries.values())[1]))
    return [verdicts.get(path, Verdict("unreadable", 1.0)) for path in paths]


def _summarise(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A picture's thumbnail, uint8 [45, 80, 3], and its bars, float [4]."""
    return thumbnail(picture), measure_bars(picture)


def _percentile(pictures: Iterable[np.ndarray]) -> list[str | None]:
    means, spreads = np.array([(picture.mean(), picture.std()) for picture in pictures]).reshape(-1, 2).T
    reasons = np.full(len(means), None, dtype=object)
    if len(means):
        reasons[spreads < np.percentile(spreads, ORIGINAL_SHARE)] = "flat"
        reasons[means < np.percentile(means, ORIGINAL_SHARE)] = "dark"
    reasons[means < BLACK_MEAN] = "black"
    return reasons.tolist()


def _judge(summaries: Iterable[tuple[np.ndarray, np.ndarray]]) -> tuple[LetterboxBox, list[Verdict]]:
    """The box that nearly all kept frames share, and the verdicts. Of frames that are alike the network sees one."""
    thumbnails, bars = map(np.array, zip(*summaries, (np.zeros(SHAPE, np.uint8), np.zeros(4))))  # one more, black
    dark = (thumbnails < DARKEST).mean((1, 2, 3))
    lit = np.flatnonzero(dark < TEXTLESS)
    duplicates = _duplicates(thumbnails, lit, common_box(bars[lit]))
    unique = np.array([index for index in lit if index not in duplicates], int)
    scores = card_probabilities(thumbnails[unique])
    box = common_box(bars[unique[scores < CARD]])
    verdicts = [Verdict("black", 1.0) for _ in thumbnails]
    for index, score in zip(unique, scores.tolist()):
        if box.crop(thumbnails[index]).std((0, 1), dtype=np.float32).max() < FLATTEST:
            verdicts[index] = Verdict("blank", 1.0)
        elif score >= CARD or dark[index] < BLACK:
            verdicts[index] = Verdict("card" if score >= CARD else None, score)
    for index, (original, likeness) in duplicates.items():
        kept = verdicts[original].reason is None
        verdicts[index] = Verdict("duplicate", likeness) if kept else verdicts[original]
    return box, verdicts[:-1]


def _duplicates(thumbnails: np.ndarray, indices: np.ndarray, box: LetterboxBox) -> dict[int, tuple[int, float]]:
    """Which frames repeat which other one, and their correlation within the box; the most contrasty is kept."""
    pictures = (Image.fromarray(np.ascontiguousarray(box.crop(thumbnails[index]))) for index in indices)
    tiles = np.array([picture.resize(TILES, Image.Resampling.BOX) for picture in pictures], np.float32)
    tiles = tiles.reshape(-1, 3 * TILES[0] * TILES[1])
    tiles -= tiles.mean(axis=1, keepdims=True)
    contrasts = np.linalg.norm(tiles, axis=1)
    order = np.argsort(-contrasts, kind="stable")
    tiles = tiles[order] / np.maximum(contrasts[order], 1e-6)[:, None]
    kept, duplicates = [], {}
    for tile, index in zip(tiles, indices[order]):
        likeness = tiles[: len(kept)] @ tile
        if kept and likeness.max() > ALIKE:
            duplicates[index] = kept[likeness.argmax()], min(float(likeness.max()), 1.0)
        else:
            tiles[len(kept)] = tile  # in place of one that was compared already
            kept.append(index)
    return duplicates
