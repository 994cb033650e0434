"""Made clips that cost a decoder about what a trailer costs: shots of camera moves over textures, with film grain.

The textures have the 1/f spectrum of photographs; cuts, still shots, pans and a moving foreground give the encoder
the mix of skipped, moved and new blocks of a film. H.264 with B-frames, 24 frames a second, a keyframe at every cut
that x264 sees and at least every 125 frames, about as video sites code.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from PIL import Image

FPS, GOP = 24, 125
FALL = 1.6  # the exponent of the textures: motion and focus blur make film smoother than stills
BIT_RATES = {360: "600k", 720: "2000k", 1080: "4000k"}  # about what video sites serve


def texture(rng: np.random.Generator, height: int, width: int) -> Image.Image:
    """A random RGB picture with a 1/f spectrum: three colours that mostly agree."""
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    fall = 1 / np.maximum(np.hypot(rows, columns), 1 / width) ** FALL
    planes = [np.fft.irfft2(fall * np.exp(2j * np.pi * rng.random(fall.shape)), (height, width)) for _ in range(2)]
    light, tint = (plane / plane.std() for plane in planes)
    mean, contrast = rng.uniform(70, 150), rng.uniform(30, 55)
    colours = [mean + contrast * light + strength * tint for strength in rng.uniform(-25, 25, 3)]
    return Image.fromarray(np.clip(np.stack(colours, 2), 0, 255).astype(np.uint8))


def shot(rng: np.random.Generator, height: int, width: int, length: int, grain: np.ndarray) -> Iterator[np.ndarray]:
    """`length` frames: a texture under a camera that pans, turns and zooms, another that passes in front, grain."""
    behind, front = texture(rng, height * 3 // 2, width * 3 // 2), texture(rng, height // 2, width // 3)
    still = rng.random() < 0.3
    pan, angle, zoom, walk = rng.uniform(-1, 1, (4, 2)) * np.array([[height * 0.1], [0.04], [0.06], [height * 0.2]])
    start = rng.uniform(0.1, 0.4, 2) * (width, height)
    for number in range(length):
        seconds = number / FPS
        turn, scale = angle[0] * seconds * (not still), 1 + zoom[0] * seconds * (not still)
        left, top = start + pan * seconds * (not still)
        cosine, sine = scale * np.cos(turn), scale * np.sin(turn)
        picture = behind.transform(
            (width, height), Image.Transform.AFFINE, (cosine, -sine, left, sine, cosine, top), Image.Resampling.BILINEAR
        )
        picture.paste(front, tuple(np.round(start + walk * seconds).astype(int)))
        frame = np.asarray(picture).astype(np.int16) + grain[rng.integers(len(grain))][..., None]
        yield np.clip(frame, 0, 255).astype(np.uint8)


def frames(height: int, width: int, count: int, seed: int) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(seed)
    grain = np.round(rng.normal(0, 2, (8, height, width))).astype(np.int16)
    while count > 0:
        length = min(count, int(rng.uniform(0.5, 6) * FPS))
        yield from shot(rng, height, width, length, grain)
        count -= length


def clip(folder: Path, height: int, seconds: int, seed: int = 0) -> Path:
    """The clip of these figures in `folder`, made when it is not there."""
    path, width = folder / f"{height}p-{seconds}s-cuts-{seed}.mp4", height * 16 // 9
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".part.mp4")
        options = ["-g", str(GOP), "-b:v", BIT_RATES[height], "-preset", "medium"]
        coding = {"codec": "libx264", "quality": None, "macro_block_size": 2, "output_params": options}
        writer = imageio_ffmpeg.write_frames(str(partial), (width, height), fps=FPS, **coding)
        writer.send(None)
        for frame in frames(height, width, seconds * FPS, seed):
            writer.send(np.ascontiguousarray(frame))
        writer.close()
        partial.rename(path)
    return path


def repeated(path: Path, times: int) -> Path:
    """`path` so many times over, without coding it again."""
    target = path.with_name(f"{path.stem}-x{times}.mp4")
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-stream_loop", str(times - 1), "-i", str(path)]
    subprocess.run([*command, "-c", "copy", str(target)], check=True)
    return target
