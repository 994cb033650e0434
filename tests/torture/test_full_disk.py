"""S8: the disk full at the k-th write: one line says where and how much, nothing is torn, a rerun finishes."""

import builtins
import errno
import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import harness
import pytest
from conftest import amount

from trailer_lib import Project
from trailer_lib.files import DiskFull
from trailer_lib.scrape import ledger, run

FILMS = 6
WRITES = range(1, amount(60, 10) + 1)
SIZES = range(8, amount(248, 16), 4)  # KB of a real disk
REAL_OPEN, REAL_WRITE = io.open, os.write


class Failing:
    """An open file whose writes are counted."""

    def __init__(self, file: Any, count: Callable[[Any], Any]) -> None:
        self.file, self.count = file, count

    def write(self, data: Any) -> int:
        return self.count(data, self.file.write)

    def __enter__(self) -> "Failing":
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


@contextmanager
def full_at(number: int, below: Path) -> Iterator[list[int]]:
    """From the `number`-th write below a folder on, half of it is written and the disk is full; yields the count."""
    writes = [0]

    def counted(data: Any, write: Callable) -> int:
        writes[0] += 1
        if writes[0] < number:
            return write(data)
        write(data[: len(data) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def open_(file: Any, mode: str = "r", *args: Any, **options: Any) -> Any:
        opened = REAL_OPEN(file, mode, *args, **options)
        watched = set(mode) & set("wax+") and str(below) in str(file)
        return Failing(opened, counted) if watched else opened

    def write_(descriptor: int, data: bytes) -> int:
        ours = str(below) in os.path.realpath(f"/proc/self/fd/{descriptor}")
        return counted(data, lambda part: REAL_WRITE(descriptor, part)) if ours else REAL_WRITE(descriptor, data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(io, "open", open_)
        patch.setattr(builtins, "open", open_)
        patch.setattr(os, "write", write_)
        yield writes


def scraped(root: Path) -> None:
    with ThreadPoolExecutor(1) as executor:  # in this process, where the writes are counted
        run.scrape(Project(root), harness.table(FILMS), harness.settings(workers=1), executor)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = harness.put_trailers(tmp_path_factory.mktemp("unbroken"), FILMS)
    with full_at(10**9, root) as writes:
        scraped(root)
    assert writes[0] > max(WRITES)
    return root


@pytest.mark.parametrize("number", WRITES)
def test_a_disk_full_at_a_write_stops_the_run_and_tears_nothing(number: int, unbroken: Path, tmp_path: Path) -> None:
    root = harness.put_trailers(tmp_path, FILMS)
    with full_at(number, root), pytest.raises(DiskFull) as caught:
        scraped(root)
    said = str(caught.value)
    assert said.startswith(str(root / "images")) and "bytes are needed" in said and "\n" not in said
    check_what_is_left(root, unbroken)
    scraped(root)
    assert harness.tree(root) == harness.tree(unbroken)
    assert harness.outcomes(root) == harness.outcomes(unbroken)
    assert harness.half_done(root) == []


def check_what_is_left(root: Path, unbroken: Path) -> None:
    """Every file with a final name is whole, and every film in the ledger counts as done."""
    expected = harness.tree(unbroken)
    left = {name: data for name, data in harness.tree(root).items() if "/.tmp-" not in f"/{name}"}
    assert left.items() <= expected.items()
    assert {entry.status for entry in ledger.read_ledger(root / "images" / run.LEDGER)} <= {"ok"}


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_disk_of_any_small_size_that_is_really_full(unbroken: Path, tmp_path: Path) -> None:
    root = harness.put_trailers(tmp_path, FILMS)
    full = 0
    for size in SIZES:
        with mounted(root / "images", size):
            done = run_processes(root)
            full += done.returncode == 1
            if done.returncode:
                assert f"error: {root / 'images'}" in done.stderr and "bytes are needed" in done.stderr, done.stderr
                check_what_is_left(root, unbroken)
                subprocess.run(["mount", "-o", "remount,size=8m", root / "images"], check=True)
                assert run_processes(root).returncode == 0
            assert harness.tree(root) == harness.tree(unbroken)
            assert harness.half_done(root) == []
    assert full >= 0.9 * len(SIZES)
    print(f"{full} of {len(SIZES)} disks were full")


@contextmanager
def mounted(folder: Path, kilobytes: int) -> Iterator[None]:
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def run_processes(root: Path) -> subprocess.CompletedProcess:
    """The scrape with worker processes, an error told as the command line does."""
    environment = os.environ | {"PYTHONPATH": harness.PATH}
    command = [sys.executable, "-c", f"import harness; harness.main({FILMS}, 1)", str(root)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
