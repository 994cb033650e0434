"""Heads that scikit-learn fits on features, as torch modules: a fitted network is then like any other."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trailer_lib.errors import TrailerError

LEAST_FILMS, FOLDS = 10, 5
LEAST_SCALE = 0.01  # of the features' root mean square sd
RIDGE_ALPHAS = np.logspace(0, 7, 29)
MLP_ALPHAS, MLP_WIDTH = (0.1, 1.0, 10.0, 100.0, 1000.0), 64
TREES, TREE_DEPTH, TREE_RATE = 400, 3, 0.03
Fitted = tuple[nn.Module, dict[str, Any]]


class Trees(nn.Module):
    """A sum of regression trees of one depth: features float [films, n] -> [films, 1].

    Node i of a tree goes to 2i + 1 when its feature is at most its threshold, else to 2i + 2; a tree of `depth` has
    2 ** depth - 1 nodes and 2 ** depth leaves, so that all films walk down all trees in `depth` gathers.
    """

    def __init__(self, trees: int, depth: int) -> None:
        super().__init__()
        self.depth, nodes = depth, 2**depth - 1
        self.register_buffer("feature", torch.zeros(trees, nodes, dtype=torch.int64))
        self.register_buffer("threshold", torch.full((trees, nodes), torch.inf))
        self.register_buffer("leaf", torch.zeros(trees, nodes + 1))

    def forward(self, features: Tensor) -> Tensor:
        by_feature = features.T
        node = torch.zeros(self.feature.shape[0], features.shape[0], dtype=torch.int64, device=features.device)
        for _ in range(self.depth):
            value = by_feature.gather(0, self.feature.gather(1, node))
            node = 2 * node + 1 + (value > self.threshold.gather(1, node)).long()
        return self.leaf.gather(1, node - self.feature.shape[1]).sum(0).unsqueeze(1)


def like(state: dict[str, Tensor], linear: nn.Linear) -> nn.Module:
    """An empty head of the kind whose tensors `state` holds under "head.": `linear` itself, an MLP, or trees.

    RuntimeError for tensors that are no head for as many features as `linear` takes.
    """
    features = linear.in_features
    if "head.leaf" in state:
        return _empty_trees(state, features)
    if "head.0.weight" in state:
        return _perceptron(features, len(state["head.0.bias"]))
    return linear


def _empty_trees(state: dict[str, Tensor], features: int) -> Trees:
    (trees, leaves), feature = state["head.leaf"].shape, state["head.feature"]
    if not 0 <= int(feature.min()) <= int(feature.max()) < features:
        raise RuntimeError(f"head.feature goes to {int(feature.max())}, of {features} features")
    return Trees(trees, leaves.bit_length() - 1)


def _perceptron(features: int, hidden: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Linear(hidden, 1))


def fit(kind: str, features: np.ndarray, target: np.ndarray, seed: int, blocks: Sequence[int] = ()) -> Fitted:
    """A head fitted to `features` float32 [films, n] and `target` [films], and facts about it.

    `kind`: "ridge", "boosting" or "mlp". How strongly it is held back is chosen by cross-validation in these films.
    `blocks`: the numbers of features that belong together, all of them if none are given; ridge and mlp give each block
    the same weight, so that a network's few early features count as much as its many late ones.
    """
    if len(features) < LEAST_FILMS:
        raise TrailerError(
            f"head={kind!r}: {len(features)} train films, at least {LEAST_FILMS} are needed to fit one: scrape more, or"
            " set head='linear'"
        )
    fitters: dict[str, Callable] = {"ridge": _ridge, "boosting": _boosting, "mlp": _mlp}
    return fitters[kind](features, target, seed, blocks or [features.shape[1]])


def _ridge(features: np.ndarray, target: np.ndarray, seed: int, blocks: Sequence[int]) -> Fitted:
    """Ridge regression on standardised features; alpha by leave-one-out, which has a closed form."""
    from sklearn.linear_model import RidgeCV

    mean, scale = _standard(features, blocks)
    model = RidgeCV(RIDGE_ALPHAS).fit((features - mean) / scale, target)
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


def _mlp(features: np.ndarray, target: np.ndarray, seed: int, blocks: Sequence[int]) -> Fitted:
    """One hidden layer on standardised features, stopped early; its L2 by 5-fold cross-validation."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import GridSearchCV
    from sklearn.neural_network import MLPRegressor

    net = MLPRegressor(hidden_layer_sizes=(MLP_WIDTH,), early_stopping=True, max_iter=500, random_state=seed)
    search = GridSearchCV(net, {"alpha": MLP_ALPHAS}, cv=_folds(seed), scoring="neg_mean_squared_error")
    mean, scale = _standard(features, blocks)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # 500 epochs are enough
        net = search.fit((features - mean) / scale, target).best_estimator_
    head, weight = _perceptron(features.shape[1], MLP_WIDTH), net.coefs_[0].T / scale
    _set_linear(head[0], weight, net.intercepts_[0] - weight @ mean)
    _set_linear(head[2], net.coefs_[1].T, net.intercepts_[1])
    return head, {"alpha": float(net.alpha), "cv_mse": -float(search.best_score_)}


