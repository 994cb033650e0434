"""Augmentations: nothing when off, the same for the same film, whole films alike, each of the size asked for."""

import numpy as np
import pytest
import torch
from torch import Tensor

from trailer_lib.settings import TrainSettings
from trailer_lib.training.batches import RAW_SD, add_noise, augment

OFF = {"flip": False}
CHANGES = [{"flip": True}, {"crop": 0.5}, {"flip": True, "crop": 0.5}]


def batch(films: int = 64) -> Tensor:
    return torch.randint(0, 256, (films, 3, 3, 8, 10), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


def augmented(frames: Tensor, first: int = 0, **chosen: object) -> Tensor:
    return augment(frames, TrainSettings(**OFF | chosen), list(range(first, first + len(frames))))


def mirrored_films(before: Tensor, after: Tensor) -> list[bool]:
    """Whether each film is the mirror image of what it was; every frame of it has to agree."""
    unchanged = [torch.equal(a, b) for a, b in zip(after, before)]
    mirrored = [torch.equal(a, b.flip(-1)) for a, b in zip(after, before)]
    assert all(one != other for one, other in zip(unchanged, mirrored))
    return mirrored


def test_nothing_changes_with_everything_off() -> None:
    assert torch.equal(augmented(batch()), batch())
    floats = torch.randn(4, 2, 3, 8, 8)
    assert add_noise(floats, TrainSettings(), [1, 2, 3, 4]) is floats


@pytest.mark.parametrize("chosen", CHANGES, ids=str)
def test_a_films_seed_decides_its_pictures_in_any_batch_alike_for_all_frames(chosen: dict) -> None:
    frames, seeds = batch(), list(range(64))
    settings = TrainSettings(**OFF | chosen)
    whole, backwards = augment(frames, settings, seeds), augment(frames.flip(0), settings, seeds[::-1])
    assert torch.equal(whole, backwards.flip(0))
    assert torch.equal(whole[7:9], augment(frames[7:9], settings, seeds[7:9]))
    assert not torch.equal(whole, augment(frames, settings, seeds[1:] + seeds[:1]))
    assert torch.equal(frames, batch())  # the batch itself is left as it was
    same = batch()[:, :1].expand(-1, 3, -1, -1, -1)
    after = augmented(same, **chosen)
    assert after.dtype == torch.uint8 and after.shape == same.shape
    assert torch.equal(after, after[:, :1].expand_as(after))


def test_half_of_the_films_are_mirrored_and_others_with_other_seeds() -> None:
    first, second = (mirrored_films(batch(), augmented(batch(), seed, flip=True)) for seed in (0, 1000))
    assert 16 < sum(first) < 48
    assert first != second


@pytest.mark.parametrize("smallest", [0.25, 0.6])
def test_a_crop_keeps_at_least_the_share_asked_for(smallest: float) -> None:
    # Rows and columns that count up: a crop's first and last values say where it began and ended.
    rows = torch.linspace(0, 255, 120).byte().view(-1, 1).expand(120, 120)
    frames = torch.stack([rows, rows.T, rows]).expand(200, 1, 3, 120, 120)
    after = augmented(frames, crop=smallest).float()
    tall = (after[:, 0, 0, -1, 60] - after[:, 0, 0, 0, 60]) / 255
    wide = (after[:, 0, 1, 60, -1] - after[:, 0, 1, 60, 0]) / 255
    shares = (tall * wide).numpy()
    assert shares.min() > 0.85 * smallest and shares.max() <= 1.01
    assert np.ptp(shares) > 0.5 * (1 - smallest)
    assert (wide / tall).min() > 0.7 and (wide / tall).max() < 1.45 and (wide / tall).std() > 0.05


@pytest.mark.parametrize("pixels, unit", [("imagenet", 1.0), ("raw", RAW_SD)])
@pytest.mark.parametrize("noise", [0.1, 2.0])
def test_noise_has_the_sd_asked_for_and_no_bias(noise: float, pixels: str, unit: float) -> None:
    frames, settings = torch.zeros(64, 3, 3, 8, 10), TrainSettings(noise=noise, pixels=pixels)
    added = add_noise(frames, settings, list(range(64)))
    assert added.std().item() == pytest.approx(noise * unit, rel=0.05)
    assert abs(added.mean().item()) < 0.05 * noise * unit
    assert torch.equal(added[2:4], add_noise(frames[:2], settings, [2, 3])) and not torch.equal(added[0], added[1])
    assert frames.abs().max() == 0
