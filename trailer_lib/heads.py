"""Ridge regression on frozen features, as a torch layer: a fitted network is then like any other."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from trailer_lib.errors import TrailerError

LEAST_FILMS = 10
LEAST_SCALE = 0.01  # of the features' root mean square sd
RIDGE_ALPHAS = np.logspace(0, 7, 29)


def fit_ridge(features: np.ndarray, target: np.ndarray, blocks: Sequence[int]) -> tuple[nn.Linear, dict[str, Any]]:
    """A linear layer fitted to `features` float32 [films, n] and `target` [films], and facts about the fit.

    Ridge regression on standardised features; alpha by leave-one-out, which has a closed form. `blocks`: the numbers
    of features that belong together; each block gets the same weight, so that a network's few early features count as
    much as its many late ones.
    """
    from sklearn.linear_model import RidgeCV

    if len(features) < LEAST_FILMS:
        raise TrailerError(
            f"head='ridge': {len(features)} train films, at least {LEAST_FILMS} are needed to fit one: scrape more, or"
            " set head='linear'"
        )
    mean, scale = _standard(features, blocks)
    model = RidgeCV(alphas=RIDGE_ALPHAS).fit((features - mean) / scale, target)
    head = nn.Linear(features.shape[1], 1)
    _set_linear(head, model.coef_[None] / scale, model.intercept_ - model.coef_ / scale @ mean)
    return head, {"alpha": float(model.alpha_), "cv_mse": -float(model.best_score_)}


def _standard(features: np.ndarray, blocks: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """The mean and the scale that standardise each feature, and give each block the same sum of squares; float64 [n].

    A feature that hardly moves in these films is not blown up: in another film it may be a thousand of its sds away.
    """
    sds = features.std(0, dtype=np.float64)
    scale = []
    for part in np.split(sds, np.cumsum(blocks)[:-1]):
        floor = LEAST_SCALE * np.sqrt((part**2).mean())
        scale.append(np.maximum(part, floor or 1.0) * np.sqrt(len(part) * len(blocks) / len(sds)))
    return features.mean(0, dtype=np.float64), np.concatenate(scale)


def _set_linear(layer: nn.Linear, weight: np.ndarray, bias: np.ndarray | float) -> None:
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight))
        layer.bias.copy_(torch.as_tensor(bias))
