"""A network's predictions on the films of a split, and its loss on them."""

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.neighbors import NearestNeighbors
from torch.utils.data import DataLoader

from trailer_lib.dataset import Dataset
from trailer_lib.networks import FilmRegressor
from trailer_lib.progress import bar
from trailer_lib.settings import TrainSettings
from trailer_lib.training.batches import split_loader, tested
from trailer_lib.training.module import TrailerModule

FILMS = 2000  # in an index, at most: 16 MB of 4096 features
PICTURE = (80, 45)  # width, height
FAR = 0.99  # share of the training films whose own nearest is nearer
BATCH = 8  # films


def build_index(network: FilmRegressor, data: Dataset) -> dict[str, Any]:
    """An index of the train films (at most FILMS, evenly taken) as tensors and lists: what Index.read reads.

    A film's features are the network's on frames spread evenly over it, as in a test.
    """
    films = data.split("train")
    films = films.iloc[np.unique(np.linspace(0, len(films) - 1, FILMS).astype(int))]
    features = _features(network, data, films.index.to_numpy())
    mean, sd = features.mean(0), features.std(0)
    sd[sd < 1e-6] = 1.0
    standardised = ((features - mean) / sd).astype(np.float16)
    jpegs = [_jpeg(data.film_frames(row, 3)[1]) for row in films.index]
    return {
        "imdb_id": films.imdb_id.tolist(), "title": films.title.tolist(), "year": films.year.tolist(),
        "score": films.score.tolist(), "features": torch.from_numpy(standardised), "mean": torch.from_numpy(mean),
        "sd": torch.from_numpy(sd), "far": _far(standardised),
        "pictures": torch.from_numpy(np.frombuffer(b"".join(jpegs), np.uint8).copy()),
        "ends": torch.from_numpy(np.cumsum([len(jpeg) for jpeg in jpegs])),
    }  # fmt: skip


def _features(network: FilmRegressor, data: Dataset, rows: np.ndarray) -> np.ndarray:
    """float32 [films, n]."""
    network.eval()
    found = []
    with torch.inference_mode(), bar(total=len(rows), desc="index of similar films", unit="film") as progress:
        for batch in np.array_split(rows, -(-len(rows) // BATCH)):
            frames = torch.from_numpy(np.stack([data.film_frames(row, network.frames) for row in batch]))
            frames = frames.permute(0, 1, 4, 2, 3).to(network.mean.device)
            found.append(network.features(network.normalise(frames)).float().cpu())
            progress.update(len(batch))
    return torch.cat(found).numpy()


def _far(standardised: np.ndarray) -> float:
    """The distance within which 99 % of the films have another film."""
    features = standardised.astype(np.float32)
    distances, _ = NearestNeighbors(n_neighbors=min(2, len(features))).fit(features).kneighbors(features)
    return float(np.quantile(distances[:, -1], FAR) / np.sqrt(features.shape[1]))


def _jpeg(picture: np.ndarray) -> bytes:
    data = io.BytesIO()
    Image.fromarray(picture).resize(PICTURE, Image.Resampling.BOX).save(data, "JPEG", quality=80)
    return data.getvalue()


def predict_split(
    network: FilmRegressor, data: Dataset, settings: TrainSettings, split: str, cache: Path
) -> np.ndarray:
    """Standardised predictions, float32 [films], of a split's films in their order.

    With `draws` above 1 each is the mean over so many random draws of the film's frames, the same ones every time.
    `cache`: the folder of kept features (frozen.Features).
    """
    draws = [None] if settings.views == 1 else range(settings.views)
    return _answers(network, data, settings, split, draws, cache).mean(0)


def _answers(
    network: FilmRegressor, data: Dataset, settings: TrainSettings, split: str, draws: Iterable[int | None], cache: Path
) -> np.ndarray:
    """The answers to each draw, float32 [draws, films]; an untrained backbone's features may be known already."""
    if settings.freeze == "backbone" and settings.aggregate != "channels":
        from trailer_lib.training.frozen import frozen_predictions  # scikit-learn takes a second

        batches = {draw or 0: tested(data, settings, draw) for draw in draws}
        return frozen_predictions(network, data, data.split(split).index.to_numpy(), batches, cache)
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
