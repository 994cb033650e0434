"""A catalogue -> images/: each trailer is fetched, sampled, filtered, written, deleted, and the ledger says how."""

import signal
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import TimeoutError as FutureTimeout
from concurrent.futures import as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import pandas as pd
from pebble import ProcessExpired, ProcessPool

from trailer_lib import files, filters, frames, ledger, sources, video
from trailer_lib.errors import Stopped, TrailerError
from trailer_lib.ledger import Entry
from trailer_lib.progress import bar
from trailer_lib.project import Project
from trailer_lib.settings import ScrapeSettings

SHOWN = 20  # failures listed; thousands would bury the rest
LEDGER = "ledger.jsonl"


@dataclass(frozen=True)
class Job:
    """One film for one worker: everything it needs, small and picklable."""

    imdb_id: str
    youtube_id: str
    url: str
    title: str
    year: int
    project: Project
    settings: ScrapeSettings


def scrape(project: Project, films: pd.DataFrame, settings: ScrapeSettings) -> pd.DataFrame:
    """Scrape the catalogue rows `films` into project.images and return `status` of them.

    What is there already is left alone; a film that failed for good is not tried again. Ctrl-C stops within seconds and
    loses only the trailers in hand; the same call goes on.
    """
    sources.check_source(settings.source)
    project.images.mkdir(exist_ok=True)
    files.remove_temporary(project.images)
    files.write_json(project.images / "settings.json", settings.as_dict())
    jobs = _open_jobs(project, films, settings)
    try:
        for entry in bar(_results(jobs, settings), "scraping", len(jobs), unit="film"):
            ledger.append(project.images / LEDGER, entry)
    except KeyboardInterrupt:
        done = len(status(project, films).query("status == 'ok'"))
        raise Stopped(f"stopped with {done} of {len(films)} films done; the same call goes on") from None
    return status(project, films)


def status(project: Project, films: pd.DataFrame) -> pd.DataFrame:
    """What became of each of `films`: a row each of imdb_id, title, status, reason, detail, kept, seconds.

    The status is "ok", "failed" (for good), "later" (to be tried again) or "open" (not tried yet).
    """
    newest = ledger.last(project.images / LEDGER)
    done = finished(project)
    rows = []
    for film in films.itertuples():
        entry = newest.get(film.imdb_id) or Entry(film.imdb_id, film.youtube_id, "open")
        # The folder is the truth: it may be whole without a line in the ledger, when a run was killed in between.
        state = "ok" if film.imdb_id in done else "open" if entry.status == "ok" else entry.status
        rows.append([film.imdb_id, film.title, state, entry.reason, entry.detail, entry.kept, entry.seconds])
    return pd.DataFrame(rows, columns=["imdb_id", "title", "status", "reason", "detail", "kept", "seconds"])


def failures(status: pd.DataFrame) -> str:
    """A line for each film that was tried in vain: "failed" for good, "later" to be tried again, and why."""
    tried = status[status.status.isin(["failed", "later"])]
    lines = [f"{film.status:6}  {film.title}: {film.detail}" for film in tried.head(SHOWN).itertuples()]
    more = [f"... and {len(tried) - SHOWN} more"] if len(tried) > SHOWN else []
    return "\n".join([*lines, *more]) or "nothing failed"


def first_folder(project: Project, films: pd.DataFrame) -> Path:
    """The folder of the first of `films` that has one."""
    done = finished(project)
    for imdb_id in films.imdb_id:
        if imdb_id in done:
            return done[imdb_id]
    raise TrailerError(f"{project.images}: not one of {len(films)} films gave frames: see the reasons above")


def finished(project: Project) -> dict[str, Path]:
    """IMDb id -> folder, of every film whose folder is whole."""
    folders = sorted(path for path in project.images.glob("*") if path.is_dir() and not path.name.startswith("."))
    return {frames.folder_id(folder.name): folder for folder in folders if frames.folder_id(folder.name)}


