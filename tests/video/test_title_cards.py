"""The card network in NumPy gives what SqueezeNet gives in torch."""

import drawn
import numpy as np
import pytest

from trailer_lib.video import quality_filter


def test_the_trunk_is_torchvisions() -> None:
    torch = pytest.importorskip("torch")
    from torchvision.models import squeezenet1_1

    trunk = squeezenet1_1().features[:8].eval()
    stored = quality_filter._weights()
    for name, parameter in trunk.named_parameters():
        published = "0" + name[1:] if name.startswith("0.") else name
        weight = torch.from_numpy(stored[published])
        if parameter.ndim == 4:
            weight = weight.reshape(*parameter.shape[2:], *parameter.shape[1::-1]).permute(3, 2, 0, 1)
        parameter.data = weight.clone()
    thumbnails = np.stack([quality_filter.thumbnail(drawn.scene(seed)) for seed in range(3)])
    normal = torch.from_numpy((thumbnails - quality_filter.MEAN) / quality_filter.SD).permute(0, 3, 1, 2)
    with torch.inference_mode():
        expected = trunk(normal).permute(0, 2, 3, 1).numpy()
    assert quality_filter._trunk(thumbnails) == pytest.approx(expected, rel=1e-3, abs=1e-2)


def test_probabilities_do_not_depend_on_the_company() -> None:
    thumbnails = np.stack([quality_filter.thumbnail(picture) for picture in [drawn.scene(0), *drawn.CARDS.values()]])
    together = quality_filter.card_probabilities(thumbnails)
    assert together == pytest.approx([quality_filter.card_probabilities(one[None])[0] for one in thumbnails], abs=1e-4)
    assert together[0] < 0.5 < together[1:].min()
