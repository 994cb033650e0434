"""Made films whose best possible error is known: score = what their frames show + what nothing shows.

What shows is spread evenly over three looks of a film, so that no single statistic of its pixels gives it:
colour (warm or cool), texture (how strong fine detail is) and content (how many of the things in it are discs, how
many stars). Every frame shows each look with noise of its own, and all else in it (scene, light, contrast, the things'
colours, sizes and places) says nothing.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

LOOKS = ("colour", "texture", "content")
HIDDEN = 0.445  # share of the scores' variance that nothing shows: the best possible nMSE
MEAN, SD = 6.4, 1.1
FRAME_NOISE = 0.4  # of each look, from frame to frame, in sd of the films
THINGS = 6  # in a frame


@dataclass(frozen=True)
class Films:
    """`looks` float64 [films, 3], standard normal; `score` [films], in points; `visible` [films]: what of it shows."""

    looks: np.ndarray
    score: np.ndarray
    visible: np.ndarray


def invent(count: int, seed: int) -> Films:
    """`count` films: visible = MEAN + SD * sqrt(1 - HIDDEN) * sum of the looks / sqrt(3); the rest is noise."""
    rng = np.random.default_rng([seed, 0])
    looks = rng.standard_normal((count, len(LOOKS)))
    visible = MEAN + SD * np.sqrt(1 - HIDDEN) * looks.sum(1) / np.sqrt(len(LOOKS))
    score = visible + SD * np.sqrt(HIDDEN) * rng.standard_normal(count)
    return Films(looks, np.clip(score, 1.0, 10.0).round(2), visible)


def write(root: Path, count: int, seed: int, frames: int = 12, size: int = 96, real: list[Path] | None = None) -> Films:
    """Write `count` films under `root`: excels/films.csv, and images/ with `frames` JPEGs of `size` pixels each.

    Scenes are rendered, or, where `real` names pictures, random cuts of these.
    """
    films = invent(count, seed)
    scenes = [np.asarray(Image.open(path).convert("RGB").resize((160, 110))) for path in real or []]
    for number, looks in enumerate(films.looks):
        rng = np.random.default_rng([seed, 1, number])
        folder = root / "images" / f"Made {number} [{imdb_id(number)}]"
        folder.mkdir(parents=True)
        for place in range(frames):
            shown = looks + FRAME_NOISE * rng.standard_normal(len(LOOKS))
            Image.fromarray(frame(rng, shown, size, scenes)).save(folder / f"{place}.jpg", quality=95)
    _write_table(root / "excels" / "films.csv", films)
    return films


def imdb_id(number: int) -> str:
    return f"tt98{number:05d}"


def _write_table(path: Path, films: Films) -> None:
    path.parent.mkdir(parents=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["title", "year", "score", "url", "imdb_id"])
        for number, score in enumerate(films.score):
            writer.writerow([f"Made {number}", 2000, score, f"https://example.com/{number}.mp4", imdb_id(number)])


def frame(rng: np.random.Generator, looks: np.ndarray, size: int, scenes: list[np.ndarray]) -> np.ndarray:
    """A frame that shows `looks` [3]: uint8 [size, size, 3]."""
    colour, texture, content = looks
    picture = _cut(rng, scenes[rng.integers(len(scenes))], size) if scenes else _landscape(rng, size)
    picture = _detailed(picture, np.exp(0.45 * texture))
    picture = _lit(rng, picture) * np.exp(0.13 * colour * np.array([1.0, 0.0, -1.0]))
    image = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))
    for _ in range(THINGS):
        _draw_thing(rng, image, disc=rng.random() < 1 / (1 + np.exp(-1.5 * content)))
    return np.asarray(image)


def _cut(rng: np.random.Generator, scene: np.ndarray, size: int) -> np.ndarray:
    top, left = rng.integers(0, np.array(scene.shape[:2]) - size + 1)
    cut = scene[top : top + size, left : left + size]
    return (cut[:, ::-1] if rng.random() < 0.5 else cut).astype(np.float64)


def _landscape(rng: np.random.Generator, size: int) -> np.ndarray:
    """Sky over hills in colours drawn at random, both with texture of several sizes: float64 [size, size, 3]."""
    sky, ground = rng.uniform(40, 215, (2, 3))
    rows, columns = np.mgrid[:size, :size] / size
    hill = rng.uniform(0.35, 0.7) + sum(
        rng.uniform(0.02, 0.09) * np.sin(rng.uniform(2, 20) * columns + rng.uniform(0, 6.3)) for _ in range(3)
    )
    picture = np.where((rows > hill)[..., None], ground, sky * (0.7 + 0.4 * rows[..., None]))
    for grain, strength in ((24, 0.3), (8, 0.25), (3, 0.2), (1, 0.15)):
        grid = rng.uniform(-strength, strength, (size // grain + 1, size // grain + 1)).astype(np.float32)
        layer = Image.fromarray(grid).resize((size, size), Image.Resampling.BILINEAR)
        picture = picture * (1 + np.asarray(layer)[..., None])
    return np.clip(picture, 0, 255)


def _detailed(picture: np.ndarray, gain: float) -> np.ndarray:
    """The picture with its fine detail `gain` times as strong."""
    smooth = Image.fromarray(picture.astype(np.uint8)).filter(ImageFilter.GaussianBlur(1.5))
    return np.asarray(smooth, np.float64) + gain * (picture - np.asarray(smooth, np.float64))


def _lit(rng: np.random.Generator, picture: np.ndarray) -> np.ndarray:
    """Light, contrast and saturation at random."""
    light, contrast, saturation = rng.uniform([0.7, 0.7, 0.5], [1.2, 1.3, 1.3])
    grey = picture.mean(2, keepdims=True)
    picture = grey + saturation * (picture - grey)
    return light * (picture.mean() + contrast * (picture - picture.mean()))


def _draw_thing(rng: np.random.Generator, image: Image.Image, disc: bool) -> None:
    """A disc or a star of the same area, of any colour, anywhere."""
    radius, turn = rng.uniform(5, 9), rng.uniform(0, 6.3)
    x, y = rng.uniform(radius, image.width - radius, 2)
    colour = tuple(int(c) for c in rng.integers(30, 226, 3))
    if disc:
        ImageDraw.Draw(image).ellipse([x - radius, y - radius, x + radius, y + radius], fill=colour)
        return
    reach = radius * np.where(np.arange(10) % 2, 0.75, 1.45)
    angles = turn + np.arange(10) * np.pi / 5
    ImageDraw.Draw(image).polygon(list(zip(x + reach * np.cos(angles), y + reach * np.sin(angles))), fill=colour)
