"""Several schemes in one table: each trained once, the baselines below, nothing trained when a scheme is wrong."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from trailer_lib import compare, dataset, evaluate, train
from trailer_lib.errors import TrailerError
from trailer_lib.project import Project
from trailer_lib.settings import TrainSettings

Copy = Callable[[Path], Project]
SCHEMES = {"three frames": {"epochs": 1}, "one frame": {"epochs": 1, "frames": 1}}


@pytest.fixture(scope="module")
def compared(dataset_root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    """A root whose two schemes are trained, and the table of them; not to be changed."""
    root = tmp_path_factory.mktemp("compared") / "root"
    shutil.copytree(dataset_root, root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate, "RESAMPLES", 50)
        return root, compare.compare(Project(root), SCHEMES)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The schemes that are trained during a test, by folder."""
    started, whole = [], train.train

    def watched(project: Project, settings: TrainSettings, models: Path) -> train.Run:
        started.append(models.name)
        return whole(project, settings, on_epoch=lambda history: None, models=models)

    monkeypatch.setattr(train, "train", watched)
    monkeypatch.setattr(evaluate, "RESAMPLES", 50)
    return started


def test_the_table_ranks_the_schemes_above_the_baselines(compared: tuple[Path, pd.DataFrame]) -> None:
    table = compared[1]
    assert set(table.index[:2]) == set(SCHEMES)
    assert list(table.index[2:]) == ["constant", "genre only"]
    assert list(table.columns) == ["nMSE", "MAE", "R2", "Spearman", "seconds"]
    values = [float(cell.split()[0]) for cell in table.nMSE[:2]]
    assert values == sorted(values)
    assert (table.seconds[:2] >= 0).all() and list(table.seconds[2:]) == ["", ""]


def test_each_scheme_has_its_own_model(compared: tuple[Path, pd.DataFrame]) -> None:
    root, table = compared
    for name in SCHEMES:
        folder = root / "models" / "schemes" / name
        assert {train.BEST, train.LAST, train.HISTORY, train.RESULTS} <= {path.name for path in folder.iterdir()}
    assert table.nMSE["three frames"] != table.nMSE["one frame"]


def test_a_second_comparison_trains_nothing(
    compared: tuple[Path, pd.DataFrame], copy_of: Copy, runs: list[str]
) -> None:
    again = compare.compare(copy_of(compared[0]), SCHEMES)
    assert runs == []
    pd.testing.assert_frame_equal(again, compared[1])


def test_only_a_scheme_that_changed_is_trained_again(
    compared: tuple[Path, pd.DataFrame], copy_of: Copy, runs: list[str]
) -> None:
    compare.compare(copy_of(compared[0]), SCHEMES | {"one frame": {"epochs": 1, "frames": 1, "lr": 1e-4}})
    assert runs == ["one frame"]


def test_a_changed_settings_file_trains_all_again(
    compared: tuple[Path, pd.DataFrame], copy_of: Copy, runs: list[str]
) -> None:
    project = copy_of(compared[0])
    text = (project.root / "settings.toml").read_text()
    (project.root / "settings.toml").write_text(text.replace("batch = 8", "batch = 6"))
    compare.compare(project, SCHEMES)
    assert runs == list(SCHEMES)


def test_another_dataset_trains_all_again(compared: tuple[Path, pd.DataFrame], copy_of: Copy, runs: list[str]) -> None:
    project = copy_of(compared[0])
    dataset.build(project, project.settings("dataset", salt="another"))
    compare.compare(project, SCHEMES)
    assert runs == list(SCHEMES)


def test_frames_of_another_size_train_all_again(
    compared: tuple[Path, pd.DataFrame], copy_of: Copy, runs: list[str]
) -> None:
    project = copy_of(compared[0])
    dataset.build(project, project.settings("dataset", size=40))
    compare.compare(project, SCHEMES)
    assert runs == list(SCHEMES)


def test_a_damaged_result_is_trained_again(compared: tuple[Path, pd.DataFrame], copy_of: Copy, runs: list[str]) -> None:
    project = copy_of(compared[0])
    (project.models / "schemes" / "one frame" / train.RESULTS).write_text("{}")
    compare.compare(project, SCHEMES)
    assert runs == ["one frame"]


def test_a_training_that_was_stopped_is_done_again(
    compared: tuple[Path, pd.DataFrame], copy_of: Copy, runs: list[str]
) -> None:
    project = copy_of(compared[0])
    (project.models / "schemes" / "one frame" / train.RESULTS).unlink()
    compare.compare(project, SCHEMES)
    assert runs == ["one frame"]


@pytest.mark.parametrize(
    "schemes",
    [
        {"good": {"epochs": 1}, "misspelt": {"epoch": 1}},
        {"good": {"epochs": 1}, "wrong": {"epochs": "many"}},
        {"good": {"epochs": 1}, "constant": {"epochs": 1}},
        {"a/b": {"epochs": 1}, "a_b": {"epochs": 1, "frames": 1}},
    ],
    ids=["misspelt setting", "wrong value", "a baseline's name", "one folder for two"],
)
def test_a_wrong_scheme_is_an_error_before_any_is_trained(
    dataset_root: Path, copy_of: Copy, runs: list[str], schemes: dict
) -> None:
    with pytest.raises(TrailerError):
        compare.compare(copy_of(dataset_root), schemes)
    assert runs == []


@pytest.mark.parametrize("text", ["", "[", "frames = 5", 'five = "frames"\n[other]\nframes = 3', "\x00"])
def test_a_file_without_schemes_is_an_error_that_names_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "schemes.toml").write_text(text)
    with pytest.raises(TrailerError, match=r"schemes\.toml"):
        compare.read_schemes(tmp_path / "schemes.toml")


def test_a_missing_file_of_schemes_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TrailerError, match=r"none\.toml"):
        compare.read_schemes(tmp_path / "none.toml")


def test_a_file_of_schemes_is_read(tmp_path: Path) -> None:
    (tmp_path / "schemes.toml").write_text('["one frame"]\nframes = 1\n[plain]\n')
    assert compare.read_schemes(tmp_path / "schemes.toml") == {"one frame": {"frames": 1}, "plain": {}}


def test_the_librarys_own_schemes_are_six_different_settings() -> None:
    schemes = compare.read_schemes(compare.SCHEMES)
    settings = [TrainSettings(**scheme) for scheme in schemes.values()]
    assert len(settings) == 6
    # "5 frames" is the default written out, which the other five differ from.
    assert len(set(settings)) == 6 and TrainSettings() in settings
