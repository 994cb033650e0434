"""Six small films, good and bad, for the tests of a scrape; workers import what they run from here."""

import os
import signal
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from trailer_lib.scrape import run
from trailer_lib.scrape.ledger import Entry
from trailer_lib.scrape.run import Job
from trailer_lib.settings import ScrapeSettings

WIDTH, HEIGHT = 64, 48
COUNT = 12
GOOD, HOSTILE, BLACK, CUT, PAGE, MISSING = (f"tt000000{number}" for number in range(1, 7))
KILLED, HANGING, CRASHING, GREEDY = (f"tt00000{number}" for number in range(11, 15))
TITLES = {
    GOOD: "Good Film", HOSTILE: "../../Löwe: 50/50 \u202e", BLACK: "All Black", CUT: "Cut Short", PAGE: "A Page",
    MISSING: "Not There",
}  # fmt: skip


def youtube_id(imdb_id: str) -> str:
    return f"-y{imdb_id}"  # 11 letters, the first a hyphen


def table(*imdb_ids: str) -> pd.DataFrame:
    rows = [(imdb_id, TITLES.get(imdb_id, f"Film {imdb_id}"), 1999, youtube_id(imdb_id)) for imdb_id in imdb_ids]
    return pd.DataFrame(rows, columns=["imdb_id", "title", "year", "youtube_id"]).assign(url="")


def settings(**chosen: object) -> ScrapeSettings:
    return ScrapeSettings(**({"source": "folder:trailers", "count": COUNT, "workers": 2} | chosen))


def trailer_path(root: Path, imdb_id: str) -> Path:
    return root / "trailers" / f"{youtube_id(imdb_id)}.mp4"


def put_trailer(root: Path, imdb_id: str) -> Path:
    """A film's trailer, three seconds of a pattern that moves, damaged as its name says."""
    from conftest import write_video  # not in the workers

    path = trailer_path(root, imdb_id)
    path.parent.mkdir(exist_ok=True)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    steps = [(columns + 3 * step) / (4 + step % 5) for step in range(36)]
    waves = [120 + 100 * np.sin(wave) * np.cos(rows / (3 + step % 7)) for step, wave in enumerate(steps)]
    write_video(path, [np.repeat(wave[..., None] * (imdb_id != BLACK), 3, 2).astype(np.uint8) for wave in waves])
    if imdb_id == CUT:
        os.truncate(path, path.stat().st_size * 6 // 10)
    if imdb_id == PAGE:
        path.write_text("<!DOCTYPE html><title>Video unavailable</title>")
    return path


def scrape_or_fail(job: Job) -> Entry:
    """scrape_film, but some films do to their worker what a broken decoder may do."""
    if job.imdb_id == KILLED:
        os.kill(os.getpid(), signal.SIGKILL)
    if job.imdb_id == HANGING:
        time.sleep(600)
    if job.imdb_id == CRASHING:
        os.kill(os.getpid(), signal.SIGSEGV)
    if job.imdb_id == GREEDY:
        with pytest.MonkeyPatch.context() as patch:  # for this film alone: the worker may get another one
            patch.setattr(run, "sample_informative", lambda *_, **__: np.ones(10**10, np.uint8))
            return run.scrape_film(job)
    return run.scrape_film(job)
