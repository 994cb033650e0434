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
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.client import responses
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from urllib3.exceptions import HTTPError, InvalidHeader
from urllib3.util import Retry

from trailer_lib import __version__, files
from trailer_lib.errors import SourceError, TrailerError
from trailer_lib.progress import bar


def require_https(url: str) -> str:
    """`url`, or SourceError unless it is an https link with a host."""
    try:
        parts = urlsplit(url)
        good = parts.scheme == "https" and parts.hostname
    except ValueError:
        good = False
    if not good:
        raise SourceError("refused", f"{printable_url(url)}: only https: links are fetched", permanent=True)
    return url


def redirect_target(url: str, location: str) -> str:
    """Where a redirect from `url` leads; SourceError unless it is https, and on the same host or a public one."""
    try:
        there = require_https(urljoin(url, location))
    except (SourceError, ValueError):
        text = f"{printable_url(url)}: redirects to {printable_url(location)}: only https is followed"
        raise SourceError("refused", text, permanent=True) from None
    host = urlsplit(there).hostname
    if host != urlsplit(url).hostname and not is_public(host):
        raise SourceError("refused", f"{printable_url(url)}: redirects to {host}, a private address", permanent=True)
    return there


def is_public(host: str) -> bool:
    """Whether every address of `host` is one of the public internet; True for a host that is unknown here."""
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo(host, 443, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        return True  # only a proxy can reach it, and it has rules of its own
    return all(ipaddress.ip_address(address).is_global for address in found)


def printable_url(url: str) -> str:
    """A link for a message: no password, no query (it may hold a key), no sign that a terminal would obey."""
    try:
        parts = urlsplit(url)
        text = f"{parts.scheme}://{parts.hostname or ''}{parts.path}" if parts.scheme else parts.path
    except ValueError:
        text = url
    return re.sub(r"[^\x21-\x7e]", "?", text)[:200]


TRIES = 6  # failures in a row, without one more byte on disk between them
TIMEOUT = (15.0, 30.0)  # seconds to connect, and without a byte: a stall
LONGEST_WAIT = 60.0  # seconds; a Retry-After may ask for more
REDIRECTS = 5
CHUNK = 1 << 18
LONGEST_ASKED = 21_600.0  # seconds of a Retry-After that are believed; as urllib3 from 2.6 on
PART = ".part"
PASSING = {"network", "rate limit"}
STATUS_KINDS = {401: "forbidden", 403: "forbidden", 408: "network", 425: "network", 429: "rate limit"}


@dataclass(frozen=True)
class _Order:
    """What to get, where its bytes gather, what is known of them, how many there may be, and the bar's name."""

    url: str
    part: Path
    note: Path
    limit: int
    title: str

    def discard(self) -> None:
        self.part.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)

    def size(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def error(self, kind: str, text: str, permanent: bool = False, wait: float = 0.0) -> SourceError:
        return SourceError(kind, f"{printable_url(self.url)}: {text}", permanent, wait)


def download(
    url: str, target: Path, limit: int, tries: int = TRIES, check: Callable[[Path], None] | None = None, title: str = ""
) -> Path:
    """Get `url` (https only) as `target`, its time of change the server's Last-Modified; return `target`.

    Breaks, stalls, 429 and 5xx are tried again, `tries` times in a row, after a growing random wait or what the server
    asks for, whichever is longer; then SourceError. What came so far stays in `<target>.part` for the next call, unless
    the server has another version by then. At most `limit` bytes. `check` gets the whole file before it is in place and
    raises TrailerError if it is not what it should be. `title` names the progress bar; "" for none.
    """
    part = target.with_name(target.name + PART)
    order, failures = _Order(url, part, part.with_name(part.name + ".json"), limit, title), 0
    while True:
        before = order.size()
        try:
            _attempt(order)
            break
        except SourceError as error:
            failures = 1 if order.size() > before else failures + 1
            if error.kind not in PASSING or failures >= tries:
                raise
            wait = max(error.retry_after, random.uniform(0.5, 1.0) * min(2.0**failures, LONGEST_WAIT))
            if title:
                print(f"{error}; trying again in {wait:.0f} s", file=sys.stderr)
            time.sleep(wait)
    _put_in_place(order, target, check)
    return target


def _attempt(order: _Order) -> None:
    """One request for what is missing of the part."""
    note = _read_note(order)
    have = order.size() if note else 0
    if note and have == note["size"]:  # stopped between the last byte and the rename
        return
    asked = {"Range": f"bytes={have}-", "If-Range": note["version"]} if have else {}
    try:
        with requests.Session() as session, _open(session, order, asked) as response:
            have, size = _place(order, response, have, note.get("size"))
            if (size or 0) > order.limit:
                raise _too_large(order)
            if not have:  # the old bytes go before the new version is noted: a kill in between must not mix them
                order.discard()
                _write_note(order, size, response.headers)
            _receive(order, response, have, size)
    except requests.exceptions.InvalidURL as error:
        raise order.error("refused", "not a link", permanent=True) from error
    except (requests.RequestException, HTTPError) as error:
        raise order.error("network", _reason(error)) from error
    if size is not None and order.size() != size:
        raise order.error("network", f"{order.size()} of {size} bytes came")


def _open(session: requests.Session, order: _Order, asked: dict[str, str]) -> requests.Response:
    """The answer, after redirects, each looked at before it is followed; SourceError if it is a refusal."""
    # As it is on the server: a body that is decompressed on the way has no known size and cannot be resumed.
    headers = {"Accept-Encoding": "identity", "User-Agent": f"trailer_lib/{__version__}", **asked}
    url = require_https(order.url)
    for _ in range(REDIRECTS + 1):
        response = session.get(url, headers=headers, stream=True, timeout=TIMEOUT, allow_redirects=False)
        location = session.get_redirect_target(response)
        if location is None:
            _raise_for_status(order, response)
            return response
        response.close()
        url = redirect_target(url, location)
    raise order.error("refused", f"more than {REDIRECTS} redirects", permanent=True)


def _raise_for_status(order: _Order, response: requests.Response) -> None:
    status = response.status_code
    if status in (200, 206, 416):
        return
    kind = STATUS_KINDS.get(status, "network" if status >= 500 else "unavailable")
    wait = retry_after(response.headers.get("Retry-After", "")) if kind in PASSING else 0.0
    raise order.error(kind, f"HTTP {status} {responses.get(status, '')}".strip(), kind == "unavailable", wait)


def retry_after(header: str) -> float:
    """Seconds asked for by a Retry-After header, a number or a date (RFC 9110, 10.2.3); six hours at most."""
    try:
        return min(Retry().parse_retry_after(header), LONGEST_ASKED) if header else 0.0
    except (InvalidHeader, ValueError, OverflowError):
        return 0.0


def _place(order: _Order, response: requests.Response, have: int, known: int | None) -> tuple[int, int | None]:
    """(first byte, size of the whole file if told) of an answer; a part that was not asked for is refused."""
    if response.status_code == 200:  # also the answer to a Range that the server ignores or whose version is gone
        told = re.fullmatch(r"\d{1,18}", response.headers.get("Content-Length", ""))
        return 0, int(told[0]) if told else None
    told = re.fullmatch(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18})", response.headers.get("Content-Range", "").strip())
    if response.status_code == 206 and told and int(told[1]) == have and known in (None, int(told[2])):
        return have, int(told[2])
    order.discard()
    raise order.error("network", "answers with other bytes than asked")


