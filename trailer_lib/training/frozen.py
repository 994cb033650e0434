"""Features of a frozen backbone, computed once a frame and cached on disk, and the head that ridge regression fits."""

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import RidgeCV
from torch import Tensor, nn

from trailer_lib import files
from trailer_lib.dataset import Dataset, evenly_spaced
from trailer_lib.errors import TrailerError
from trailer_lib.networks import FilmRegressor
from trailer_lib.progress import bar
from trailer_lib.training.batches import FilmBatches

MIN_FILMS = 10
MIN_SCALE = 0.01  # of the features' root mean square sd; of less, another film may be a thousand sds away
RIDGE_ALPHAS = np.logspace(0, 7, 29)
BLOCK = 128  # pictures, or stacks of frames, whose features are one file
PIXELS = 2**21  # that go through the backbone at once: 128 pictures of 128 x 128


def fit_ridge(features: np.ndarray, target: np.ndarray, blocks: Sequence[int]) -> tuple[nn.Linear, dict[str, Any]]:
    """A linear layer fitted to `features` float32 [films, n] and `target` [films], and facts about the fit.

    Ridge regression on standardised features; alpha by leave-one-out. `blocks`: the numbers of features that belong
    together; each block gets the same weight, so that a network's few early features count as much as its late ones.
    """
    if len(features) < MIN_FILMS:
        remedy = "scrape more, or set head='linear'"
        raise TrailerError(f"head='ridge' needs at least {MIN_FILMS} train films, not {len(features)}: {remedy}")
    mean, scale = _standardisation(features, blocks)
    model = RidgeCV(alphas=RIDGE_ALPHAS).fit((features - mean) / scale, target)
    weight = model.coef_ / scale
    head = nn.Linear(features.shape[1], 1)
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(weight[None]))
        head.bias.fill_(float(model.intercept_ - weight @ mean))
    return head, {"alpha": float(model.alpha_), "cv_mse": -float(model.best_score_)}


