"""A catalogue -> images/: each trailer is fetched, sampled, filtered, written, deleted, and the ledger says how."""

import json
import shlex
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from trailer_lib import errors, files
from trailer_lib.errors import Stopped, TrailerError
from trailer_lib.progress import bar, in_notebook
from trailer_lib.project import Project
from trailer_lib.scrape import sources
from trailer_lib.scrape.ledger import Entry, append_entry, latest_entries
from trailer_lib.scrape.pool import LOST, LOST_REMEDY, run_jobs, worker_pool
from trailer_lib.scrape.sources import STOPPING, check_source, fetch_trailer
from trailer_lib.settings import ScrapeSettings
from trailer_lib.video import (
    NoInformativeFrames,
    folder_id,
    folder_name,
    memory_needed,
    picture_paths,
    read_record,
    sample_informative,
    save_frames,
)

# What decides a film's frames, and so belongs beside them: a run with other workers writes the same folder.
DRAWING = ("seed", "source", "count", "filter", "height")
FULL = "No space left on device"  # yt-dlp gives a full disk as a text


@dataclass(frozen=True)
class Job:
    """One try of one film for one worker: everything it needs, small and picklable."""

    imdb_id: str
    youtube_id: str
    url: str
    title: str
    year: int
    project: Project
    settings: ScrapeSettings
    attempt: int = 1  # in this run; some executors take the same call twice for one and answer from memory


def scrape_film(job: Job) -> Entry:
    """Fetch, sample, filter and write one film; the entry says what came of it.

    Whatever is the film's own trouble is told in the entry. files.DiskFull and OSError are raised: the next film would
    meet them too.
    """
    start = time.monotonic()
    try:
        entry = _attempt(job)
    except errors.SourceError as error:
        _refuse_full_disk(error)
        status = "failed" if error.permanent else "later"
        entry = _told(job, status, error.kind, error, retry_after=error.retry_after)
    except files.DiskFull:
        raise
    except NoInformativeFrames as error:
        entry = _told(job, "failed", "nothing kept", error, **_counts(error.reasons))
    except (TrailerError, MemoryError) as error:
        short = isinstance(error, MemoryError) or isinstance(error.__cause__, MemoryError)
        entry = _told(job, "failed", "memory" if short else "decode", error)
    return replace(entry, seconds=round(time.monotonic() - start, 2))


def _attempt(job: Job) -> Entry:
    settings = job.settings
    with files.scratch_folder() as scratch:
        path = fetch_trailer(job.youtube_id, job.url, settings, job.project.root, scratch)
        size = path.stat().st_size
        picked = sample_informative(
            path, job.imdb_id, settings, settings.height, threads=1
        )  # two trailers beat two threads
    folder = job.project.images / folder_name(job.imdb_id, job.title, job.year)
    drawing = {name: getattr(settings, name) for name in DRAWING}
    facts = {"imdb_id": job.imdb_id, "youtube_id": job.youtube_id, "bytes": size, "remark": picked.remark}
    save_frames(folder, picked.frames, picked.reasons, facts | {"settings": drawing})
    return _told(job, "ok", "", picked.remark, bytes=size, **_counts(picked.reasons))


def entry_of_folder(imdb_id: str, folder: Path) -> Entry:
    """The entry of a film whose folder is whole, from what is in it: for the line that a killed run did not write."""
    record = read_record(folder)
    reasons = [None] * len(picture_paths(folder)) + [reason for _, reason in record.get("dropped", [])]
    facts = {"detail": record.get("remark", ""), "bytes": record.get("bytes", 0)}
    return Entry(imdb_id, record.get("youtube_id", ""), "ok", **facts, **_counts(reasons))


def _told(job: Job, status: str, reason: str, detail: object, **facts: object) -> Entry:
    return Entry(job.imdb_id, job.youtube_id, status, reason, str(detail), **facts)


def _counts(reasons: list[str | None]) -> dict:
    dropped = dict(sorted(Counter(reason for reason in reasons if reason).items()))
    return {"sampled": len(reasons), "kept": reasons.count(None), "dropped": dropped}


