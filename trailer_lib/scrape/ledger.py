"""What became of each film: images/ledger.jsonl, one line an attempt, only ever appended to."""

import errno
import fcntl
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from trailer_lib import files


@dataclass(frozen=True)
class Entry:
    """One attempt at one film. `status`: "ok", "failed" (permanent) or "later" (passing). `bytes` of the video.

    `sampled` frames were drawn, `kept` are on disk, `dropped` counts the others by reason. `retry_after`: seconds that
    the server asked to wait.
    """

    imdb_id: str
    youtube_id: str
    status: str
    reason: str = ""
    detail: str = ""
    seconds: float = 0.0
    bytes: int = 0
    sampled: int = 0
    kept: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    retry_after: float = 0.0


def append_entry(path: Path, entry: Entry) -> None:
    """Add a line with one write, so that lines of several writers never mix (on a disk of this machine)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps(asdict(entry), ensure_ascii=False) + "\n"
    with files.reporting_full_disk(path, lambda: len(line.encode())):
        _append(path, line)


def _append(path: Path, line: str) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        with suppress(OSError):  # on a disk without locks a line that is being written may look torn
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        # A line torn by a crash must not swallow this one.
        torn = os.fstat(descriptor).st_size and os.pread(descriptor, 1, os.fstat(descriptor).st_size - 1) != b"\n"
        data = ("\n" * bool(torn) + line).encode()
        if os.write(descriptor, data) < len(data):  # a full disk takes what fits and raises nothing
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_ledger(path: Path) -> list[Entry]:
    """Every whole line; a torn or foreign one is passed over."""
    if not path.exists():
        return []
    entries = (_parsed(line) for line in path.read_bytes().split(b"\n"))
    return [entry for entry in entries if entry]


def latest_entries(path: Path) -> dict[str, Entry]:
    """The newest entry of each film."""
    return {entry.imdb_id: entry for entry in read_ledger(path)}


def _parsed(line: bytes) -> Entry | None:
    try:
        value: Any = json.loads(line)
        return Entry(**value)
    except (ValueError, TypeError, RecursionError):
        return None
