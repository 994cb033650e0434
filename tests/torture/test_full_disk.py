"""S8: the disk full at the k-th write: one line says where and how much, nothing is torn, a rerun finishes."""

import builtins
import errno
import io
import itertools
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import harness
import pytest
from conftest import amount

from trailer_lib import Project
from trailer_lib.files import DiskFull
from trailer_lib.scrape import LEDGER, ledger, scrape

FILMS = 6
WRITES = range(1, amount(60, 9) + 1, amount(1, 4))
SIZES = range(8, amount(248, 12), 4)  # KB of a real disk
REAL_OPEN = io.open


def scrape_until_full(root: Path, full_at: int = 10**9) -> int:
    """Scrape in this process; write number `full_at` writes half and finds the disk full. The number of writes."""
    writes = itertools.count(1)

    def open_(file: Any, mode: str = "r", *args: Any, **options: Any) -> Any:
        opened = REAL_OPEN(file, mode, *args, **options)
        if not set(mode) & set("wax+") or str(root) not in str(file):
            return opened

        def write(data: Any) -> int:
            if next(writes) < full_at:
                return opened.write(data)
            opened.write(data[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        counted = MagicMock(wraps=opened)
        counted.write.side_effect = write
        counted.__enter__.return_value, counted.__exit__.side_effect = counted, lambda *_: opened.close()
        return counted

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(1) as executor:
        patch.setattr(io, "open", open_)
        patch.setattr(builtins, "open", open_)
        scrape(Project(root), harness.table(FILMS), harness.settings(workers=1), executor)
    return next(writes)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = harness.put_trailers(tmp_path_factory.mktemp("undisturbed"), FILMS)
    assert scrape_until_full(root) > max(WRITES)
    return root


def check_what_is_left(root: Path, undisturbed: Path) -> None:
    """Every file with a final name is whole, and every film in the ledger counts as done."""
    assert harness.tree(root).items() <= harness.tree(undisturbed).items()
    assert {entry.status for entry in ledger.read_ledger(root / "images" / LEDGER)} <= {"ok"}


@pytest.mark.parametrize("number", WRITES)
def test_a_disk_full_at_a_write_stops_the_run_and_tears_nothing(number: int, undisturbed: Path, tmp_path: Path) -> None:
    root = harness.put_trailers(tmp_path, FILMS)
    with pytest.raises(DiskFull, match=rf"^{root / 'images'}.*bytes are needed.*"):
        scrape_until_full(root, number)
    check_what_is_left(root, undisturbed)
    scrape_until_full(root)
    harness.check_like(root, undisturbed)


def run_processes(root: Path) -> subprocess.CompletedProcess:
    """The scrape with worker processes, with errors as the command line prints them."""
    command = [sys.executable, "-c", f"import harness; harness.main({FILMS}, 1)", str(root)]
    environment = os.environ | {"PYTHONPATH": harness.PATH}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_disk_of_any_small_size_that_is_really_full(undisturbed: Path, tmp_path: Path) -> None:
    root, full = harness.put_trailers(tmp_path, FILMS), 0
    images = root / "images"
    images.mkdir()
    for size in SIZES:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", images], check=True)
        try:
            result = run_processes(root)
            if result.returncode:
                full += 1
                assert f"error: {images}" in result.stderr and "bytes are needed" in result.stderr
                check_what_is_left(root, undisturbed)
                subprocess.run(["mount", "-o", "remount,size=8m", images], check=True)
                assert run_processes(root).returncode == 0
            harness.check_like(root, undisturbed)
        finally:
            subprocess.run(["umount", images], check=True)
    assert full >= 0.9 * len(SIZES)
    print(f"{full} of {len(SIZES)} disks were full")
