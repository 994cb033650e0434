"""A comparison killed at random moments and run again ends with the figures of one that was never disturbed.

TORTURE=1 alone: each run is a process that loads torch. tests/training/test_compare.py stops one by Ctrl-C.
"""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trailer_lib.training import checkpoints

KILLS, A_ROOT = 30, 5
SCHEMES = "[one]\nframes = 1\nepochs = 3\n[two]\nframes = 2\nepochs = 3\n"


def start(root: Path) -> subprocess.Popen:
    words = ["compare", root / "my.toml", "--root", root, "--folds", 3]
    return subprocess.Popen(
        [sys.executable, "-m", "trailer_lib", *map(str, words)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def figures(root: Path) -> dict:
    """The result but for what the kills change: the seconds."""
    results = json.loads((root / "models" / "schemes" / checkpoints.RESULTS).read_text())
    return {name: value for name, value in results.items() if name != "seconds"}


def new_root(dataset_root: Path, path: Path) -> Path:
    shutil.copytree(dataset_root, path)
    (path / "my.toml").write_text(SCHEMES)
    return path


@pytest.mark.skipif(not os.environ.get("TORTURE"), reason="takes minutes: set TORTURE=1")
def test_kills_change_no_figure(dataset_root: Path, tmp_path: Path) -> None:
    whole = new_root(dataset_root, tmp_path / "whole")
    began = time.monotonic()
    assert start(whole).wait() == 0
    seconds, killed, roots = time.monotonic() - began, 0, 0
    while killed < KILLS:
        root = new_root(dataset_root, tmp_path / f"killed {roots}")
        roots += 1
        for _ in range(A_ROOT):
            process = start(root)
            time.sleep(random.uniform(0.2, 1.0) * seconds)
            killed += process.poll() is None
            process.kill()
            process.wait()
        assert start(root).wait() == 0
        assert figures(root) == figures(whole)
        shutil.rmtree(root)
    print(f"\n{killed} kills in {roots} comparisons of {seconds:.1f} s")
