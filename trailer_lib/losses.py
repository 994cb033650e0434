"""The losses that a curve is measured by: the best constant's and that of the genres alone."""

import numpy as np
import pandas as pd

from trailer_lib.baselines import baselines
from trailer_lib.dataset import Dataset

ERRORS = {"mse": np.square, "l1": np.abs}  # of standardised scores; the loss is their mean


def constant_losses(data: Dataset, loss: str) -> dict[str, float]:
    """The train and val loss of the constant that is best on the train films: their mean for "mse", median for "l1"."""
    train, val = (_standardised(data, data.split(name).score) for name in ("train", "val"))
    best = {"mse": np.mean, "l1": np.median}[loss](train)
    return {name: float(ERRORS[loss](best - scores).mean()) for name, scores in (("train", train), ("val", val))}


def genre_loss(data: Dataset, loss: str) -> float | None:
    """The val loss of the baseline that knows the genres alone; None where the train films have none."""
    films = data.split("val")
    points = baselines(data.split("train"), films, ["genre only"]).get("genre only")
    if points is None:
        return None
    return float(ERRORS[loss](_standardised(data, points) - _standardised(data, films.score)).mean())


def _standardised(data: Dataset, points: np.ndarray | pd.Series) -> np.ndarray:
    """IMDb points in sd of the train films' scores from their mean: float64 [films]."""
    scores = data.split("train").score
    return (np.asarray(points, np.float64) - scores.mean()) / (scores.std(ddof=0) or 1.0)
