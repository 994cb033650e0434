"""Augmentations: nothing when off, the same for the same seed, noise of the size asked for, whole films mirrored."""

import pytest
import torch
from torch import Tensor

from trailer_lib.augment import augment
from trailer_lib.settings import TrainSettings

OFF = TrainSettings(flip=False, noise=0.0)
FLIP = TrainSettings(flip=True, noise=0.0)


def batch(films: int = 64) -> Tensor:
    return torch.randn(films, 3, 3, 8, 10, generator=torch.Generator().manual_seed(1))


def augmented(frames: Tensor, settings: TrainSettings, seed: int = 0) -> Tensor:
    return augment(frames, settings, torch.Generator().manual_seed(seed))


def mirrored_films(before: Tensor, after: Tensor) -> list[bool]:
    """Whether each film is the mirror image of what it was; every frame of it has to agree."""
    kept = [torch.equal(a, b) for a, b in zip(after, before)]
    turned = [torch.equal(a, b.flip(-1)) for a, b in zip(after, before)]
    assert all(one != other for one, other in zip(kept, turned))
    return turned


def test_nothing_changes_with_everything_off() -> None:
    assert torch.equal(augmented(batch(), OFF), batch())


@pytest.mark.parametrize("settings", [FLIP, TrainSettings(flip=False, noise=0.3), TrainSettings(flip=True, noise=0.3)])
def test_the_generators_seed_decides_the_result(settings: TrainSettings) -> None:
    assert torch.equal(augmented(batch(), settings, seed=4), augmented(batch(), settings, seed=4))
    assert not torch.equal(augmented(batch(), settings, seed=4), augmented(batch(), settings, seed=5))


@pytest.mark.parametrize("noise", [0.1, 0.5, 2.0])
def test_noise_has_the_sd_asked_for_and_no_bias(noise: float) -> None:
    added = augmented(batch(), TrainSettings(flip=False, noise=noise)) - batch()
    assert added.std().item() == pytest.approx(noise, rel=0.05)
    assert abs(added.mean().item()) < 0.05 * noise


def test_all_frames_of_a_film_are_mirrored_together() -> None:
    turned = mirrored_films(batch(), augmented(batch(), FLIP))
    assert 16 < sum(turned) < 48


def test_other_films_are_mirrored_with_another_seed() -> None:
    first, second = (mirrored_films(batch(), augmented(batch(), FLIP, seed)) for seed in (0, 1))
    assert first != second


def test_the_batch_given_is_left_as_it_was() -> None:
    frames = batch()
    augmented(frames, TrainSettings(flip=True, noise=1.0))
    assert torch.equal(frames, batch())
