"""The committed notebooks: thin, clean, small; and nbval notices when one draws nothing or counts otherwise."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("[0-9]_*.ipynb"))
DIRTY = ("/root/", "/home/", "/tmp/", "/work/", "/content/", "C:\\\\", "Warning", "it/s]", "?film/s", "widget-view")
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code_cells(path: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def test_there_are_three() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["1_scrape", "2_create_dataset", "3_train"]


@every_notebook
def test_no_cell_is_longer_than_15_lines(path: Path) -> None:
    assert max(len(cell.source.splitlines()) for cell in code_cells(path)) <= 15


@every_notebook
def test_it_is_committed_executed_and_small(path: Path) -> None:
    pictures = [output for cell in code_cells(path) for output in cell.outputs if "image/png" in output.get("data", {})]
    assert len(pictures) >= 2
    assert path.stat().st_size < 600_000


@every_notebook
def test_its_outputs_hold_no_paths_warnings_or_bars(path: Path) -> None:
    outputs = [output for cell in code_cells(path) for output in cell.outputs]
    text = json.dumps([{**output, "data": without_pictures(output)} for output in outputs])
    assert not [word for word in DIRTY if word in text]
    assert not [output for output in outputs if output.get("name") == "stderr"]


def without_pictures(output: nbformat.NotebookNode) -> dict:
    return {kind: value for kind, value in output.get("data", {}).items() if not kind.startswith("image/")}


@every_notebook
def test_at_least_three_outputs_are_compared(path: Path) -> None:
    compared = [cell for cell in code_cells(path) if "nbval-check-output" in cell.metadata.get("tags", [])]
    assert len(compared) >= 3 and all(cell.outputs for cell in compared)


@every_notebook
def test_every_setting_of_the_stage_stands_in_it_at_its_default(path: Path) -> None:
    from trailer_lib.settings import STAGES

    stage = {"1_scrape": "scrape", "2_create_dataset": "dataset", "3_train": "train"}[path.stem]
    lines = [line.strip() for cell in code_cells(path) for line in cell.source.splitlines()]
    stands = dict(choice(line) for line in lines if CHOICE.match(line))
    assert stands == STAGES[stage]().as_dict()


CHOICE = re.compile(r"# \w+=.*,  # ")  # a commented-out setting, and beside it what else it may be


def choice(line: str) -> tuple[str, object]:
    [keyword] = ast.parse(f"dict({line.removeprefix('# ')}\n)", mode="eval").body.keywords
    return keyword.arg, ast.literal_eval(keyword.value)


def test_a_line_of_a_settings_cell_is_read_as_it_stands() -> None:
    assert choice("# betas=(0.9, 0.999),  # (0.9, 0.9), the original's") == ("betas", (0.9, 0.999))
    assert choice('# weights="DEFAULT",  # "none"') == ("weights", "DEFAULT")


DATASET = FOLDER / "2_create_dataset.ipynb"
BROKEN = {
    "another count": ('data.card["films"], ', 'data.card["films"] - 1, '),
    "no figure": ("plots.score_histogram(data.films)", "None"),
}


@pytest.fixture(scope="module")
def committed(tmp_path_factory: pytest.TempPathFactory, frames_root: Path) -> Path:
    """Notebook 2 as it would be committed after a run on a small root of made frames, beside that root."""
    folder = tmp_path_factory.mktemp("nbval")
    shutil.copytree(frames_root, folder / "root")
    shutil.copy(DATASET, folder / "committed.ipynb")
    convert = ["nbconvert", "--to", "notebook", "--execute", "--inplace", "committed.ipynb"]
    subprocess.run(
        [sys.executable, "-m", *convert], check=True, capture_output=True, cwd=folder, env=environment(folder)
    )
    return folder / "committed.ipynb"


def environment(folder: Path) -> dict[str, str]:
    return os.environ | {"TRAILER_ROOT": str(folder / "root")}


def nbval(path: Path) -> int:
    words = ["-q", "--nbval-lax", "--nbval-current-env", "-p", "no:cacheprovider", path.name]
    run = subprocess.run([sys.executable, "-m", "pytest", *words], cwd=path.parent, env=environment(path.parent))
    return run.returncode


def test_nbval_accepts_a_rerun(committed: Path) -> None:
    assert nbval(committed) == 0


@pytest.mark.parametrize("old, new", BROKEN.values(), ids=BROKEN.keys())
def test_nbval_refuses_a_broken_copy(committed: Path, old: str, new: str) -> None:
    notebook = nbformat.read(committed, as_version=4)
    cell = next(cell for cell in notebook.cells if old in cell.source)
    cell.source = cell.source.replace(old, new)
    nbformat.write(notebook, committed.parent / "broken.ipynb")
    assert nbval(committed.parent / "broken.ipynb") == 1
