"""An index of the train films in a network's features, which travels in the model file: see predict's similar films."""

import io
from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.neighbors import NearestNeighbors

from trailer_lib.backbones import FilmRegressor
from trailer_lib.dataset import Dataset
from trailer_lib.progress import bar

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
