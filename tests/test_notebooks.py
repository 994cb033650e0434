"""The committed notebooks: thin, clean, small; and nbval notices when one draws nothing or counts otherwise."""

import ast
import json
import re
import shutil
import subprocess
import sys
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
    stage = {"1_scrape": "scrape", "2_create_dataset": "dataset"}[path.stem]
    lines = [line.strip() for cell in code_cells(path) for line in cell.source.splitlines()]
    stands = dict(choice(line) for line in lines if CHOICE.match(line))
    assert stands == STAGES[stage]().as_dict()


def test_the_training_settings_that_people_change_stand_at_their_defaults_with_choices() -> None:
    [source] = [cell.source for cell in code_cells(TRAIN) if cell.source.startswith("# @title Change")]
    stands = dict(re.findall(r"^(\w+) = (.+?)  # @param ", source, re.MULTILINE))
    assert [*stands] == [item.name for item in fields(TrainSettings)[:13]]
    assert TrainSettings(**{name: ast.literal_eval(value) for name, value in stands.items()}) == TrainSettings()


CHOICE = re.compile(r"# \w+=.*,  # ")  # a commented-out setting, and beside it what else it may be


def choice(line: str) -> tuple[str, object]:
    [keyword] = ast.parse(f"dict({line.removeprefix('# ')}\n)", mode="eval").body.keywords
    return keyword.arg, ast.literal_eval(keyword.value)


# What is changed in a copy, and the first words of the cells that nbval must refuse; it accepts all others.
FAULTS = {"{card['films']} films": "{card['films'] - 1} films", "plots.score_histogram(data.films)": "None"}
REFUSED = ["data = dataset.build", "plots.score_histogram"]


@pytest.mark.skipif(not amount(1, 0), reason="long: TORTURE=1")
def test_nbval_refuses_each_cell_that_differs_from_a_committed_run_and_no_other(
    tmp_path: Path, frames_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a notebook as committed after a run on made frames: a copy that counts otherwise and draws nothing."""
    monkeypatch.setenv("TRAILER_ROOT", str(shutil.copytree(frames_root, tmp_path / "root")))
    notebook = nbformat.read(DATASET, as_version=4)
    NotebookClient(notebook, resources={"metadata": {"path": tmp_path}}).execute()
    sources = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    expected = {number for number, source in enumerate(sources) if source.startswith(tuple(REFUSED))}
    for old, new in FAULTS.items():
        cell = next(cell for cell in notebook.cells if cell.cell_type == "code" and old in cell.source)
        cell.source = cell.source.replace(old, new)
    nbformat.write(notebook, tmp_path / "broken.ipynb")
    words = ["-q", "-rf", "--nbval-lax", "--nbval-current-env", "-p", "no:cacheprovider", "broken.ipynb"]
    run = subprocess.run([sys.executable, "-m", "pytest", *words], cwd=tmp_path, capture_output=True, text=True)
    refused = re.findall(r"^FAILED broken\.ipynb::.*Cell (\d+)", run.stdout, re.MULTILINE)
    assert {int(number) for number in refused} == expected and len(expected) == 2
