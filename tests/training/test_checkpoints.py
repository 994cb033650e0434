"""How long a training takes is said once, after its first steps, with the word that makes a slow one quicker."""

from pathlib import Path

import pandas as pd
import pytest
from training_runs import Copy, Stop, few_resamples, trained  # noqa: F401

from trailer_lib.errors import Stopped
from trailer_lib.project import Project
from trailer_lib.training import checkpoints


@pytest.mark.parametrize(
    "seconds, device, expected",
    [
        (2.4, "cpu", "about 2 s an epoch on this CPU, at most 24 s for 10 epochs"),
        (61.0, "cpu", "about 61 s an epoch on this CPU, at most 10 min for 10 epochs; scheme='frozen' is quicker: it"),
        (61.0, "cuda", "about 61 s an epoch on this CUDA, at most 10 min for 10 epochs"),
        (3600.0, "cpu", "about 60 min an epoch on this CPU, at most 10.0 h for 10 epochs; scheme='frozen'"),
    ],
)
def test_the_line_names_the_quicker_scheme_only_on_a_slow_cpu(seconds: float, device: str, expected: str) -> None:
    line = checkpoints.estimate(seconds, 10, device)
    assert line.startswith(expected) and ("frozen" in line) == ("frozen" in expected)


def test_a_training_says_once_how_long_it_takes(
    dataset_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    trained(Project(dataset_root), tmp_path, epochs=2)
    assert capsys.readouterr().out.count(" an epoch on this ") == 1
    trained(Project(dataset_root), tmp_path, scheme="frozen", aggregate="mean", head="ridge", depth="stages")
    assert " an epoch on this " not in capsys.readouterr().out


def test_the_curve_of_a_run_is_kept_under_the_name_of_what_was_chosen(
    dataset_root: Path, copy_of: Copy, capsys: pytest.CaptureFixture
) -> None:
    project = copy_of(dataset_root)  # whose settings.toml sets much that is no one's choice today
    run = trained(project, epochs=1, noise=0.3, loader_workers=1)
    [earlier] = checkpoints.earlier_runs(project.models, project.settings("train"), run.data)
    assert earlier.name == "finetune, noise=0.3, epochs=1"
    pd.testing.assert_frame_equal(earlier.history, run.history)
    assert checkpoints.earlier_runs(project.models, project.settings("train", loss="l1"), run.data) == []
    other = run.data.with_split([*run.data.films.split[1:], run.data.films.split[0]])
    assert checkpoints.earlier_runs(project.models, project.settings("train"), other) == []


def test_a_resumed_run_keeps_the_name_of_what_was_chosen(dataset_root: Path, copy_of: Copy) -> None:
    project = copy_of(dataset_root)
    with pytest.raises(Stopped):
        trained(project, on_epoch=Stop(1), noise=0.3)
    run = trained(project, resume=True, noise=0.3)
    [earlier] = checkpoints.earlier_runs(project.models, project.settings("train"), run.data)
    assert earlier.name == "finetune, noise=0.3" and len(earlier.history) == 3
