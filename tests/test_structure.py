"""The shape of the package: nine rooms in one order, small files, light imports, a wheel that works elsewhere."""

import ast
import os
import shutil
import subprocess
import sys
import zipfile
from graphlib import TopologicalSorter
from pathlib import Path
from runpy import run_path

import trailer_lib

PACKAGE = Path(trailer_lib.__file__).parent
REPOSITORY = PACKAGE.parent
ROOMS = "catalog video scrape dataset networks evaluation training predict report".split()
FILES = sorted(PACKAGE.rglob("*.py"))
HEAVY = {"torch", "torchvision", "lightning", "matplotlib", "pandas", "scipy", "sklearn", "av", "yt_dlp", "gradio"}


def loaded_by(*arguments: str) -> set[str]:
    """The top-level packages that a fresh interpreter has imported when it is through with `arguments`."""
    command = [sys.executable, "-X", "importtime", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    rows = [line.split("|")[-1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {name.split(".")[0] for name in rows}


def imported(source: str) -> list[str]:
    """The modules of the package that a text imports, anywhere in it: "trailer_lib.catalog.titles"."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module == "trailer_lib":
            names += [f"trailer_lib.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("trailer_lib."):
            names.append(node.module)
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names if alias.name.startswith("trailer_lib")]
    return names


def backward_imports(room: str, source: str) -> list[str]:
    """The imports of a file of `room` that lead to a later room, or past another room's front door."""
    allowed = ROOMS[: ROOMS.index(room) + 1] if room else []
    wrong = []
    for name in imported(source):
        parts = name.split(".")
        if parts[1] in ROOMS and (parts[1] not in allowed or (parts[1] != room and len(parts) > 2)):
            wrong.append(name)
    return wrong


def room_of(path: Path) -> str:
    return path.parent.name if path.parent != PACKAGE else ""


def test_a_room_imports_only_from_rooms_before_it() -> None:
    rooms = [path for path in FILES if path.name not in ("__main__.py", "commands.py")]  # which stand above all rooms
    found = {path: backward_imports(room_of(path), path.read_text(encoding="utf-8")) for path in rooms}
    assert not any(found.values()), found


def test_no_file_imports_another_in_a_circle() -> None:
    files = {".".join(path.relative_to(REPOSITORY).with_suffix("").parts): path for path in FILES}
    order = {}
    for name, path in files.items():
        nodes = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.ImportFrom)]
        targets = {f"{node.module}.{alias.name}" for node in nodes for alias in node.names}
        order[name] = (targets | {node.module for node in nodes}) & set(files)
    assert set(TopologicalSorter(order).static_order()) == set(files)


def test_an_import_that_runs_back_is_named() -> None:
    for room, line in (
        ("video", "from trailer_lib.scrape import run"), ("dataset", "if x:\n  from trailer_lib import training"),
        ("", "import trailer_lib.catalog"), ("report", "from trailer_lib.video.decode import Frames"),
    ):  # fmt: skip
        assert len(backward_imports(room, line)) == 1


def test_every_room_says_what_goes_in_and_hands_on_what_exists() -> None:
    assert {room_of(path) for path in FILES} == {"", *ROOMS}
    for room in ROOMS:
        front = getattr(__import__(f"trailer_lib.{room}"), room)
        assert front.__doc__ and len(front.__doc__) > 40
        assert all(getattr(front, name) is not None for name in getattr(front, "__all__", []))


def test_the_library_is_small() -> None:
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert len(FILES) <= 66 and sum(lines.values()) <= 9200
    odd = {path.name: count for path, count in lines.items() if count > 250 or (count < 30 and path.stem != "__init__")}
    assert odd == {}


def test_help_loads_nothing_heavy() -> None:
    loaded = loaded_by("-m", "trailer_lib", "predict", "--help")
    assert "argparse" in loaded and not loaded & HEAVY


def test_the_rooms_load_only_what_is_used() -> None:
    rooms = ", ".join(ROOMS)
    assert not loaded_by("-c", f"from trailer_lib import Project, {rooms}") & HEAVY
    assert "pandas" in loaded_by("-c", "from trailer_lib import catalog; catalog.load")


def test_an_installed_wheel_runs_in_another_folder(tmp_path: Path) -> None:
    """As on Colab: installed, not cloned; the other packages are those of this environment."""
    source = tmp_path / "source"
    shutil.copytree(PACKAGE, source / "trailer_lib", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "requirements.txt", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    build = [sys.executable, "-c", "from setuptools import build_meta; build_meta.build_wheel('..')"]
    subprocess.run(build, cwd=source, check=True, capture_output=True, timeout=300)
    (wheel,) = tmp_path.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "lib")  # what pip does
    data = "original.toml", "samples.toml", "model_card.md", "view.html"
    assert all(list((tmp_path / "lib").rglob(name)) for name in data)
    code = (
        "import trailer_lib.__main__ as m, trailer_lib; from trailer_lib import video; print(trailer_lib.__file__);"
        "print(video.judge_pictures([], 'informative')); m.main(['--help'])"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "lib")}
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert str(tmp_path / "lib") in done.stdout and "COMMAND" in done.stdout


def test_the_page_of_settings_is_that_of_the_code() -> None:
    markdown = run_path(str(REPOSITORY / "docs" / "settings.py"))["markdown"]
    page = (REPOSITORY / "docs" / "settings.md").read_text(encoding="utf-8")
    assert page == markdown(), "run make docs"
