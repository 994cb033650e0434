"""Schemes over the same folds: each fold trained once and resumed, one table, nothing trained when one is wrong."""

import json
import shutil
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import FILMS, SETTINGS
from training_runs import Copy, Stop, few_resamples  # noqa: F401

from trailer_lib.dataset import dataset
from trailer_lib.dataset.dataset import Dataset
from trailer_lib.errors import Stopped, TrailerError
from trailer_lib.evaluation import metrics, results
from trailer_lib.project import Project
from trailer_lib.settings import SCHEMES as SCHEMES_OF
from trailer_lib.settings import TrainSettings
from trailer_lib.training import checkpoints, comparison, run

FOLDS = 3
SCHEMES = {"three frames": {"epochs": 2}, "one frame": {"epochs": 1, "frames": 1}}


@pytest.fixture(scope="module")
def compared(dataset_root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """A root whose two schemes are trained on three folds, and the result; not to be changed."""
    root = tmp_path_factory.mktemp("compared") / "root"
    shutil.copytree(dataset_root, root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "RESAMPLES", 50)
        return root, comparison.compare(Project(root), SCHEMES, FOLDS)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folds that are trained during a test, as scheme/fold."""
    started: list[str] = []

    def watched(*inputs: Any, resume: bool) -> None:
        *_, models = inputs
        started.append(f"{models.parent.name}/{models.name[-1]}")
        run.fit(*inputs, lambda history: None, resume)

    monkeypatch.setattr(comparison, "fit", watched)
    return started


def all_folds(*names: str) -> list[str]:
    return [f"{name}/{fold}" for name in names for fold in range(FOLDS)]


def folder(project: Project, scheme: str, fold: int) -> Path:
    return project.models / "schemes" / scheme / f"repeat 0 fold {fold}"


def test_a_fold_is_trained_without_a_test_and_the_final_comparison_takes_in_the_test_films_and_counts_it(
    dataset_root: Path, copy_of: Copy, runs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted, whole = [], comparison.evaluation.fit_metadata
    monkeypatch.setattr(comparison.evaluation, "fit_metadata", lambda train: fitted.append(1) or whole(train))
    project, scheme = copy_of(dataset_root), {"dead": {"epochs": 1, "lr": 0.0, "frames": 1}}
    for times in (1, 2):
        found = comparison.compare(project, scheme, FOLDS, final=True)
        assert found["films"] == FILMS and f"have been scored {times} times" in found["warnings"][0]
        assert sum(fitted) == times * FOLDS  # once a fold, whatever the number of schemes
    assert runs == all_folds("dead")
    left = {path.name for path in folder(project, "dead", 0).iterdir()}
    assert left == {checkpoints.HISTORY, checkpoints.SETTINGS, comparison.FOLD}
    assert results.comparison_table(found).remark["dead: frames"] != ""


def test_the_table_ranks_the_schemes_above_the_baselines(compared: tuple) -> None:
    table, best = results.comparison_table(compared[1]), compared[1]["best"]
    assert [row.split(": ")[0] for row in table.index[:2]] == [best] * 2
    sources = [f"{scheme}: {row}" for scheme in SCHEMES for row in ("frames", "all")]
    assert {*table.index[:4]} == {*sources} and list(table.index[4:]) == ["metadata", "mean baseline", "genre only"]
    values = {row: float(cell.split()[0]) for row, cell in table.nMSE.items()}
    assert values[f"{best}: all"] == min(values[f"{scheme}: all"] for scheme in SCHEMES)
    minus = table["nMSE minus the best's"]
    assert [row for row in table.index[:4] if minus[row]] == [row for row in sources if not row.startswith(best)]
    assert [row for row in table.index if table["minus frames' or metadata's"][row]] == [
        row for row in table.index if row.endswith(": all")
    ]
    assert all(table.seconds[f"{scheme}: all"] > 0 for scheme in SCHEMES) and list(table.seconds[4:]) == ["", "", ""]


def test_metrics_and_differences_are_of_predictions_by_models_that_had_not_seen_the_film(compared: tuple) -> None:
    root, found = compared
    films = Dataset.open(Project(root)).without("test").films
    assert found["films"] == len(films) < FILMS and found["warnings"] == []
    assigned = dataset.assign_folds(films.youtube_id, FOLDS, 0, "trailer")
    for name, row in product(SCHEMES, ("frames", "all")):
        points = np.full(len(films), np.nan)
        for fold in range(FOLDS):
            predicted = json.loads((folder(Project(root), name, fold) / comparison.FOLD).read_text())["predicted"]
            assert {*predicted} == {"frames", "metadata", "all"}
            points[assigned == fold] = predicted[row]
        nmse = metrics.nmse(films.score.to_numpy(), points)
        assert found["metrics"][f"{name}: {row}"]["nMSE"]["value"] == pytest.approx(nmse)
    best, other = sorted(SCHEMES, key=lambda name: found["metrics"][f"{name}: all"]["nMSE"]["value"])
    value = {row: metric["nMSE"]["value"] for row, metric in found["metrics"].items()}
    assert found["best"] == best
    for row, than in ((f"{other}: all", f"{best}: all"), (f"{best}: all", "metadata")):
        assert metrics.difference(found, row, than).value == pytest.approx(value[row] - value[than])


def test_fewer_films_are_tried_with_the_same_features(dataset_root: Path, copy_of: Copy) -> None:
    project, data = copy_of(dataset_root), Dataset.open(Project(dataset_root))
    everything = data.with_split(["train"] * 20 + ["val"] * 10)
    table = comparison.fewer_films(project, project.settings("train", scheme="frozen", frames=2), everything, draws=3)
    assert table.groupby("films").size().to_dict() == {10: 3, 20: 1}
    assert table[table.films == 10].val_loss.nunique() == 3
    assert comparison.films_sentence(table).startswith("From 10 to 20 train films the validation loss went from ")
    assert "20 train films are too few" in comparison.films_sentence(table[table.films == 20])
    table.attrs["val_films"] = 4
    assert comparison.films_sentence(table).startswith("4 validation films are too few")


def test_only_what_is_new_or_changed_is_trained_and_a_line_says_so(
    compared: tuple, copy_of: Copy, runs: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    project, one = copy_of(compared[0]), {"one frame": SCHEMES["one frame"]}
    assert comparison.compare(project, SCHEMES, FOLDS) == compared[1] and runs == []
    assert comparison.compare(project, one, FOLDS, repeats=2)["repeats"] == 2
    assert runs == all_folds("one frame")  # of the second repeat alone
    (project.root / "settings.toml").write_text(SETTINGS.replace("lr = 1e-3", "lr = 1e-4"))
    comparison.compare(project, SCHEMES | {"three frames": {"epochs": 2, "lr": 1e-3}}, FOLDS)
    assert runs[FOLDS:] == all_folds("one frame")
    data = Dataset.open(project)
    comparison.compare(project, one, FOLDS, data=replace(data, films=data.films.assign(genres="Drama")))
    assert runs[2 * FOLDS :] == all_folds("one frame")
    reasons = [line.partition("scheme 'one frame' is trained anew: ")[2] for line in caplog.messages]
    assert reasons == ["lr=0.0001, not 0.001", "other films or folds than it was started with"]


def test_a_damaged_result_or_one_of_other_settings_is_trained_anew(
    compared: tuple, copy_of: Copy, runs: list[str]
) -> None:
    project = copy_of(compared[0])
    for fold, text in enumerate(["[]", "{", '{"seconds": 1, "predicted": {}, "wanted": {}}']):
        (folder(project, "one frame", fold) / comparison.FOLD).write_text(text)
    (folder(project, "one frame", 0) / checkpoints.LAST).write_bytes(b"of another scheme")
    comparison.compare(project, SCHEMES, FOLDS)
    assert runs == all_folds("one frame")


def test_a_training_that_was_stopped_is_resumed(
    dataset_root: Path, copy_of: Copy, monkeypatch: pytest.MonkeyPatch, compared: tuple
) -> None:
    project, resumed = copy_of(dataset_root), []

    def stopped_once(*inputs: Any, resume: bool) -> None:
        resumed.append(resume)
        run.fit(*inputs, Stop(1) if len(resumed) == 1 else (lambda history: None), resume)

    monkeypatch.setattr(comparison, "fit", stopped_once)
    scheme = {"three frames": SCHEMES["three frames"]}
    with pytest.raises(Stopped):
        comparison.compare(project, scheme, FOLDS)
    found = comparison.compare(project, scheme, FOLDS)
    assert resumed == [False, True, False, False]
    row = "three frames: all"
    assert found["metrics"][row] == compared[1]["metrics"][row]
    assert found["seconds"] == {"three frames": None}  # what was lost at the stops is not known


@pytest.mark.parametrize(
    "name, scheme, text",
    [
        ("misspelt", {"epoch": 1}, "did you mean 'epochs'"),
        ("wrong", {"epochs": "many"}, "expected int"),
        ("contradictory", {"freeze": "backbone", "head": "ridge", "noise": 1.0}, "has no effect"),
        ("mean baseline", {}, "name is that of another row"),
        ("a_b", {}, "name is that of another row"),
    ],
)
def test_a_wrong_scheme_is_an_error_at_once(
    dataset_root: Path, runs: list[str], name: str, scheme: dict, text: str
) -> None:
    with pytest.raises(TrailerError, match=text):
        comparison.compare(Project(dataset_root), {"a/b": {"epochs": 1}, name: scheme}, FOLDS)
    assert runs == []


@pytest.mark.parametrize("folds, text", [(2, "at least 3"), (25, "take fewer folds, or more films")])
def test_folds_of_too_few_films_are_an_error(dataset_root: Path, runs: list[str], folds: int, text: str) -> None:
    with pytest.raises(TrailerError, match=text) as caught:
        comparison.compare(Project(dataset_root), SCHEMES, folds)
    assert runs == [] and "\n" not in str(caught.value)


@pytest.mark.parametrize("text", [None, "", "[", 'five = "frames"\n[other]\nframes = 3'])
def test_a_file_without_schemes_is_an_error_that_names_it(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "schemes.toml").write_text(text)
    with pytest.raises(TrailerError, match=r"schemes\.toml"):
        comparison.read_schemes(tmp_path / "schemes.toml")


def test_schemes_are_found_by_name_and_the_users_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert comparison.find_schemes("original.toml").parent == Path(comparison.__file__).parent
    (tmp_path / "original.toml").write_text('["one frame"]\nframes = 1\n[plain]\n')
    assert comparison.read_schemes(Path("original.toml")) == {"one frame": {"frames": 1}, "plain": {}}
    for name in ("original.toml", "none.toml", "elsewhere/schemes.toml"):
        assert comparison.find_schemes(name) == Path(name)


def settings_of(name: str) -> dict[str, TrainSettings]:
    schemes = comparison.read_schemes(comparison.find_schemes(name))
    return {scheme: TrainSettings.layered({"this cell": chosen}, SCHEMES_OF) for scheme, chosen in schemes.items()}


@pytest.mark.parametrize("name, count", [("schemes.toml", 8), ("original.toml", 32)])
def test_the_librarys_schemes_are_accepted_and_differ(name: str, count: int) -> None:
    schemes = settings_of(name)
    assert len(schemes) == len(set(schemes.values())) == count
    for settings in schemes.values():
        settings.refuse_idle()
        run.refuse_contradictions(settings)


def test_the_originals_table_is_its_own_scheme_but_for_what_it_varied() -> None:
    original = TrainSettings.layered({"": {"scheme": "original"}}, SCHEMES_OF)
    names = ("reorder_frames", "other_frames", "noise")
    varied = {name: getattr(original, name) for name in ("backbone", "frames", *names)}
    schemes = list(settings_of("original.toml").values())
    assert all(replace(scheme, **varied) == original for scheme in schemes)
    assert {scheme.backbone for scheme in schemes} == {"resnet18", "resnet50", "vgg16", "vgg19"}
    assert {scheme.frames for scheme in schemes} == {5, 15}
    assert [sum(bool(getattr(scheme, name)) for scheme in schemes) for name in names] == [8, 8, 8]
