"""Fictional films with trailers like real ones, to try everything without a download.

A film's score is the sum of four parts. `seen` shows in its pictures alone: better films are cooler in hue, calmer in
motion and smoother in line, with noise by film and shot. `heard` is in its sound alone: the music of better films is
darker and slower. The rest is the taste for its genres, and noise. All else says nothing. Every twelfth has no sound.
"""

import csv
import os
import re
import wave
import zlib
from collections import namedtuple
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from trailer_lib import files
from trailer_lib.errors import TrailerError
from trailer_lib.progress import bar

WIDTH, HEIGHT, FPS = 256, 144, 24
WIDE = WIDTH + 64  # what the camera can pass in a shot
RATE = 1000 * FPS  # samples of sound a second
GOPS = (12, 48, 125)
GENRE_SCORES = {"Action": -0.8, "Comedy": -0.7, "Drama": 1.6, "Horror": -1.7, "Romance": 0.4, "Sci-Fi": 0.8}
ADJECTIVES = "Amber Broken Crimson Distant Electric Frozen Golden Hidden Iron Last Paper Quiet Restless Silver Wild"
NOUNS = "Harbour Orchard Signal Canyon Letter Engine Garden River Station Winter"
SETTINGS = Path(__file__).with_name("samples.toml")  # a run that a laptop finishes in a minute
# `seen`, `heard`: standard normal; `damage`: "missing", "truncated", "not a video", "no sound", "" for none.
SampleFilm = namedtuple("SampleFilm", "number title year genres seen heard score imdb_id youtube_id damage")


def render(root: Path, films: int = 72, held_out: int = 2, seed: int = 2) -> None:
    """Write excels/, trailers/, settings.toml and held_out/ under `root`; the same arguments give the same films."""
    if (root / "excels" / "movie_metadata.csv").exists() and not (root / "held_out" / "scores.csv").exists():
        raise TrailerError(f"{root} holds other films' tables, which samples would replace: name another folder")
    every_film = list(invent(films + held_out, seed))
    listed, unseen = every_film[:films], every_film[films:]
    _write_csv(root / "excels" / "movie_metadata.csv", _metadata(listed))
    _write_csv(root / "excels" / "ml-youtube.csv", _trailer_list(listed))
    scores = [[f"{film.youtube_id}.mp4", film.title, film.year, film.score, "|".join(film.genres)] for film in unseen]
    _write_csv(root / "held_out" / "scores.csv", [["file", "title", "year", "score", "genres"], *scores])
    files.write_text(root / "settings.toml", SETTINGS.read_text(encoding="utf-8"))
    jobs = [(film, seed, root / "trailers" / f"{film.youtube_id}.mp4") for film in listed if film.damage != "missing"]
    jobs += [(film, seed, root / "held_out" / f"{film.youtube_id}.mp4") for film in unseen]
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        list(bar(pool.map(_render_trailer, *zip(*jobs)), "rendering trailers", len(jobs), unit="film"))


def invent(count: int, seed: int) -> Iterator[SampleFilm]:
    """`count` made-up films; the fourth, seventh and tenth have a trailer that is missing, cut short, or no video."""
    rng = np.random.default_rng(seed)
    names = [f"{adjective} {noun}" for adjective in ADJECTIVES.split() for noun in NOUNS.split()]
    order = rng.permutation(len(names))
    for number in range(count):
        genres = tuple(sorted(rng.choice(list(GENRE_SCORES), size=rng.integers(1, 3), replace=False)))
        taste = np.mean([GENRE_SCORES[genre] for genre in genres])
        seen, heard, noise = rng.standard_normal(3).tolist()
        quality = 0.7 * taste + 0.6 * seen + 0.7 * heard + 0.1 * noise
        title = names[order[number % len(names)]] + f" {number // len(names) + 1}" * (number >= len(names))
        title = {0: "The " + title, 1: "Heist: " + title, 2: title + " 50/50"}.get(number, title)
        damage = {3: "missing", 6: "truncated", 9: "not a video"}.get(number, "no sound" * (number % 12 == 5))
        year, score = int(rng.integers(1985, 2021)), round(float(np.clip(6.4 + 1.1 * quality, 1.5, 9.5)), 1)
        # Some real ids begin with a hyphen; a file name like that must never be taken for an option.
        youtube_id = f"{'-' if number == 4 else 's'}ample{number:05d}"
        yield SampleFilm(number, title, year, genres, seen, heard, score, f"tt99{number:05d}", youtube_id, damage)


def _metadata(films: list[SampleFilm]) -> Iterator[list]:
    """Columns of the IMDB 5000 table, with its trailing no-break space and a duplicate row."""
    yield "duration,genres,movie_title,num_voted_users,movie_imdb_link,title_year,imdb_score".split(",")
    for film in [*films, films[-1]]:
        link = f"http://www.imdb.com/title/{film.imdb_id}/?ref_=fn_tt_tt_1"
        facts = [80 + 7 * film.number % 60, "|".join(film.genres), film.title + "\u00a0", 1000 + film.number]
        yield [*facts, link, film.year, film.score]


