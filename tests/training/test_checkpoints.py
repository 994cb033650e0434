"""How long a training takes is said once, after its first steps, with the word that makes a slow one quicker."""

from pathlib import Path

import pandas as pd
import pytest
from training_runs import Copy, Stop, few_resamples, trained  # noqa: F401

from trailer_lib.errors import Stopped
from trailer_lib.project import Project
from trailer_lib.training import checkpoints


def test_the_line_names_the_quicker_scheme_only_on_a_slow_cpu() -> None:
    slow = "about 60 min an epoch on this CPU, at most 10.0 h for 10 epochs; scheme='frozen' is quicker: it"
    assert checkpoints.estimate(3600.0, 10, "cpu").startswith(slow)
    assert checkpoints.estimate(2.4, 10, "cpu") == "about 2 s an epoch on this CPU, at most 24 s for 10 epochs"
    assert checkpoints.estimate(61.0, 10, "cuda") == "about 61 s an epoch on this CUDA, at most 10 min for 10 epochs"


def test_a_training_says_once_how_long(dataset_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    trained(Project(dataset_root), tmp_path, epochs=2)
    assert capsys.readouterr().out.count(" an epoch on this ") == 1
    trained(Project(dataset_root), tmp_path, scheme="frozen", aggregate="mean", head="ridge", depth="stages")
    assert " an epoch on this " not in capsys.readouterr().out


def test_a_curve_is_kept_under_the_name_of_what_was_chosen(
    dataset_root: Path, copy_of: Copy, capsys: pytest.CaptureFixture
) -> None:
    project = copy_of(dataset_root)  # whose settings.toml sets much that is no one's choice today
    with pytest.raises(Stopped):
        trained(project, on_epoch=Stop(1), epochs=2, noise=0.3, loader_workers=1)
    run = trained(project, resume=True, epochs=2, noise=0.3, loader_workers=1)
    [earlier] = checkpoints.earlier_runs(project.models, project.settings("train"), run.data)
    assert earlier.name == "finetune, noise=0.3, epochs=2"
    pd.testing.assert_frame_equal(earlier.history, run.history)
    assert checkpoints.earlier_runs(project.models, project.settings("train", loss="l1"), run.data) == []
    other = run.data.with_split([*run.data.films.split[1:], run.data.films.split[0]])
    assert checkpoints.earlier_runs(project.models, project.settings("train"), other) == []
