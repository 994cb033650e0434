"""S9: Ctrl-C and SIGTERM at random moments: gone within 5 s with every child, and the same call goes on."""

import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import harness
import pytest
from conftest import amount

MOMENTS = amount(20, 1)
PATIENCE = 5.0  # seconds


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = harness.put_trailers(tmp_path_factory.mktemp("unbroken"))
    harness.duration(root)
    return root


def stop(process: subprocess.Popen, number: int) -> float:
    """Send the signal as a terminal (to all) or as `kill` does (to the main process); seconds until it is gone."""
    began = time.monotonic()
    (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
    process.wait(timeout=60)
    while harness.children(process.pid) and time.monotonic() - began < 60:
        time.sleep(0.02)
    return time.monotonic() - began


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_stop_at_any_moment_is_quick_and_the_same_call_goes_on(
    number: signal.Signals, unbroken: Path, tmp_path: Path
) -> None:
    root = harness.put_trailers(tmp_path)
    length, rng, slowest, stopped = harness.duration(root), random.Random(int(number)), 0.0, 0
    while stopped < MOMENTS:
        shutil.rmtree(root)
        root.mkdir()
        process = harness.start(root)
        time.sleep(rng.uniform(0, length))
        if process.poll() is not None:
            continue
        slowest = max(slowest, stop(process, number))
        stopped += 1
        assert harness.children(process.pid) == []
        assert slowest < PATIENCE
        assert harness.whole(root)
        assert harness.start(root).wait(timeout=120) == 0
        assert harness.tree(root) == harness.tree(unbroken)
        assert harness.half_done(root) == []
    print(f"{stopped} x {number.name}, the slowest gone after {slowest:.2f} s")
