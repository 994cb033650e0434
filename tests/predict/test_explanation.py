"""Contributions find the frame that carries the score, heat maps the place, and the index the most similar films."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.neighbors import NearestNeighbors
from torch import Tensor, nn

from trailer_lib.dataset import Dataset
from trailer_lib.networks import FilmRegressor, read_model
from trailer_lib.networks.backbone import Trunk, widen_stem
from trailer_lib.predict.explanation import PICTURE, Index, attribute, predict_views
from trailer_lib.project import Project
from trailer_lib.training import BEST

FRAMES, SIDE, FEATURES = 5, 16, 64
ONE_VIEW = np.arange(FRAMES)[None]
AGGREGATIONS = ["channels", "mean", "attention"]


def films(count: int, seed: int) -> tuple[Tensor, np.ndarray, np.ndarray]:
    """(frames uint8 [films, frames, 3, SIDE, SIDE], the index of the frame that carries the score, the scores).

    Red and green are noise in every frame; blue is the same in all frames but one.
    """
    rng = np.random.default_rng(seed)
    colours = rng.uniform(0, 255, (count, FRAMES, 3))
    colours[..., 2] = 128
    carriers, scores = rng.integers(0, FRAMES, count), rng.choice([-1, 1], count) * rng.uniform(30, 70, count)
    colours[np.arange(count), carriers, 2] += scores
    pixels = colours[..., None, None] + rng.normal(0, 4, (count, FRAMES, 3, SIDE, SIDE))
    return torch.from_numpy(np.clip(pixels, 0, 255).astype(np.uint8)), carriers, scores


def regressor(aggregate: str, seed: int = 0) -> FilmRegressor:
    """A random small network: convolution, nonlinearity, mean over the places."""
    torch.manual_seed(seed)
    first = nn.Conv2d(3, FEATURES, 3, padding=1, padding_mode="reflect")
    trunk = Trunk(nn.Sequential(first, nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten()), FEATURES, ("0",))
    if aggregate == "channels":
        widen_stem(trunk, FRAMES, "repeat", {})
    network = FilmRegressor(trunk, FRAMES, aggregate, "made").eval().requires_grad_(False)
    nn.init.normal_(network.head.weight)
    if network.attention is not None:
        nn.init.normal_(network.attention.weight, std=0.1)
    return network


def fitted(aggregate: str) -> FilmRegressor:
    """The same with a head fitted to 300 films."""
    network = regressor(aggregate)
    frames, _, scores = films(300, seed=1)
    ridge = Ridge(1e-3).fit(network.features(network.normalise(frames)).numpy(), scores / scores.std())
    network.head.weight.copy_(torch.tensor(ridge.coef_)[None])
    network.head.bias.fill_(float(ridge.intercept_))
    return network


def first_ranks(network: FilmRegressor) -> int:
    """Of 40 films, in how many the frame that carries the score has the largest contribution."""
    frames, carriers, _ = films(40, seed=2)
    contributions = np.array([attribute(network, film, ONE_VIEW).contributions for film in frames])
    return int((np.abs(contributions).argmax(1) == carriers).sum())


@pytest.mark.parametrize("aggregate", AGGREGATIONS)
def test_the_frame_that_carries_the_score_contributes_most(aggregate: str) -> None:
    assert first_ranks(fitted(aggregate)) >= 36
    assert np.mean([first_ranks(regressor(aggregate, seed)) for seed in range(2)]) < 20


@pytest.mark.parametrize("aggregate", AGGREGATIONS)
def test_prediction_features_and_contributions_are_the_networks(aggregate: str) -> None:
    network, film = regressor(aggregate), films(1, seed=3)[0]
    explained, features = attribute(network, film[0], ONE_VIEW), network.features(network.normalise(film))[0].numpy()
    assert explained.prediction == pytest.approx(float(network(film)), abs=1e-5)
    assert explained.features == pytest.approx(features, abs=1e-5)
    assert not any(module._forward_hooks for module in network.modules()) and not network(film).requires_grad
    quick = predict_views(network, film[0], ONE_VIEW)
    assert quick.prediction == pytest.approx(explained.prediction, abs=1e-5)
    assert quick.features == pytest.approx(features, abs=1e-5) and len(quick.contributions) == 0
    if aggregate != "channels":  # a contribution is the prediction minus that without the frame
        normal = network.normalise(film)
        without = torch.cat([network.score(normal[:, np.arange(FRAMES) != frame]) for frame in range(FRAMES)])
        expected = (network.score(normal) - without).numpy()
        assert explained.contributions == pytest.approx(expected, abs=1e-5) and np.abs(expected).max() > 0.01
        assert aggregate != "mean" or expected.sum() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("aggregate", AGGREGATIONS)
def test_views_are_averaged(aggregate: str) -> None:
    network, (film,) = regressor(aggregate), films(1, seed=4)[0]
    views = np.array([[0, 1, 2, 3, 4], [0, 0, 1, 2, 2]])
    both, single = attribute(network, film, views), [attribute(network, film, view[None]) for view in views]
    assert both.prediction == pytest.approx(np.mean([part.prediction for part in single]), abs=1e-5)
    assert both.contributions == pytest.approx(np.mean([part.contributions for part in single], 0), abs=1e-5)
    assert both.features == pytest.approx(predict_views(network, film, views).features, abs=1e-5)
    assert single[1].contributions[3] == single[1].contributions[4] == 0
    assert attribute(network, film[:1], np.zeros((1, FRAMES), int)).contributions.tolist() == [0.0]  # its only frame


def cornered() -> tuple[Tensor, np.ndarray]:
    """A film of grey frames, one of them with a blue corner, and its index."""
    rng = np.random.default_rng(1)
    frames = rng.integers(120, 136, (FRAMES, 3, 32, 32)).astype(np.uint8)
    index = rng.integers(FRAMES, size=1)
    frames[index[0], 2, :12, 20:] = 255
    return torch.from_numpy(frames), index


def blueness(aggregate: str, sign: int) -> FilmRegressor:
    """A network that counts what is bluer than grey; with sign -1 what is not."""
    network = regressor(aggregate)
    first = network.backbone[0]
    nn.init.zeros_(first.weight)
    first.weight[:, 2::3, 1, 1] = sign * (1.0 / FRAMES if aggregate == "channels" else 1.0)
    nn.init.constant_(first.bias, 0.0 if sign > 0 else 1.0)
    nn.init.ones_(network.head.weight)
    return network


@pytest.mark.parametrize(("aggregate", "sign"), [("channels", 1), ("mean", 1), ("mean", -1)])
def test_heat_is_where_the_prediction_arises(aggregate: str, sign: int) -> None:
    film, index = cornered()
    heat = attribute(blueness(aggregate, sign), film, ONE_VIEW).heat(index, 32, 32)
    assert heat.shape == (1, 32, 32) and heat.dtype == np.float32
    assert heat.min() >= 0 and heat.max() == pytest.approx(1)
    corner, rest = heat[0, 2:10, 22:].mean(), heat[0, 16:].mean()
    assert corner > 3 * rest if sign > 0 else corner < rest


@pytest.mark.parametrize("stage", [0, 1])
def test_heat_of_all_stages_is_where_the_stage_saw_it(stage: int) -> None:
    """Of two stages the first counts what is bluer than grey, the second sees nothing; the head uses one of them."""
    first, second = nn.Conv2d(3, 1, 1), nn.Conv2d(1, 2, 1)
    for layer in (first, second):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    nn.init.ones_(first.weight[:, 2])  # blue
    layers = nn.Sequential(first, nn.ReLU(inplace=True), second, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    trunk = Trunk(layers, 2, ("0",))
    network = FilmRegressor(trunk, FRAMES, "mean", "made", depth="stages").eval().requires_grad_(False)
    nn.init.zeros_(network.head.weight)
    network.head.weight[0, 2 * stage] = 1.0
    film, index = cornered()
    heat = attribute(network, film, ONE_VIEW).heat(index, 32, 32)
    if stage == 0:
        assert heat[0, 2:10, 22:].mean() > 3 * heat[0, 16:].mean()
    assert heat.max() == pytest.approx(1 - stage)


@pytest.fixture(scope="module")
def facts(trained_root: Path) -> dict:
    return read_model(trained_root / "models" / BEST).facts["index"]


def test_the_nearest_films_are_scikit_learns_each_with_a_frame_of_its_own(trained_root: Path, facts: dict) -> None:
    data, index = Dataset.open(Project(trained_root)), Index.read(facts)
    rows = dict(zip(data.films.imdb_id, data.films.index))
    reference = NearestNeighbors(n_neighbors=5).fit(facts["features"].float())
    for query in np.random.default_rng(0).normal(size=(6, len(index.mean))).astype(np.float32):
        distances, order = reference.kneighbors(query[None])
        nearest = index.nearest(query * index.sd + index.mean)
        assert [film.imdb_id for film in nearest] == [facts["imdb_id"][row] for row in order[0]]
        assert [film.distance for film in nearest] == pytest.approx(distances[0] / len(query) ** 0.5, rel=0.01)
    for film in nearest:
        own = data.film_frames(rows[film.imdb_id]).mean((0, 1, 2))
        assert film.picture.shape == (*PICTURE[::-1], 3) and film.picture.dtype == np.uint8
        assert film.picture.mean((0, 1)) == pytest.approx(own, abs=20)


NOTHING = {name: [] for name in ("imdb_id", "title", "year", "score")} | {"ends": torch.tensor([], dtype=torch.int64)}


@pytest.mark.parametrize("damage", [
    {"features": torch.zeros(3, 4)}, {"imdb_id": ["tt0000001"]}, {"ends": torch.tensor([5])}, NOTHING,
    {"year": ["good"] * 18},
], ids=" ".join)  # fmt: skip
def test_a_damaged_index_is_refused(facts: dict, damage: dict) -> None:
    with pytest.raises(ValueError):
        Index.read(facts | damage)


def test_a_damaged_picture_is_grey(facts: dict) -> None:
    noise = torch.randint(0, 255, facts["pictures"].shape, dtype=torch.uint8)
    nearest = Index.read(facts | {"pictures": noise}).nearest(facts["mean"].numpy())
    assert [film.picture.std() for film in nearest] == [0.0] * 5
