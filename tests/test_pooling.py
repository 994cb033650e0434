"""From the features of frames to those of a film, against numpy."""

import numpy as np
import pytest
import torch

from trailer_lib.pooling import JOINS, pool, width

FEATURES = torch.randn(3, 7, 4, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("join", JOINS)
def test_a_film_has_as_many_features_as_its_join_says(join: str) -> None:
    assert pool(FEATURES, join).shape == (3, 4 * width(join))


@pytest.mark.parametrize("frames", [1, 2, 5, 7])
def test_moments_are_the_mean_and_the_sd(frames: int) -> None:
    found = pool(FEATURES[:, :frames], "moments").numpy()
    part = FEATURES[:, :frames].numpy()
    assert np.allclose(found, np.concatenate([part.mean(1), part.std(1)], 1), atol=2e-3)


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 5, 7])
def test_quantiles_are_numpys_quartiles(frames: int) -> None:
    part = FEATURES[:, :frames].numpy()
    expected = np.concatenate([np.quantile(part, share, axis=1) for share in (0.25, 0.5, 0.75)], 1)
    assert np.allclose(pool(FEATURES[:, :frames], "quantiles").numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("join", ["mean", "moments", "quantiles"])
def test_the_order_of_the_frames_does_not_count(join: str) -> None:
    assert torch.allclose(pool(FEATURES, join), pool(FEATURES.flip(1), join), atol=1e-6)


@pytest.mark.parametrize("join", ["moments", "quantiles"])
def test_equal_frames_have_a_finite_slope(join: str) -> None:
    features = torch.ones(1, 5, 2, requires_grad=True)
    pool(features, join).sum().backward()
    assert features.grad.isfinite().all()
