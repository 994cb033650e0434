"""Averages of the weights: the numbers they should be, in the place of the last weights wherever those are used."""

from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from test_train import val_loss
from training_runs import content, few_resamples, trained  # noqa: F401

from trailer_lib.dataset.dataset import Dataset
from trailer_lib.networks.model_file import read_model
from trailer_lib.project import Project
from trailer_lib.training import callbacks as callbacks_file
from trailer_lib.training import run as run_file
from trailer_lib.training.callbacks import BEST, LAST

BATCH_NORM = "network.backbone.features.0.1.running_mean"
CHOSEN = {"backbone": "mobilenet_v3_small", "epochs": 4, "lr": 1e-2}


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


@pytest.mark.parametrize("name", ["network.head.weight", BATCH_NORM])
def test_a_moving_average_is_that_of_the_steps(dataset_root: Path, tmp_path: Path, steps: Steps, name: str) -> None:
    trained(Project(dataset_root), tmp_path, average="ema", ema_decay=0.6, **CHOSEN)
    expected = steps.states[0][name]
    for state in steps.states[1:]:
        expected = 0.6 * expected + 0.4 * state[name]
    saved = content(tmp_path / LAST)
    torch.testing.assert_close(saved["state_dict"][name], expected)
    torch.testing.assert_close(saved["current_model_state"][name], steps.states[-1][name], rtol=0, atol=0)
    assert not torch.allclose(expected, steps.states[-1][name])


@pytest.mark.parametrize("name", ["network.head.weight", BATCH_NORM])
def test_a_plain_average_is_that_of_the_steps_after_its_start(
    dataset_root: Path, tmp_path: Path, steps: Steps, name: str
) -> None:
    trained(Project(dataset_root), tmp_path, average="swa", swa_start=0.5, **CHOSEN)
    later = [state[name] for state in steps.states[4:]]  # two steps an epoch
    assert len(later) == 4
    torch.testing.assert_close(content(tmp_path / LAST)["state_dict"][name], torch.stack(later).mean(0))


def test_before_its_start_the_average_is_the_last_weights(dataset_root: Path, tmp_path: Path) -> None:
    trained(Project(dataset_root), tmp_path / "none", **CHOSEN)
    trained(Project(dataset_root), tmp_path / "swa", average="swa", swa_start=0.99, **CHOSEN)
    none, swa = (run_file.pd.read_csv(tmp_path / name / callbacks_file.HISTORY) for name in ("none", "swa"))
    np.testing.assert_array_equal(swa.val_loss[:3], none.val_loss[:3])
    assert swa.val_loss[3] != none.val_loss[3]
    np.testing.assert_array_equal(swa.train_loss, none.train_loss)


@pytest.mark.parametrize("average", ["ema", "swa"])
def test_the_average_is_validated_and_saved(dataset_root: Path, tmp_path: Path, average: str) -> None:
    project = Project(dataset_root)
    run = trained(project, tmp_path, average=average, swa_start=0.25, ema_decay=0.5, **CHOSEN)
    data = Dataset.open(project)
    assert val_loss(tmp_path / BEST, data) == pytest.approx(run.history.val_loss.min(), rel=1e-4)
    assert val_loss(tmp_path / LAST, data) == pytest.approx(run.history.val_loss.iloc[-1], rel=1e-4)


def test_what_does_not_change_stays_as_it_is_to_the_bit(dataset_root: Path, tmp_path: Path, steps: Steps) -> None:
    trained(Project(dataset_root), tmp_path, average="ema", ema_decay=0.7, **CHOSEN | {"lr": 0.0})
    saved, name = content(tmp_path / LAST)["state_dict"], "network.backbone.features.0.0.weight"
    assert torch.equal(saved[name], steps.states[0][name])


def test_the_plain_average_begins_with_its_epoch() -> None:
    settings = Project(Path("/")).settings("train", average="swa", swa_start=0.3, epochs=10)
    assert Averaging(settings).start == 3
    assert Averaging(Project(Path("/")).settings("train", average="ema")).start == 0


def test_an_average_changes_no_step_of_the_training(dataset_root: Path, tmp_path: Path, steps: Steps) -> None:
    trained(Project(dataset_root), tmp_path / "none", **CHOSEN)
    trained(Project(dataset_root), tmp_path / "ema", average="ema", **CHOSEN)
    half = len(steps.states) // 2
    for one, other in zip(steps.states[:half], steps.states[half:]):
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert read_model(tmp_path / "ema" / BEST).facts["settings"]["average"] == "ema"
