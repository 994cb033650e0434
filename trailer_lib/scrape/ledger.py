"""The attempts at each film: images/ledger.jsonl, one line an attempt, only appended to; and tables of them."""

import json
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from trailer_lib import files
from trailer_lib.errors import TrailerError
from trailer_lib.project import Project
from trailer_lib.scrape.sources import LISTED, REMEDIES
from trailer_lib.video import SOUND, folder_id, picture_paths, read_record

LEDGER, FAILURES = "ledger.jsonl", "failures.csv"


@dataclass(frozen=True)
class Entry:
    """One attempt at one film."""

    imdb_id: str
    youtube_id: str
    status: str  # "ok", "failed" (permanent) or "later" (temporary)
    reason: str = ""
    detail: str = ""
    seconds: float = 0.0
    bytes: int = 0  # that were fetched
    sampled_frames: int = 0
    kept_frames: int = 0
    dropped_frames: dict[str, int] = field(default_factory=dict)  # by reason
    retry_after: float = 0.0  # seconds that the server asked to wait
    trailer: str = ""  # what failed: YouTube id, link, or file's name and size; "" for none
    sound: str = ""  # "ok", why there is none ("silent"), "later: KIND" for a passing failure, "" where not asked for


def append_entry(path: Path, entry: Entry) -> None:
    files.append_text(path, json.dumps(asdict(entry), ensure_ascii=False) + "\n")


def read_ledger(path: Path) -> list[Entry]:
    """The entry of every complete line; other lines are skipped."""
    entries = []
    for line in path.read_bytes().split(b"\n") if path.exists() else []:
        with suppress(ValueError, TypeError, RecursionError):
            entries.append(Entry(**json.loads(line)))
    return entries


def latest_entries(path: Path) -> dict[str, Entry]:
    """IMDb id -> the film's last entry."""
    return {entry.imdb_id: entry for entry in read_ledger(path)}


def film_folders(project: Project) -> dict[str, Path]:
    """IMDb id -> folder, of every film with complete frames."""
    folders = sorted(path for path in project.images.glob("[!.]*") if path.is_dir())
    return {imdb_id: folder for folder in folders if (imdb_id := folder_id(folder.name))}


def add_missing_entries(project: Project, films: pd.DataFrame) -> None:
    """Append the entries of `films` that a run killed between a film's folder and its line could not write."""
    latest, imdb_ids = latest_entries(project.images / LEDGER), set(films.imdb_id)
    for imdb_id, folder in film_folders(project).items():
        if imdb_id in imdb_ids and (imdb_id not in latest or latest[imdb_id].status != "ok"):
            record = read_record(folder)
            reasons = [None] * len(picture_paths(folder)) + [reason for _, reason in record.get("dropped", [])]
            facts = {name: record[name] for name in ("bytes", "sound") if name in record} | frame_counts(reasons)
            entry = Entry(imdb_id, record.get("youtube_id", ""), "ok", detail=record.get("remark", ""), **facts)
            append_entry(project.images / LEDGER, entry)


def frame_counts(reasons: list[str | None]) -> dict[str, Any]:
    """The fields of an Entry that count frames; a reason says why a frame was dropped, None that it was kept."""
    dropped = dict(sorted(Counter(reason for reason in reasons if reason).items()))
    return {"sampled_frames": len(reasons), "kept_frames": reasons.count(None), "dropped_frames": dropped}


def status(project: Project, films: pd.DataFrame) -> pd.DataFrame:
    """A row a film: the status "ok", "failed", "later" or "open" (not tried yet), its sound "ok" or why none."""
    latest, folders, rows = latest_entries(project.images / LEDGER), film_folders(project), []
    for film in films.itertuples():
        entry, folder = latest.get(film.imdb_id), folders.get(film.imdb_id)
        # The folder decides: a run may have been killed before it wrote the line, and a user may delete a folder.
        if entry is None or (entry.status == "ok") != bool(folder):
            entry = Entry(film.imdb_id, film.youtube_id, "ok" if folder else "open")
        heard = folder and (folder / SOUND).exists()
        rows.append(vars(entry) | {"title": film.title, "sound": "ok" if heard else entry.sound.removeprefix("ok")})
    return pd.DataFrame(rows, columns="imdb_id title status reason detail kept_frames seconds bytes sound".split())


def summary(status: pd.DataFrame) -> pd.DataFrame:
    """A row for each status and reason: films, seconds of their last attempts, MB fetched, frames, films with sound."""
    groups = status.assign(sound=status.sound == "ok").groupby(["status", "reason"], sort=False)
    sums = {"seconds": "seconds", "MB": "bytes", "frames": "kept_frames", "sound": "sound"}
    table = groups.agg(films=("imdb_id", "size"), **{name: (column, "sum") for name, column in sums.items()})
    return table.assign(MB=table.MB / 1e6).sort_values("films", ascending=False).reset_index().round(1)


def sounds(status: pd.DataFrame) -> str:
    """How many of the films with frames have sound, and why the others have none, as a line."""
    counts = status.sound[status.status == "ok"].replace("", "not fetched yet").value_counts()
    line = f"{counts.get('ok', 0)} of {counts.sum()} films with frames have sound"
    reasons = ", ".join(f"{films} {reason}" for reason, films in counts.items() if reason != "ok")
    return f"{line}; the others: {reasons}" if reasons else line


def failures(status: pd.DataFrame) -> str:
    """A line for each film that failed or is to be tried again, with the reason; then a line for each remedy."""
    failed = status[status.status.isin(["failed", "later"])]
    lines = [f"{film.status:6}  {film.title}: {film.detail}" for film in failed.head(LISTED).itertuples()]
    more = [f"... and {len(failed) - LISTED} more: all are in images/{FAILURES}"] if len(failed) > LISTED else []
    advice = [f"{reason}: {REMEDIES[reason]}" for reason in failed.reason.unique() if reason in REMEDIES]
    return "\n".join([*lines, *more, *advice]) or "nothing failed"


def first_folder(project: Project, films: pd.DataFrame) -> Path:
    """The folder of the first of `films` that has one; TrailerError when none has."""
    folders = film_folders(project)
    if found := [folders[imdb_id] for imdb_id in films.imdb_id if imdb_id in folders]:
        return found[0]
    raise TrailerError(f"{project.images}: not one of {len(films)} films gave frames: see the reasons above")