def _refuse_full_disk(error: errors.SourceError) -> None:
    if FULL in str(error):
        place = tempfile.gettempdir()
        free = shutil.disk_usage(place).free
        raise files.DiskFull(
            f"{place}: the disk is full: a download needs up to 500,000,000 bytes, {free:,} are free: make room or set "
            "TMPDIR to a larger disk, and run it again"
        ) from error


SHOWN = 20  # failures listed; thousands would bury the rest
LEDGER = "ledger.jsonl"
BAR = "{percentage:3.0f}%|{bar:10}| {n_fmt}/{total_fmt} films, {remaining} left{postfix}"  # short: for 80 columns
IN_A_ROW = 3  # films: one refusal may be that film's, three are the site's
# What would befall every film to come.
REFUSALS = {*STOPPING, LOST}


def scrape(
    project: Project, films: pd.DataFrame, settings: ScrapeSettings, executor: Executor | None = None
) -> pd.DataFrame:
    """Scrape the catalogue rows `films` into project.images and return `status` of them.

    What is there already is left alone; a film that failed for good is not tried again. Ctrl-C stops within seconds and
    loses only the trailers in hand; the same call goes on. With an `executor` the films go to it, at most `workers` at
    once; its machines must see the root under the same path, and the limits of time and memory are its own.
    TrailerError when another run fills project.images, when a disk is full, and when a site refuses three films in a
    row.
    """
    check_source(settings.source)
    project.images.mkdir(exist_ok=True)
    with files.single_run(project.images):
        files.remove_temporary(project.images)
        files.write_json(project.images / "settings.json", settings.as_dict())
        _mend_ledger(project, films)
        jobs = _open_jobs(project, films, settings)
        try:
            if jobs:
                _work(project, jobs, settings, executor)
        except KeyboardInterrupt:
            raise Stopped(f"stopped with {_done(project, films)}; to go on: {_again(project, settings)}") from None
        finally:
            if executor is None:  # what workers that were stopped left half written
                files.remove_temporary(project.images)
    return status(project, films)


def status(project: Project, films: pd.DataFrame) -> pd.DataFrame:
    """What became of each of `films`: a row each of imdb_id, title, status, reason, detail, kept, seconds, bytes.

    The status is "ok", "failed" (for good), "later" (to be tried again) or "open" (not tried yet). Reads only, also
    while a run is going.
    """
    newest = latest_entries(project.images / LEDGER)
    done = finished(project)
    rows = []
    for film in films.itertuples():
        entry = newest.get(film.imdb_id) or Entry(film.imdb_id, film.youtube_id, "open")
        # The folder is the truth: it may be whole without a line in the ledger, when a run was killed in between.
        state = "ok" if film.imdb_id in done else "open" if entry.status == "ok" else entry.status
        if entry.status != state:
            entry = Entry(film.imdb_id, film.youtube_id, state)
        facts = [entry.reason, entry.detail, entry.kept, entry.seconds, entry.bytes]
        rows.append([film.imdb_id, film.title, state, *facts])
    return pd.DataFrame(rows, columns="imdb_id title status reason detail kept seconds bytes".split())


def summary(status: pd.DataFrame) -> pd.DataFrame:
    """A row for each status and reason of `status`: films, their last try's seconds, MB fetched, frames kept."""
    groups = status.groupby(["status", "reason"], sort=False)
    table = groups.agg(
        films=("imdb_id", "size"), seconds=("seconds", "sum"), MB=("bytes", "sum"), frames=("kept", "sum")
    )
    table["MB"] /= 1e6
    return table.sort_values("films", ascending=False).reset_index().round(1)


def failures(status: pd.DataFrame) -> str:
    """A line for each film tried in vain, "failed" for good or "later" to be tried again, and why; then what to do."""
    tried = status[status.status.isin(["failed", "later"])]
    lines = [f"{film.status:6}  {film.title}: {film.detail}" for film in tried.head(SHOWN).itertuples()]
    more = [f"... and {len(tried) - SHOWN} more"] if len(tried) > SHOWN else []
    remedies = {reason: sources.remedy(reason) for reason in tried.reason.unique()}
    advice = [f"{reason}: {remedy}" for reason, remedy in remedies.items() if remedy]
    return "\n".join([*lines, *more, *advice]) or "nothing failed"


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
    return {folder_id(folder.name): folder for folder in folders if folder_id(folder.name)}


