"""Pictures for the filter's tests: scenes with light, shade and things in them, and cards."""

import numpy as np
from PIL import Image, ImageDraw, ImageFont

WIDTH, HEIGHT = 320, 180


def scene(seed: int, light: float = 1.0) -> np.ndarray:
    """uint8 [180, 320, 3]: a room of walls, things and people's outlines, with texture; the same for the same seed."""
    rng = np.random.default_rng(seed)
    image = Image.new("RGB", (WIDTH, HEIGHT), tuple(int(c) for c in rng.integers(60, 160, 3)))
    draw = ImageDraw.Draw(image)
    for _ in range(40):
        x, y = rng.integers(-30, WIDTH), rng.integers(-20, HEIGHT)
        w, h = rng.integers(8, 110, 2)
        colour = tuple(int(c) for c in rng.integers(20, 230, 3))
        shape = (draw.ellipse, draw.rectangle)[rng.integers(2)]
        shape([x, y, x + w, y + h], fill=colour)
    picture = np.asarray(image).astype(float)
    for cells in (6, 20, 60):
        noise = Image.fromarray(rng.uniform(0.65, 1.35, (cells, cells)).astype(np.float32))
        picture *= np.asarray(noise.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR))[..., None]
    return np.clip(picture * light, 0, 255).astype(np.uint8)


def card(lines: str, ground: tuple = (0, 0, 0), ink: tuple = (255, 255, 255), size: int = 22) -> np.ndarray:
    """uint8 [180, 320, 3]: lines of text in the middle of plain ground."""
    image = Image.new("RGB", (WIDTH, HEIGHT), ground)
    font = ImageFont.load_default(size)
    ImageDraw.Draw(image).multiline_text((WIDTH // 2, HEIGHT // 2), lines, ink, font, "mm", align="center")
    return np.asarray(image)


def logo() -> np.ndarray:
    image = Image.fromarray(card("\n\nNOWHERE PICTURES", (4, 8, 40)))
    for radius in (40, 28, 16):
        ImageDraw.Draw(image).ellipse([160 - radius, 70 - radius, 160 + radius, 70 + radius], outline="gold", width=4)
    return np.asarray(image)


CARDS = {
    "title": card("THIS SUMMER"),
    "small": card("a young single mother", size=13),
    "coloured": card("FROM THE GUYS\nWHO DID IT BEFORE", (15, 50, 140)),
    "dark on light": card("BRICK BY BRICK", (250, 250, 250), (180, 20, 20), 30),
    "rating": card("THE FOLLOWING PREVIEW HAS BEEN\nAPPROVED FOR\nALL AUDIENCES", (20, 110, 30), size=14),
    "credits": card("\n".join(["MUSIC BY A N OTHER  EDITED BY SOME BODY"] * 7), (10, 8, 8), (150, 140, 120), 9),
    "logo": logo(),
    "faded": (card("COMING SOON") * 0.35).astype(np.uint8),
}


def with_bars(picture: np.ndarray, rows: int = 0, columns: int = 0) -> np.ndarray:
    """The picture with so many rows above and below, and columns left and right, painted black."""
    picture = picture.copy()
    picture[:rows], picture[len(picture) - rows :] = 0, 0
    picture[:, :columns], picture[:, picture.shape[1] - columns :] = 0, 0
    return picture
