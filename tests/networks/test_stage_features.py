"""Features of all stages: what they are, for every kind of network, and that a head learns more from them."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from trailer_lib.errors import TrailerError
from trailer_lib.networks.backbone import Trunk, stage_features, stage_widths
from trailer_lib.networks.regressor import build
from trailer_lib.training import frozen

KINDS = {  # stages of a convolutional net, hidden layers of a classifier, tokens, maps with the channels last
    "resnet18": (64, (128, 128, 256, 512, 512)),
    "vgg11": (64, (128, 256, 512, 512, 1024, 1024, 1024, 4096)),
    "vit_b_32": (224, (1536,) * 12 + (768,)),
    "swin_t": (64, (192, 192, 384, 384, 768, 768, 1536, 768)),
}


def pictures_of(count: int, size: int) -> Tensor:
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("backbone", KINDS)
def test_every_stage_gives_a_block(backbone: str) -> None:
    size, widths = KINDS[backbone]
    network = build(backbone, 1, "mean", "none", depth="stages").eval()
    assert network.blocks == widths and network.head.in_features == sum(widths)
    with torch.inference_mode():
        features = network.features(pictures_of(2, size)[:, None])
        own = network.backbone(pictures_of(2, size))
    assert features.shape == (2, sum(widths)) and torch.isfinite(features).all()
    assert torch.equal(features[:, -widths[-1] :], own)


def test_a_block_is_the_mean_and_sd_of_a_channel_over_the_places() -> None:
    network, pictures = models.resnet18().eval(), pictures_of(3, 64)
    with torch.inference_mode():
        map_ = network.maxpool(network.relu(network.bn1(network.conv1(pictures))))
        found = stage_features(network, pictures)
    assert torch.allclose(found[:, :64], map_.mean((2, 3)), atol=1e-6)
    assert torch.allclose(found[:, 64:128], map_.std((2, 3), correction=0), atol=1e-2)


def test_channels_are_found_where_swin_and_transformers_have_them() -> None:
    swin, tokens = models.swin_t().eval(), models.vit_b_32().eval()
    with torch.inference_mode():
        stem = swin.features[0](pictures_of(2, 64))  # [n, height, width, channels]
        assert torch.allclose(stage_features(swin, pictures_of(2, 64))[:, :96], stem.mean((1, 2)), atol=1e-5)
        found = stage_features(tokens, pictures_of(2, 224))[:, :768]
        first = tokens._process_input(pictures_of(2, 224))
        first = torch.cat([tokens.class_token.expand(2, -1, -1), first], 1) + tokens.encoder.pos_embedding
        assert torch.allclose(found, first.mean(1), atol=1e-5)


def test_no_hook_is_left_behind_even_by_a_network_that_fails() -> None:
    network = models.resnet18().eval()
    with pytest.raises(RuntimeError):
        stage_features(network, pictures_of(2, 64)[:, :1])
    stage_widths(Trunk(network, 0, ()), 3)
    assert not any(part._forward_pre_hooks for part in network.modules())


def test_asking_for_the_widths_changes_no_tensor() -> None:
    network = models.mobilenet_v3_small().train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    stage_widths(Trunk(network, 0, ()), 3)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


def test_a_network_whose_stages_hand_on_no_map_is_refused_in_a_line() -> None:
    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 4, 3), nn.Bilinear(4, 4, 2)

        def forward(self, pictures: Tensor) -> Tensor:
            means = self.first(pictures).mean((2, 3))
            return self.second(input1=means, input2=means)

    with pytest.raises(TrailerError, match=r"depth='stages': Bilinear gets no map of features: set depth='last'"):
        stage_widths(Trunk(Pair(), 0, ()), 3)


def test_slopes_reach_every_stage() -> None:
    network = build("resnet18", 2, "mean", "none", depth="stages").train()
    network(torch.randint(0, 256, (2, 2, 3, 64, 64), dtype=torch.uint8)).sum().backward()
    assert [name for name, tensor in network.named_parameters() if tensor.grad is None] == []


def test_a_head_on_all_stages_finds_what_a_head_on_the_last_one_misses() -> None:
    """Films whose score is the contrast of faint stripes, which a deep layer's mean hardly knows."""
    rng = np.random.default_rng(0)
    contrast = rng.uniform(0, 1, 160)
    stripes = np.indices((64, 64)).sum(0) % 4 // 2 - 0.5
    grey = rng.uniform(60, 190, (160, 1, 1))
    pictures = grey + 40 * contrast[:, None, None] * stripes + rng.normal(0, 8, (160, 64, 64))
    frames = torch.from_numpy(pictures.clip(0, 255).astype(np.uint8))[:, None, None].expand(-1, 1, 3, -1, -1)
    target = (contrast - contrast.mean()) / contrast.std()
    missed = {}
    for depth in ("last", "stages"):
        torch.manual_seed(0)
        network = build("resnet18", 1, "mean", "none", depth=depth).eval()
        with torch.inference_mode():
            features = network.features(network.normalise(frames)).numpy()
        head, _ = frozen.fit("ridge", features[:100], target[:100], 0, network.blocks)
        with torch.inference_mode():
            missed[depth] = float(((head(torch.from_numpy(features[100:]))[:, 0].numpy() - target[100:]) ** 2).mean())
    assert missed["stages"] < 0.7 * missed["last"]
