"""The frozen path: features once per frame, kept by hash, and a fitted head that is part of an ordinary network."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from trailer_lib.dataset.dataset import Dataset
from trailer_lib.errors import TrailerError
from trailer_lib.networks.backbone import AGGREGATIONS
from trailer_lib.networks.model_file import FORMAT, ModelFile, read_model
from trailer_lib.networks.regressor import FilmRegressor, build
from trailer_lib.settings import TrainSettings
from trailer_lib.training import frozen

SIZE, FRAMES = 32, 3
COUNTS = [7, 1, 5, 9, 6, 4, 8, 3, 2, 11, 6, 5, 7, 4, 9, 12, 3, 8]


def made_dataset(films: int = len(COUNTS)) -> Dataset:
    """Films whose brightness is their score; every sixth is of the test split."""
    rng, counts = np.random.default_rng(0), np.array(COUNTS[:films])
    scores = np.linspace(3, 9, len(COUNTS))[rng.permutation(len(COUNTS))]
    frames = [rng.integers(0, 40, (count, SIZE, SIZE, 3)) + int(20 * score) for count, score in zip(counts, scores)]
    table = pd.DataFrame(
        {
            "imdb_id": [f"tt{number:07d}" for number in range(films)],
            "score": scores[:films],
            "split": ["test" if number % 6 == 5 else "train" for number in range(films)],
            "first": np.cumsum(counts) - counts,
            "count": counts,
        }
    )
    return Dataset(np.concatenate(frames).astype(np.uint8), table, {})


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frozen, "BLOCK", 16)


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many pictures each computed block had."""
    blocks, compute = [], frozen._compute

    def counting(network: FilmRegressor, frames: np.ndarray) -> np.ndarray:
        blocks.append(len(frames))
        return compute(network, frames)

    monkeypatch.setattr(frozen, "_compute", counting)
    return blocks


def network_of(aggregate: str = "mean", freeze: str = "backbone", seed: int = 0) -> FilmRegressor:
    torch.manual_seed(seed)
    return build("squeezenet1_1", FRAMES, aggregate, "none", freeze=freeze)


def settings_of(aggregate: str = "mean", head: str = "ridge", freeze: str = "backbone") -> TrainSettings:
    return TrainSettings(
        backbone="squeezenet1_1", frames=FRAMES, aggregate=aggregate, freeze=freeze, head=head, depth="last"
    )


