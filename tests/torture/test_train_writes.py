"""T2: a checkpoint whose writing fails, at any write, leaves the one before, whole, and gives the reason in a line."""

import errno
import os
import shutil
from pathlib import Path
from typing import BinaryIO

import pytest
import torch
from conftest import amount
from training_runs import content, few_resamples, trained  # noqa: F401

from trailer_lib import files
from trailer_lib.networks import model_file
from trailer_lib.networks.model_file import read_model
from trailer_lib.project import Project
from trailer_lib.training import checkpoints
from trailer_lib.training.checkpoints import BEST, LAST

SAVE = torch.save
WRITES = [1, *range(2, 60, 3)][:20] if amount(1, 0) else [22]


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
        patch.setattr(checkpoints, "save_tensors", full)
        patch.setattr(model_file, "save_tensors", full)
        patch.setattr(checkpoints, "best_epoch", lambda history: len(history) - 1)
        trained(project, resume=True, epochs=5)
    assert str(caught.value).startswith(f"{project.models / name}: the disk is full: ")
    assert "\n" not in str(caught.value)
    check_what_is_left(project, before)
