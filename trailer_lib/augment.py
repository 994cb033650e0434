"""Augmentations of a training batch, on the device it is on. A film's seed decides what happens to its frames.

All frames of a film are treated alike, and a film the same in any batch.
"""

import math

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional

from trailer_lib.settings import TrainSettings

CHANCES = 5  # numbers a film draws: flip, the crop's area, shape, top and left
RATIOS = (3 / 4, 4 / 3)  # of a crop's width to its height, as torchvision's RandomResizedCrop
RAW_SD = 57.5  # sd of ImageNet's pixels where they go from 0 to 255


def augment(frames: Tensor, settings: TrainSettings, seeds: list[int]) -> Tensor:
    """uint8 frames [films, frames, 3, height, width] -> the same, cropped and mirrored by `settings`."""
    frames = frames.contiguous()  # the loader's are height by width by channel
    chances = np.stack([np.random.default_rng(seed).random(CHANCES) for seed in seeds])
    if settings.crop < 1:
        frames = torch.stack([_cropped(film, settings.crop, *c[1:5]) for film, c in zip(frames, chances)])
    if settings.flip:
        mirrored = torch.from_numpy(chances[:, 0] < 0.5).to(frames.device)
        frames = torch.where(mirrored.view(-1, 1, 1, 1, 1), frames.flip(-1), frames)
    return frames


def _cropped(film: Tensor, smallest: float, area: float, shape: float, top: float, left: float) -> Tensor:
    """A box of a random share of the picture's area and a random shape, at the picture's size again."""
    height, width = film.shape[-2:]
    share = smallest + (1 - smallest) * area
    ratio = math.exp(math.log(RATIOS[0]) + (math.log(RATIOS[1]) - math.log(RATIOS[0])) * shape)
    tall = min(height, round(math.sqrt(share / ratio) * height))
    wide = min(width, round(math.sqrt(share * ratio) * width))
    corner = int(top * (height - tall + 1)), int(left * (width - wide + 1))
    return functional.resized_crop(film, *corner, tall, wide, [height, width], antialias=True)


def add_noise(pictures: Tensor, settings: TrainSettings, seeds: list[int]) -> Tensor:
    """Normalised pictures [films, frames, 3, height, width] with Gaussian noise of `settings.noise`."""
    if not settings.noise:
        return pictures
    sd = settings.noise * (RAW_SD if settings.pixels == "raw" else 1)
    # Not empty_like: its strides would be the pictures', and numbers drawn across memory take eight times as long.
    noise = torch.empty(pictures.shape, dtype=pictures.dtype, device=pictures.device)
    for film, seed in zip(noise, seeds):
        film.normal_(0, sd, generator=torch.Generator(pictures.device).manual_seed(seed))
    return pictures + noise
