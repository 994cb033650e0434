"""D5: a build killed at random moments and started again ends with the bytes of one that was never disturbed."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import harness
import pytest
from conftest import add_new_films, amount, fictional_film
from PIL import Image

from trailer_lib import Project, TrailerError
from trailer_lib.dataset import builder, frames
from trailer_lib.dataset.dataset import Dataset

KILLS = amount(100, 2)
A_ROOT = 10  # kills before a root may finish
NAP = 0.02  # seconds a film takes longer, so that a moment in the middle of a build can be met
COMMAND = [sys.executable, "-c", "import test_dataset_kills as here; here.main()"]


def main() -> None:
    """What runs in the process: say that it begins, and build."""
    print("go", flush=True)
    build(Project.open(sys.argv[1]))


def build(project: Project) -> None:
    whole = builder.load_film_frames

    def slow(*arguments: object) -> object:
        time.sleep(NAP)
        return whole(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builder, "load_film_frames", slow)
        builder.build(project, project.settings("dataset"))


def start(root: Path) -> subprocess.Popen:
    process = subprocess.Popen(
        [*COMMAND, str(root)], env=os.environ | {"PYTHONPATH": harness.PATH},
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdout.readline() == b"go\n"
    return process


def content(root: Path) -> dict[str, bytes]:
    """Every file of dataset/ but the lock: what a killed process left beside the five would be one too many."""
    return {path.name: path.read_bytes() for path in (root / "dataset").iterdir() if path.name != ".lock"}


def grown(root: Path) -> None:
    """Nine more films, one with another picture, one gone, and a byte of one flipped: all that a build can meet."""
    add_new_films(root, 9)
    folders = {number: next((root / "images").glob(f"*{fictional_film(number)['imdb_id']}*")) for number in (3, 5)}
    Image.new("RGB", (64, 36), (255, 255, 255)).save(folders[3] / "3.jpg")
    shutil.rmtree(folders[5])
    with open(root / "dataset" / frames.FRAMES, "r+b") as file:
        file.seek(frames.HEADER + 12 * 16 * 3072)
        file.write(b"flipped")


@pytest.fixture(scope="module")
def begun(frames_root: Path, dataset_root: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A root whose dataset is to be brought up to date, and, with TORTURE=1, one without a dataset."""
    roots = [tmp_path_factory.mktemp("begun") / name for name in ("grown", "first")]
    shutil.copytree(dataset_root, roots[0])
    shutil.copytree(frames_root, roots[1])
    grown(roots[0])
    return roots[: amount(2, 1)]


def check_nothing_wrong_is_read(root: Path, told: dict[str, bytes]) -> None:
    """A dataset that can be opened holds of each film what the unbroken one does, or what was there before."""
    try:
        data = Dataset.open(Project(root))
    except TrailerError:
        return
    for row, film in data.films.imdb_id.items():
        assert film not in told or data.film_frames(row).tobytes() == told[film]


def unbroken(begun: Path, root: Path) -> tuple[dict[str, bytes], dict[str, bytes], float]:
    """The bytes of a build of a copy, each film's frames, and the seconds it takes."""
    shutil.copytree(begun, root)
    began = time.monotonic()
    build(Project(root))
    seconds, data = time.monotonic() - began, Dataset.open(Project(root))
    told = {film: data.film_frames(row).tobytes() for row, film in data.films.imdb_id.items()}
    told.pop(fictional_film(3)["imdb_id"])  # its picture was changed: old and new are right
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
