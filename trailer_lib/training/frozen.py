"""What a head gets of films: the backbone's features, while it is untrained cached on disk; a head fitted on them."""

import hashlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from sklearn.linear_model import RidgeCV
from torch import nn

from trailer_lib import files
from trailer_lib.dataset import Dataset, evenly_spaced
from trailer_lib.errors import TrailerError
from trailer_lib.networks import FilmRegressor
from trailer_lib.progress import bar

RIDGE_FILMS = 10  # at least, to fit a head on
MIN_SCALE = 0.01  # of the features' root mean square sd; of less, another film may be a thousand sds away
RIDGE_ALPHAS = np.logspace(0, 7, 29)
BLOCK = 128  # pictures, or stacks of frames, whose features are one file
PIXELS = 2**21  # that go through the backbone at once: 128 pictures of 128 x 128


def fit_ridge(features: np.ndarray, target: np.ndarray, blocks: Sequence[int]) -> nn.Linear:
    """A linear layer fitted to `features` float32 [films, n] and `target` [films].

    Ridge regression on standardised features; alpha by leave-one-out. `blocks`: the numbers of features that belong
    together; each block gets the same weight, so that a network's few early features count as much as its late ones.
    """
    mean, scale = _standardisation(features, blocks)
    model = RidgeCV(alphas=RIDGE_ALPHAS).fit((features - mean) / scale, target)
    weight = model.coef_ / scale
    head = nn.Linear(features.shape[1], 1)
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(weight[None]))
        head.bias.fill_(float(model.intercept_ - weight @ mean))
    return head


def _standardisation(features: np.ndarray, blocks: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """The mean and the scale that standardise each feature, and give each block the same sum of squares: float64."""
    sds, scale = features.std(0, dtype=np.float64), []
    for part in np.split(sds, np.cumsum(blocks)[:-1]):
        floor = MIN_SCALE * np.sqrt((part**2).mean())
        scale.append(np.maximum(part, floor or 1.0) * np.sqrt(len(part) * len(blocks) / len(sds)))
    return features.mean(0, dtype=np.float64), np.concatenate(scale)


def fit_head(network: FilmRegressor, data: Dataset, cache: Path) -> None:
    """Put a head fitted on the backbone's features of the train films into the network."""
    films = data.split("train")
    if len(films) < RIDGE_FILMS:
        remedy = "scrape more, or set head='linear'"
        raise TrailerError(f"head='ridge' needs at least {RIDGE_FILMS} train films, not {len(films)}: {remedy}")
    features = film_features(network, data, cache)[films.index]
    target = (films.score - films.score.mean()) / films.score.std(ddof=0)
    network.head = fit_ridge(features, target.to_numpy(), network.blocks)


def film_features(network: FilmRegressor, data: Dataset, cache: Path) -> np.ndarray:
    """The features of all films, means over disjoint views of their frames: float32 [films, n]."""
    films = data.films
    views = [first + disjoint_views(count, network.frames) for first, count in zip(films["first"], films["count"])]
    inputs = bar(head_inputs(network, data, views, cache), desc="features", total=len(films))
    return np.stack([film.mean(0) for film in inputs])


@torch.inference_mode()
def head_inputs(
    network: FilmRegressor, data: Dataset, views: list[np.ndarray], cache: Path | None
) -> Iterator[np.ndarray]:
    """What the network's head gets of each film: float32 [views, n]; `views`: int [views, frames] into data.frames.

    `cache`: the folder of the features of an untrained backbone; None: they are not stored.
    """
    if network.aggregate == "channels":  # a view is one picture of many channels
        pictures = np.concatenate(views)
        places = np.split(np.arange(len(pictures))[:, None], np.cumsum([len(film) for film in views])[:-1])
    elif cache:  # each frame of the dataset is a picture, so that other films and views find the same blocks
        pictures, places = np.arange(len(data.frames))[:, None], views
    else:
        used = [np.unique(film) for film in views]
        pictures, starts = np.concatenate(used)[:, None], np.cumsum([0, *(len(frames) for frames in used)])
        places = [start + np.searchsorted(frames, film) for start, frames, film in zip(starts, used, views)]
    features = Features(network, data.frames, pictures, cache)
    for film in places:
        yield network.joined(torch.from_numpy(features[film]).to(network.mean.device)).cpu().numpy()


def sound_features(network: FilmRegressor, data: Dataset, rows: Sequence[int], cache: Path) -> np.ndarray:
    """The backbone's features of the sound of films, means over their clips: float32 [films, n]; nan without sound."""
    stacked = network.frames if network.aggregate == "channels" else 1  # a clip stands for a frame, or for all of them
    clips = np.repeat(np.arange(len(data.sound))[:, None], stacked, 1)
    features = Features(network, data.sound[..., None], clips, cache)
    films = np.full((len(rows), network.width), np.nan, np.float32)
    for number, film in enumerate(data.films.loc[rows].itertuples()):
        if film.sound_count:
            films[number] = features[film.sound_first + np.arange(film.sound_count)].mean(0)
    return films


def disjoint_views(count: int, frames: int) -> np.ndarray:
    """A film's `count` frames in as many views as they fill, at least one, spread over it: int [views, frames]."""
    number = max(1, count // frames)
    return evenly_spaced(count, number * frames).reshape(frames, number).T


class Features:
    """A backbone's features of `pictures`, int [pictures, frames] into `frames`, uint8 [n, height, width, 3 or 1].

    They are stored in `cache`, if there is one, by blocks of pictures, in files named by a hash of the weights and the
    pixels; a block is computed when it is first needed.
    """

    def __init__(self, network: FilmRegressor, frames: np.ndarray, pictures: np.ndarray, cache: Path | None) -> None:
        self.network = network.to("cuda" if torch.cuda.is_available() else "cpu").eval()
        self.frames, self.pictures, self.cache = frames, pictures, cache
        self.weights_hash = _weights_hash(network) if cache else b""
        self.block = lru_cache(maxsize=4)(self._block)

    def __getitem__(self, places: np.ndarray) -> np.ndarray:
        """The features of the pictures at `places`, int [...], which lie close together: float32 [..., n]."""
        first, last = int(places.min()) // BLOCK, int(places.max()) // BLOCK
        near = np.concatenate([self.block(number) for number in range(first, last + 1)])
        return near[places - first * BLOCK]

    def _block(self, number: int) -> np.ndarray:
        frames = self.frames[self.pictures[number * BLOCK : (number + 1) * BLOCK]]
        if self.cache is None:
            return _compute_features(self.network, frames)
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
    """uint8 [pictures, frames, height, width, 3 or 1] -> float32 [pictures, n]."""
    pictures = torch.from_numpy(frames).permute(0, 1, 4, 2, 3).expand(-1, -1, 3, -1, -1)
    batch = max(1, PIXELS // (max(network.size, frames.shape[2]) * max(network.size, frames.shape[3])))
    with torch.inference_mode():
        parts = [network.unpooled(network.to_float(part.to(network.mean.device))) for part in pictures.split(batch)]
    return torch.cat(parts).flatten(1).cpu().numpy()
