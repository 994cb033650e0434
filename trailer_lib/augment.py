"""Augmentations of a training batch, on the device it is on and by a generator of its own."""

import torch
from torch import Tensor

from trailer_lib.settings import TrainSettings


def augment(frames: Tensor, settings: TrainSettings, generator: torch.Generator) -> Tensor:
    """Normalised frames [films, frames, 3, height, width] -> the same, mirrored and noisy as `settings` say.

    All frames of a film are mirrored together: a film has one handedness.
    """
    if settings.flip:
        mirrored = torch.rand(len(frames), generator=generator, device=frames.device) < 0.5
        frames = torch.where(mirrored.view(-1, 1, 1, 1, 1), frames.flip(-1), frames)
    if settings.noise:
        noise = torch.randn(frames.shape, generator=generator, device=frames.device, dtype=frames.dtype)
        frames = frames + settings.noise * noise
    return frames
