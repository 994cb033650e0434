"""The training films nearest to a trailer in a network's features, from an index that travels in the model file."""

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from trailer_lib.backbones import FilmRegressor
from trailer_lib.progress import bar

if TYPE_CHECKING:
    from trailer_lib.dataset import Dataset  # brings pandas, which an answer does not need

FILMS = 2000  # in an index, at most: 16 MB of 4096 features
NEIGHBOURS = 5
PICTURE = (80, 45)  # width, height
FAR = 0.99  # share of the training films whose own nearest is nearer
BATCH = 8  # films


@dataclass(frozen=True)
class Neighbour:
    """A training film: its score in IMDb points, its distance, and a frame, uint8 [45, 80, 3].

    The distance is the root mean square over the features, each in its sd over the training films.
    """

    imdb_id: str
    title: str
    year: int
    score: float
    distance: float
    picture: np.ndarray


@dataclass(frozen=True)
class Index:
    """`features`, float32 [films, n], standardised by `mean` and `sd` [n].

    `films` holds imdb_id, title, year and score of each, `jpegs` a picture. Of the training films 99 % have another one
    within the distance `far`.
    """

    features: np.ndarray
    mean: np.ndarray
    sd: np.ndarray
    films: list[tuple[str, str, int, float]]
    jpegs: list[bytes]
    far: float

    @classmethod
    def read(cls, facts: dict[str, Any]) -> "Index":
        """The index in a model file, as `build_index` made it; ValueError when it is damaged."""
        ends = facts["ends"].tolist()
        jpegs = [facts["pictures"].numpy()[start:end].tobytes() for start, end in zip([0, *ends], ends)]
        names = [[str(value) for value in facts[name]] for name in ("imdb_id", "title")]
        numbers = [int(year) for year in facts["year"]], [float(score) for score in facts["score"]]
        films = list(zip(*names, *numbers, strict=True))
        mean, sd = facts["mean"].float().numpy(), facts["sd"].float().numpy()
        features = facts["features"].float().numpy()
        if not (features.shape == (len(films), len(mean)) and mean.shape == sd.shape and len(jpegs) == len(films) > 0):
            raise ValueError("the index of similar films is damaged")
        return cls(features, mean, sd, films, jpegs, float(facts["far"]))

    def nearest(self, features: np.ndarray) -> list[Neighbour]:
        """The five training films nearest to `features`, float32 [n], the nearest first."""
        # A few thousand films: importing scikit-learn's neighbours takes longer than measuring all distances.
        distances = np.sqrt((((features - self.mean) / self.sd - self.features) ** 2).mean(1))
        order = np.argsort(distances, kind="stable")[:NEIGHBOURS]
        return [Neighbour(*self.films[n], float(distances[n]), _decoded(self.jpegs[n])) for n in order]


def build_index(network: FilmRegressor, data: "Dataset") -> dict[str, Any]:
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


def _features(network: FilmRegressor, data: "Dataset", rows: np.ndarray) -> np.ndarray:
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
    from sklearn.neighbors import NearestNeighbors

    features = standardised.astype(np.float32)
    distances, _ = NearestNeighbors(n_neighbors=min(2, len(features))).fit(features).kneighbors(features)
    return float(np.quantile(distances[:, -1], FAR) / np.sqrt(features.shape[1]))


def _jpeg(picture: np.ndarray) -> bytes:
    data = io.BytesIO()
    Image.fromarray(picture).resize(PICTURE, Image.Resampling.BOX).save(data, "JPEG", quality=80)
    return data.getvalue()


def _decoded(jpeg: bytes) -> np.ndarray:
    """A picture out of a stranger's file; grey when it is damaged."""
    try:
        with Image.open(io.BytesIO(jpeg), formats=["JPEG"]) as picture:
            picture.draft("RGB", PICTURE)
            return np.asarray(picture.convert("RGB").resize(PICTURE))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return np.full((PICTURE[1], PICTURE[0], 3), 128, np.uint8)