def _open_jobs(project: Project, films: pd.DataFrame, settings: ScrapeSettings) -> list[Job]:
    wanted = ("later",) if settings.retry_failed else ("later", "open")
    known = status(project, films)
    todo = set(known.imdb_id[known.status.isin(wanted)])
    return [
        Job(film.imdb_id, film.youtube_id, film.url, film.title, film.year, project, settings)
        for film in films.itertuples()
        if film.imdb_id in todo
    ]


def _results(jobs: list[Job], settings: ScrapeSettings) -> Iterator[Entry]:
    """The jobs' entries as they come, from a pool that replaces a worker which hangs or crashes."""
    if not jobs:
        return
    pool = ProcessPool(min(settings.workers, len(jobs)), initializer=_ignore_interrupt, context=get_context("spawn"))
    try:
        futures = {pool.schedule(scrape_film, args=[job], timeout=settings.timeout): job for job in jobs}
        for future in as_completed(futures):
            yield _entry(future, futures[future])
    finally:
        pool.stop()
        pool.join()


def _ignore_interrupt() -> None:
    # Ctrl-C reaches the whole process group; the main process alone decides what stops.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _entry(future: object, job: Job) -> Entry:
    try:
        return future.result()
    except FutureTimeout:
        text = f"given up after {job.settings.timeout:.0f} s (setting timeout)"
        return Entry(job.imdb_id, job.youtube_id, "later", "timeout", text, job.settings.timeout)
    except ProcessExpired as error:
        return Entry(job.imdb_id, job.youtube_id, "failed", "crash", f"the worker died with exit code {error.exitcode}")
    except (MemoryError, ValueError, RuntimeError) as error:  # one film's trouble; a full disk is everyone's and stops
        return Entry(job.imdb_id, job.youtube_id, "failed", "error", f"{type(error).__name__}: {error}"[:200])


def scrape_film(job: Job) -> Entry:
    """Fetch, sample, filter and write one film; the entry says what came of it."""
    start = time.monotonic()
    try:
        entry = _attempt(job)
    except sources.SourceError as error:
        entry = Entry(job.imdb_id, job.youtube_id, "failed" if error.permanent else "later", error.kind, str(error))
    except TrailerError as error:
        entry = Entry(job.imdb_id, job.youtube_id, "failed", "decode", str(error))
    return Entry(**(vars(entry) | {"seconds": round(time.monotonic() - start, 2)}))


def _attempt(job: Job) -> Entry:
    settings = job.settings
    with tempfile.TemporaryDirectory(prefix="trailer-") as scratch:
        path = _fetch_patiently(job, Path(scratch))
        size = path.stat().st_size
        sampled = video.sample_frames(path, settings.count, settings.seed, job.imdb_id, settings.mode, settings.height)
    sampled, reasons = filters.select(sampled, settings.filter)
    kept = reasons.count(None)
    if not kept:
        raise TrailerError(f"{path.name}: the filter kept none of {len(reasons)} frames: is the trailer all black?")
    folder = job.project.images / frames.folder_name(job.imdb_id, job.title, job.year)
    facts = {"imdb_id": job.imdb_id, "youtube_id": job.youtube_id, "settings": settings.as_dict()}
    frames.save(folder, sampled, reasons, facts)
    counts = dict(Counter(reason for reason in reasons if reason))
    return Entry(job.imdb_id, job.youtube_id, "ok", bytes=size, sampled=len(reasons), kept=kept, dropped=counts)


def _fetch_patiently(job: Job, scratch: Path) -> Path:
    """Fetch with `attempts` tries of what may pass, waiting 1, 2, 4, ... pauses between them."""
    settings = job.settings
    pause = 0 if settings.source.startswith("folder:") else settings.pause
    for attempt in range(settings.attempts):
        try:
            time.sleep(pause * 2**attempt)
            return sources.fetch(job.youtube_id, job.url, settings, job.project.root, scratch)
        except sources.SourceError as error:
            if error.permanent or attempt == settings.attempts - 1 or not pause:
                raise
    raise AssertionError("unreachable")
