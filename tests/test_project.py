"""Opening a project: which root is chosen, on Colab too, and that opening writes nothing."""

import sys
from pathlib import Path

import pytest

from trailer_lib import Project, TrailerError

REPOSITORY = Path(__file__).resolve().parent.parent


def test_a_root_that_does_not_exist_is_refused_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(TrailerError, match="nowhere is not a directory"):
        Project.open(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_a_file_is_no_root(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TrailerError, match="is not a directory"):
        Project.open(tmp_path / "file")


def test_opening_and_asking_for_folders_and_settings_writes_nothing(tmp_path: Path) -> None:
    project = Project.open(tmp_path)
    project.settings("scrape")
    assert {project.excels, project.images, project.dataset, project.models} == {
        tmp_path / name for name in ("excels", "images", "dataset", "models")
    }
    assert list(tmp_path.iterdir()) == []


def test_on_colab_the_folder_on_the_drive_is_mounted_made_and_used(mounts: list[str], tmp_path: Path) -> None:
    assert Project.open(drive="trailers").root == tmp_path / "drive" / "MyDrive" / "trailers"
    assert mounts == [str(tmp_path / "drive")]


def test_on_colab_an_argument_or_the_environment_needs_no_drive(
    mounts: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert Project.open(tmp_path, drive="trailers").root == tmp_path
    monkeypatch.setenv("TRAILER_ROOT", str(tmp_path))
    assert Project.open(drive="trailers").root == tmp_path
    assert mounts == []


def test_elsewhere_the_drive_folder_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "google.colab", raising=False)
    assert Project.open(drive="trailers").root == REPOSITORY
