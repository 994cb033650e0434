"""The optimiser has the parameters and rates of the settings, and the rates follow the schedule."""

from pathlib import Path

import pytest
import torch
from torch import nn
from training_runs import few_resamples, trained  # noqa: F401

from trailer_lib.networks.regressor import build
from trailer_lib.project import Project
from trailer_lib.settings import SCHEMES, TrainSettings
from trailer_lib.training import module


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return build("squeezenet1_1", 2, "attention", "none")


@pytest.mark.parametrize("chosen, kind, expected", [
    (
        {"optimizer": "adam", "betas": (0.8, 0.9), "eps": 1e-3, "l2": 0.3},
        torch.optim.Adam,
        {"betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.3},
    ),
    ({"optimizer": "adamw", "lr": 0.7, "head_lr": 0.0}, torch.optim.AdamW, {"lr": 0.7}),
    ({"optimizer": "sgd", "momentum": 0.6}, torch.optim.SGD, {"momentum": 0.6}),
], ids=["adam", "adamw", "sgd"])  # fmt: skip
def test_the_optimiser_has_the_settings(network: nn.Module, chosen: dict, kind: type, expected: dict) -> None:
    made = module.make_optimizer(network, TrainSettings(**chosen))
    assert type(made) is kind
    for group in made.param_groups:
        assert {name: group[name] for name in expected} == expected


def test_the_original_scheme_has_the_originals_optimiser(network: nn.Module) -> None:
    settings = TrainSettings.layered({"test": {"scheme": "original"}}, SCHEMES)
    made = module.make_optimizer(network, settings)
    group = made.param_groups[0]
    assert type(made) is torch.optim.Adam
    assert (group["betas"], group["eps"], group["weight_decay"]) == ((0.9, 0.9), 1e-16, 0.02)
    assert [module.rate_factor(epoch, settings) for epoch in (0, 9, 10, 20)] == pytest.approx([1, 1, 0.1, 0.01])


@pytest.mark.parametrize("head, new", [("linear", ["head", "attention"]), ("ridge", ["attention"])])
def test_new_layers_have_a_rate_of_their_own_but_a_fitted_head(network: nn.Module, head: str, new: list[str]) -> None:
    old, others = module.make_optimizer(network, TrainSettings(lr=1e-4, head_lr=1e-2, head=head)).param_groups
    assert (old["lr"], others["lr"]) == (1e-4, 1e-2)
    expected = {id(tensor) for name in new for tensor in getattr(network, name).parameters()}
    assert {id(tensor) for tensor in others["params"]} == expected
    assert len(old["params"]) + len(others["params"]) == len(list(network.parameters()))


@pytest.mark.parametrize("chosen, factors", [
    ({"schedule": "constant"}, [1, 1, 1, 1]), ({"schedule": "cosine"}, [1, 0.8535534, 0.5, 0.1464466]),
    ({"schedule": "step", "step_size": 2, "gamma": 0.5}, [1, 1, 0.5, 0.5]),
], ids=str)  # fmt: skip
def test_the_rate_follows_the_schedule(chosen: dict, factors: list) -> None:
    settings = TrainSettings(epochs=4, **chosen)
    assert [module.rate_factor(epoch, settings) for epoch in range(4)] == pytest.approx(factors)


def test_the_rate_falls_once_the_val_loss_does_not(dataset_root: Path, tmp_path: Path) -> None:
    chosen = {"schedule": "plateau", "epochs": 4, "step_size": 1, "gamma": 0.5, "lr": 3e-8}  # too low to get anywhere
    history = trained(Project(dataset_root), tmp_path, **chosen).history
    assert history.lr.tolist() == pytest.approx([3e-8, 3e-8, 3e-8, 1.5e-8], abs=1e-12)