def _mend_ledger(project: Project, films: pd.DataFrame) -> None:
    """Write the lines that a run killed between a film's folder and its line could not."""
    newest, wanted = latest_entries(project.images / LEDGER), set(films.imdb_id)
    for imdb_id, folder in finished(project).items():
        if imdb_id in wanted and (imdb_id not in newest or newest[imdb_id].status != "ok"):
            append_entry(project.images / LEDGER, entry_of_folder(imdb_id, folder))


def _open_jobs(project: Project, films: pd.DataFrame, settings: ScrapeSettings) -> list[Job]:
    wanted = ("later",) if settings.retry_failed else ("later", "open")
    known = status(project, films)
    todo = set(known.imdb_id[known.status.isin(wanted)])
    return [
        Job(film.imdb_id, film.youtube_id, film.url, film.title, film.year, project, settings)
        for film in films.itertuples()
        if film.imdb_id in todo
    ]


def _work(project: Project, jobs: list[Job], settings: ScrapeSettings, executor: Executor | None) -> None:
    here = executor is None
    workers, memory = min(settings.workers, len(jobs)), memory_needed(settings)
    pool = worker_pool(scrape_film, workers, memory, settings.timeout) if here else _submitting(executor)
    with pool as submit:
        _record(project, run_jobs(jobs, submit, settings), len(jobs), settings)


@contextmanager
def _submitting(executor: Executor) -> Iterator[Callable[[Job], Future]]:
    """Yield what hands a job to the executor; the executor is its owner's to shut down."""

    def submit(job: Job) -> Future:
        try:
            return executor.submit(scrape_film, job)
        except RuntimeError as error:
            raise TrailerError(f"the executor takes no more films ({error}): start it again, then this call") from error

    yield submit


def _record(project: Project, results: Iterator[tuple[Entry, bool]], films: int, settings: ScrapeSettings) -> None:
    """Write each attempt's line as it ends and show how far the run is; stop when a site refuses film after film."""
    start, outcomes, refused = time.monotonic(), Counter(), []
    with closing(results), bar(total=films, bar_format=BAR) as shown:
        for entry, last in results:
            append_entry(project.images / LEDGER, entry)
            outcomes[entry.reason or "kept"] += last
            shown.set_postfix_str(_postfix(outcomes, time.monotonic() - start), refresh=False)
            shown.update(last)
            refused = [*refused, entry.imdb_id] if entry.reason in REFUSALS else []
            if len(set(refused)) == IN_A_ROW:
                raise TrailerError(_refusal(entry, project, settings))


def _postfix(outcomes: Counter, seconds: float) -> str:
    """'5.2/min, kept 31, failed 3 (decode 2, private 1)' of the films that are done."""
    failed = [f"{reason} {films}" for reason, films in outcomes.most_common() if reason != "kept" and films]
    total = sum(outcomes.values())
    reasons = f", failed {total - outcomes['kept']} ({', '.join(failed)})" if failed else ""
    return f"{60 * total / max(seconds, 1e-3):.1f}/min, kept {outcomes['kept']}{reasons}"


def _refusal(entry: Entry, project: Project, settings: ScrapeSettings) -> str:
    return (
        f"{entry.reason} at {IN_A_ROW} films in a row ({entry.detail[:100]}): stopped, nothing is lost: "
        f"{sources.remedy(entry.reason) or LOST_REMEDY}; then: {_again(project, settings)}"
    )


def _done(project: Project, films: pd.DataFrame) -> str:
    return f"{(status(project, films).status == 'ok').sum()} of {len(films)} films done"


def _again(project: Project, settings: ScrapeSettings) -> str:
    """The command that goes on with a run of these settings; in a notebook, running the cell again does."""
    usual = project.settings("scrape").as_dict()
    changed = {name: value for name, value in settings.as_dict().items() if value != usual[name]}
    words = [f"{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in changed.items()]
    command = shlex.join(["python", "-m", "trailer_lib", "scrape", "--root", str(project.root), *words])
    return f"run this cell again, or {command}" if in_notebook() else command
