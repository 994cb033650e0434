"""One file over HTTPS: streamed to a .part beside its place, resumed after a break, checked, and only then in place."""

import ipaddress
import json
import os
import random
import re
import socket
import sys
import time
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from urllib3.exceptions import HTTPError, InvalidHeader
from urllib3.util import Retry

from trailer_lib import __version__, files
from trailer_lib.errors import SourceError, TrailerError
from trailer_lib.progress import bar

TRIES = 6  # failures in a row, without one more byte on disk between them
TIMEOUT = (15.0, 30.0)  # seconds to connect, and without a byte: a stall
LONGEST_WAIT = 60.0  # seconds; a Retry-After may ask for more
REDIRECTS = 5
CHUNK = 1 << 18
PART, NOTE = ".part", ".part.json"
PASSING = {"network", "rate limit"}
STATUS_KINDS = {401: "forbidden", 403: "forbidden", 408: "network", 425: "network", 429: "rate limit"}


def download(
    url: str,
    target: Path,
    limit: int,
    tries: int = TRIES,
    check: Callable[[Path], None] | None = None,
    title: str = "",
) -> Path:
    """Get `url` (https only) as `target`, its time of change the server's Last-Modified; return `target`.

    Breaks, stalls, 429 and 5xx are tried again, `tries` times in a row, after a growing random wait or what the server
    asks for, whichever is longer; then SourceError. What came so far stays in `<target>.part` for the next call, unless
    the server has another version by then. At most `limit` bytes. `check` gets the whole file before it is in place and
    raises TrailerError if it is not what it should be. `title` names the progress bar; "" for none.
    """
    part, failures = _beside(target, PART), 0
    while True:
        before = _size(part)
        try:
            _attempt(url, part, limit, title)
            break
        except SourceError as error:
            failures = 1 if _size(part) > before else failures + 1
            if error.kind not in PASSING or failures >= tries:
                raise
            wait = max(error.retry_after, random.uniform(0.5, 1.0) * min(2.0**failures, LONGEST_WAIT))
            if title:
                print(f"{error}; trying again in {wait:.0f} s", file=sys.stderr)
            time.sleep(wait)
    _put_in_place(part, target, check)
    return target


def _attempt(url: str, part: Path, limit: int, title: str) -> None:
    """One request for what is missing of `part`."""
    note = _read_note(part, url)
    have = _size(part) if note else 0
    if note and have == note["size"]:  # stopped between the last byte and the rename
        return
    asked = {"Range": f"bytes={have}-", "If-Range": note["version"]} if have else {}
    with requests.Session() as session:
        try:
            with _open(session, url, asked) as response:
                have, size = _place(response, have, note, part, url)
                if (size or 0) > limit:
                    raise _too_large(part, url, limit)
                if not have:  # the old bytes go before the new version is noted: a kill in between must not mix them
                    _discard(part)
                    _write_note(part, url, size, response.headers)
                _receive(response, part, have, size, limit, url, title)
        except requests.exceptions.InvalidURL as error:
            raise SourceError("refused", f"{_shown(url)}: not a link", permanent=True) from error
        except (requests.RequestException, HTTPError) as error:
            raise SourceError("network", f"{_shown(url)}: {_reason(error)}: what came is kept", False) from error
    if size is not None and _size(part) != size:
        raise SourceError("network", f"{_shown(url)}: {_size(part)} of {size} bytes came: what came is kept", False)


def _open(session: requests.Session, url: str, asked: dict[str, str]) -> requests.Response:
    """The answer to `url`, after redirects, each looked at before it is followed; SourceError if it is a refusal."""
    # As it is on the server: a body that is decompressed on the way has no known size and cannot be resumed.
    headers = {"Accept-Encoding": "identity", "User-Agent": f"trailer_lib/{__version__}", **asked}
    first = url = _checked(url)
    for _ in range(REDIRECTS + 1):
        response = session.get(url, headers=headers, stream=True, timeout=TIMEOUT, allow_redirects=False)
        location = session.get_redirect_target(response)
        if location is None:
            _raise_for_status(response, first)
            return response
        response.close()
        url = _followed(url, location)
    raise SourceError("refused", f"{_shown(first)}: more than {REDIRECTS} redirects", permanent=True)


def _checked(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise SourceError("refused", f"{url[:80]!r}: not a link", permanent=True) from error
    if parts.scheme != "https" or not parts.hostname:
        raise SourceError("refused", f"{_shown(url)}: only https: links are fetched", permanent=True)
    return url


def _followed(url: str, location: str) -> str:
    """Where a redirect leads: https, and not into this machine or its network, unless the user's own link is there."""
    there = urljoin(url, location)
    try:
        _checked(there)
    except SourceError as error:
        raise SourceError("refused", f"{_shown(url)}: redirects to {error}", permanent=True) from None
    host = urlsplit(there).hostname
    if host != urlsplit(url).hostname and not _is_public(host):
        raise SourceError("refused", f"{_shown(url)}: redirects to {host}, a private address", permanent=True)
    return there


def _is_public(host: str) -> bool:
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo(host, 443, type=socket.SOCK_STREAM)}
    except OSError:
        return True  # unknown here: only a proxy can reach it, and it has rules of its own
    return all(ipaddress.ip_address(address).is_global for address in found)


