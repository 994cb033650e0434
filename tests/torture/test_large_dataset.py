"""A dataset of 25,000 films is built, added to and opened in under 500 MB of memory."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from conftest import amount
from harness import PATH
from PIL import Image
from sounds import add_sound

from trailer_lib.project import Project
from trailer_lib.video import SOUND, folder_name

FILMS, NEW, EACH, SIZE = amount(25_000, 300), amount(500, 10), 2, 128
MOST = 500_000  # KB
BUILD = """
import sys
from pathlib import Path
from trailer_lib import Project, dataset
project = Project.open(sys.argv[1])
dataset.build(project, project.settings("dataset", size=int(sys.argv[2]), min_frames=2))
print(len(dataset.Dataset.open(project).sound))
print(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
"""


@pytest.fixture
def sources(tmp_path: Path) -> list[Path]:
    """A few pictures that the films' folders are links to: a file may not have 50,000 names."""
    paths = [tmp_path / f"{number}.jpg" for number in range(10)]
    for number, path in enumerate(paths):
        Image.new("RGB", (160, 160), (20 * number, 255 - 20 * number, 128)).save(path)
    add_sound(tmp_path, 130)
    return paths


def add(root: Path, sources: list[Path], numbers: range) -> None:
    for number in numbers:
        folder = root / "images" / folder_name(f"tt{number:07d}", f"Film {number}", 2000)
        folder.mkdir(parents=True)
        for place in range(EACH):
            os.link(sources[(number + place) % len(sources)], folder / f"{place}.jpg")
        os.link(root.parent / SOUND, folder / SOUND)


def build(root: Path) -> tuple[int, int]:
    """(clips, one a film, and peak KB) of a build and an opening in a process of their own."""
    command = [sys.executable, "-c", BUILD, str(root), str(SIZE)]
    environment = os.environ | {"PYTHONPATH": PATH}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=3000)
    films, peak = done.stdout.split()
    return int(films), int(peak)


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process's memory is read from /proc")
def test_the_memory_does_not_grow_with_the_films(tmp_path: Path, sources: list[Path]) -> None:
    project = Project(tmp_path / "root")
    add(project.root, sources, range(FILMS))
    rows = [[f"tt{n:07d}", f"Film {n}", 2000, 5.0 + n % 5, f"clip{n:07d}"] for n in range(FILMS + NEW)]
    project.excels.mkdir()
    table = pd.DataFrame(rows, columns=["imdb_id", "title", "year", "score", "youtube_id"])
    table.to_csv(project.excels / "films.csv", index=False)
    films, peak = build(project.root)
    size = (project.dataset / "frames.npy").stat().st_size
    assert films == FILMS and size > FILMS * EACH * SIZE**2 * 3 and peak < MOST
    add(project.root, sources, range(FILMS, FILMS + NEW))
    films, added = build(project.root)
    assert films == FILMS + NEW and added < MOST
    print(f"{films} films, {size / 1e6:.0f} MB: {peak / 1e3:.0f} MB of memory, {added / 1e3:.0f} MB for {NEW} more")
