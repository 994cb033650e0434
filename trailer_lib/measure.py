"""A network's answers on the films of a split, and its loss beside the best constant's and the genres'."""

import numpy as np
import pandas as pd
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.utils.data import DataLoader

from trailer_lib.backbones import FilmRegressor
from trailer_lib.baselines import baselines
from trailer_lib.batches import split_loader
from trailer_lib.dataset import Dataset
from trailer_lib.module import TrailerModule, loss_of
from trailer_lib.settings import TrainSettings


def predict(network: FilmRegressor, data: Dataset, settings: TrainSettings, split: str) -> np.ndarray:
    """Standardised predictions, float32 [films], of a split's films in their order.

    With `draws` above 1 each is the mean over so many random draws of the film's frames, the same ones every time.
    """
    draws = [None] if settings.draws == 1 else range(settings.draws)
    return np.mean([_answers(network, split_loader(data, settings, split, draw)) for draw in draws], 0)


def _answers(network: FilmRegressor, batches: DataLoader) -> np.ndarray:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network.to(device).eval()
    with torch.inference_mode():
        answers = [network(frames.to(device, non_blocking=True)) for frames, *_ in batches]
    return torch.cat(answers).float().cpu().numpy()


def mean_loss(module: TrailerModule, data: Dataset, split: str) -> float:
    """The loss of the module's network on a split's films, their frames evenly spread and as they are."""
    answers = torch.from_numpy(_answers(module.network, split_loader(data, module.settings, split)))
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
