"""The committed notebooks: thin, clean, small; and nbval notices when one draws nothing or counts otherwise."""

import ast
import json
import re
import shutil
import subprocess
import sys
from copy import deepcopy
from dataclasses import fields
from pathlib import Path

import nbformat
import pytest
from conftest import amount
from nbclient import NotebookClient

from trailer_lib.settings import STAGES, TrainSettings

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"
NOTEBOOKS = [FOLDER / f"{name}.ipynb" for name in ("1_scrape", "2_create_dataset", "3_train")]
_, DATASET, TRAIN = NOTEBOOKS
DIRTY = ("/root/", "/home/", "/tmp/", "/work/", "/content/", "C:\\\\", "Warning", "it/s]", "?film/s", "widget-view")
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code_cells(path: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


@every_notebook
def test_it_is_committed_executed_small_and_clean(path: Path) -> None:
    assert max(len(cell.source.splitlines()) for cell in code_cells(path)) <= 15
    assert path.stat().st_size < 600_000
    outputs = [output for cell in code_cells(path) for output in cell.outputs]
    assert sum("image/png" in output.get("data", {}) for output in outputs) >= 2
    text = json.dumps([{**output, "data": without_pictures(output)} for output in outputs])
    assert not [word for word in DIRTY if word in text]
    assert not [output for output in outputs if output.get("name") == "stderr"]


def without_pictures(output: nbformat.NotebookNode) -> dict:
    return {kind: value for kind, value in output.get("data", {}).items() if not kind.startswith("image/")}


@every_notebook
def test_at_least_three_outputs_are_compared(path: Path) -> None:
    compared = [cell for cell in code_cells(path) if "nbval-check-output" in cell.metadata.get("tags", [])]
    assert len(compared) >= 3 and all(cell.outputs for cell in compared)


@pytest.mark.parametrize("path", NOTEBOOKS[:2], ids=lambda path: path.stem)
def test_every_setting_of_the_stage_stands_in_it_at_its_default(path: Path) -> None:
    """Commented out, a line each, and beside it what else it may be."""
    stage = {"1_scrape": "scrape", "2_create_dataset": "dataset"}[path.stem]
    source = "\n".join(cell.source for cell in code_cells(path))
    stands = re.findall(r"^ *# (\w+)=(.*),  # ", source, re.MULTILINE)
    assert {name: ast.literal_eval(value) for name, value in stands} == STAGES[stage]().as_dict()


def test_the_training_settings_that_people_change_stand_at_their_defaults_with_choices() -> None:
    [source] = [cell.source for cell in code_cells(TRAIN) if cell.source.startswith("# @title Change")]
    stands = dict(re.findall(r"^(\w+) = (.+?)  # @param ", source, re.MULTILINE))
    assert [*stands] == [item.name for item in fields(TrainSettings)[:13]]
    assert TrainSettings(**{name: ast.literal_eval(value) for name, value in stands.items()}) == TrainSettings()


NO_FLIP = 'project.settings("train", chosen, flip=False)'
OPENED, SPLIT = "data = Dataset.open(project)", "data.with_split([*data.films.split[1:], data.films.split[0]])"
# Each copy: what is changed in it, and the first words of the cells that nbval must refuse; it accepts all others.
BROKEN = {
    "another count, no figure": (
        DATASET,
        {"{card['films']} films": "{card['films'] - 1} films", "plots.score_histogram(data.films)": "None"},
        ["data = dataset.build", "plots.score_histogram"],
    ),
    "empty axes, a dead augmentation": (
        TRAIN,
        {
            "print(run, live": "live.figure.axes[0].clear(); print(run, live",
            "batch(data, settings)": f"batch(data, {NO_FLIP})",
        },
        ["print(run, live", "films[["],
    ),
    "another split": (TRAIN, {OPENED: f"{OPENED}\ndata = {SPLIT}"}, ["films[[", "run.history"]),
}


@pytest.mark.skipif(not amount(1, 0), reason="long: TORTURE=1")
@pytest.mark.parametrize("original", [DATASET, TRAIN], ids=lambda path: path.stem)
def test_nbval_refuses_each_cell_that_differs_from_a_committed_run_and_no_other(
    tmp_path: Path, frames_root: Path, dataset_root: Path, monkeypatch: pytest.MonkeyPatch, original: Path
) -> None:
    """A notebook as committed after a run on a small root of made frames, and copies with faults in them."""
    root = shutil.copytree(frames_root if original == DATASET else dataset_root, tmp_path / "root")
    monkeypatch.setenv("TRAILER_ROOT", str(root))
    notebook = nbformat.read(original, as_version=4)
    if original == TRAIN:  # up to the numbers of the curve: what follows takes longer and is compared in the same way
        quick = "[train]\nbackbone = 'squeezenet1_1'\nweights = 'none'\nframes = 2\nepochs = 2\nlr = 1e-3\n"
        (root / "settings.toml").write_text(quick)
        last = next(place for place, cell in enumerate(notebook.cells) if cell.source.startswith("run.history"))
        notebook.cells = notebook.cells[: last + 1]
    NotebookClient(notebook, resources={"metadata": {"path": tmp_path}}).execute()
    expected = {}
    for name, (path, changes, refused) in BROKEN.items():
        if path == original:
            broken = deepcopy(notebook)
            expected[f"{name}.ipynb"] = {cell_number(broken, words) for words in refused}
            for old, new in changes.items():
                cell = next(cell for cell in broken.cells if cell.cell_type == "code" and old in cell.source)
                cell.source = cell.source.replace(old, new)
            nbformat.write(broken, tmp_path / f"{name}.ipynb")
    failed = nbval(tmp_path)
    # Another split also shows in cells whose figures happen to differ.
    assert failed.pop("another split.ipynb", set()) >= expected.pop("another split.ipynb", set())
    assert failed == expected


def nbval(folder: Path) -> dict[str, set[int]]:
    """The notebooks in a folder that nbval refuses, and the numbers of the cells."""
    shutil.rmtree(folder / "root" / "models", ignore_errors=True)  # curves of earlier runs would stand beside the new
    words = ["-q", "-rf", "--nbval-lax", "--nbval-current-env", "-p", "no:cacheprovider"]
    names = sorted(path.name for path in folder.glob("*.ipynb"))
    run = subprocess.run([sys.executable, "-m", "pytest", *words, *names], cwd=folder, capture_output=True, text=True)
    refused: dict[str, set[int]] = {}
    for name, number in re.findall(r"^FAILED (.+\.ipynb)::.*Cell (\d+)", run.stdout, re.MULTILINE):
        refused.setdefault(name, set()).add(int(number))
    return refused


def cell_number(notebook: nbformat.NotebookNode, words: str) -> int:
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return next(number for number, cell in enumerate(cells) if cell.source.startswith(words))
