"""Heads that scikit-learn fits: as torch modules they answer as scikit-learn does, and they find what is there."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from trailer_lib.errors import TrailerError
from trailer_lib.training import frozen

RNG = np.random.default_rng(0)
FEATURES = (3 + 2 * RNG.standard_normal((120, 20))).astype(np.float32)
TARGET = 0.4 * FEATURES[:, 0] - 0.3 * np.abs(FEATURES[:, 1] - 3) + 0.3 * RNG.standard_normal(120)
TARGET = (TARGET - TARGET.mean()) / TARGET.std()
KINDS = ["ridge", "boosting", "mlp"]


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer trees and strengths than in earnest."""
    monkeypatch.setattr(frozen, "TREES", 60)
    monkeypatch.setattr(frozen, "TREE_RATE", 0.1)
    monkeypatch.setattr(frozen, "MLP_ALPHAS", (10.0,))


def answers(head: nn.Module, features: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return head(torch.from_numpy(features)).squeeze(1).numpy()


def fitted_by_sklearn(kind: str, facts: dict[str, Any]) -> Any:
    from sklearn.linear_model import Ridge
    from sklearn.neural_network import MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if kind == "boosting":
        return frozen._booster(facts["trees"], seed=0)
    mlp = MLPRegressor(
        hidden_layer_sizes=(64,), early_stopping=True, max_iter=500, random_state=0, alpha=facts["alpha"]
    )
    return make_pipeline(StandardScaler(), Ridge(facts["alpha"]) if kind == "ridge" else mlp)


@pytest.mark.parametrize("kind", KINDS)
def test_the_module_answers_as_scikit_learn(kind: str, few: None) -> None:
    head, facts = frozen.fit(kind, FEATURES, TARGET, seed=0)
    new = (3 + 2 * np.random.default_rng(1).standard_normal((500, 20))).astype(np.float32)
    expected = fitted_by_sklearn(kind, facts).fit(FEATURES.astype(np.float64), TARGET).predict(new)
    assert np.allclose(answers(head, new), expected, atol=1e-5)
    assert facts["cv_mse"] < 0.9 and np.var(expected) > 0.05


@pytest.mark.parametrize("kind", KINDS)
def test_a_head_is_rebuilt_from_its_tensors(kind: str, few: None) -> None:
    head, _ = frozen.fit(kind, FEATURES, TARGET, seed=0)
    state = {f"head.{name}": tensor for name, tensor in head.state_dict().items()}
    again = frozen.like(state, nn.Linear(20, 1))
    again.load_state_dict(head.state_dict())
    assert np.array_equal(answers(again, FEATURES), answers(head, FEATURES))


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_head(kind: str, few: None) -> None:
    one, two = (frozen.fit(kind, FEATURES, TARGET, seed=4)[0].state_dict() for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_feature_on_a_threshold_goes_where_scikit_learn_sends_it() -> None:
    grid = np.repeat(np.float32([0.1, 0.2, 0.3, 0.7]), 10)[:, None]  # thresholds between floats that round
    from sklearn.ensemble import GradientBoostingRegressor

    model = GradientBoostingRegressor(n_estimators=20, max_depth=frozen.TREE_DEPTH).fit(grid, np.sin(9 * grid[:, 0]))
    edges = np.unique(np.concatenate([tree.tree_.threshold for tree in model.estimators_.ravel()]))
    near = np.concatenate([np.nextafter(edges.astype(np.float32), side) for side in (-np.inf, np.inf)] + [edges])
    near = near.astype(np.float32)[:, None]
    assert np.allclose(answers(frozen.as_trees(model), near), model.predict(near), atol=1e-6)


def test_noise_is_held_back_to_nearly_the_constant() -> None:
    noise = np.random.default_rng(2).standard_normal(120)
    head, facts = frozen.fit("ridge", FEATURES, noise - noise.mean(), seed=0)
    assert answers(head, FEATURES).std() < 0.3 * noise.std() and facts["alpha"] > 10


@pytest.mark.parametrize("kind", ["ridge", "mlp"])
def test_a_feature_that_hardly_moved_does_not_run_away_in_another_film(kind: str, few: None) -> None:
    dead = FEATURES.copy()
    dead[:, 5] = 1e-6 * np.sign(TARGET)
    head, _ = frozen.fit(kind, dead, TARGET, seed=0)
    film = dead[:1].copy()
    film[0, 5] = 0.05
    assert abs(answers(head, film) - answers(head, dead[:1])) < 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_constant_feature_counts_for_nothing(kind: str, few: None) -> None:
    head, _ = frozen.fit(kind, np.ones((20, 3), np.float32), TARGET[:20], seed=0)
    assert np.allclose(answers(head, np.ones((4, 3), np.float32)), TARGET[:20].mean(), atol=0.5)


@pytest.mark.parametrize("kind", KINDS)
def test_too_few_films_are_an_error(kind: str) -> None:
    with pytest.raises(TrailerError, match=f"head='{kind}': 9 train films, at least 10"):
        frozen.fit(kind, FEATURES[:9], TARGET[:9], seed=0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_head_is_exported_to_onnx(kind: str, few: None, tmp_path: Any) -> None:
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    head, _ = frozen.fit(kind, FEATURES, TARGET, seed=0)
    batch = {"features": {0: torch.export.Dim("films")}}
    torch.onnx.export(
        head.eval(), (torch.from_numpy(FEATURES[:3]),), tmp_path / "head.onnx", dynamo=True, verbose=False,
        input_names=["features"], dynamic_shapes=list(batch.values()),
    )  # fmt: skip
    session = runtime.InferenceSession(tmp_path / "head.onnx")
    [found] = session.run(None, {"features": FEATURES})
    assert np.allclose(found[:, 0], answers(head, FEATURES), atol=1e-5)


def test_blocks_count_alike_however_many_features_they_have() -> None:
    """A signal in 2 features beside 300 of noise: as a block of its own it is found, in the crowd it drowns."""
    rng = np.random.default_rng(5)
    few, many = rng.standard_normal((200, 2)), rng.standard_normal((200, 300))
    features, target = np.hstack([few, many]).astype(np.float32), few.sum(1) / 2**0.5
    new = rng.standard_normal((1000, 302)).astype(np.float32)
    missed = []
    for blocks in ([2, 300], [302]):
        head, _ = frozen.fit("ridge", features, target, 0, blocks)
        missed.append(float(((answers(head, new) - new[:, :2].sum(1) / 2**0.5) ** 2).mean()))
    assert missed[0] < 0.05 < 0.2 < missed[1]


@pytest.mark.parametrize("kind", ["ridge", "mlp"])
def test_one_block_is_none(kind: str, few: None) -> None:
    one, none = (frozen.fit(kind, FEATURES, TARGET, 0, blocks)[0].state_dict() for blocks in ([20], ()))
    assert all(torch.equal(one[name], none[name]) for name in one)
