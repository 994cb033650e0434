"""One film: its trailer fetched, sampled, filtered, written and deleted, in whatever process or machine this runs."""

import shutil
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from trailer_lib import files, frames, pick, sources
from trailer_lib.errors import TrailerError
from trailer_lib.ledger import Entry
from trailer_lib.project import Project
from trailer_lib.settings import ScrapeSettings

# What decides a film's frames, and so belongs beside them: a run with other workers writes the same folder.
DRAWING = ("seed", "source", "count", "mode", "filter", "height")
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
    except sources.SourceError as error:
        _refuse_full_disk(error)
        status = "failed" if error.permanent else "later"
        entry = _told(job, status, error.kind, error, retry_after=error.retry_after)
    except files.DiskFull:
        raise
    except pick.NothingKept as error:
        entry = _told(job, "failed", "nothing kept", error, **_counts(error.reasons))
    except (TrailerError, MemoryError) as error:
        short = isinstance(error, MemoryError) or isinstance(error.__cause__, MemoryError)
        entry = _told(job, "failed", "memory" if short else "decode", error)
    return replace(entry, seconds=round(time.monotonic() - start, 2))


def _attempt(job: Job) -> Entry:
    settings = job.settings
    with files.scratch_folder() as scratch:
        path = sources.fetch(job.youtube_id, job.url, settings, job.project.root, scratch)
        size = path.stat().st_size
        picked = pick.pick(path, job.imdb_id, settings, settings.height, threads=1)  # two trailers beat two threads
    folder = job.project.images / frames.folder_name(job.imdb_id, job.title, job.year)
    drawing = {name: getattr(settings, name) for name in DRAWING}
    facts = {"imdb_id": job.imdb_id, "youtube_id": job.youtube_id, "bytes": size, "remark": picked.remark}
    frames.save(folder, picked.frames, picked.reasons, facts | {"settings": drawing})
    return _told(job, "ok", "", picked.remark, bytes=size, **_counts(picked.reasons))


def recorded(imdb_id: str, folder: Path) -> Entry:
    """The entry of a film whose folder is whole, from what is in it: for the line that a killed run did not write."""
    record = frames.read_record(folder)
    reasons = [None] * len(frames.picture_paths(folder)) + [reason for _, reason in record.get("dropped", [])]
    facts = {"detail": record.get("remark", ""), "bytes": record.get("bytes", 0)}
    return Entry(imdb_id, record.get("youtube_id", ""), "ok", **facts, **_counts(reasons))


def _told(job: Job, status: str, reason: str, detail: object, **facts: object) -> Entry:
    return Entry(job.imdb_id, job.youtube_id, status, reason, str(detail), **facts)


def _counts(reasons: list[str | None]) -> dict:
    dropped = dict(sorted(Counter(reason for reason in reasons if reason).items()))
    return {"sampled": len(reasons), "kept": reasons.count(None), "dropped": dropped}


def _refuse_full_disk(error: sources.SourceError) -> None:
    if FULL in str(error):
        place = tempfile.gettempdir()
        free = shutil.disk_usage(place).free
        raise files.DiskFull(
            f"{place}: the disk is full: a download needs up to 500,000,000 bytes, {free:,} are free: make room or set "
            "TMPDIR to a larger disk, and run it again"
        ) from error