def _raise_for_status(response: requests.Response, url: str) -> None:
    status = response.status_code
    if status in (200, 206, 416):
        return
    kind = STATUS_KINDS.get(status, "network" if status >= 500 else "unavailable")
    asked = response.headers.get("Retry-After", "") if kind in PASSING else ""
    text = f"{_shown(url)}: HTTP {status} {response.reason}"
    raise SourceError(kind, text, kind == "unavailable", retry_after(asked))


def retry_after(header: str) -> float:
    """Seconds asked for by a Retry-After header, a number or a date (RFC 9110, 10.2.3); 0 for none and for nonsense."""
    try:
        return Retry().parse_retry_after(header) if header else 0.0
    except InvalidHeader:
        return 0.0


def _place(response: requests.Response, have: int, note: dict, part: Path, url: str) -> tuple[int, int | None]:
    """(first byte, size of the whole file if told) of an answer; a part that was not asked for is refused."""
    if response.status_code == 200:  # also the answer to a Range that the server ignores or whose version is gone
        length = response.headers.get("Content-Length", "")
        return 0, int(length) if length.isdecimal() else None
    told = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", response.headers.get("Content-Range", "").strip())
    if response.status_code == 206 and told and int(told[1]) == have and note.get("size") in (None, int(told[3])):
        return have, int(told[3])
    _discard(part)
    raise SourceError("network", f"{_shown(url)}: answers with other bytes than asked", permanent=False)


def _receive(
    response: requests.Response, part: Path, have: int, size: int | None, limit: int, url: str, title: str
) -> None:
    shown: dict[str, Any] = {"total": size, "initial": have, "unit": "B", "unit_scale": True, "disable": not title}
    try:
        with open(part, "ab" if have else "wb") as file, bar(desc=title, **shown) as progress:
            # read1 gives what has come: a stall must not take the bytes before it along.
            while chunk := response.raw.read1(CHUNK, decode_content=False):
                if file.tell() + len(chunk) > limit:
                    raise _too_large(part, url, limit)
                file.write(chunk)
                progress.update(len(chunk))
    except OSError as error:  # a full disk; what goes wrong on the way is urllib3's HTTPError
        raise OSError(error.errno, error.strerror, str(part)) from error


def _too_large(part: Path, url: str, limit: int) -> SourceError:
    _discard(part)
    return SourceError("too large", f"{_shown(url)}: more than {limit / 1e6:.0f} MB", permanent=True)


def _put_in_place(part: Path, target: Path, check: Callable[[Path], None] | None) -> None:
    note = json.loads(_beside(part, ".json").read_text(encoding="utf-8"))
    try:
        if check:
            check(part)
    except TrailerError:
        _discard(part)  # going on with it would never mend it
        raise
    if note["modified"]:
        os.utime(part, (note["modified"], note["modified"]))
    files.put_in_place(part, target)
    _discard(part)


def _write_note(part: Path, url: str, size: int | None, headers: Any) -> None:
    """What the next call must know. `version`: a strong ETag or the date, for If-Range (RFC 9110, 13.1.5)."""
    tag, modified = headers.get("ETag", ""), _seconds(headers.get("Last-Modified", ""))
    version = tag if tag.startswith('"') else headers.get("Last-Modified", "")
    files.write_json(_beside(part, ".json"), {"url": url, "version": version, "size": size, "modified": modified})


def _read_note(part: Path, url: str) -> dict:
    """What was written down of `part`, {} when it cannot be gone on with: no part, another link, no known version."""
    try:
        note = json.loads(_beside(part, ".json").read_text(encoding="utf-8"))
        return note if part.exists() and note["url"] == url and note["version"] else {}
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def _seconds(date: str) -> float:
    try:
        return parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError, OverflowError):
        return 0.0


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    _beside(part, ".json").unlink(missing_ok=True)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _shown(url: str) -> str:
    """A link for a message: without a password and without a query, which may hold a key."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"[:200]


def _reason(error: Exception) -> str:
    """The innermost cause in one line: what requests and urllib3 wrap around it names objects, not reasons."""
    while isinstance(error.args[0] if error.args else None, Exception):
        error = error.args[0]
    text = str(getattr(error, "reason", "") or error)
    return " ".join(re.sub(r"<[^>]*>|\w+Pool\([^)]*\)|\w+Connection\([^)]*\)", "", text).split()).strip(":, ")[:120]
