"""Files that are whole or absent, and names that are safe on every disk."""

import errno
import json
import os
import re
import secrets
import shutil
import sys
import tempfile
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from trailer_lib.errors import TrailerError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TEMPORARY, LOCK = ".tmp-", ".lock"
# Names of devices on Windows, whatever comes after a dot (learn.microsoft.com, "Naming Files, Paths, and Namespaces").
RESERVED = re.compile(r"CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(COM|LPT)[0-9¹²³]", re.IGNORECASE)


class DiskFull(TrailerError):
    """No space left on a disk: the next film would fail too, so a long run stops at it."""


@contextmanager
def reporting_full_disk(path: Path, needed: Callable[[], int]) -> Iterator[None]:
    """Make a full disk in the block a DiskFull that names `path`, the bytes `needed` for it and the bytes free."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        sizes = f"{needed():,} bytes are needed, {shutil.disk_usage(path.parent).free:,} are free"
        raise DiskFull(f"{path}: the disk is full: {sizes}: make room, run it again") from error


@contextmanager
def single_run(place: Path) -> Iterator[None]:
    """Hold a folder or a file for this process; TrailerError when another one holds it."""
    # A file may be replaced meanwhile, so its lock lies beside it.
    lock = FileLock(place / LOCK if place.is_dir() else place.with_name(f".{place.name}{LOCK}"), blocking=False)
    try:
        lock.acquire()
    except Timeout:
        share = "; several machines share one run by executor=..." if place.is_dir() else ""
        raise TrailerError(f"{place}: another run is filling it: wait for it or stop it{share}") from None
    except (OSError, NotImplementedError) as error:  # a network disk without locks
        print(f"{place}: no locks on this disk ({error}): see that only one run fills it", file=sys.stderr)
    try:
        yield
    finally:
        lock.release()


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield a folder among the system's temporary files, removed at the end."""
    with tempfile.TemporaryDirectory(prefix="trailer_lib-", ignore_cleanup_errors=True) as name:
        yield Path(name)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path, for a file or a folder; in one step it becomes `path`, if the block does not raise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # By chance and not by process id: on two machines that share a disk, two processes may have the same one.
    temporary = path.with_name(f"{TEMPORARY}{secrets.token_hex(4)}-{path.name}"[:200])
    try:
        yield temporary
        for written in [*temporary.glob("*"), temporary]:
            _sync(written)
        if temporary.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        os.replace(temporary, path)
        _sync(path.parent)
    finally:
        _remove(temporary)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    if os.name == "nt" and path.is_dir():  # Windows opens no directories
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: Path, data: bytes) -> None:
    with reporting_full_disk(path, lambda: len(data)), atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode())


def write_json(path: Path, value: object) -> None:
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def append_text(path: Path, text: str) -> None:
    """Add a line that outlives a power cut, by a single write: those of several processes do not mix."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = text.encode(errors="backslashreplace")
    with reporting_full_disk(path, lambda: len(data)), open(path, "a+b", buffering=0) as file:
        # A line cut off by a crash must not run into this one.
        file.seek(max(file.seek(0, os.SEEK_END) - 1, 0))
        data = data if file.read(1) in (b"", b"\n") else b"\n" + data
        if file.write(data) < len(data):  # a full disk takes what fits and raises nothing
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        os.fsync(file.fileno())


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; {} for a file that is missing or damaged."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise TrailerError(f"{path}: not a readable TOML file ({error}): fix it or name another") from error


def remove_temporary(folder: Path) -> None:
    """Remove what killed writers left in `folder`."""
    for path in folder.glob(f"{TEMPORARY}*"):
        _remove(path)


def safe_name(text: str, limit: int) -> str:
    """`text` as one file name on every system: NFC, no separators, at most `limit` bytes of UTF-8."""
    text = unicodedata.normalize("NFC", text)
    # Category C: control, format (right-to-left marks), surrogate and unassigned letters.
    text = "".join(" " if unicodedata.category(letter)[0] == "C" else letter for letter in text)
    text = re.sub(r'[<>:"/\\|?*]', "_", text)
    # No dot, hyphen or tilde first (hidden files, options, homes), no dot or space last (Windows drops them).
    name = _cut(" ".join(text.split()).lstrip(".-~ "), limit) or "_"
    return _cut(f"_{name}", limit) if RESERVED.fullmatch(name.partition(".")[0].rstrip()) else name


def printable(text: object) -> str:
    """A text in which the bytes of file names that are not UTF-8 are written as \\xe9 and the like."""
    return str(text).encode(errors="backslashreplace").decode().replace(r"\udc", r"\x")


def _cut(text: str, limit: int) -> str:
    return text.encode()[:limit].decode(errors="ignore").rstrip(". ")
