"""Clips whose pictures show their number as bars of light and dark, to tell which frame was returned."""

import os
import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
BITS = 16  # bars of a picture, each a bit of its number
FPS, FRAMES, SIZE = 25, 100, (64, 48)  # of a clip where nothing else is said
X264 = "-c:v libx264 -pix_fmt yuv420p -sc_threshold 0"  # keyframes where -g says and nowhere else


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


def numbers(pictures: np.ndarray) -> list[int]:
    return [number_of(picture) for picture in pictures]


def render(
    path: Path, options: str = f"{X264} -g 12 -bf 3", frames: int = FRAMES, rate: object = FPS, size: tuple = SIZE
) -> Path:
    """`frames` numbered pictures in the file `path`, coded as FFmpeg's `options` say."""
    return write(path, [numbered(number, *size) for number in range(frames)], options, rate)


def write(path: Path, pictures: list[np.ndarray], options: str, rate: object = FPS) -> Path:
    height, width = pictures[0].shape[:2]
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(rate), "-i", "-"]
    command = [FFMPEG, "-v", "error", "-y", *source, *options.split(), str(path)]
    data = b"".join(picture.tobytes() for picture in pictures)
    subprocess.run(command, input=data, env=os.environ | {"SVT_LOG": "1"}, check=True)
    return path


def as_ffmpeg_displays(path: Path, size: tuple[int, int], filters: str = "null") -> np.ndarray:
    """uint8 [frames, height, width, 3] of every frame by the ffmpeg program, which rotates pictures itself."""
    command = [FFMPEG, "-v", "error", "-i", str(path), "-vf", filters, "-fps_mode", "passthrough"]
    done = subprocess.run([*command, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], capture_output=True, check=True)
    return np.frombuffer(done.stdout, np.uint8).reshape(-1, size[1], size[0], 3)
