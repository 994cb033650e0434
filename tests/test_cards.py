"""The card network in NumPy gives what SqueezeNet gives in torch."""

import drawn
import numpy as np
import pytest

from trailer_lib import cards


def test_the_trunk_is_torchvisions() -> None:
    torch = pytest.importorskip("torch")
    from torchvision.models import squeezenet1_1

    trunk = squeezenet1_1().features[:8].eval()
    stored = cards._weights()
    for name, parameter in trunk.named_parameters():
        published = "0" + name[1:] if name.startswith("0.") else name
        weight = torch.from_numpy(stored[published])
        if parameter.ndim == 4:
            weight = weight.reshape(*parameter.shape[2:], *parameter.shape[1::-1]).permute(3, 2, 0, 1)
        parameter.data = weight.clone()
    thumbnails = np.stack([cards.thumbnail(drawn.scene(seed)) for seed in range(3)])
    normal = torch.from_numpy((thumbnails - cards.MEAN) / cards.SD).permute(0, 3, 1, 2)
    with torch.inference_mode():
        expected = trunk(normal).permute(0, 2, 3, 1).numpy()
    assert cards._trunk(thumbnails) == pytest.approx(expected, rel=1e-3, abs=1e-2)


@pytest.mark.parametrize("shape", [(180, 320, 3), (1080, 1920, 3), (45, 80, 3), (20, 30, 3), (481, 271, 3)])
def test_a_thumbnail_of_any_picture_has_one_size(shape: tuple) -> None:
    picture = np.full(shape, 77, np.uint8)
    assert cards.thumbnail(picture).shape == cards.SHAPE
    assert (cards.thumbnail(picture) == 77).all()


def test_probabilities_do_not_depend_on_the_company() -> None:
    thumbnails = np.stack([cards.thumbnail(picture) for picture in [drawn.scene(0), *drawn.CARDS.values()]])
    together = cards.probabilities(thumbnails)
    assert together == pytest.approx([cards.probabilities(one[None])[0] for one in thumbnails], abs=1e-4)
    assert together[0] < 0.5 < together[1:].min()


def test_no_pictures_have_no_probabilities() -> None:
    assert cards.probabilities(np.empty((0, *cards.SHAPE), np.uint8)).shape == (0,)


def test_what_is_stored_is_small() -> None:
    assert cards.WEIGHTS.stat().st_size < 2_000_000
