"""The training films nearest to a trailer in a network's features, from an index that travels in the model file."""

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

NEIGHBOURS = 5
PICTURE = (80, 45)  # width, height


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


def _decoded(jpeg: bytes) -> np.ndarray:
    """A picture out of a stranger's file; grey when it is damaged."""
    try:
        with Image.open(io.BytesIO(jpeg), formats=["JPEG"]) as picture:
            picture.draft("RGB", PICTURE)
            return np.asarray(picture.convert("RGB").resize(PICTURE))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return np.full((PICTURE[1], PICTURE[0], 3), 128, np.uint8)
