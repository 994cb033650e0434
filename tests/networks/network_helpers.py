"""What the tests of networks share: made frames, predictions, model files, a hostile value."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchvision import models

from trailer_lib.networks.model_file import FORMAT, ModelFile
from trailer_lib.networks.regressor import FilmRegressor, build
from trailer_lib.settings import DatasetSettings, TrainSettings


def random_frames(films: int, frames: int, size: int = 64, seed: int = 0) -> Tensor:
    """uint8 [films, frames, 3, size, size] of noise, each channel of each frame with a brightness of its own."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, (films, frames, 3, size, size))
    return torch.from_numpy((noise * rng.random((films, frames, 3, 1, 1))).astype(np.uint8))


def predict(network: FilmRegressor, frames: Tensor) -> Tensor:
    with torch.inference_mode():
        return network.eval()(frames)


def save_weights(backbone: str, path: Path) -> dict[str, Tensor]:
    """The random weights of a torchvision network, written as a file of the library's own kind."""
    torch.save(state := models.get_model(backbone, weights=None).state_dict(), path)
    return state


def first_convolution(network: nn.Module) -> nn.Conv2d:
    return next(layer for layer in network.modules() if isinstance(layer, nn.Conv2d))


def made_model(backbone: str = "squeezenet1_1", **chosen: Any) -> ModelFile:
    """A model as a training leaves it, with random weights: the kernels of its stacked frames differ."""
    base = {"backbone": backbone, "weights": "none", "frames": 3, "aggregate": "channels", "depth": "last"}
    s = TrainSettings(**base | {"freeze": "none"} | chosen)
    options = {name: getattr(s, name) for name in ("first_conv", "pixels", "freeze", "depth")}
    network = build(backbone, s.frames, s.aggregate, "none", **options)
    nn.init.normal_(first_convolution(network).weight, std=0.05)
    facts = {"format": FORMAT, "settings": s.as_dict(), "dataset": DatasetSettings(size=32).as_dict()}
    return ModelFile(network, facts | {"weights": network.report, "score_mean": 6.0, "score_sd": 1.5})


class Bomb:
    """What a hostile file holds: unpickled, it makes a folder."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Callable, tuple[str]]:
        return os.mkdir, (str(self.canary),)
