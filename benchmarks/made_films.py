"""Made films whose best possible error is known, for every subset of the sources.

score = a part in their frames + a part in their sound + a part in their genres + noise, in chosen shares of variance.
What shows is spread evenly over three looks of a film, so that no single statistic of its pixels gives it:
colour (warm or cool), texture (how strong fine detail is) and content (how many of the things in it are discs, how
many stars). Every frame shows each look with noise of its own, and all else in it (scene, light, contrast, the things'
colours, sizes and places) says nothing. So it is with the sound: timbre (dark or bright), pace (events a second) and
content (how many events are notes, how many knocks) are heard in every clip with noise of its own; loudness, key and
each event's time say nothing. The part in the genres is the mean of what each of a film's genres is worth.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from trailer_lib.video import sound

LOOKS = ("colour", "texture", "content")
SOUNDS = ("timbre", "pace", "content")
GENRES = "Action Comedy Crime Drama Family Horror Romance War".split()
WORTH = np.array([-3, -5, 3, 5, 1, -7, -1, 7])  # of a genre; scaled to its share of the score
SOURCES = ("frames", "sound", "metadata")
HIDDEN = 0.445  # share of the scores' variance that nothing shows where the frames show all else: the best nMSE
FRAMES_ONLY = {"frames": 1 - HIDDEN}
MEAN, SD = 6.4, 1.1
FRAME_NOISE = 0.4  # of each look, from frame to frame, in sd of the films
CLIP_NOISE = 0.25  # of each sound, from clip to clip: as much in the mean of four as in that of twelve frames
THINGS = 6  # in a frame
EVENT = np.arange(5000) / sound.RATE  # seconds


@dataclass(frozen=True)
class Films:
    """`looks`, `sounds` float64 [films, 3], standard normal; `genres` as "Crime|Drama"; `score` [films], in points.

    `parts`: each source's part of the score, float64 [films], in points around 0.
    """

    looks: np.ndarray
    sounds: np.ndarray
    genres: list[str]
    score: np.ndarray
    parts: dict[str, np.ndarray]

    def best(self, *sources: str) -> np.ndarray:
        """What can be predicted at best from `sources`, float64 [films]: the score without noise and other parts."""
        return MEAN + sum(self.parts[source] for source in sources)


def invent(count: int, seed: int, shares: dict[str, float] = FRAMES_ONLY) -> Films:
    """`count` films. `shares`: each source's share of the scores' variance; what is missing to 1 is noise."""
    rng, others = np.random.default_rng([seed, 0]), np.random.default_rng([seed, 2])
    looks = rng.standard_normal((count, len(LOOKS)))
    noise = SD * np.sqrt(1 - sum(shares.values())) * rng.standard_normal(count)
    sounds = others.standard_normal((count, len(SOUNDS)))
    has = others.random((count, len(GENRES))).argsort(1) < others.integers(1, 4, (count, 1))  # one to three genres
    worth = (has * WORTH).sum(1) / has.sum(1)
    standard = {
        "frames": looks.sum(1) / np.sqrt(len(LOOKS)),
        "sound": sounds.sum(1) / np.sqrt(len(SOUNDS)),
        "metadata": (worth - worth.mean()) / worth.std(),
    }
    parts = {source: SD * np.sqrt(shares.get(source, 0.0)) * values for source, values in standard.items()}
    genres = ["|".join(np.array(GENRES)[row]) for row in has]
    score = np.clip(MEAN + sum(parts.values()) + noise, 1.0, 10.0).round(2)
    return Films(looks, sounds, genres, score, parts)


def write(
    root: Path,
    films: Films,
    seed: int,
    frames: int = 12,
    size: int = 96,
    clips: int = 0,
    real: list[Path] | None = None,
) -> None:
    """Write `films` under `root`: excels/films.csv, and images/ with `frames` JPEGs of `size` pixels each.

    Scenes are rendered, or, where `real` names pictures, random cuts of these. With `clips` a film has a sound.png.
    """
    scenes = [np.asarray(Image.open(path).convert("RGB").resize((160, 110))) for path in real or []]
    for number, (looks, sounds) in enumerate(zip(films.looks, films.sounds)):
        rng = np.random.default_rng([seed, 1, number])
        folder = root / "images" / f"Made {number} [{imdb_id(number)}]"
        folder.mkdir(parents=True)
        for place in range(frames):
            shown = looks + FRAME_NOISE * rng.standard_normal(len(LOOKS))
            Image.fromarray(frame(rng, shown, size, scenes)).save(folder / f"{place}.jpg", quality=95)
        heard = sounds + CLIP_NOISE * rng.standard_normal((clips, len(SOUNDS)))
        if clips:
            picture = sound.spectrogram(np.concatenate([clip(rng, row) for row in heard]))
            (folder / sound.SOUND).write_bytes(sound.encoded(picture, "PNG"))
    _write_table(root / "excels" / "films.csv", films)


def imdb_id(number: int) -> str:
    return f"tt98{number:05d}"


def _write_table(path: Path, films: Films) -> None:
    path.parent.mkdir(parents=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["title", "year", "score", "genres", "url", "imdb_id"])
        for number, (score, genres) in enumerate(zip(films.score, films.genres)):
            url = f"https://example.com/{number}.mp4"
            writer.writerow([f"Made {number}", 2000, score, genres, url, imdb_id(number)])


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


def clip(rng: np.random.Generator, heard: np.ndarray) -> np.ndarray:
    """Four seconds that let one hear `heard` [3]: int16 [65,536] at 16 kHz."""
    timbre, pace, content = heard
    count = sound.CLIP * sound.HOP
    wave = 0.008 * rng.uniform(0.7, 1.4) * _coloured(rng, count, timbre)
    onsets = np.arange(0, count - len(EVENT), sound.RATE / (3.5 * np.exp(0.35 * pace)))
    for onset in (onsets + rng.uniform(0, 2000, len(onsets))).astype(int):
        is_note = rng.random() < 1 / (1 + np.exp(-1.5 * content))
        event = _note(rng) if is_note else _coloured(rng, len(EVENT), 0.0)
        faded = np.exp(-EVENT / rng.uniform(0.04, 0.08)) * event / event.std()
        wave[onset : onset + len(EVENT)] += rng.uniform(0.1, 0.3) * faded[: count - onset]
    return (32767 * np.clip(rng.uniform(0.3, 1.2) * wave, -1, 1)).astype(np.int16)


def _coloured(rng: np.random.Generator, count: int, timbre: float) -> np.ndarray:
    """Noise whose amplitude falls with its frequency, the less the higher `timbre`: float64 [count] of sd 1."""
    frequency = np.arange(1, count // 2 + 2)
    spectrum = np.fft.rfft(rng.standard_normal(count)) * frequency ** (-0.7 + 0.2 * timbre)
    noise = np.fft.irfft(spectrum, count)
    return noise / noise.std()


def _note(rng: np.random.Generator) -> np.ndarray:
    """A note of any pitch from 150 to 600 Hz with overtones: float64, as long as an event."""
    overtones = np.arange(1, 11)[:, None]
    strength = overtones ** rng.uniform(-1.5, -0.5)
    return (strength * np.sin(2 * np.pi * 150 * 4 ** rng.random() * overtones * EVENT)).sum(0)
