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

KILLS = amount(200, 4)


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


def scrape_with_kills(root: Path, length: float, left: int, rng: random.Random) -> int:
    """Scrape until a run ends by itself; the number of kills, at most `left`, each at a moment uniform over a run."""
    kills = 0
    while kills < left:
        process = harness.start(root)
        time.sleep(rng.uniform(0, length))
        if not kill(process, everyone=rng.random() < 0.75):
            break
        kills += 1
        assert harness.whole(root)
    else:
        assert harness.start(root).wait(timeout=120) == 0
    return kills


def test_killed_at_random_moments_it_ends_like_an_unbroken_run(unbroken: Path, tmp_path: Path) -> None:
    again = harness.put_trailers(tmp_path)
    length, expected, told = harness.duration(again), harness.tree(unbroken), harness.outcomes(unbroken)
    assert harness.tree(again) == expected and len(told) == harness.FILMS
    rng, total, most = random.Random(0), 0, 0
    while total < KILLS:
        shutil.rmtree(again)
        again.mkdir()
        kills = scrape_with_kills(again, length, KILLS - total, rng)
        total += kills
        assert harness.tree(again) == expected
        assert harness.outcomes(again) == told
        assert harness.half_done(again) == []
        fetches = Counter((again / harness.FETCHED).read_text().split())
        assert max(fetches.values()) <= kills + 1
        most = max(most, max(fetches.values()))
        print(f"{total} kills", flush=True)
    print(f"{total} kills over runs of {length:.1f} s; one film was begun {most} times at most")
