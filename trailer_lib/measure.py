"""A network's answers on the films of a split, and its loss beside the best constant's and the genres'."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.utils.data import DataLoader

from trailer_lib.backbones import FilmRegressor
from trailer_lib.baselines import baselines
from trailer_lib.batches import split_loader, tested
from trailer_lib.dataset import Dataset
from trailer_lib.module import TrailerModule, loss_of
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


def constant_losses(data: Dataset, loss: str, huber_delta: float = 1.0) -> dict[str, float]:
    """The train and val loss of the constant that is best on the train films: their mean for "mse", median for "l1"."""
    known, unseen = (_standardised(data, data.split(name).score) for name in ("train", "val"))
    missed = loss_of(loss, huber_delta)

    def of(answer: float, scores: Tensor) -> float:
        return float(missed(torch.full_like(scores, answer), scores))

    between = (float(known.min()), float(known.max()))
    huber = minimize_scalar(of, args=(known,), bounds=between, method="bounded").x if loss == "huber" else 0.0
    best = {"mse": float(known.mean()), "l1": float(np.median(known)), "huber": huber}[loss]
    return {"train": of(best, known), "val": of(best, unseen)}


def genre_loss(data: Dataset, loss: str, huber_delta: float = 1.0) -> float | None:
    """The val loss of the baseline that knows the genres alone; None where the train films have none."""
    films = data.split("val")
    points = baselines(data.split("train"), films, ["genre only"]).get("genre only")
    if points is None:
        return None
    answers, scores = _standardised(data, points), _standardised(data, films.score)
    return float(loss_of(loss, huber_delta)(answers, scores))


def _standardised(data: Dataset, points: np.ndarray | pd.Series) -> Tensor:
    """IMDb points in sd of the train films' scores from their mean: float64 [films]."""
    scores = data.split("train").score
    return torch.tensor((np.asarray(points) - scores.mean()) / (scores.std(ddof=0) or 1.0))
