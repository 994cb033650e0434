"""Cards that no studio made, to train the filter on: text and emblems of many kinds on plain and textured ground."""

import io
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

FONTS = sorted((Path(matplotlib.get_data_path()) / "fonts" / "ttf").glob("*.ttf"))
FONTS = [path for path in FONTS if path.name.startswith(("DejaVu", "STIXGeneral")) and "Display" not in path.name]
WORDS = (
    "from the director of this summer one man will fight believe nothing is what it seems in a world where love never "
    "dies based on a true story academy award winner coming soon only in theatres december friday 13 they came back "
    "screenplay music produced by executive producers edited pictures presents entertainment films studios company"
).split()
WIDTH, HEIGHT = 320, 180


def card(rng: np.random.Generator) -> np.ndarray:
    """One made card, uint8 [180, 320, 3]."""
    ground = _ground(rng)
    light = _colour(rng, bright=ground.mean() < 110)
    layer = Image.new("L", (WIDTH, HEIGHT))
    kinds = [_lines, _lines, _lines, _credits, _rating, _emblem]
    kinds[rng.integers(len(kinds))](ImageDraw.Draw(layer), rng)
    mask = np.asarray(layer.filter(ImageFilter.GaussianBlur(rng.uniform(0, 1)))) / 255.0
    if rng.random() < 0.35:  # letters that glow
        glow = np.asarray(layer.filter(ImageFilter.GaussianBlur(rng.uniform(3, 15)))) / 255.0
        mask = np.maximum(mask, rng.uniform(0.3, 1.0) * glow)
    shade = light * (0.7 + 0.3 * np.linspace(*rng.permutation([-1.0, 1.0]), HEIGHT))[:, None, None]
    picture = ground + (shade - ground) * mask[..., None]
    return _compressed(picture * _fade(rng), rng)


def _fade(rng: np.random.Generator) -> float:
    return rng.uniform(0.2, 1.0) if rng.random() < 0.3 else 1.0


def _colour(rng: np.random.Generator, bright: bool) -> np.ndarray:
    if rng.random() < 0.5:
        return np.full(3, rng.uniform(190, 255) if bright else rng.uniform(0, 60))
    colour = rng.uniform(0, 255, 3)
    return np.maximum(colour, rng.permutation([255, 150, 0])) if bright else colour * 0.3


def _ground(rng: np.random.Generator) -> np.ndarray:
    """float [180, 320, 3]: black in half of the cards, else one colour, a vignette, clouds, or all of them."""
    if rng.random() < 0.45:
        return np.full((HEIGHT, WIDTH, 3), rng.uniform(0, 14))
    colour = rng.uniform(0, 255, 3) * rng.choice([1.0, rng.uniform(0.2, 1.0)])
    if rng.random() < 0.15:
        colour = np.full(3, rng.uniform(215, 255))
    ground = np.broadcast_to(colour, (HEIGHT, WIDTH, 3)).astype(float)
    if rng.random() < 0.5:
        rows, columns = np.mgrid[-1 : 1 : HEIGHT * 1j, -1 : 1 : WIDTH * 1j]
        far = np.hypot(rows - rng.normal(0, 0.4), columns - rng.normal(0, 0.4))
        ground = ground * np.clip(1.1 - rng.uniform(0.2, 0.9) * far, 0, 1)[..., None]
    if rng.random() < 0.6:
        ground = ground * (1 + rng.uniform(0.1, 0.5) * _clouds(rng))[..., None]
    return np.clip(ground, 0, 255)


def _clouds(rng: np.random.Generator) -> np.ndarray:
    """Noise of several sizes, around 0, within about one."""
    clouds = np.zeros((HEIGHT, WIDTH))
    for cells in rng.choice([2, 4, 8, 16, 40], 3, replace=False):
        noise = Image.fromarray(rng.standard_normal((cells, cells)).astype(np.float32))
        clouds += np.asarray(noise.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)) / 3
    return clouds


def _text(rng: np.random.Generator, words: int) -> str:
    text = " ".join(rng.choice(WORDS, words))
    return [text.upper, text.title, text.lower, text.upper][rng.integers(4)]()


def _font(rng: np.random.Generator, size: float) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(rng.choice(FONTS)), int(size))


def _lines(draw: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    """One to four lines in the middle or near it, from a whisper to a shout."""
    lines = [_text(rng, rng.integers(1, 5)) for _ in range(rng.choice([1, 1, 1, 2, 2, 3, 4]))]
    size = min(np.exp(rng.uniform(np.log(9), np.log(60))), 480 / max(map(len, lines)), 150 / len(lines))
    place = (WIDTH / 2 + rng.normal(0, 12), HEIGHT / 2 + rng.normal(0, 14))
    draw.multiline_text(place, "\n".join(lines), 255, _font(rng, max(size, 8)), "mm", align="center", spacing=size / 3)


def _credits(draw: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    top = rng.uniform(10, 80)
    draw.multiline_text((WIDTH / 2, top), _text(rng, 2), 255, _font(rng, rng.uniform(14, 40)), "ma", align="center")
    lines = "\n".join(_text(rng, rng.integers(3, 8)) for _ in range(rng.integers(3, 8)))
    draw.multiline_text((WIDTH / 2, top + 50), lines, 200, _font(rng, rng.uniform(6, 9)), "ma", align="center")


def _rating(draw: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    """The words of an association, and a box with a letter and small print."""
    font = _font(rng, rng.uniform(8, 12))
    for row in range(3):
        draw.text((WIDTH / 2, 40 + 16 * row), _text(rng, rng.integers(3, 7)), 255, font, "mm")
    draw.rectangle([110, 105, 210, 150], outline=255, width=2)
    draw.text((128, 127), str(rng.choice(["G", "PG", "R", "13", "18"])), 255, _font(rng, 22), "mm")
    for row in range(3):
        draw.text((175, 114 + 12 * row), _text(rng, 2), 255, _font(rng, 7), "mm")


def _emblem(draw: ImageDraw.ImageDraw, rng: np.random.Generator) -> None:
    """Rings, a shield or a star above or behind a name."""
    x, y, radius = WIDTH / 2, rng.uniform(60, 100), rng.uniform(25, 60)
    for ring in range(rng.integers(1, 4)):
        r = radius * (1 - 0.25 * ring)
        draw.ellipse([x - r, y - r, x + r, y + r], outline=255, width=int(rng.integers(2, 7)))
    if rng.random() < 0.6:
        corners, turn = int(rng.integers(3, 9)), rng.uniform(0, 6)
        draw.regular_polygon((x, y, radius * 0.7), corners, turn * 57, fill=int(rng.integers(60, 255)))
    below = min(y + radius + 18, HEIGHT - 14)
    draw.text((x, below if rng.random() < 0.7 else y), _text(rng, 2), 255, _font(rng, rng.uniform(12, 28)), "mm")


def _compressed(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    buffer = io.BytesIO()
    noisy = np.clip(picture + rng.normal(0, rng.uniform(0, 4), picture.shape), 0, 255).astype(np.uint8)
    Image.fromarray(noisy).save(buffer, "JPEG", quality=int(rng.integers(30, 95)))
    return np.asarray(Image.open(buffer))
