"""A scrape: each trailer is downloaded, sampled, filtered, written and deleted, and the ledger says what came of it."""

import random
import time
from collections import Counter
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import closing, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from pebble import ProcessExpired

from trailer_lib import files, video
from trailer_lib.download import Fetched
from trailer_lib.errors import SourceError, Stopped, TrailerError
from trailer_lib.progress import bar
from trailer_lib.project import Project
from trailer_lib.scrape import ledger, sources
from trailer_lib.scrape.ledger import LEDGER, Entry, append_entry, frame_counts, status
from trailer_lib.scrape.pool import Schedule, Submit, worker_pool
from trailer_lib.settings import ScrapeSettings
from trailer_lib.video import NoInformativeFrames, folder_name, memory_needed, sample_informative, save_frames

SAMPLING = ("seed", "source", "count", "filter", "height")  # the settings that decide a film's frames
BAR = "{percentage:3.0f}%|{bar:10}| {n_fmt}/{total_fmt} films, {remaining} left{postfix}"  # short: for 80 columns
IN_A_ROW = 3  # films: one refusal may be that film's, three are the site's
LONGEST_WAIT = 3600.0  # seconds: a film that has to wait longer is left to another run


@dataclass(frozen=True)
class Job:
    """One attempt at one film: everything that a worker needs, small and picklable."""

    imdb_id: str
    youtube_id: str
    url: str
    title: str
    year: int
    project: Project
    settings: ScrapeSettings
    video: str = ""  # the film's file in the folder of the source
    earlier: Entry | None = None  # of a film that has its frames: only the sound is fetched
    attempt: int = 1  # in this run; Dask would return the stored result of an equal call

    @property
    def trailer(self) -> str:
        """What is tried: a link, a YouTube id, or a file's name and size; "" for a film without any."""
        if self.settings.source.startswith("folder:"):
            path = Path(self.video)
            return f"{path.name}, {path.stat().st_size} bytes" if path.is_file() else ""
        return (self.url if self.settings.source == "links" else "") or self.youtube_id


def scrape_film(job: Job) -> Entry:
    """Download, sample, filter and write one film, or its sound alone. Raises what the next film would meet too."""
    start = time.monotonic()
    try:
        with files.scratch_folder() as scratch, files.reporting_full_disk(scratch, lambda: sources.SIZE_LIMIT):
            local, facts = Path(job.video), (job.youtube_id, job.url, job.settings, job.project.root)
            trailer = Fetched(local) if local.is_file() else sources.fetch_trailer(*facts, scratch)
            entry = _add_sound(job, trailer) if job.earlier else _save_film(job, trailer)
    except SourceError as error:
        entry = _entry(job, "failed" if error.permanent else "later", error.kind, error, retry_after=error.retry_after)
    return replace(entry, seconds=round(time.monotonic() - start, 2))


def _save_film(job: Job, trailer: Fetched) -> Entry:
    settings = job.settings
    try:  # with one thread: two trailers side by side are faster than two threads for one
        sample = sample_informative(trailer.video, job.imdb_id, settings, settings.height, threads=1)
    except NoInformativeFrames as error:
        return _entry(job, "failed", "nothing kept", error, **frame_counts(error.reasons))
    except (TrailerError, MemoryError) as error:
        short = isinstance(error, MemoryError) or isinstance(error.__cause__, MemoryError)
        return _entry(job, "failed", "memory" if short else "decode", error)
    sound, outcome = sources.sound_of(trailer, sample.frames.start, sample.frames.duration)
    facts = {"bytes": sum(path.stat().st_size for path in (trailer.video, trailer.sound) if path), "sound": outcome}
    record = {"imdb_id": job.imdb_id, "youtube_id": job.youtube_id, "remark": sample.remark, **facts}
    record["settings"] = {name: getattr(settings, name) for name in SAMPLING}
    folder = job.project.images / folder_name(job.imdb_id, job.title, job.year)
    save_frames(folder, sample.frames, sample.reasons, record, sound)
    return _entry(job, "ok", "", sample.remark, **facts, **frame_counts(sample.reasons))


def _add_sound(job: Job, trailer: Fetched) -> Entry:
    sound, outcome = sources.sound_of(trailer)
    video.save_sound(ledger.film_folders(job.project)[job.imdb_id], sound, outcome)
    return _entry(job, "ok" if outcome == "ok" else "failed", outcome.removeprefix("ok"), "")


def _entry(job: Job, state: str, reason: str, detail: object, **facts: Any) -> Entry:
    trailer = {} if state == "ok" else {"trailer": job.trailer}
    return Entry(job.imdb_id, job.youtube_id, state, reason, files.printable(detail), **trailer, **facts)


