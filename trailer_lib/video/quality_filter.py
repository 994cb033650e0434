"""Frames -> which of them are informative: for each one None to keep it, or the reason to drop it.

A network knows cards (logos, ratings, titles, credits): half of SqueezeNet 1.1 (Iandola et al. 2016, ImageNet weights)
and a logistic regression, by `benchmarks/train_filter.py`. In NumPy: importing torch takes two seconds and 200 MB.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image
from threadpoolctl import ThreadpoolController

from trailer_lib.errors import TrailerError
from trailer_lib.video.decode import Frames
from trailer_lib.video.frame_folder import read_picture

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
# The network that knows cards
WEIGHTS = Path(__file__).with_name("cards.npz")
SHAPE = (45, 80, 3)  # of the thumbnails; 54 x 96 tells cards no better and takes half as long again
MEAN, SD = np.float32([0.485, 0.456, 0.406]) * 255, np.float32([0.229, 0.224, 0.225]) * 255  # of ImageNet's pixels
THREADS = ThreadpoolController()
BATCH = 2  # pictures at once: more do not fit the processor's cache and take longer


class LetterboxBox(NamedTuple):
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
    """The black bars of a uint8 frame [height, width, 3]: float [4], top, bottom, left, right, shares of the side."""
    return np.concatenate([_margins(frame[:, ::12]), _margins(frame[::12].swapaxes(0, 1))])


def _margins(lines: np.ndarray) -> list[float]:
    brightness = np.maximum(np.maximum(lines[..., 0], lines[..., 1]), lines[..., 2])  # faster than max(axis=2)
    lit = np.flatnonzero((brightness > LIT).mean(axis=1) > LIT_SHARE)
    return [lit[0] / len(lines), 1 - (lit[-1] + 1) / len(lines)] if len(lit) else [0.5, 0.5]


def common_box(bars: list[np.ndarray], margin: float = 0.004) -> LetterboxBox:
    """The box within the bars that nearly all frames of a film have, less a `margin` for a bar's blurred edge."""
    sides = np.percentile(bars, NARROWER, axis=0) if len(bars) else np.zeros(4)
    top, bottom, left, right = np.where(sides > 0, sides + margin, 0.0).tolist()
    wide = max(top, bottom, left, right) > WIDEST
    return LetterboxBox() if wide else LetterboxBox(top, 1 - bottom, left, 1 - right)


class Verdict(NamedTuple):
    """None or the reason to drop a picture; the probability of a card, a duplicate's correlation, or 1."""

    reason: str | None
    score: float


def drop_reasons(pictures: Iterable[np.ndarray], rule: str) -> list[str | None]:
    """A reason or None for each picture, uint8 [height, width, 3] of any size, of which one at a time is in memory.

    "informative" drops what is "black", "blank" (of one colour), a "card", or a "duplicate" of a more contrasty frame.
    "percentile", the original's, what is "black", and the 20 % of lowest mean ("dark") and standard deviation ("flat").
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


def thumbnail(picture: np.ndarray) -> np.ndarray:
    """uint8 RGB [height, width, 3] squashed to uint8 [45, 80, 3], whatever its shape."""
    rows = picture[:: max(1, len(picture) // (3 * SHAPE[0]))]  # three lines for one are enough
    return np.asarray(Image.fromarray(rows).resize(SHAPE[1::-1], Image.Resampling.BOX, reducing_gap=1.0))


def card_probabilities(thumbnails: Sequence[np.ndarray]) -> np.ndarray:
    """How likely each thumbnail, uint8 [45, 80, 3], is a card: float64 [n] in [0, 1]."""
    # On matrices this small threads wait for one another: on a busy machine a picture takes 15 times as long.
    with THREADS.limit(limits=1):
        logits = card_features(thumbnails) @ _weights()["head.weight"] + _weights()["head.bias"]
    return 1 / (1 + np.exp(-np.clip(logits.astype(np.float64), -50, 50)))


def card_features(thumbnails: Sequence[np.ndarray]) -> np.ndarray:
    """float32 [n, 1024]: the mean, maximum and sd of each of 256 channels, and its mean in the picture's middle."""
    features = [np.empty((0, 1024), np.float32)]
    for start in range(0, len(thumbnails), BATCH):
        maps = _trunk(np.stack(thumbnails[start : start + BATCH]))
        middle = maps[:, 1:4, 2:7]  # where a card has its text
        features.append(np.hstack([maps.mean((1, 2)), maps.max((1, 2)), maps.std((1, 2)), middle.mean((1, 2))]))
    return np.concatenate(features)


def _trunk(thumbnails: np.ndarray) -> np.ndarray:
    """uint8 [n, 45, 80, 3] -> float32 [n, 5, 9, 256]: the first convolution and four Fire modules."""
    maps = _convolve(_windows((thumbnails - MEAN) / SD, stride=2, padding=(0, 0)), "0")
    for modules in ("34", "67"):  # torchvision's numbers of the layers
        # The maximum of each window, what sticks out included (ceil_mode); after a ReLU zeros change nothing.
        maps = _windows(maps, stride=2, padding=(0, 1)).max((4, 5))
        for name in modules:  # 1 x 1 to few channels, then 1 x 1 and 3 x 3 side by side to many
            squeezed = _convolve(maps, f"{name}.squeeze")
            sides = (squeezed, "1x1"), (_windows(squeezed, stride=1, padding=(1, 1)), "3x3")
            maps = np.concatenate([_convolve(side, f"{name}.expand{size}") for side, size in sides], axis=3)
    return maps


@cache
def _weights() -> dict[str, np.ndarray]:
    with np.load(WEIGHTS) as stored:
        return {name: stored[name].astype(np.float32) for name in stored.files}


def _windows(maps: np.ndarray, stride: int, padding: tuple[int, int]) -> np.ndarray:
    """[n, rows, columns, channels] -> [n, rows, columns, channels, 3, 3], around every `stride`th; padded by zeros."""
    padded = np.pad(maps, [(0, 0), padding, padding, (0, 0)])
    return sliding_window_view(padded, (3, 3), axis=(1, 2))[:, ::stride, ::stride]


def _convolve(inputs: np.ndarray, name: str) -> np.ndarray:
    """A convolution, 1 x 1 of maps or 3 x 3 of their `_windows`, and its ReLU: float32 [n, rows, columns, channels]."""
    channels, *size = inputs.shape[3:]
    weight = _weights()[f"{name}.weight"].reshape(*size, channels, -1)
    axes = ([4, 5, 3], [0, 1, 2]) if size else 1
    return np.maximum(np.tensordot(inputs, weight, axes) + _weights()[f"{name}.bias"], 0)
