"""D5: a build killed at random moments and started again ends with the bytes of one that was never disturbed."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import harness
import pytest
from conftest import add_new_films, amount, fictional_film
from PIL import Image
from sounds import add_sound, folder_of, with_dataset, with_sound

from trailer_lib import Project, TrailerError
from trailer_lib.dataset import builder
from trailer_lib.dataset.arrays import HEADER
from trailer_lib.dataset.dataset import Dataset
from trailer_lib.video import SOUND

KILLS = amount(100, 2)
A_ROOT = 10  # kills before a root may finish
NAP = 0.02  # seconds a film takes longer, so that a moment in the middle of a build can be met
COMMAND = [sys.executable, "-c", "import test_dataset_kills as here; here.main()"]


def main() -> None:
    """What runs in the process: say that it begins, and build."""
    print("go", flush=True)
    build(Project.open(sys.argv[1]))


def build(project: Project) -> None:
    def slow(read: Callable) -> Callable:
        return lambda *arguments: (time.sleep(NAP), read(*arguments))[1]

    with pytest.MonkeyPatch.context() as patch:
        for name in ("load_film_frames", "load_sound"):
            patch.setattr(builder, name, slow(getattr(builder, name)))
        builder.build(project, project.settings("dataset"))


def start(root: Path) -> subprocess.Popen:
    process = subprocess.Popen(
        [*COMMAND, str(root)], env=os.environ | {"PYTHONPATH": harness.PATH},
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout.readline() == b"go\n"
    return process


def content(root: Path) -> dict[str, bytes]:
    """Every file of dataset/ but the lock: what a killed process left beside them would be one too many."""
    return {path.name: path.read_bytes() for path in (root / "dataset").iterdir() if path.name != ".lock"}


def grown(root: Path) -> None:
    """Nine more films, one with another picture, one gone, one with flipped bytes, and the same of sound."""
    for film in add_new_films(root, 9)[::2]:
        add_sound(next((root / "images").glob(f"*{film}*")))
    Image.new("RGB", (64, 36), (255, 255, 255)).save(folder_of(root, 3) / "3.jpg")
    add_sound(folder_of(root, 4))
    (folder_of(root, 8) / SOUND).unlink()
    shutil.rmtree(folder_of(root, 5))
    for name, place in (("frames", 12 * 16 * 3072), ("sound", 20 * 128 * 128)):
        with open(root / "dataset" / f"{name}.npy", "r+b") as file:
            file.seek(HEADER + place)
            file.write(b"flipped")


@pytest.fixture(scope="module")
def begun(frames_root: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A root whose dataset is to be brought up to date, and, with TORTURE=1, one without a dataset."""
    folder = tmp_path_factory.mktemp("begun")
    first = with_sound(frames_root, folder / "first")
    roots = [with_dataset(first, folder / "grown"), first]
    grown(roots[0])
    return roots[: amount(2, 1)]


def by_film(root: Path) -> dict[str, tuple[bytes, bytes]]:
    data = Dataset.open(Project(root))
    rows = data.films.imdb_id.items()
    return {film: (data.film_frames(row).tobytes(), data.film_sound(row).tobytes()) for row, film in rows}


def check_nothing_wrong_is_read(root: Path, told: dict[str, tuple[bytes, bytes]]) -> None:
    """A dataset that can be opened holds of each film what the unbroken one does, or what was there before."""
    try:
        found = by_film(root)
    except TrailerError:
        return
    assert all(found[film] == told[film] for film in found.keys() & told.keys())


def unbroken(begun: Path, root: Path) -> tuple[dict[str, bytes], dict[str, tuple[bytes, bytes]], float]:
    """The bytes of a build of a copy, each film's frames and sound, and the seconds it takes."""
    shutil.copytree(begun, root)
    began = time.monotonic()
    build(Project(root))
    seconds, told = time.monotonic() - began, by_film(root)
    for number in (3, 4, 8):
        told.pop(fictional_film(number)["imdb_id"])  # changed: old and new are right
    return content(root), told, seconds


def test_killed_at_random_moments_it_ends_like_an_unbroken_build(begun: list[Path], tmp_path: Path) -> None:
    expected = [unbroken(root, tmp_path / f"unbroken-{root.name}") for root in begun]
    rng, total, roots = random.Random(0), 0, 0
    while total < KILLS:
        which = roots % len(begun)
        bytes_, told, seconds = expected[which]
        root = Path(shutil.copytree(begun[which], tmp_path / "again"))
        for _ in range(min(A_ROOT, KILLS - total)):
            process = start(root)
            time.sleep(rng.uniform(0, seconds))
            killed = process.poll() is None
            process.send_signal(signal.SIGKILL)
            process.wait()
            total += killed
            check_nothing_wrong_is_read(root, told)
        assert start(root).wait(timeout=120) == 0
        assert content(root) == bytes_
        shutil.rmtree(root)
        roots += 1
    print(f"{total} kills, {roots} builds of the same bytes", flush=True)
