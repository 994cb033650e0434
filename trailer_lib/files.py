"""Files that are whole or absent, and names that are safe on every disk."""

import json
import os
import re
import shutil
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from trailer_lib.errors import TrailerError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TEMPORARY = ".tmp-"
# Names of devices on Windows, whatever comes after a dot (learn.microsoft.com, "Naming Files, Paths, and Namespaces").
RESERVED = re.compile(r"CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(COM|LPT)[0-9¹²³]", re.IGNORECASE)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; when the block ends well it becomes `path`, else it is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # The process id keeps two writers of the same file apart.
    temporary = path.with_name(f"{TEMPORARY}{os.getpid()}-{path.name}")
    try:
        yield temporary
        put_in_place(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def put_in_place(temporary: Path, path: Path) -> None:
    """Let the whole file `temporary`, on the same disk, become `path` in one step that outlives a power cut."""
    _sync(temporary)
    os.replace(temporary, path)
    _sync(path.parent)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; when the block ends well it becomes `path` whole, else it is removed."""
    temporary = path.with_name(f"{TEMPORARY}{os.getpid()}-{path.name}"[:200])
    shutil.rmtree(temporary, ignore_errors=True)
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


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
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
