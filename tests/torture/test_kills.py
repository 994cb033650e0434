"""S1, S9: a scrape killed or stopped at random moments and started again ends as one that was never disturbed."""

import os
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import harness
import pytest
from conftest import amount

KILLS = amount(200, 2)
A_ROOT = 8  # kills before a root may finish: each run has fewer films left, and the last ones hardly start
SLACK = 0.05  # seconds: about what a film takes
MOMENTS = amount(20, 1)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """The root of a whole scrape, and the seconds it took."""
    root = harness.put_trailers(tmp_path_factory.mktemp("undisturbed"))
    return root, harness.duration(root)


def wait_for_moment(process: subprocess.Popen, root: Path, rng: random.Random) -> None:
    """Until a random share of the films that are left has been started, and a bit more."""
    until = len(harness.started(root)) + rng.randint(0, harness.FILMS - harness.done(root))
    while process.poll() is None and len(harness.started(root)) < until:
        time.sleep(0.001)
    time.sleep(rng.uniform(0, SLACK))


def scrape_with_kills(root: Path, most: int, rng: random.Random) -> int:
    """kill -9 scrapes, with their workers or without, until one ends by itself; the number of kills, at most `most`."""
    for kills in range(most):
        process = harness.start(root)
        wait_for_moment(process, root, rng)
        if process.poll() is not None:
            return kills
        (os.killpg if rng.random() < 0.75 else os.kill)(process.pid, signal.SIGKILL)
        process.wait()
    return most


def test_killed_at_random_moments_it_ends_like_an_unbroken_run(undisturbed: tuple[Path, float], tmp_path: Path) -> None:
    root = harness.put_trailers(tmp_path)
    rng, total = random.Random(0), 0
    while total < KILLS:
        shutil.rmtree(root)
        root.mkdir()
        kills = scrape_with_kills(root, min(A_ROOT, KILLS - total), rng)
        total += kills
        harness.duration(root)
        harness.check_like(root, undisturbed[0])
        starts = max(Counter(harness.started(root)).values())
        assert starts <= kills + 1
        print(f"{total} kills; one film was started {starts} times at most", flush=True)


def children(group: int) -> list[int]:
    """The living processes of a process group."""
    table = subprocess.run(["ps", "-eo", "pid=,pgid=,stat="], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in table.splitlines()]
    return [int(pid) for pid, pgid, state in rows if int(pgid) == group and not state.startswith("Z")]


def stop(process: subprocess.Popen, number: int) -> float:
    """Send the signal as a terminal (to all) or as `kill` does (to the main process); seconds until all are gone."""
    start = time.monotonic()
    (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
    process.wait(timeout=60)
    while children(process.pid):
        assert time.monotonic() - start < 60
        time.sleep(0.02)
    return time.monotonic() - start


# tests/scrape presses Ctrl-C once, in every run of the tests.
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT][: amount(2, 1)], ids=lambda number: number.name)
def test_a_stop_at_any_moment_is_quick_and_the_same_call_resumes(
    number: signal.Signals, undisturbed: tuple[Path, float], tmp_path: Path
) -> None:
    root, (whole, length) = harness.put_trailers(tmp_path), undisturbed
    rng, stops = random.Random(int(number)), []
    while len(stops) < MOMENTS:
        shutil.rmtree(root)
        root.mkdir()
        process = harness.start(root)
        time.sleep(rng.uniform(0, length))
        if process.poll() is None:
            stops.append(stop(process, number))
            harness.done(root)
            harness.duration(root)
            harness.check_like(root, whole)
    print(f"{len(stops)} x {number.name}, the slowest gone after {max(stops):.2f} s")
