"""The frozen path: features once a frame, cached by hash, and a fitted head that is part of an ordinary network."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from trailer_lib.dataset.dataset import Dataset
from trailer_lib.errors import TrailerError
from trailer_lib.networks.regressor import AGGREGATIONS, FilmRegressor, build
from trailer_lib.training import frozen

SIZE, FRAMES = 32, 3
COUNTS = [7, 1, 5, 9, 6, 4, 8, 3, 2, 11, 6, 5, 7, 4, 9, 12, 3, 8]


def made_dataset(films: int = len(COUNTS)) -> Dataset:
    """Films whose brightness is their score; every sixth is of the test split."""
    rng, counts = np.random.default_rng(0), np.array(COUNTS[:films])
    scores = np.linspace(3, 9, len(COUNTS))[rng.permutation(len(COUNTS))]
    frames = [rng.integers(0, 40, (count, SIZE, SIZE, 3)) + int(20 * score) for count, score in zip(counts, scores)]
    table = pd.DataFrame({
        "imdb_id": [f"tt{number:07d}" for number in range(films)], "score": scores[:films],
        "split": ["test" if number % 6 == 5 else "train" for number in range(films)],
        "first": np.cumsum(counts) - counts, "count": counts,
    })  # fmt: skip
    return Dataset(np.concatenate(frames).astype(np.uint8), table, {})


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frozen, "BLOCK", 16)


def network_of(aggregate: str = "mean") -> FilmRegressor:
    torch.manual_seed(0)
    return build("squeezenet1_1", FRAMES, aggregate, "none", freeze="backbone")


def test_disjoint_views_have_every_frame_once_and_are_spread_over_the_film() -> None:
    assert frozen.disjoint_views(6, 3).tolist() == [[0, 2, 4], [1, 3, 5]]
    assert frozen.disjoint_views(2, 3).tolist() == [[0, 1, 1]]
    for count in range(1, 40):
        views = frozen.disjoint_views(count, 3)
        assert views.shape == (max(1, count // 3), 3) and views.min() >= 0 and views.max() < count
        assert count < 3 or len(np.unique(views)) == views.size


@pytest.mark.parametrize("aggregate", AGGREGATIONS)
def test_the_features_are_the_networks_own(aggregate: str, tmp_path: Path) -> None:
    network, data = network_of(aggregate).eval(), made_dataset()
    features = frozen.film_features(network, data, tmp_path)
    for row in (0, 1, 5, 15):
        places = data.films["first"][row] + frozen.disjoint_views(data.films["count"][row], FRAMES)
        frames = torch.from_numpy(data.frames[places]).permute(0, 1, 4, 2, 3)
        with torch.inference_mode():
            expected = network.features(network.normalise(frames)).mean(0).numpy()
        assert np.allclose(features[row], expected, atol=1e-5)


@pytest.mark.parametrize("aggregate", ["mean", "channels"])
def test_more_films_compute_only_what_is_new(aggregate: str, tmp_path: Path, computed: list[int]) -> None:
    frozen.film_features(network_of(aggregate), made_dataset(12), tmp_path)
    before = sum(computed)
    frozen.film_features(network_of(aggregate), made_dataset(), tmp_path)
    pictures = sum(COUNTS) if aggregate == "mean" else sum(max(1, count // FRAMES) for count in COUNTS)
    assert sum(computed) - before <= pictures - before + 15  # the last block was not full


@pytest.mark.parametrize("change", ["nothing", "a weight", "a pixel", "the scale of pixels"])
def test_what_changed_is_computed_again(tmp_path: Path, computed: list[int], change: str) -> None:
    network, data = network_of(), made_dataset()
    first, before = frozen.film_features(network, data, tmp_path), sum(computed)
    if change == "a weight":
        next(network.backbone.parameters()).data[0, 0, 0, 0] += 1e-3
    elif change == "a pixel":
        data.frames[3, 0, 0, 0] ^= 1
    elif change != "nothing":
        network.pixels = "raw"
    again = frozen.film_features(network, data, tmp_path)
    assert sum(computed) - before == {"nothing": 0, "a pixel": 16}.get(change, before) and before == sum(COUNTS)
    assert change != "nothing" or np.array_equal(first, again)


@pytest.mark.parametrize("spoil", [b"", b"hello", None])
def test_a_damaged_file_of_features_is_computed_again(spoil: bytes | None, tmp_path: Path, computed: list[int]) -> None:
    first = frozen.film_features(network_of(), made_dataset(), tmp_path)
    path, before = sorted(tmp_path.iterdir())[0], sum(computed)
    path.write_bytes(path.read_bytes()[:-9] if spoil is None else spoil)
    again = frozen.film_features(network_of(), made_dataset(), tmp_path)
    assert sum(computed) > before and np.array_equal(first, again)


@pytest.mark.parametrize("aggregate", AGGREGATIONS)
def test_a_fitted_head_predicts_films_it_has_not_seen(aggregate: str, tmp_path: Path) -> None:
    network, data = network_of(aggregate), made_dataset()
    frozen.fit_head(network, data, tmp_path)
    films, train = data.split("test"), data.split("train").score
    frames = torch.from_numpy(np.stack([data.film_frames(row, FRAMES) for row in films.index]))
    with torch.inference_mode():
        predicted = network.eval()(frames.permute(0, 1, 4, 2, 3)).numpy()
    assert np.mean((predicted - (films.score - train.mean()) / train.std(ddof=0)) ** 2) < 0.3


def test_too_few_films_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(TrailerError, match="at least 10 train films, not 9"):
        frozen.fit_head(network_of(), made_dataset(10), tmp_path)


RNG = np.random.default_rng(0)
FEATURES = (3 + 2 * RNG.standard_normal((120, 20))).astype(np.float32)
TARGET = 0.4 * FEATURES[:, 0] - 0.3 * np.abs(FEATURES[:, 1] - 3) + 0.3 * RNG.standard_normal(120)
TARGET = (TARGET - TARGET.mean()) / TARGET.std()


def predictions(head: torch.nn.Module, features: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return head(torch.from_numpy(features)).squeeze(1).numpy()


def test_the_layer_predicts_as_scikit_learns_ridge() -> None:
    head = frozen.fit_ridge(FEATURES, TARGET, [20])
    new = (3 + 2 * np.random.default_rng(1).standard_normal((500, 20))).astype(np.float32)
    model = make_pipeline(StandardScaler(), RidgeCV(frozen.RIDGE_ALPHAS)).fit(FEATURES.astype(np.float64), TARGET)
    assert np.allclose(predictions(head, new), model.predict(new), atol=1e-5)
    assert predictions(head, new).var() > 0.05


def test_noise_is_held_back_to_nearly_the_mean() -> None:
    noise = np.random.default_rng(2).standard_normal(120)
    head = frozen.fit_ridge(FEATURES, noise - noise.mean(), [20])
    assert predictions(head, FEATURES).std() < 0.3 * noise.std()


def test_a_feature_that_hardly_varied_does_not_run_away_in_another_film() -> None:
    dead = FEATURES.copy()
    dead[:, 5] = 1e-6 * np.sign(TARGET)
    head = frozen.fit_ridge(dead, TARGET, [20])
    film = dead[:1].copy()
    film[0, 5] = 0.05
    assert abs(predictions(head, film) - predictions(head, dead[:1])) < 1


def test_blocks_count_alike_however_many_features_they_have() -> None:
    """A signal in 2 features beside 300 of noise: as a block of its own it is recovered, in the crowd it drowns."""
    rng = np.random.default_rng(5)
    few, many = rng.standard_normal((200, 2)), rng.standard_normal((200, 300))
    features, target = np.hstack([few, many]).astype(np.float32), few.sum(1) / 2**0.5
    new = rng.standard_normal((1000, 302)).astype(np.float32)
    errors = []
    for blocks in ([2, 300], [302]):
        head = frozen.fit_ridge(features, target, blocks)
        errors.append(float(((predictions(head, new) - new[:, :2].sum(1) / 2**0.5) ** 2).mean()))
    assert errors[0] < 0.05 < 0.2 < errors[1]
