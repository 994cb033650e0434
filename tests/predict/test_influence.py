"""Pulls are what leaving a frame out changes, and find the frame that carries the score; heat finds the place."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from trailer_lib.networks.backbone import Trunk, stage_widths, widen_first_layer
from trailer_lib.networks.regressor import FilmRegressor
from trailer_lib.predict import explanation
from trailer_lib.training import frozen

FRAMES, SIDE, FEATURES = 5, 16, 64
ONCE = np.arange(FRAMES)[None]
PER_FRAME = ["mean", "attention", "moments", "quantiles"]


def films(count: int, seed: int, frames: int = FRAMES) -> tuple[Tensor, np.ndarray, np.ndarray]:
    """(frames uint8 [films, frames, 3, SIDE, SIDE], the place of the frame that carries the score, the scores).

    Red and green differ wildly from frame to frame and mean nothing; blue is the same in all frames but one.
    """
    rng = np.random.default_rng(seed)
    colours = rng.uniform(0, 255, (count, frames, 3))
    colours[..., 2] = 128
    places, scores = rng.integers(0, frames, count), rng.choice([-1, 1], count) * rng.uniform(30, 70, count)
    colours[np.arange(count), places, 2] += scores
    pixels = colours[..., None, None] + rng.normal(0, 4, (count, frames, 3, SIDE, SIDE))
    return torch.from_numpy(np.clip(pixels, 0, 255).astype(np.uint8)), places, scores


def regressor(aggregate: str, seed: int = 0, frames: int = FRAMES) -> FilmRegressor:
    """A random small network: convolution, nonlinearity, mean over the places."""
    torch.manual_seed(seed)
    first = nn.Conv2d(3, FEATURES, 3, padding=1, padding_mode="reflect")
    network = nn.Sequential(first, nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    trunk = Trunk(network, FEATURES, ("0",))
    if aggregate == "channels":
        widen_first_layer(trunk, frames, "repeat", {})
    built = FilmRegressor(trunk, frames, aggregate, "made").eval().requires_grad_(False)
    nn.init.normal_(built.head.weight)
    if built.attention is not None:
        nn.init.normal_(built.attention.weight, std=0.1)
    return built


def fitted(aggregate: str, frames: int = FRAMES, kind: str = "ridge", count: int = 600) -> FilmRegressor:
    """The same with a head that has learnt from `count` films what carries the score."""
    network = regressor(aggregate, frames=frames)
    shown, _, scores = films(count, seed=1, frames=frames)
    with torch.no_grad():
        features = network.features(network.normalise(shown)).numpy()
    network.head, _ = frozen.fit(kind, features, scores / scores.std(), 0)
    return network.requires_grad_(False)


def first_ranks(network: FilmRegressor, signed: bool = False) -> int:
    """Of 100 films, in how many the largest pull is that of the frame that carries the score.

    `signed`: the largest towards the score; else the largest of either sign.
    """
    frames, places, scores = films(100, seed=2, frames=network.frames)
    once = np.arange(network.frames)[None]
    pulls = np.array([explanation.attribute(network, film, once).pulls for film in frames])
    towards = pulls * np.sign(scores)[:, None] if signed else np.abs(pulls)
    return int((towards.argmax(1) == places).sum())


# Quartiles of five frames leave out the lowest and the highest: see the next test.
@pytest.mark.parametrize(
    ("aggregate", "frames"), [("channels", 5), ("mean", 5), ("attention", 5), ("moments", 5), ("quantiles", 3)]
)
def test_the_frame_that_carries_the_score_pulls_most(aggregate: str, frames: int) -> None:
    assert first_ranks(fitted(aggregate, frames)) >= 95
    assert np.mean([first_ranks(regressor(aggregate, seed, frames)) for seed in range(4)]) < 50


def test_of_quartiles_it_is_the_one_that_pulls_most_towards_the_score() -> None:
    """An outlier moves the quartiles of five frames by a rank only, and so does the lack of any other frame.

    So its pull need not be the largest (it is in 83 films of 100), but the others' go the other way: without one of
    them the outlier counts for more.
    """
    assert first_ranks(fitted("quantiles"), signed=True) >= 95
    assert np.mean([first_ranks(regressor("quantiles", seed), signed=True) for seed in range(4)]) < 50


@pytest.mark.parametrize("aggregate", ["channels", *PER_FRAME])
def test_the_answer_is_the_networks(aggregate: str) -> None:
    network, film = regressor(aggregate), films(1, seed=3)[0]
    found = explanation.attribute(network, film[0], ONCE)
    assert found.score == pytest.approx(float(network(film)), abs=1e-5)
    assert found.features == pytest.approx(network.features(network.normalise(film))[0].numpy(), abs=1e-5)


@pytest.mark.parametrize("aggregate", PER_FRAME)
def test_a_pull_is_the_answer_less_that_without_the_frame(aggregate: str) -> None:
    network, film = regressor(aggregate), films(1, seed=3)[0]
    normal = network.normalise(film)
    less = [network.score(normal[:, np.arange(FRAMES) != left_out]) for left_out in range(FRAMES)]
    expected = network.score(normal) - torch.cat(less)
    assert explanation.attribute(network, film[0], ONCE).pulls == pytest.approx(expected.numpy(), abs=1e-5)


def test_the_pulls_of_a_mean_add_up_to_nothing() -> None:
    pulls = explanation.attribute(regressor("mean"), films(1, seed=3)[0][0], ONCE).pulls
    assert pulls.sum() == pytest.approx(0, abs=1e-5) and np.abs(pulls).max() > 0.01


def test_a_stacked_frame_is_left_out_as_the_mean_of_the_others() -> None:
    network, film = regressor("channels"), films(1, seed=3)[0]
    normal = network.normalise(film)
    less = normal.clone()
    less[0, 2] = normal[0, [0, 1, 3, 4]].mean(0)
    expected = float(network.score(normal) - network.score(less))
    assert explanation.attribute(network, film[0], ONCE).pulls[2] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("aggregate", ["channels", *PER_FRAME])
def test_draws_are_averaged_and_a_frame_pulls_in_those_that_show_it(aggregate: str) -> None:
    network, (film,) = regressor(aggregate), films(1, seed=4)[0]
    draws = np.array([[0, 1, 2, 3, 4], [0, 0, 1, 2, 2]])
    found = explanation.attribute(network, film, draws)
    apart = [explanation.attribute(network, film, draw[None]) for draw in draws]
    assert found.score == pytest.approx(np.mean([part.score for part in apart]), abs=1e-5)
    assert found.pulls == pytest.approx(np.mean([part.pulls for part in apart], 0), abs=1e-5)
    assert apart[1].pulls[3] == apart[1].pulls[4] == 0


@pytest.mark.parametrize("aggregate", ["channels", "mean", "moments"])
def test_the_only_frame_of_a_film_has_no_pull(aggregate: str) -> None:
    network, film = regressor(aggregate), films(1, seed=4)[0][0, :1]
    found = explanation.attribute(network, film, np.zeros((1, FRAMES), int))
    assert found.pulls.tolist() == [0.0] and np.isfinite(found.score)


def cornered(seed: int) -> tuple[Tensor, int]:
    """A film of grey frames, one of them with a blue corner, and its place."""
    rng = np.random.default_rng(seed)
    frames = rng.integers(120, 136, (FRAMES, 3, 32, 32)).astype(np.uint8)
    place = int(rng.integers(FRAMES))
    frames[place, 2, :12, 20:] = 255
    return torch.from_numpy(frames), place


def blueness(aggregate: str) -> FilmRegressor:
    """A network that counts what is bluer than grey."""
    network = regressor(aggregate)
    first = network.backbone[0]
    nn.init.zeros_(first.weight)
    share = FRAMES if aggregate == "channels" else 1
    first.weight[:, 2::3, 1, 1] = 1.0 / share
    nn.init.constant_(first.bias, 0.0)
    nn.init.ones_(network.head.weight)
    return network


@pytest.mark.parametrize("aggregate", ["channels", "mean"])
def test_heat_is_where_the_answer_arose(aggregate: str) -> None:
    film, place = cornered(1)
    found = explanation.attribute(blueness(aggregate), film, ONCE)
    heat = found.heat(np.array([place]), 32, 32)
    assert heat.shape == (1, 32, 32) and heat.dtype == np.float32
    assert heat.min() >= 0 and heat.max() == pytest.approx(1)
    corner, rest = heat[0, 2:10, 22:].mean(), heat[0, 16:].mean()
    assert corner > 3 * rest


def two_stages(block: int) -> FilmRegressor:
    """A first stage that counts what is bluer than grey, a second that sees nothing; the head hears one of them."""
    first, second = nn.Conv2d(3, 1, 1), nn.Conv2d(1, 2, 1)
    for layer in (first, second):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    nn.init.ones_(first.weight[:, 2])  # blue
    layers = nn.Sequential(first, nn.ReLU(inplace=True), second, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    trunk = Trunk(layers, 2, ("0",))
    network = FilmRegressor(trunk, FRAMES, "mean", "made", blocks=stage_widths(trunk, 3)).eval().requires_grad_(False)
    assert network.blocks == (2, 2)
    nn.init.zeros_(network.head.weight)
    network.head.weight[0, 2 * block] = 1.0
    return network


def test_heat_of_all_stages_is_where_the_stage_saw_it() -> None:
    film, place = cornered(1)
    heat = explanation.attribute(two_stages(0), film, ONCE).heat(np.array([place]), 32, 32)
    assert heat[0, 2:10, 22:].mean() > 3 * heat[0, 16:].mean() and heat.max() == pytest.approx(1)
    assert explanation.attribute(two_stages(1), film, ONCE).heat(np.array([place]), 32, 32).max() == 0


def test_heat_is_elsewhere_when_the_network_looks_elsewhere() -> None:
    film, place = cornered(1)
    network = blueness("mean")
    network.backbone[0].weight.neg_()
    network.backbone[0].bias.fill_(1.0)  # of what is bluer than grey it sees nothing
    heat = explanation.attribute(network, film, ONCE).heat(np.array([place]), 32, 32)
    assert heat[0, 2:10, 22:].mean() < heat[0, 16:].mean()


@pytest.mark.parametrize("aggregate", ["channels", "mean"])
def test_a_head_of_trees_has_pulls_but_no_heat(aggregate: str) -> None:
    found = explanation.attribute(fitted(aggregate, kind="boosting", count=80), films(1, seed=1)[0][0], ONCE)
    assert found.heat(np.arange(2), 9, 16).shape == (0, 9, 16)
    assert np.abs(found.pulls).max() > 0


def test_no_hook_and_no_slope_is_left_behind() -> None:
    network, film = regressor("mean"), films(1, seed=3)[0]
    explanation.attribute(network, film[0], ONCE)
    assert not any(module._forward_hooks for module in network.modules())
    assert not network(film).requires_grad