def _trailer_list(films: list[SampleFilm]) -> list[list]:
    """The columns of MovieLens' trailer list: moved articles, and ids that a spreadsheet ate."""
    titles = [re.sub(r"^(The) (.*)", r"\2, \1", film.title) for film in films]
    rows = [[film.youtube_id, film.number + 1, f"{title} ({film.year})"] for film, title in zip(films, titles)]
    odd = [["#NAME?", 900001, "Eaten by a Spreadsheet (1999)"], ["sample99999/", 900002, "Slash at the End (2001)"]]
    return [["youtubeId", "movieId", "title"], *rows, *odd]


def _write_csv(path: Path, rows: Iterable[list]) -> None:
    with files.atomic_path(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def _render_trailer(film: SampleFilm, seed: int, path: Path) -> None:
    # Two B-frames: the order of decoding differs from the order shown, as in real trailers.
    coding = f"-g {GOPS[film.number % len(GOPS)]} -bf 2 -preset veryfast -crf 23 -f mp4".split()
    if film.damage == "not a video":
        return files.write_text(path, "<!DOCTYPE html><title>Video unavailable</title>")
    with files.atomic_path(path) as temporary, files.scratch_folder() as scratch:
        pictures, sound = list(_trailer(film, seed)), {}
        if film.damage != "no sound":
            sound = {"audio_path": str(scratch / "sound.wav"), "audio_codec": "aac"}
            with wave.open(sound["audio_path"], "wb") as file:
                file.setparams((1, 2, RATE, 0, "NONE", ""))
                file.writeframes(_soundtrack(film, seed, [picture.max() / 255 for picture in pictures]).tobytes())
        picture_coding = {"codec": "libx264", "quality": None, "output_params": coding, "ffmpeg_log_level": "error"}
        writer = imageio_ffmpeg.write_frames(str(temporary), (WIDTH, HEIGHT), fps=FPS, **picture_coding, **sound)
        writer.send(None)
        for picture in pictures:
            writer.send(np.ascontiguousarray(picture))
        writer.close()
        if film.damage == "truncated":
            os.truncate(temporary, temporary.stat().st_size * 6 // 10)


def _soundtrack(film: SampleFilm, seed: int, brightness: list[float]) -> np.ndarray:
    """A chord, drums and a voice, int16 [samples]; `brightness`: of each frame, 0 to 1; black is quiet."""
    rng = np.random.default_rng([seed, film.number, zlib.crc32(b"sound")])
    strain = 1 / (1 + np.exp(1.3 * (film.heard + 0.2 * rng.standard_normal())))
    seconds = np.arange(len(brightness) * RATE // FPS) / RATE
    since = seconds % (0.7 - 0.5 * strain)  # the last beat
    root, power = rng.uniform(90, 180), 3.0 - 2.3 * strain
    chord = sum(_tone(root * step * seconds, np.arange(1, 31) ** -power) for step in (1, 1.25, 1.5))
    drums = np.exp(-since / 0.04) * rng.standard_normal(len(seconds))
    formants = np.exp(-(((np.arange(1, 31) - rng.uniform(4, 8)) / 3) ** 2))
    syllables = np.maximum(0, np.sin(25 * seconds)) * (np.sin(seconds + rng.uniform(0, 6.3)) > 0)
    voice = _tone(rng.uniform(100, 220) * seconds + 0.5 * np.sin(7 * seconds), formants)
    mixed = chord * (0.3 + 0.7 * np.exp(-since / 0.2)) + 0.5 * drums + 0.5 * voice * syllables
    loudness = 10 ** rng.uniform(-1.2, -0.8) * np.interp(seconds * FPS, np.arange(len(brightness)), brightness)
    return (32767 * np.clip(loudness * mixed, -1, 1)).astype("<i2")


def _tone(turns: np.ndarray, overtones: np.ndarray) -> np.ndarray:
    """A tone of `turns` periods since its start, looked up in one period of its `overtones`' amplitudes."""
    period = np.fft.irfft(np.concatenate([[0], overtones, np.zeros(1024 - len(overtones))])) * 1024
    return period[(turns * 2048).astype(np.int64) % 2048]


def _trailer(film: SampleFilm, seed: int) -> Iterator[np.ndarray]:
    """The pictures of a trailer: logo, rating card, shots between gaps and titles, the title at the end."""
    rng = np.random.default_rng([seed, film.number, zlib.crc32(b"trailer")])
    bars = HEIGHT // 8 if rng.random() < 0.4 else 0
    yield from _faded(_logo(rng), 14)
    yield from repeat(_card(["APPROVED FOR", "ALL AUDIENCES"], (20, 110, 50)), 10)
    look = film.seen + 0.2 * rng.standard_normal()
    for shot in range(int(rng.integers(26, 33))):  # the filter keeps about one frame of a shot
        for picture in _shot(rng, look, int(rng.integers(5, 8))):
            picture[:bars], picture[HEIGHT - bars :] = 0, 0
            yield picture
        if shot % 10 == 9:
            yield from repeat(np.zeros((HEIGHT, WIDTH, 3), np.uint8), 6)
            yield from repeat(_card([f"THIS {('SPRING', 'SUMMER', 'WINTER')[shot // 10 - 1]}"], (8, 8, 12)), 10)
    yield from _faded(_card(film.title.upper().split(), (12, 10, 16)), 14)


def _shot(rng: np.random.Generator, look: float, length: int) -> Iterator[np.ndarray]:
    """A landscape that the camera passes; `look` sets its hue, the camera's speed and how jagged the hills are."""
    warmth = 1 / (1 + np.exp(1.3 * (look + 0.3 * rng.standard_normal())))
    light = rng.uniform(0.6, 1.0)  # whatever the score
    sky = np.array([60 + 180 * warmth, 130.0, 220 - 150 * warmth]) * light
    ground = np.array([50 + 110 * warmth, 100.0, 110 - 60 * warmth]) * light * rng.uniform(0.8, 1.2, 3)
    fall = np.arange(HEIGHT, dtype=np.float32)[:, None] / HEIGHT
    back = _painted(sky, (0.55 + 0.45 * fall) * (0.7 + 0.3 * _texture(rng)[:, :WIDTH]))
    sun = rng.random(2) * (WIDTH, HEIGHT * 0.4) + (0, 8)
    ImageDraw.Draw(back).ellipse([*(sun - 12), *(sun + 12)], (235, 235, 235))
    horizon, hills = rng.uniform(0.3, 0.6), []
    for depth in (1, 2, 3):
        shape = fall > horizon + 0.16 * (depth - 1) + _skyline(rng, jagged=warmth) / HEIGHT
        hills.append((_painted(ground / depth, (1.2 - 0.4 * fall) * _texture(rng)), Image.fromarray(shape)))
    for step in range(length):
        picture = back.copy()
        for depth, (hill, shape) in enumerate(hills, start=1):
            picture.paste(hill, (-int(step * depth * (0.3 + 2.5 * warmth)), 0), shape)
        yield np.array(picture)


def _painted(colour: np.ndarray, light: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(light[..., None] * colour.astype(np.float32), 0, 255).astype(np.uint8))


def _skyline(rng: np.random.Generator, jagged: float) -> np.ndarray:
    """The skyline of a range of hills in pixels around 0, float64 [WIDE]."""
    turns = 2 * np.pi * np.arange(WIDE) / (3 * WIDTH)
    waves = [np.sin(turns * rng.integers(3, 12) + rng.random() * 6.3) * 9 for _ in range(3)]
    spikes = [np.sin(turns * rng.integers(40, 90) + rng.random() * 6.3) * 6 * jagged for _ in range(3)]
    return np.sum([*waves, *spikes], axis=0)


def _texture(rng: np.random.Generator) -> np.ndarray:
    """Light and shade of woods or clouds around 1, float32 [HEIGHT, WIDE]: flat areas would make it a card."""
    light = np.ones((HEIGHT, WIDE), np.float32)
    for size, strength in ((24, 0.35), (8, 0.35), (2, 0.3)):
        grid = rng.uniform(-strength, strength, (HEIGHT // size, WIDE // size)).astype(np.float32)
        light += np.asarray(Image.fromarray(grid).resize((WIDE, HEIGHT), Image.Resampling.BILINEAR))
    return light


def _faded(picture: np.ndarray, length: int) -> Iterator[np.ndarray]:
    for light in np.clip(3 * np.sin(np.linspace(0, np.pi, length)), 0, 1):
        yield (picture * light).astype(np.uint8)


def _card(lines: list[str], ground: tuple[int, int, int]) -> np.ndarray:
    card, middle = Image.new("RGB", (WIDTH, HEIGHT), ground), (WIDTH // 2, HEIGHT // 2)
    font = ImageFont.load_default(min(28, 300 // max(map(len, lines)), 110 // len(lines)))
    ImageDraw.Draw(card).text(middle, "\n".join(lines), "white", font, "mm", align="center")
    return np.asarray(card)


def _logo(rng: np.random.Generator) -> np.ndarray:
    logo = Image.fromarray(_card(["FARAWAY PICTURES"], (4, 8, 40)))
    for radius in (26, 18, 10):
        colour = tuple(rng.integers(120, 255, 3).tolist())
        ImageDraw.Draw(logo).circle((WIDTH // 2, 34), radius, outline=colour, width=3)
    return np.asarray(logo)