def _standardisation(features: np.ndarray, blocks: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """The mean and the scale that standardise each feature, and give each block the same sum of squares: float64."""
    sds, scale = features.std(0, dtype=np.float64), []
    for part in np.split(sds, np.cumsum(blocks)[:-1]):
        floor = MIN_SCALE * np.sqrt((part**2).mean())
        scale.append(np.maximum(part, floor or 1.0) * np.sqrt(len(part) * len(blocks) / len(sds)))
    return features.mean(0, dtype=np.float64), np.concatenate(scale)


def fit_head(network: FilmRegressor, data: Dataset, cache: Path) -> dict[str, Any]:
    """Fit network.head on the backbone's features of the train films, and return facts about the fit."""
    films = data.split("train")
    features = film_features(network, data, films.index.to_numpy(), cache)
    network.to("cpu")
    scores = films.score.to_numpy(np.float64)
    target = (scores - scores.mean()) / (scores.std() or 1.0)
    network.head, facts = fit_ridge(features, target, network.blocks)
    return {"head": "ridge", "films": len(films), "features": features.shape[1], **facts}


def film_features(network: FilmRegressor, data: Dataset, rows: np.ndarray, cache: Path) -> np.ndarray:
    """The features of the films in `rows` of data.films, means over views of all their frames: float32 [films, n]."""
    films = data.films
    views = [first + disjoint_views(count, network.frames) for first, count in zip(films["first"], films["count"])]
    if network.aggregate == "channels":
        pictures = np.concatenate(views)  # a view is one picture of many channels
        views = np.split(np.arange(len(pictures))[:, None], np.cumsum([len(view) for view in views])[:-1])
    else:
        pictures = np.arange(len(data.frames))[:, None]
    features = Features(network, data.frames, pictures, cache)
    return np.stack([features[views[row]].mean((0, 1)) for row in bar(rows, desc="features")])


def frozen_features(
    network: FilmRegressor, data: Dataset, rows: Sequence[int], batches: dict[int, FilmBatches], cache: Path
) -> Tensor:
    """What the head sees of views of films, from cached features of frames seen one by one: float32 [views, films, n].

    `rows` of data.films; `batches`: view -> the films with its frames. The backbone must be as it was before training.
    """
    features = Features(network, data.frames, np.arange(len(data.frames))[:, None], cache)
    films = []
    with torch.inference_mode():
        for row in rows:
            places = np.stack([view_films.places(view, row) for view, view_films in batches.items()])
            films.append(network.joined(torch.from_numpy(features[places]).to(network.mean.device)))
        return torch.stack(films, 1)


def disjoint_views(count: int, frames: int) -> np.ndarray:
    """A film's `count` frames in as many views as they fill, at least one, spread over it: int [views, frames]."""
    number = max(1, count // frames)
    return evenly_spaced(count, number * frames).reshape(frames, number).T


class Features:
    """A backbone's features of `pictures`, int [pictures, frames] into `frames`, uint8 [n, height, width(, 3)].

    They are stored in `cache` by blocks of pictures, in files named by a hash of the weights and the pixels; a block is
    computed when it is first needed.
    """

    def __init__(self, network: FilmRegressor, frames: np.ndarray, pictures: np.ndarray, cache: Path) -> None:
        self.network = network.to("cuda" if torch.cuda.is_available() else "cpu").eval()
        self.frames, self.pictures, self.cache = frames, pictures, cache
        self.weights_hash = _weights_hash(network)
        self.block = lru_cache(maxsize=4)(self._block)

    def __getitem__(self, places: np.ndarray) -> np.ndarray:
        """The features of the pictures at `places`, int [...], which lie close together: float32 [..., n]."""
        first, last = int(places.min()) // BLOCK, int(places.max()) // BLOCK
        near = np.concatenate([self.block(number) for number in range(first, last + 1)])
        return near[places - first * BLOCK]

    def _block(self, number: int) -> np.ndarray:
        frames = self.frames[self.pictures[number * BLOCK : (number + 1) * BLOCK]]
        if frames.ndim == 4:  # clips of sound: grey pictures
            frames = np.repeat(frames[..., None], 3, -1)
        digest = hashlib.sha256(self.weights_hash)
        digest.update(np.ascontiguousarray(frames))
        path = self.cache / f"{digest.hexdigest()[:32]}.npy"
        features = _read_features(path, (len(frames), self.network.width))
        if features is None:
            features = _compute_features(self.network, frames)
            with files.atomic_path(path) as temporary, open(temporary, "wb") as file:
                np.save(file, features)
        return features


def _weights_hash(network: FilmRegressor) -> bytes:
    """A hash of everything but the picture that decides a picture's features."""
    kind = (network.pixels, network.size, network.aggregate == "channels", network.blocks)
    digest = hashlib.sha256(repr(kind).encode())
    for name, tensor in {**network.backbone.state_dict(), "mean": network.mean, "sd": network.sd}.items():
        if tensor.is_floating_point():  # not the number of batches that batch normalisation has seen
            digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
            digest.update(tensor.cpu().contiguous().numpy())
    return digest.digest()


def _read_features(path: Path, shape: tuple[int, int]) -> np.ndarray | None:
    """The features in a file, None when there is none or it is damaged."""
    try:
        features = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    whole = features.shape == shape and features.dtype == np.float32 and np.isfinite(features).all()
    return features if whole else None


def _compute_features(network: FilmRegressor, frames: np.ndarray) -> np.ndarray:
    """uint8 [pictures, frames, height, width, 3] -> float32 [pictures, n]."""
    pictures = torch.from_numpy(frames).permute(0, 1, 4, 2, 3)
    batch = max(1, PIXELS // (max(network.size, frames.shape[2]) * max(network.size, frames.shape[3])))
    with torch.inference_mode():
        parts = [network.unpooled(network.to_float(part.to(network.mean.device))) for part in pictures.split(batch)]
    return torch.cat(parts).flatten(1).cpu().numpy()
