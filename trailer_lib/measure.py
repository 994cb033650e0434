"""A network's predictions on the films of a split, and its loss on them."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader

from trailer_lib.backbones import FilmRegressor
from trailer_lib.batches import split_loader, tested
from trailer_lib.dataset import Dataset
from trailer_lib.module import TrailerModule
from trailer_lib.settings import TrainSettings


def predict(network: FilmRegressor, data: Dataset, settings: TrainSettings, split: str, cache: Path) -> np.ndarray:
    """Standardised predictions, float32 [films], of a split's films in their order.

    With `draws` above 1 each is the mean over so many random draws of the film's frames, the same ones every time.
    `cache`: the folder of kept features (frozen.Features).
    """
    draws = [None] if settings.draws == 1 else range(settings.draws)
    return _answers(network, data, settings, split, draws, cache).mean(0)


def _answers(
    network: FilmRegressor, data: Dataset, settings: TrainSettings, split: str, draws: Iterable[int | None], cache: Path
) -> np.ndarray:
    """The answers to each draw, float32 [draws, films]; an untrained backbone's features may be known already."""
    if settings.freeze == "backbone" and settings.join != "channels":
        from trailer_lib import frozen  # scikit-learn takes a second

        batches = {draw or 0: tested(data, settings, draw) for draw in draws}
        return frozen.answers(network, data, data.split(split).index.to_numpy(), batches, cache)
    return np.stack([_computed(network, split_loader(data, settings, split, draw)) for draw in draws])


def _computed(network: FilmRegressor, batches: DataLoader) -> np.ndarray:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network.to(device).eval()
    with torch.inference_mode():
        answers = [network(frames.to(device, non_blocking=True)) for frames, *_ in batches]
    return torch.cat(answers).float().cpu().numpy()


def mean_loss(module: TrailerModule, data: Dataset, split: str, cache: Path) -> float:
    """The loss of the module's network on a split's films, their frames evenly spread and as they are."""
    answers = torch.from_numpy(_answers(module.network, data, module.settings, split, [None], cache)[0])
    scores = torch.tensor(data.split(split).score.to_numpy(np.float32))
    return float(module.loss(answers, module.standardised(scores)))
