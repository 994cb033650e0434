"""The frozen path: features of a backbone once per frame, kept on disk, and a head that scikit-learn fits on them."""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from trailer_lib import files
from trailer_lib.dataset import Dataset, evenly_spaced
from trailer_lib.errors import TrailerError
from trailer_lib.networks import FilmRegressor
from trailer_lib.progress import bar
from trailer_lib.settings import TrainSettings
from trailer_lib.training.batches import FilmBatches

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


BLOCK = 128  # pictures, or stacks of frames, whose features are one file
PIXELS = 2**21  # that go through the backbone at once: 128 pictures of 128 x 128


def fit_head(network: FilmRegressor, data: Dataset, settings: TrainSettings, cache: Path) -> dict[str, Any]:
    """Fit network.head on the backbone's features of the train films, and return facts about the fit.

    All kept frames count: they are dealt into draws of `settings.frames` frames, each spread over the film as in a
    test, and a film's features are the mean of its draws'. Attention starts as the mean, and stays so if it is frozen.
    Features are read from the folder `cache` where they are there, else computed (on a GPU, if any) and written there.
    """
    began = time.monotonic()
    films = data.split("train")
    network.to("cuda" if torch.cuda.is_available() else "cpu")
    features = film_features(network, data, films.index.to_numpy(), cache)
    network.to("cpu")
    scores = films.score.to_numpy(np.float64)
    target = (scores - scores.mean()) / (scores.std() or 1.0)
    network.head, facts = fit_ridge(features, target, network.blocks)
    seconds = round(time.monotonic() - began, 1)
    return {"head": settings.head, "films": len(films), "features": features.shape[1], **facts, "seconds": seconds}


def film_features(network: FilmRegressor, data: Dataset, rows: np.ndarray, cache: Path) -> np.ndarray:
    """What the head learns of the films in `rows` of data.films, from all their frames: float32 [films, n]."""
    films = data.films
    dealt = [first + test_views(count, network.frames) for first, count in zip(films["first"], films["count"])]
    if network.aggregate == "channels":
        pictures = np.concatenate(dealt)  # a draw is one picture of many channels
        dealt = np.split(np.arange(len(pictures))[:, None], np.cumsum([len(drawn) for drawn in dealt])[:-1])
    else:
        pictures = np.arange(len(data.frames))[:, None]
    features = Features(network.eval(), data.frames, pictures, cache)
    return np.stack([features[dealt[row]].mean((0, 1)) for row in bar(rows, desc="features")])


def frozen_predictions(
    network: FilmRegressor, data: Dataset, rows: np.ndarray, batches: dict[int, FilmBatches], cache: Path
) -> np.ndarray:
    """The network's standardised answers out of kept features, to frames seen one by one: float32 [epochs, films].

    `rows` of data.films, with the frames of every epoch in `batches`. The backbone must be as it was before training.
    """
    network.to("cuda" if torch.cuda.is_available() else "cpu")
    device, films = network.mean.device, []
    features = Features(network.eval(), data.frames, np.arange(len(data.frames))[:, None], cache)
    with torch.inference_mode():
        for row in rows:
            places = np.stack([drawn.places(epoch, row) for epoch, drawn in batches.items()])
            films.append(network.joined(torch.from_numpy(features[places]).to(device)))
        found = network.head(torch.stack(films, 1).flatten(0, 1)).view(len(batches), len(rows))
    return found.cpu().numpy()


def test_views(count: int, frames: int) -> np.ndarray:
    """A film's `count` frames dealt into as many draws of `frames` as they fill, at least one: int [draws, frames].

    Each draw is spread over the whole film. A short film has one draw, in which frames repeat.
    """
    number = max(1, count // frames)
    return evenly_spaced(count, number * frames).reshape(frames, number).T


@dataclass(frozen=True)
class Features:
    """A backbone's features of `pictures`, int [pictures, frames] into `frames`, uint8 [n, height, width, 3].

    They are kept in `cache` by blocks of pictures, in files named by a hash of the weights and the pixels. A block is
    computed when it is first asked for: a stopped run goes on, and a longer dataset computes what is new in it.
    """

    network: FilmRegressor
    frames: np.ndarray
    pictures: np.ndarray
    cache: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", weights_hash(self.network))
        object.__setattr__(self, "block", lru_cache(maxsize=4)(self._block))

    def __getitem__(self, places: np.ndarray) -> np.ndarray:
        """The features of the pictures at `places`, int [draws, frames], which lie close together: float32 [..., n]."""
        first, last = int(places.min()) // BLOCK, int(places.max()) // BLOCK
        near = np.concatenate([self.block(number) for number in range(first, last + 1)])
        return near[places - first * BLOCK]

    def _block(self, number: int) -> np.ndarray:
        frames = self.frames[self.pictures[number * BLOCK : (number + 1) * BLOCK]]
        digest = hashlib.sha256(self.key)
        digest.update(np.ascontiguousarray(frames))
        path = self.cache / f"{digest.hexdigest()[:32]}.npy"
        found = _kept(path, (len(frames), self.network.width))
        if found is None:
            found = _compute(self.network, frames)
            with files.atomic_path(path) as temporary, open(temporary, "wb") as file:
                np.save(file, found)
        return found


def weights_hash(network: FilmRegressor) -> bytes:
    """A hash of all that decides a picture's features, the picture aside."""
    digest = hashlib.sha256(
        repr((network.pixels, network.size, network.aggregate == "channels", network.blocks)).encode()
    )
    named = {**network.backbone.state_dict(), "mean": network.mean, "sd": network.sd}
    for name, tensor in named.items():
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.cpu().contiguous().numpy())
    return digest.digest()


def _kept(path: Path, shape: tuple[int, int]) -> np.ndarray | None:
    """The features in a file, None when there is none or it is damaged: they are then computed again."""
    try:
        found = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return found if found.shape == shape and found.dtype == np.float32 and np.isfinite(found).all() else None


def _compute(network: FilmRegressor, frames: np.ndarray) -> np.ndarray:
    """uint8 [pictures, frames, height, width, 3] -> float32 [pictures, n]."""
    pictures = torch.from_numpy(frames).permute(0, 1, 4, 2, 3)
    batch = max(1, PIXELS // (max(network.size, frames.shape[2]) * max(network.size, frames.shape[3])))
    with torch.inference_mode():
        found = [network.unpooled(network.to_float(part.to(network.mean.device))) for part in pictures.split(batch)]
    return torch.cat(found).flatten(1).cpu().numpy()