def _receive(order: _Order, response: requests.Response, have: int, size: int | None) -> None:
    shown: dict[str, Any] = {
        "total": size,
        "initial": have,
        "unit": "B",
        "unit_scale": True,
        "disable": not order.title,
    }
    try:
        with open(order.part, "ab" if have else "wb") as file, bar(desc=order.title, **shown) as progress:
            # read1 gives what has come: a stall must not take the bytes before it along.
            while chunk := response.raw.read1(CHUNK, decode_content=False):
                if file.tell() + len(chunk) > order.limit:
                    raise _too_large(order)
                file.write(chunk)
                progress.update(len(chunk))
    except OSError as error:  # a full disk; what goes wrong on the way is urllib3's HTTPError
        raise OSError(error.errno, error.strerror, str(order.part)) from error


def _too_large(order: _Order) -> SourceError:
    order.discard()
    return order.error("too large", f"more than {order.limit / 1e6:.0f} MB", permanent=True)


def _put_in_place(order: _Order, target: Path, check: Callable[[Path], None] | None) -> None:
    try:
        if check:
            check(order.part)
    except TrailerError:
        order.discard()  # going on with it would never mend it
        raise
    modified = json.loads(order.note.read_text(encoding="utf-8"))["modified"]
    if modified:
        os.utime(order.part, (modified, modified))
    files.move_into_place(order.part, target)
    order.discard()


def _write_note(order: _Order, size: int | None, headers: Any) -> None:
    """What the next call must know. `version`: a strong ETag or the date, for If-Range (RFC 9110, 13.1.5)."""
    tag, date = headers.get("ETag", ""), headers.get("Last-Modified", "")
    version = tag if tag.startswith('"') else date
    note = {"url": order.url, "version": version, "size": size, "modified": _seconds(date)}
    files.write_json(order.note, note)


def _read_note(order: _Order) -> dict[str, Any]:
    """What was written down of the part, {} when it can't be gone on with: none, another link, no known version."""
    try:
        note = json.loads(order.note.read_text(encoding="utf-8"))
        good = (
            order.part.exists() and note["url"] == order.url and note["version"] and {"size", "modified"} <= set(note)
        )
    except (OSError, ValueError, TypeError, KeyError):
        return {}
    return note if good else {}


def _seconds(date: str) -> float:
    """A Last-Modified as seconds since 1970; 0 for nonsense and for days to come."""
    try:
        seconds = parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return seconds if 0 < seconds < time.time() + 86_400 else 0.0


def _reason(error: Exception) -> str:
    """The innermost cause in one line: what requests and urllib3 wrap around it names objects, not reasons."""
    while isinstance(error.args[0] if error.args else None, Exception):
        error = error.args[0]
    text = str(getattr(error, "reason", "") or error)
    return " ".join(re.sub(r"<[^>]*>|\w+Pool\([^)]*\)|\w+Connection\([^)]*\)", "", text).split()).strip(":, ")[:120]
