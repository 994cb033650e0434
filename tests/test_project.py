"""Opening a project: which root is chosen, on Colab too, and that opening writes nothing."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

import trailer_lib.project
from trailer_lib import Project, TrailerError

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture
def mounts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """As on Colab, its drive under tmp_path; the list of what was mounted."""
    mounted: list[str] = []
    colab = ModuleType("google.colab")
    colab.drive = SimpleNamespace(mount=mounted.append)
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    monkeypatch.setattr(trailer_lib.project, "COLAB_DRIVE", tmp_path / "drive" / "MyDrive")
    return mounted


def test_the_argument_is_the_root_else_the_environments_else_the_repository(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "root").mkdir()
    monkeypatch.chdir(tmp_path)
    assert Project.open().root == REPOSITORY
    monkeypatch.setenv("TRAILER_ROOT", str(tmp_path))
    assert Project.open().root == tmp_path
    project = Project.open("root")
    monkeypatch.chdir("/")
    assert project.root == tmp_path / "root"
    project.settings("scrape")
    for name in ("excels", "images", "dataset", "models"):
        assert getattr(project, name) == tmp_path / "root" / name
    assert list(project.root.iterdir()) == []  # nothing is written


@pytest.mark.parametrize("name", ["nowhere", "file"])
def test_a_root_that_is_no_directory_is_refused_and_not_made(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TrailerError, match=f"{name} is not a directory: make it"):
        Project.open(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_on_colab_the_folder_on_the_drive_is_mounted_unless_another_is_named(
    mounts: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert Project.open(drive="trailers").root == tmp_path / "drive" / "MyDrive" / "trailers"
    assert mounts == [str(tmp_path / "drive")]
    mounts.clear()
    assert Project.open(tmp_path, drive="trailers").root == tmp_path
    monkeypatch.setenv("TRAILER_ROOT", str(tmp_path))
    assert Project.open(drive="trailers").root == tmp_path
    assert mounts == []
    monkeypatch.delitem(sys.modules, "google.colab")
    monkeypatch.delenv("TRAILER_ROOT")
    assert Project.open(drive="trailers").root == REPOSITORY  # elsewhere the drive is passed over
