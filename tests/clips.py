"""Clips whose pictures show their number as bars of light and dark, to tell which frame was given."""

import os
import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
BITS = 16  # bars of a picture, each a bit of its number


def ffmpeg(*arguments: object) -> None:
    subprocess.run([FFMPEG, "-v", "error", "-y", *map(str, arguments)], check=True)


def numbered(number: int, width: int = 64, height: int = 48) -> np.ndarray:
    """uint8 [height, width, 3] with `number` in 16 bars, the lowest bit leftmost."""
    bars = np.array([230 if number >> bit & 1 else 30 for bit in range(BITS)], np.uint8)
    row = bars[np.arange(width) * BITS // width]
    return np.ascontiguousarray(np.broadcast_to(row[None, :, None], (height, width, 3)))


def number_of(picture: np.ndarray) -> int:
    """The number in a picture of any width: each bar is read at its middle."""
    light = picture.mean(axis=(0, 2))
    middles = ((np.arange(BITS) + 0.5) * len(light) / BITS).astype(int)
    return sum(1 << bit for bit, middle in enumerate(middles) if light[middle] > 128)


def render(path: Path, frames: int, options: str, rate: object = 25, size: tuple[int, int] = (64, 48)) -> Path:
    """`frames` numbered pictures in the file `path`, coded as FFmpeg's `options` say."""
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{size[0]}x{size[1]}", "-r", str(rate), "-i", "-"]
    command = [FFMPEG, "-v", "error", "-y", *source, *options.split(), str(path)]
    writer = subprocess.Popen(command, stdin=subprocess.PIPE, env=os.environ | {"SVT_LOG": "1"})
    for number in range(frames):
        writer.stdin.write(numbered(number, *size).tobytes())
    writer.stdin.close()
    assert writer.wait() == 0, f"FFmpeg could not make {path.name}"
    return path
