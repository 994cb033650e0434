"""T2: a checkpoint whose writing fails, at any write, leaves the one before, whole, and gives the reason in a line."""

import errno
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import pytest
import torch
from conftest import amount
from training_runs import content, few_resamples, trained  # noqa: F401

from trailer_lib import files
from trailer_lib.networks import model_file
from trailer_lib.networks.model_file import read_model
from trailer_lib.project import Project
from trailer_lib.training import module
from trailer_lib.training.module import BEST, LAST

SAVE = torch.save
WRITES = [1, *range(2, 60, 60 // amount(19, 3))][: amount(20, 4)]


@pytest.fixture
def project(trained_root: Path, tmp_path: Path) -> Project:
    """A root with the models of three epochs, to be changed."""
    return Project(Path(shutil.copytree(trained_root, tmp_path / "root")))


class FullDisk:
    """A file whose write number `number` writes half of the data and finds the disk full."""

    def __init__(self, file: BinaryIO, number: int) -> None:
        self.file, self.writes, self.flush = file, iter([file.write] * (number - 1)), file.flush

    def write(self, data: bytes) -> int:
        if write := next(self.writes, None):
            return write(data)
        self.file.write(data[: len(data) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def both(project: Project) -> dict[str, bytes]:
    return {name: (project.models / name).read_bytes() for name in (BEST, LAST)}


def check_what_is_left(project: Project, before: dict[str, bytes]) -> None:
    """Both files are whole, the last one as it was, nothing half done; and the training is resumed from it."""
    assert (project.models / LAST).read_bytes() == before[LAST]
    assert len(read_model(project.models / LAST).facts["history"]) == 3
    read_model(project.models / BEST)
    assert not list(project.models.glob(f"{files.TEMPORARY}*"))
    assert trained(project, resume=True, epochs=5).history.epoch.tolist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("number", WRITES)
@pytest.mark.parametrize("name", [LAST, BEST])
def test_a_disk_full_at_a_write_keeps_the_models_of_the_epoch_before(
    project: Project, monkeypatch: pytest.MonkeyPatch, number: int, name: str
) -> None:
    before, whole = both(project), model_file.save_tensors

    def full(path: Path, saved: dict) -> None:
        with pytest.MonkeyPatch.context() as disk:
            if path.name == name:
                disk.setattr(torch, "save", lambda value, file: SAVE(value, FullDisk(file, number)))
            whole(path, saved)

    with monkeypatch.context() as patch, pytest.raises(files.DiskFull) as caught:
        patch.setattr(module, "save_tensors", full)
        patch.setattr(model_file, "save_tensors", full)
        patch.setattr(module, "best_epoch", lambda history: len(history) - 1)
        trained(project, resume=True, epochs=5)
    assert str(caught.value).startswith(f"{project.models / name}: the disk is full: ")
    assert "\n" not in str(caught.value)
    check_what_is_left(project, before)


class Unwilling:
    def __reduce__(self) -> tuple:
        raise pickle.PicklingError("never")


def no_quota(value: Any, file: Any) -> None:
    file.write(b"half a check")
    raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))


def unwilling(value: Any, file: Any, save: Callable = torch.save) -> None:
    save(value | {"loops": Unwilling()}, file)


@pytest.mark.parametrize("fail, error", [(no_quota, files.DiskFull), (unwilling, pickle.PicklingError)])
def test_a_save_that_fails_keeps_the_models_of_the_epoch_before(
    project: Project, monkeypatch: pytest.MonkeyPatch, fail: Callable, error: type
) -> None:
    before = both(project)
    with monkeypatch.context() as patch, pytest.raises(error):
        patch.setattr(torch, "save", fail)
        trained(project, resume=True, epochs=5)
    check_what_is_left(project, before)
    assert len(content(project.models / LAST)["trailer_lib"]["history"]) == 5