def test_draws_deal_every_frame_once_and_spread_each_draw() -> None:
    assert frozen.test_views(6, 3).tolist() == [[0, 2, 4], [1, 3, 5]]
    assert frozen.test_views(2, 3).tolist() == [[0, 1, 1]]
    for count in range(1, 40):
        dealt = frozen.test_views(count, 3)
        assert dealt.shape == (max(1, count // 3), 3) and dealt.min() >= 0 and dealt.max() < count
        assert count < 3 or len(np.unique(dealt)) == dealt.size


@pytest.mark.parametrize("aggregate", AGGREGATIONS)
def test_the_features_are_the_networks_own(aggregate: str, tmp_path: Path, small_blocks: None) -> None:
    network, data = network_of(aggregate).eval(), made_dataset()
    found = frozen.film_features(network, data, np.arange(18), tmp_path)
    for row in (0, 1, 5, 15):
        places = data.films["first"][row] + frozen.test_views(data.films["count"][row], FRAMES)
        frames = torch.from_numpy(data.frames[places]).permute(0, 1, 4, 2, 3)
        with torch.inference_mode():
            expected = network.features(network.normalise(frames)).mean(0).numpy()
        assert np.allclose(found[row], expected, atol=1e-5)


def test_a_second_run_computes_nothing(tmp_path: Path, small_blocks: None, computed: list[int]) -> None:
    first = frozen.film_features(network_of(), made_dataset(), np.arange(18), tmp_path)
    assert sum(computed) == sum(COUNTS)
    again = frozen.film_features(network_of(), made_dataset(), np.arange(18), tmp_path)
    assert sum(computed) == sum(COUNTS) and np.array_equal(first, again)


@pytest.mark.parametrize("aggregate", ["mean", "channels"])
def test_more_films_compute_only_what_is_new(
    aggregate: str, tmp_path: Path, small_blocks: None, computed: list[int]
) -> None:
    frozen.film_features(network_of(aggregate), made_dataset(12), np.arange(12), tmp_path)
    before = sum(computed)
    frozen.film_features(network_of(aggregate), made_dataset(), np.arange(18), tmp_path)
    pictures = sum(COUNTS) if aggregate == "mean" else sum(max(1, count // FRAMES) for count in COUNTS)
    assert sum(computed) - before <= pictures - before + 15  # the last block was not full


def test_a_run_that_was_stopped_goes_on(
    tmp_path: Path, small_blocks: None, monkeypatch: pytest.MonkeyPatch, computed: list[int]
) -> None:
    compute = frozen._compute

    def stopping(network: FilmRegressor, frames: np.ndarray) -> np.ndarray:
        if len(computed) == 3:
            raise KeyboardInterrupt
        return compute(network, frames)

    monkeypatch.setattr(frozen, "_compute", stopping)
    with pytest.raises(KeyboardInterrupt):
        frozen.film_features(network_of(), made_dataset(), np.arange(18), tmp_path)
    monkeypatch.setattr(frozen, "_compute", compute)
    frozen.film_features(network_of(), made_dataset(), np.arange(18), tmp_path)
    assert sum(computed) == sum(COUNTS)


def change_a_weight(network: FilmRegressor, data: Dataset) -> None:
    with torch.no_grad():
        next(network.backbone.parameters())[0, 0, 0, 0] += 1e-3


def change_a_pixel(network: FilmRegressor, data: Dataset) -> None:
    data.frames[3, 0, 0, 0] ^= 1


def change_what_is_seen(network: FilmRegressor, data: Dataset) -> None:
    network.pixels = "raw"


@pytest.mark.parametrize("change", [change_a_weight, change_a_pixel, change_what_is_seen])
def test_what_changed_is_computed_again(
    change: Callable, tmp_path: Path, small_blocks: None, computed: list[int]
) -> None:
    network, data = network_of(), made_dataset()
    frozen.film_features(network, data, np.arange(18), tmp_path)
    before = sum(computed)
    change(network, data)
    frozen.film_features(network, data, np.arange(18), tmp_path)
    assert sum(computed) - before == (16 if change is change_a_pixel else sum(COUNTS))


@pytest.mark.parametrize("spoil", [b"", b"hello", None])
def test_a_damaged_file_of_features_is_computed_again(
    spoil: bytes | None, tmp_path: Path, small_blocks: None, computed: list[int]
) -> None:
    first = frozen.film_features(network_of(), made_dataset(), np.arange(18), tmp_path)
    path, before = sorted(tmp_path.iterdir())[0], sum(computed)
    path.write_bytes(path.read_bytes()[:-9] if spoil is None else spoil)
    again = frozen.film_features(network_of(), made_dataset(), np.arange(18), tmp_path)
    assert sum(computed) > before and np.array_equal(first, again)


def errors_of(network: FilmRegressor, data: Dataset) -> Iterator[float]:
    """Of each test film the standardised error."""
    train = data.split("train").score
    for row, film in data.split("test").iterrows():
        frames = torch.from_numpy(data.film_frames(row, FRAMES)).permute(0, 3, 1, 2)[None]
        with torch.inference_mode():
            yield float(network.eval()(frames)) - (film.score - train.mean()) / train.std(ddof=0)


@pytest.mark.parametrize("aggregate", AGGREGATIONS)
def test_a_fitted_head_predicts_films_it_has_not_seen(aggregate: str, tmp_path: Path) -> None:
    network, data = network_of(aggregate), made_dataset()
    facts = frozen.fit_head(network, data, settings_of(aggregate), tmp_path)
    assert np.mean(np.square(list(errors_of(network, data)))) < 0.3
    assert facts["films"] == 15 and facts["features"] == network.head.in_features and facts["alpha"] > 0


@pytest.mark.parametrize("head", ["ridge", "boosting", "mlp"])
def test_a_frozen_model_is_an_ordinary_model_file(head: str, tmp_path: Path) -> None:
    network, data, settings = network_of("moments"), made_dataset(), settings_of("moments", head)
    frozen.fit_head(network, data, settings, tmp_path / "features")
    facts = {
        "format": FORMAT,
        "settings": settings.as_dict(),
        "weights": network.report,
        "blocks": list(network.blocks),
        "score_mean": 6,
        "score_sd": 1,
    }
    ModelFile(network, facts).save(tmp_path / "model.pt")
    again = read_model(tmp_path / "model.pt").network
    frames = torch.from_numpy(data.frames[:6]).permute(0, 3, 1, 2).unflatten(0, (2, 3))
    with torch.inference_mode():
        assert torch.equal(again(frames), network.eval()(frames))


def test_a_fitted_linear_head_is_where_training_starts(tmp_path: Path) -> None:
    network, data = network_of(freeze="none"), made_dataset()
    frozen.fit_head(network, data, settings_of(freeze="none"), tmp_path)
    start = sum(error**2 for error in errors_of(network, data))
    assert all(tensor.requires_grad for tensor in network.parameters())
    network.train()(torch.zeros(2, FRAMES, 3, SIZE, SIZE, dtype=torch.uint8)).sum().backward()
    assert network.head.weight.grad is not None and start < 2


def test_too_few_films_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(TrailerError, match="at least 10"):
        frozen.fit_head(network_of(), made_dataset(6), settings_of(), tmp_path)
