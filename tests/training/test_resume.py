"""A training that was stopped is resumed bit for bit as if it had not been, or says why it can't be."""

import signal
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from training_runs import RANDOM_PARTS, Copy, Stop, assert_same_checkpoint, content, few_resamples, trained  # noqa: F401

from trailer_lib import files
from trailer_lib.__main__ import main
from trailer_lib.dataset import builder
from trailer_lib.errors import TrailerError
from trailer_lib.networks import model_file
from trailer_lib.project import Project
from trailer_lib.settings import SCHEMES, TrainSettings
from trailer_lib.training import batches, checkpoints, module
from trailer_lib.training.checkpoints import BEST, HISTORY, LAST, SETTINGS, resumed_settings


@pytest.mark.parametrize("stop, chosen", [
    (1, {"schedule": "cosine", "head": "ridge", "ema_decay": 0.9, "epochs": 3}),
    (3, {"schedule": "plateau", "optimizer": "sgd", "patience": 3, "step_size": 1, "gamma": 0.3, "seed": 3}),
], ids=str)  # fmt: skip
def test_a_resumed_run_equals_an_unbroken_one(dataset_root: Path, tmp_path: Path, stop: int, chosen: dict) -> None:
    project = Project(dataset_root)
    chosen = RANDOM_PARTS | chosen
    unbroken = trained(project, tmp_path / "unbroken", **chosen)
    with pytest.raises(KeyboardInterrupt):
        trained(project, tmp_path / "broken", Stop(stop), **chosen)
    assert content(tmp_path / "broken" / LAST)["trailer_lib"]["history"][-1]["epoch"] == stop
    with pytest.raises(AssertionError):
        assert_same_checkpoint(tmp_path / "broken" / LAST, tmp_path / "unbroken" / LAST)
    resumed = trained(project, tmp_path / "broken", resume=True, **chosen)
    for name in (LAST, BEST):
        assert_same_checkpoint(tmp_path / "broken" / name, tmp_path / "unbroken" / name)
    pd.testing.assert_frame_equal(resumed.history, unbroken.history, check_exact=True)
    pd.testing.assert_frame_equal(resumed.validation.predictions, unbroken.validation.predictions, check_exact=True)
    assert unbroken.history.lr.nunique() > 1


