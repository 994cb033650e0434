"""S1: a scrape killed at random moments and started again ends as one that was never disturbed."""

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

from trailer_lib import Project
from trailer_lib.scrape import run

KILLS = amount(200, 3)
A_ROOT = 8  # kills before a root may finish: each run has fewer films left, and the last ones hardly begin
SLACK = 0.05  # seconds: about what a film takes


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of an undisturbed scrape."""
    root = harness.put_trailers(tmp_path_factory.mktemp("unbroken"))
    harness.duration(root)
    return root


def kill(process: subprocess.Popen, everyone: bool) -> bool:
    """kill -9 the process and its workers, or it alone; False when it had ended already."""
    alive = process.poll() is None
    if alive:
        (os.killpg if everyone else os.kill)(process.pid, signal.SIGKILL)
    process.wait()
    return alive


def begun(root: Path) -> list[str]:
    path = root / harness.FETCHED
    return path.read_text().split() if path.exists() else []


def wait_for_moment(process: subprocess.Popen, root: Path, rng: random.Random) -> None:
    """Until a random share of the films that are left has been begun, and a bit more; so on a busy machine too."""
    left = harness.FILMS - len(run.finished(Project(root)))
    until = len(begun(root)) + rng.randint(0, left)
    while process.poll() is None and len(begun(root)) < until:
        time.sleep(0.001)
    time.sleep(rng.uniform(0, SLACK))


def scrape_with_kills(root: Path, most: int, rng: random.Random) -> int:
    """Scrape until a run ends by itself; the number of kills, at most `most`."""
    kills = 0
    while kills < most and len(run.finished(Project(root))) < harness.FILMS:
        process = harness.start(root)
        wait_for_moment(process, root, rng)
        if not kill(process, everyone=rng.random() < 0.75):
            return kills
        kills += 1
        assert harness.whole(root)
    assert harness.start(root).wait(timeout=120) == 0
    return kills


def test_killed_at_random_moments_it_ends_like_an_unbroken_run(unbroken: Path, tmp_path: Path) -> None:
    again = harness.put_trailers(tmp_path)
    harness.duration(again)
    expected, told = harness.tree(unbroken), harness.outcomes(unbroken)
    assert harness.tree(again) == expected and len(told) == harness.FILMS
    rng, total, most, roots = random.Random(0), 0, 0, 0
    while total < KILLS:
        shutil.rmtree(again)
        again.mkdir()
        kills = scrape_with_kills(again, min(A_ROOT, KILLS - total), rng)
        total, roots = total + kills, roots + 1
        assert harness.tree(again) == expected
        assert harness.outcomes(again) == told
        assert harness.half_done(again) == []
        fetches = Counter(begun(again))
        assert max(fetches.values()) <= kills + 1
        most = max(most, max(fetches.values()))
        print(f"{total} kills, {roots} whole trees; one film was begun {most} times at most", flush=True)
