"""Files that are whole or absent, and names that are safe on every disk."""

import errno
import fcntl
import json
import os
import re
import secrets
import shutil
import socket
import sys
import tempfile
import time
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from trailer_lib.errors import TrailerError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TEMPORARY = ".tmp-"
SCRATCH = "trailer_lib-scratch-"
LOCK = ".lock"
# Names of devices on Windows, whatever comes after a dot (learn.microsoft.com, "Naming Files, Paths, and Namespaces").
RESERVED = re.compile(r"CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(COM|LPT)[0-9¹²³]", re.IGNORECASE)


class DiskFull(TrailerError):
    """No room on a disk: everyone's trouble, so that a long run stops at it."""


@contextmanager
def reporting_full_disk(path: Path, needed: Callable[[], int]) -> Iterator[None]:
    """Make a full disk in the block a DiskFull that names `path`, the bytes `needed` for it and the bytes free."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        free = shutil.disk_usage(path.parent).free
        raise DiskFull(
            f"{path}: the disk is full: {needed():,} bytes are needed, {free:,} are free: make room, run it again"
        ) from error


@contextmanager
def single_run(place: Path) -> Iterator[None]:
    """Hold a folder or a file for this process; TrailerError when another one holds it.

    The lock goes with its process. A file may be replaced meanwhile, so that its lock lies beside it.
    """
    lock = place / LOCK if place.is_dir() else place.with_name(f".{place.name}{LOCK}")
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o644)
    holder = f"process {os.getpid()} on {socket.gethostname()}".encode()
    try:
        _lock(descriptor, place)
        os.ftruncate(descriptor, 0)
        try:
            with reporting_full_disk(lock, lambda: len(holder)):
                os.write(descriptor, holder)
            yield
        finally:
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, place: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(descriptor, 200, 0).decode(errors="replace") or "another process"
        share = "; several machines share one run by executor=..." if place.is_dir() else ""
        raise TrailerError(f"{place}: {holder} is filling it: wait for it or stop it{share}") from None
    except OSError as error:  # a network disk without locks
        print(f"{place}: no lock to be had ({error.strerror}): see that only one run fills it", file=sys.stderr)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield a folder among the system's temporary files, removed at the end; those of killed processes go with it."""
    for path in Path(tempfile.gettempdir()).glob(f"{SCRATCH}*"):
        with suppress(OSError):  # in use, another user's, or removed just now
            _remove_orphan(path)
    with tempfile.TemporaryDirectory(prefix=SCRATCH, ignore_cleanup_errors=True) as name:
        descriptor = os.open(name, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # says that this process lives
            yield Path(name)
        finally:
            os.close(descriptor)


def _remove_orphan(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        # A minute: between its making and its lock a folder looks like an orphan.
        if time.time() - os.fstat(descriptor).st_mtime > 60:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
    finally:
        os.close(descriptor)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; when the block ends well it becomes `path`, else it is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    try:
        yield temporary
        move_into_place(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def move_into_place(temporary: Path, path: Path) -> None:
    """Let the whole file `temporary`, on the same disk, become `path` in one step that outlives a power cut."""
    _sync(temporary)
    os.replace(temporary, path)
    _sync(path.parent)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; when the block ends well it becomes `path` whole, else it is removed."""
    temporary = _temporary(path)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        for file in temporary.iterdir():
            _sync(file)
        shutil.rmtree(path, ignore_errors=True)
        os.replace(temporary, path)
        _sync(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _temporary(path: Path) -> Path:
    # By chance and not by process id: on two machines that share a disk, two processes may have the same one.
    return path.with_name(f"{TEMPORARY}{secrets.token_hex(4)}-{path.name}"[:200])


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    with reporting_full_disk(path, lambda: len(text.encode())), atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: object) -> None:
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrailerError(f"{path}: not a readable TOML file ({error}): mend it or name another") from error


def remove_temporary(folder: Path) -> None:
    """Remove what killed writers left in `folder`."""
    for path in folder.glob(f"{TEMPORARY}*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def safe_name(text: str, limit: int) -> str:
    """`text` as one file name on every system: NFC, no separators, at most `limit` bytes of UTF-8."""
    text = unicodedata.normalize("NFC", text)
    # Category C: control, format (right-to-left marks), surrogate and unassigned letters.
    text = "".join(" " if unicodedata.category(letter)[0] == "C" else letter for letter in text)
    text = re.sub(r'[<>:"/\\|?*]', "_", text)
    # No dot, hyphen or tilde first (hidden files, options, homes), no dot or space last (Windows drops them).
    name = _cut(" ".join(text.split()).lstrip(".-~ "), limit) or "_"
    return _cut(f"_{name}", limit) if RESERVED.fullmatch(name.partition(".")[0].rstrip()) else name


def _cut(text: str, limit: int) -> str:
    return text.encode()[:limit].decode(errors="ignore").rstrip(". ")
