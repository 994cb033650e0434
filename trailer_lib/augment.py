"""Augmentations of a training batch, on the device it is on. A film's seed decides what happens to its frames.

All frames of a film are treated alike, and a film the same in any batch; only mixup looks at the batch's other films.
"""

import math

import numpy as np
import torch
from torch import Tensor
from torchvision.transforms.v2 import functional

from trailer_lib.settings import TrainSettings

CHANCES = 8  # numbers a film draws: flip, the crop's area, shape, top and left, brightness, contrast, saturation
RATIOS = (3 / 4, 4 / 3)  # of a crop's width to its height, as torchvision's RandomResizedCrop
RAW_SD = 57.5  # sd of ImageNet's pixels where they go from 0 to 255


def augment(frames: Tensor, settings: TrainSettings, seeds: list[int]) -> Tensor:
    """uint8 frames [films, frames, 3, height, width] -> the same, cropped, mirrored and recoloured by `settings`."""
    chances = np.stack([np.random.default_rng(seed).random(CHANCES) for seed in seeds])
    if settings.crop < 1:
        frames = torch.stack([_cropped(film, settings.crop, *c[1:5]) for film, c in zip(frames, chances)])
    if settings.flip:
        mirrored = torch.from_numpy(chances[:, 0] < 0.5).to(frames.device)
        frames = torch.where(mirrored.view(-1, 1, 1, 1, 1), frames.flip(-1), frames)
    if settings.colour:
        factors = 1 + settings.colour * (2 * chances[:, 5:] - 1)
        frames = torch.stack([_recoloured(film, *f) for film, f in zip(frames, factors)])
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


def _recoloured(film: Tensor, brightness: float, contrast: float, saturation: float) -> Tensor:
    film = functional.adjust_brightness(film, brightness)
    film = functional.adjust_contrast(film, contrast)
    return functional.adjust_saturation(film, saturation)


def add_noise(pictures: Tensor, settings: TrainSettings, seeds: list[int]) -> Tensor:
    """Normalised pictures [films, frames, 3, height, width] with Gaussian noise of `settings.noise`."""
    if not settings.noise:
        return pictures
    sd = settings.noise * (RAW_SD if settings.pixels == "raw" else 1)
    noise = torch.empty_like(pictures)
    for film, seed in zip(noise, seeds):
        film.normal_(0, sd, generator=torch.Generator(pictures.device).manual_seed(seed))
    return pictures + noise


def mix(pictures: Tensor, targets: Tensor, settings: TrainSettings, seeds: list[int]) -> tuple[Tensor, Tensor]:
    """Mixup (Zhang et al. 2018): each film, [films, ...], and its target, [films], with the next one of the batch."""
    if not settings.mixup:
        return pictures, targets
    shares = [np.random.default_rng([seed, 1]).beta(settings.mixup, settings.mixup) for seed in seeds]
    share = torch.tensor(shares, dtype=targets.dtype, device=targets.device)
    wide = share.view(-1, *[1] * (pictures.ndim - 1)).to(pictures.dtype)
    return wide * pictures + (1 - wide) * pictures.roll(-1, 0), share * targets + (1 - share) * targets.roll(-1, 0)