def scrape(
    project: Project, films: pd.DataFrame, settings: ScrapeSettings, executor: Executor | None = None
) -> pd.DataFrame:
    """Scrape the catalogue rows `films` into project.images and return their `status`.

    The same call resumes. An `executor` gets `workers` films at once; its machines see the root under the same path,
    and limits are its own. TrailerError: another run is in it, a disk is full, a site refuses three films in a row.
    """
    sources.check_source(settings, project.root)
    project.images.mkdir(exist_ok=True)
    with files.single_run(project.images):
        files.remove_temporary(project.images)
        files.write_json(project.images / "settings.json", settings.as_dict())
        ledger.add_missing_entries(project, films)
        jobs = _open_jobs(project, films, settings)
        pool = worker_pool(scrape_film, min(settings.workers, len(jobs)), memory_needed(settings), settings.timeout)
        try:
            if jobs:
                with nullcontext(partial(executor.submit, scrape_film)) if executor else pool as submit:
                    _run(project, jobs, submit, settings)
        except KeyboardInterrupt:
            done = (status(project, films).status == "ok").sum()
            raise Stopped(f"stopped with {done} of {len(films)} films done; run it again to resume") from None
        finally:
            if executor is None:  # what stopped workers left incomplete
                files.remove_temporary(project.images)
    result = status(project, films)
    failed = result[result.status.isin(["failed", "later"])]
    files.write_text(project.images / ledger.FAILURES, failed.iloc[:, :5].to_csv(index=False))
    return result


def _open_jobs(project: Project, films: pd.DataFrame, settings: ScrapeSettings) -> list[Job]:
    """The films that are open or failed temporarily, and those that failed permanently but have another trailer now."""
    videos = sources.match_folder(project, films, settings.source) if settings.source.startswith("folder:") else {}
    latest, now, jobs = ledger.latest_entries(project.images / LEDGER), status(project, films), []
    for film, state, sound in zip(films.itertuples(), now.status, now.sound):
        facts = film.imdb_id, film.youtube_id, film.url, film.title, film.year
        job = Job(*facts, project, settings, str(videos.get(film.imdb_id, "")))
        another_trailer = state == "failed" and job.trailer not in ("", latest[film.imdb_id].trailer)
        if settings.sound:  # of those that have frames and no sound, unless their trailer has none for good
            if state == "ok" and job.trailer and (not sound or sound.startswith("later")):
                jobs.append(replace(job, earlier=latest[film.imdb_id]))
        elif state == "later" or another_trailer or (state == "open" and not settings.retry_failed):
            if job.trailer:
                jobs.append(job)
            else:  # which needs no worker and no pause
                entry = _entry(job, "failed", "missing", sources.explain_missing(settings.source))
                append_entry(project.images / LEDGER, entry)
    return jobs


def _run(project: Project, jobs: list[Job], submit: Submit, settings: ScrapeSettings) -> None:
    """Work on all jobs, write each attempt's line and show the progress; stop when a site refuses film after film."""
    # Nobody needs to be polite to a folder.
    schedule = Schedule(jobs, settings.workers, 0.0 if settings.source.startswith("folder:") else settings.pause)
    outcomes, refused = Counter(), []
    with closing(schedule.run(submit)) as attempts, bar(total=len(jobs), bar_format=BAR) as progress:
        for job, future in attempts:
            entry = _result(job, future)
            sound = {"ok": "ok", "later": f"later: {entry.reason}"}.get(entry.status, entry.reason)
            # An attempt at the sound alone leaves what is known of the film's frames.
            append_entry(project.images / LEDGER, replace(job.earlier, sound=sound) if job.earlier else entry)
            delay = retry_delay(job, entry)
            if delay is None:
                outcomes[entry.reason or "kept"] += 1
                progress.set_postfix(dict(outcomes.most_common()), refresh=False)
                progress.update()
            else:
                schedule.retry(replace(job, attempt=job.attempt + 1), delay)
            refused = [*refused, entry.imdb_id] if entry.reason in sources.STOPPING else []
            if len(set(refused)) == IN_A_ROW:
                text = f"{entry.reason} at {IN_A_ROW} films in a row ({entry.detail[:100]}): stopped, nothing is lost"
                raise TrailerError(f"{text}: {sources.REMEDIES[entry.reason]}; then run it again")


def _result(job: Job, future: Future) -> Entry:
    """The entry of an attempt, also when its worker died. TrailerError and OSError are raised: they end the run."""
    # Once it may be the machine's fault, twice in one run it is the film's.
    once_more = "later" if job.attempt < min(2, job.settings.attempts) else "failed"
    try:
        return future.result()
    except FutureTimeout:
        limit = job.settings.timeout
        return _entry(job, "later", "timeout", f"stopped after {limit:.0f} s (setting timeout)", seconds=limit)
    except ProcessExpired as error:
        if error.exitcode == -9:  # SIGKILL
            return _entry(job, "later", "killed", "the worker was killed: by the system for want of memory, or by hand")
        return _entry(job, once_more, "crash", f"the worker died with exit code {error.exitcode}")
    except (BrokenExecutor, CancelledError) as error:
        return _entry(job, "later", sources.LOST, f"{type(error).__name__}: {error}"[:200])
    except (TrailerError, OSError):
        raise
    except Exception as error:  # unexpected: record it and continue with the other films
        return _entry(job, once_more, "error", f"{type(error).__name__}: {error}"[:200])


def retry_delay(job: Job, entry: Entry) -> float | None:
    """Seconds until the next attempt in this run, None for no other: 1, 2, 4 pauses, or what the server asked for."""
    if entry.status != "later" or job.attempt >= job.settings.attempts or entry.reason == "timeout":
        return None
    if entry.reason in ("crash", "killed", "error", sources.LOST):
        return 0.0
    least = max(job.settings.pause * 2 ** (job.attempt - 1), entry.retry_after)
    # Random by film and attempt, so that films that failed together do not return together.
    delay = least * random.Random(f"{job.imdb_id}/{job.attempt}").uniform(1, 1.5)
    return delay if delay <= LONGEST_WAIT else None