def _folds(seed: int) -> Any:
    from sklearn.model_selection import KFold

    return KFold(FOLDS, shuffle=True, random_state=seed)


def _boosting(features: np.ndarray, target: np.ndarray, seed: int, blocks: Sequence[int]) -> Fitted:
    """Gradient boosting (Friedman 2002) with few features a split; the number of trees by 5-fold cross-validation."""
    losses = np.zeros(TREES)
    for train, test in _folds(seed).split(features):
        staged = _booster(TREES, seed).fit(features[train], target[train]).staged_predict(features[test])
        losses += [((answer - target[test]) ** 2).sum() for answer in staged]
    best = int(losses.argmin()) + 1
    model = _booster(best, seed).fit(features, target)
    return as_trees(model), {"trees": best, "cv_mse": float(losses.min() / len(target))}


def _booster(trees: int, seed: int) -> Any:
    from sklearn.ensemble import GradientBoostingRegressor

    return GradientBoostingRegressor(
        n_estimators=trees, learning_rate=TREE_RATE, max_depth=TREE_DEPTH, subsample=0.5, max_features="sqrt",
        min_samples_leaf=5, random_state=seed,
    )  # fmt: skip


def as_trees(model: Any) -> Trees:
    """A fitted GradientBoostingRegressor as a module that gives the same answers."""
    head = Trees(len(model.estimators_), TREE_DEPTH)
    for number, (estimator,) in enumerate(model.estimators_):
        _place(head, number, estimator.tree_, 0, 0)
    head.leaf *= model.learning_rate
    head.leaf[0] += float(model.init_.constant_.item())
    return head


def _place(head: Trees, number: int, tree: Any, node: int, place: int) -> None:
    """Copy scikit-learn's `node` and what is below it to `place`; a leaf above the last row is below both its sides."""
    nodes = head.feature.shape[1]
    if place >= nodes:
        head.leaf[number, place - nodes] = float(tree.value[node].item())
        return
    sides = tree.children_left[node], tree.children_right[node]
    if sides[0] == sides[1]:
        sides = node, node
    else:
        head.feature[number, place] = int(tree.feature[node])
        head.threshold[number, place] = float(_at_most(tree.threshold[node]))
    for step, side in enumerate(sides):
        _place(head, number, tree, side, 2 * place + 1 + step)


def _at_most(threshold: float) -> np.float32:
    """The largest float32 that is not above `threshold`: a float32 is at most the one just when at most the other."""
    rounded = np.float32(threshold)
    return rounded if rounded <= threshold else np.nextafter(rounded, np.float32(-np.inf))
