"""The index of the training films: scikit-learn's neighbours, small, readable without trust, and checked."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from trailer_lib.dataset.dataset import Dataset
from trailer_lib.networks.model_file import read_model
from trailer_lib.predict import explanation
from trailer_lib.predict.explanation import Index
from trailer_lib.project import Project
from trailer_lib.training import scoring
from trailer_lib.training.callbacks import BEST


@pytest.fixture(scope="module")
def facts(trained_root: Path) -> dict:
    return read_model(trained_root / "models" / BEST).facts["index"]


@pytest.fixture(scope="module")
def features(trained_root: Path) -> np.ndarray:
    """The network's features of the train films, float32 [films, n]."""
    data = Dataset.open(Project(trained_root))
    network = read_model(trained_root / "models" / BEST).network
    frames = np.stack([data.film_frames(row, network.frames) for row in data.split("train").index])
    with torch.inference_mode():
        return network.features(network.normalise(torch.from_numpy(frames).permute(0, 1, 4, 2, 3))).numpy()


def test_the_index_holds_the_train_films_with_their_scores(trained_root: Path, facts: dict) -> None:
    films = Dataset.open(Project(trained_root)).split("train")
    assert facts["imdb_id"] == films.imdb_id.tolist() and facts["score"] == films.score.tolist()
    assert facts["features"].dtype == torch.float16
    assert [film[1] for film in Index.read(facts).films] == films.title.tolist()


def test_the_nearest_films_are_scikit_learns(facts: dict, features: np.ndarray) -> None:
    index = Index.read(facts)
    standardised = (features - features.mean(0)) / np.where(features.std(0) < 1e-6, 1, features.std(0))
    reference = NearestNeighbors(n_neighbors=5).fit(standardised)
    rng = np.random.default_rng(0)
    for query in features[:6] + rng.normal(0, 0.3, (6, features.shape[1])).astype(np.float32) * features.std(0):
        distances, places = reference.kneighbors(((query - index.mean) / index.sd)[None])
        found = index.nearest(query)
        assert [film.imdb_id for film in found] == [facts["imdb_id"][place] for place in places[0]]
        assert [film.distance for film in found] == pytest.approx(distances[0] / features.shape[1] ** 0.5, rel=0.01)


def test_a_train_film_is_nearest_to_itself_and_noise_is_far(facts: dict, features: np.ndarray) -> None:
    index = Index.read(facts)
    found = [index.nearest(query) for query in features]
    assert [first.imdb_id for first, *_ in found] == facts["imdb_id"]
    assert max(first.distance for first, *_ in found) < 0.01
    assert sum(second.distance > index.far for _, second, *_ in found) == 1  # of 18, the quantile is below the last
    noise = features.mean(0) + 10 * features.std(0) * np.random.default_rng(0).choice([-1, 1], features.shape[1])
    assert index.nearest(noise.astype(np.float32))[0].distance > 3 * index.far


def test_each_neighbour_has_a_frame_of_its_film(trained_root: Path, facts: dict, features: np.ndarray) -> None:
    data = Dataset.open(Project(trained_root))
    rows = dict(zip(data.films.imdb_id, data.films.index))
    for film in Index.read(facts).nearest(features[0]):
        own = data.film_frames(rows[film.imdb_id]).mean((0, 1, 2))
        assert film.picture.shape == (45, 80, 3) and film.picture.dtype == np.uint8
        assert film.picture.mean((0, 1)) == pytest.approx(own, abs=20)


def test_an_index_is_capped(trained_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explanation, "FILMS", 7)
    network = read_model(trained_root / "models" / BEST).network
    facts = scoring.build_index(network, Dataset.open(Project(trained_root)))
    assert len(facts["imdb_id"]) == len(Index.read(facts).jpegs) == 7


def test_an_index_is_read_without_trust(facts: dict) -> None:
    file = io.BytesIO()
    torch.save(facts, file)
    file.seek(0)
    assert Index.read(torch.load(file, weights_only=True)).films == Index.read(facts).films


@pytest.mark.parametrize(
    "spoilt",
    [
        {"features": torch.zeros(3, 4)},
        {"mean": torch.zeros(2)},
        {"imdb_id": ["tt0000001"]},
        {"ends": torch.tensor([5])},
        {"score": ["good"] * 18},
        {"imdb_id": [], "title": [], "year": [], "score": [], "ends": torch.tensor([], dtype=torch.int64)},
    ],
    ids=lambda spoilt: " ".join(spoilt),
)
def test_a_damaged_index_is_refused(facts: dict, spoilt: dict) -> None:
    with pytest.raises(ValueError):
        Index.read(facts | spoilt)


def test_a_damaged_picture_costs_the_picture(facts: dict, features: np.ndarray) -> None:
    noise = torch.randint(0, 255, facts["pictures"].shape, dtype=torch.uint8)
    found = Index.read(facts | {"pictures": noise}).nearest(features[0])
    assert [film.picture.std() for film in found] == [0.0] * 5
