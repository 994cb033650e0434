"""The shape of the package: light imports, no import circles, every file says what it is."""

import ast
import subprocess
import sys
from dataclasses import fields
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import trailer_lib
from trailer_lib.settings import STAGES

PACKAGE = Path(trailer_lib.__file__).parent
MODULES = sorted(PACKAGE.glob("*.py"))
HEAVY = {"torch", "torchvision", "lightning", "matplotlib", "pandas", "scipy", "sklearn", "av", "yt_dlp", "gradio"}


def loaded_by(*arguments: str) -> set[str]:
    """The top-level packages that a fresh interpreter has imported when it is through with `arguments`."""
    command = [sys.executable, "-X", "importtime", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    rows = [line.split("|")[-1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {name.split(".")[0] for name in rows}


def imported(source: str, siblings: set[str]) -> set[str]:
    """Which of `siblings`, the package's modules, a module's text imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module == "trailer_lib":
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").removeprefix("trailer_lib."))
        elif isinstance(node, ast.Import):
            names |= {alias.name.removeprefix("trailer_lib.") for alias in node.names}
    return names & siblings


def import_order(sources: dict[str, str]) -> list[str]:
    """The modules in an order in which each comes after those it imports; CycleError when there is none."""
    return list(
        TopologicalSorter({name: imported(text, set(sources)) for name, text in sources.items()}).static_order()
    )


def test_importing_the_library_loads_nothing_heavy() -> None:
    loaded = loaded_by("-c", "import trailer_lib")
    assert "trailer_lib" in loaded
    assert not loaded & HEAVY


@pytest.mark.parametrize("words", [["--help"], ["train", "--help"], ["predict", "--help"], ["app", "--help"]])
def test_help_loads_nothing_heavy(words: list[str]) -> None:
    loaded = loaded_by("-m", "trailer_lib", *words)
    assert "argparse" in loaded
    assert not loaded & HEAVY


def test_a_heavy_import_is_noticed() -> None:
    assert "pandas" in loaded_by("-c", "import trailer_lib.catalog")


def test_the_modules_import_one_another_without_a_circle() -> None:
    sources = {path.stem: path.read_text(encoding="utf-8") for path in MODULES if path.stem != "__init__"}
    order = import_order(sources)
    assert order.index("settings") < order.index("dataset") < order.index("train") < order.index("__main__")


@pytest.mark.parametrize(
    "line", ["import trailer_lib.one", "from trailer_lib import one", "from trailer_lib.one import f"]
)
def test_a_circle_is_noticed_even_inside_a_function(line: str) -> None:
    with pytest.raises(CycleError):
        import_order({"one": "from trailer_lib import two", "two": f"def f():\n    {line}"})


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_every_module_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def test_the_readme_lists_every_setting_with_its_default() -> None:
    text = (Path(__file__).resolve().parent.parent / "README.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")[1:5]] for line in text.splitlines() if line.startswith("| ")]
    listed = {
        (stage, name.strip("`")): default.strip("`") for stage, name, default, _ in (r for r in rows if len(r) == 4)
    }
    for stage, kind in STAGES.items():
        for item in fields(kind):
            assert listed[stage, item.name] == repr(item.default).replace("'", '"')