def test_a_run_stopped_anywhere_is_resumed(dataset_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project, calls, chosen = Project(dataset_root), [], RANDOM_PARTS | {"epochs": 2}
    trained(project, tmp_path / "unbroken", **chosen)

    def stop_at_the_fourth_batch(*arguments: object) -> torch.Tensor:
        calls.append("batch")
        if len(calls) == 4:
            raise KeyboardInterrupt
        return batches.augment(*arguments)

    def stop_before_the_second_last(path: Path, saved: dict) -> None:
        calls.append(path.name)
        if calls.count(LAST) == 2:
            raise KeyboardInterrupt
        model_file.save_tensors(path, saved)

    for place, name, stop in (
        (module, "augment", stop_at_the_fourth_batch), (checkpoints, "save_tensors", stop_before_the_second_last),
    ):  # fmt: skip
        calls.clear()
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(place, name, stop)
            trained(project, tmp_path / name, **chosen)
        trained(project, tmp_path / name, resume=True, **chosen)
        assert_same_checkpoint(tmp_path / name / LAST, tmp_path / "unbroken" / LAST)


def test_a_finished_run_stays_as_it_is_or_is_resumed_to_more_epochs(trained_root: Path, copy_of: Copy) -> None:
    project, finished = copy_of(trained_root), pd.read_csv(trained_root / "models" / HISTORY)
    pd.testing.assert_frame_equal(trained(project, resume=True).history, finished)
    assert_same_checkpoint(project.models / LAST, trained_root / "models" / LAST)
    history = trained(project, resume=True, epochs=5).history
    assert history.epoch.tolist() == [1, 2, 3, 4, 5] and history.lr[3] > history.lr[4] > 0
    pd.testing.assert_frame_equal(history.head(3), finished)
    assert trained(project, epochs=1).history.epoch.tolist() == [1]  # without resume it starts anew


@pytest.mark.parametrize("chosen", [{"salt": "another"}, {"size": 40}], ids=str)
def test_resuming_on_another_dataset_is_an_error(trained_root: Path, copy_of: Copy, chosen: dict) -> None:
    project = copy_of(trained_root)
    builder.build(project, project.settings("dataset", **chosen))
    with pytest.raises(TrailerError, match="another dataset or split"):
        trained(project, resume=True, epochs=5)


def test_a_run_that_ended_by_its_patience_is_not_trained_further(dataset_root: Path, tmp_path: Path) -> None:
    chosen = {"lr": 0.0, "patience": 2, "epochs": 5}  # at a rate of zero no epoch is better than the first
    for resume in (False, True):
        assert trained(Project(dataset_root), tmp_path, None, resume, **chosen).history.epoch.tolist() == [1, 2, 3]
    resumed = trained(Project(dataset_root), tmp_path, resume=True, **chosen | {"patience": 3})
    assert resumed.history.epoch.tolist() == [1, 2, 3, 4]


def test_a_best_model_of_another_run_is_an_error(trained_root: Path, copy_of: Copy, tmp_path: Path) -> None:
    project = copy_of(trained_root)
    trained(project, tmp_path / "other", seed=5, epochs=1)
    (tmp_path / "other" / BEST).replace(project.models / BEST)
    with pytest.raises(TrailerError, match="are of two runs: don't resume"):
        trained(project, resume=True, epochs=5)


def test_a_last_model_that_can_not_be_resumed_is_an_error(trained_root: Path, copy_of: Copy) -> None:
    project = copy_of(trained_root)
    saved = content(project.models / LAST)
    for name in ("trailer_lib", "state_dict", "optimizer_states"):
        torch.save({key: value for key, value in saved.items() if key != name}, project.models / LAST)
        with pytest.raises(TrailerError, match=r"last_model\.pt: .*(train anew|train again|name a)"):
            trained(project, resume=True, epochs=5)


def test_a_cut_or_missing_file_is_an_error_and_stays_as_it_is(trained_root: Path, copy_of: Copy) -> None:
    project = copy_of(trained_root)
    half = (project.models / LAST).read_bytes()[:100_000]
    (project.models / LAST).write_bytes(half)
    with pytest.raises(TrailerError, match=r"last_model\.pt: not a readable model file"):
        trained(project, resume=True, epochs=5)
    assert (project.models / LAST).read_bytes() == half
    (project.models / LAST).unlink()
    with pytest.raises(TrailerError, match=r"last_model\.pt: no such model"):
        trained(project, resume=True)


CELL = {"epochs": 2, "lr": 2e-3, "noise": 0.2, "seed": 5, "frames": 2, "schedule": "step", "step_size": 1}


def test_resuming_takes_the_stopped_runs_settings(
    dataset_root: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    project = Project(dataset_root)  # its settings.toml has epochs = 3
    unbroken = trained(project, tmp_path / "unbroken", **CELL)
    for stop in (1, 2):
        with pytest.raises(KeyboardInterrupt, match=f"after {stop} of 2 epochs; resume=True"):
            trained(project, tmp_path / "broken", Stop(stop), **CELL)
        resumed = trained(project, tmp_path / "broken", resume=True)
        assert_same_checkpoint(tmp_path / "broken" / LAST, tmp_path / "unbroken" / LAST)
        pd.testing.assert_frame_equal(resumed.history, unbroken.history, check_exact=True)
    assert resumed.validation.results["settings"] == unbroken.validation.results["settings"]
    lines = [line for line in caplog.messages if "to resume has" in line]
    assert {line.split("=")[0] for line in lines} == {f"settings.toml: {name}" for name in ("epochs", "lr", "frames")}


def test_resuming_by_the_command_line_takes_the_settings_of_the_stopped_run(
    dataset_root: Path, copy_of: Copy, capsys: pytest.CaptureFixture
) -> None:
    project = copy_of(dataset_root)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.raises(KeyboardInterrupt):
        trained(project, on_epoch=Stop(1), epochs=2, lr=2e-3)
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler  # Ctrl-C works as before
    command = ["train", "--root", str(project.root), "--resume"]
    assert main([*command, "lr=0.5"]) == 1
    assert capsys.readouterr().err.startswith("error: the run to resume has ")
    assert main(command) == 0
    assert pd.read_csv(project.models / HISTORY).epoch.tolist() == [1, 2]
    assert main([*command, "epochs=1"]) == 1
    assert capsys.readouterr().err.endswith("error: epochs=1: the run that stopped has finished 2: set at least 2\n")


def test_a_scheme_named_again_keeps_what_was_set_beside_it(tmp_path: Path) -> None:
    def layered(**cell: object) -> TrainSettings:
        return TrainSettings.layered({"settings.toml": {"batch": 8}, "this cell": cell}, SCHEMES)

    stopped = layered(scheme="original", epochs=10, views=2)
    files.write_json(tmp_path / SETTINGS, stopped.as_dict())
    assert resumed_settings(tmp_path, layered(scheme="original")) == stopped
    assert resumed_settings(tmp_path, layered(epochs=12, views=3)) == replace(stopped, epochs=12, views=3)
    assert resumed_settings(tmp_path, TrainSettings()) == stopped
    with pytest.raises(TrailerError, match="scheme='original', not 'finetune': leave it out, or don't resume"):
        resumed_settings(tmp_path, layered(scheme="finetune"))
    with pytest.raises(TrailerError, match="the run to resume has epochs=10, not 0"):
        resumed_settings(tmp_path, layered(epochs=0))
    with pytest.raises(TrailerError, match=r"lr=0\.001, not 1e-05"):  # the default, but said
        resumed_settings(tmp_path, layered(lr=1e-5))


def test_a_run_that_finished_no_epoch_is_not_taken_for_an_earlier_one(
    trained_root: Path, copy_of: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = copy_of(trained_root)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "augment", Stop(1))
        patch.setattr(Stop, "__call__", lambda *_: signal.raise_signal(signal.SIGINT))
        trained(project, lr=2e-3)
    with pytest.raises(TrailerError, match="is of another run; the one that stopped finished no epoch"):
        trained(project, resume=True)


def test_a_stopped_fit_of_a_head_is_made_again_with_its_settings(dataset_root: Path, copy_of: Copy) -> None:
    project, chosen = copy_of(dataset_root), {"freeze": "backbone", "head": "ridge", "aggregate": "mean", "frames": 2}
    with pytest.raises(KeyboardInterrupt):
        trained(project, on_epoch=Stop(0), **chosen)
    run = trained(project, resume=True)
    assert run.history.epoch.tolist() == [0]
    assert run.validation.results["settings"] == project.settings("train", **chosen).as_dict() | {"betas": (0.9, 0.999)}
