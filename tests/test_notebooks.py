"""The committed notebooks: thin, clean, small; and nbval notices when one draws nothing or counts otherwise."""

import json
import subprocess
import sys
from collections.abc import Callable
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
    compared = [cell for cell in code_cells(path) if cell.source.startswith("# NBVAL_CHECK_OUTPUT")]
    assert len(compared) >= 3 and all(cell.outputs for cell in compared)


@every_notebook
def test_every_setting_of_the_stage_stands_in_it_at_its_default(path: Path) -> None:
    from trailer_lib.settings import STAGES

    stage = {"1_scrape": "scrape", "2_create_dataset": "dataset", "3_train": "train"}[path.stem]
    lines = [line.strip() for cell in code_cells(path) for line in cell.source.splitlines()]
    for name, value in STAGES[stage]().as_dict().items():
        assert [line for line in lines if line.startswith(f"# {name}=") and shown(value) in line], name


def shown(value: object) -> str:
    return {3e-4: "3e-4", 1e-8: "1e-8"}.get(value, json.dumps(value)) if isinstance(value, float | str) else repr(value)


TINY = """
# NBVAL_CHECK_OUTPUT
import matplotlib.pyplot as plt
print({count}, "films")
{draw}
"""
DRAW = "figure = plt.figure(figsize=(2, 1)); figure.add_subplot().plot([1, 2]); plt.close(figure); figure"


@pytest.fixture(scope="module")
def nbval_passes(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], bool]:
    """Whether nbval is content with a notebook that was committed with 72 films and a figure, and now runs `source`."""
    folder = tmp_path_factory.mktemp("nbval")
    committed = folder / "committed.ipynb"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(TINY.format(count=72, draw=DRAW))])
    nbformat.write(notebook, committed)
    convert = [sys.executable, "-m", "nbconvert", "--to", "notebook", "--execute", "--inplace", str(committed)]
    subprocess.run(convert, check=True, capture_output=True)

    def passes(source: str) -> bool:
        broken = nbformat.read(committed, as_version=4)
        broken.cells[0].source = source
        nbformat.write(broken, folder / "now.ipynb")
        words = ["-q", "--nbval-lax", "--nbval-current-env", "-p", "no:cacheprovider", str(folder / "now.ipynb")]
        return subprocess.run([sys.executable, "-m", "pytest", *words], capture_output=True).returncode == 0

    return passes


def test_nbval_accepts_the_same_count_and_figure(nbval_passes: Callable[[str], bool]) -> None:
    assert nbval_passes(TINY.format(count=72, draw=DRAW))


@pytest.mark.parametrize("count, draw", [(71, DRAW), (72, "")], ids=["another count", "no figure"])
def test_nbval_refuses_a_broken_copy(nbval_passes: Callable[[str], bool], count: int, draw: str) -> None:
    assert not nbval_passes(TINY.format(count=count, draw=draw))
