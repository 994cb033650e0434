"""The moving average of the weights: that of the steps, to the bit where nothing changes, and no step depends on it."""

from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from training_runs import content, few_resamples, trained  # noqa: F401

from trailer_lib.project import Project
from trailer_lib.training import run as run_file
from trailer_lib.training.checkpoints import LAST

BATCH_NORM = "network.backbone.features.0.1.running_mean"
CHOSEN = {"backbone": "mobilenet_v3_small", "epochs": 2, "lr": 1e-2}


class Steps(pl.Callback):
    """Keeps the network's state after every step."""

    def __init__(self) -> None:
        self.states: list[dict[str, torch.Tensor]] = []

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, *_: object) -> None:
        self.states.append({name: value.clone() for name, value in module.state_dict().items()})


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Steps:
    whole, steps = run_file._trainer, Steps()
    monkeypatch.setattr(run_file, "_trainer", lambda settings, callbacks: whole(settings, [steps, *callbacks]))
    return steps


def test_a_moving_average_is_of_the_steps_and_changes_none(dataset_root: Path, tmp_path: Path, steps: Steps) -> None:
    trained(Project(dataset_root), tmp_path / "ema", ema_decay=0.6, **CHOSEN)
    saved, states = content(tmp_path / "ema" / LAST), [*steps.states]
    for name in ("network.head.weight", BATCH_NORM):
        expected = states[0][name]
        for state in states[1:]:
            expected = 0.6 * expected + 0.4 * state[name]
        torch.testing.assert_close(saved["state_dict"][name], expected)
        torch.testing.assert_close(saved["current_model_state"][name], states[-1][name], rtol=0, atol=0)
        assert not torch.allclose(expected, states[-1][name])
    trained(Project(dataset_root), tmp_path / "none", **CHOSEN)
    for one, other in zip(states, steps.states[len(states) :]):
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_weights_that_do_not_change_equal_their_average(dataset_root: Path, tmp_path: Path, steps: Steps) -> None:
    trained(Project(dataset_root), tmp_path, ema_decay=0.7, **CHOSEN | {"lr": 0.0})
    saved = content(tmp_path / LAST)["state_dict"]
    weights = [name for name in saved if "running" not in name and saved[name].is_floating_point()]
    assert len(weights) > 100 and all(torch.equal(saved[name], steps.states[0][name]) for name in weights)
