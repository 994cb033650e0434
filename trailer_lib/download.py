"""One file over HTTPS: written beside its place, checked, and only then put in place."""

import ipaddress
import os
import random
import re
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from email.utils import parsedate_to_datetime
from http.client import responses
from itertools import count
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urljoin, urlsplit

import requests
from urllib3.exceptions import HTTPError, InvalidHeader
from urllib3.util import Retry

from trailer_lib import __version__, files
from trailer_lib.errors import SourceError
from trailer_lib.progress import bar

TRIES, REDIRECTS, CHUNK = 6, 5, 1 << 18
SIZE_LIMIT = 500_000_000  # bytes of a trailer
TIMEOUT = (15.0, 30.0)  # seconds to connect, and without a byte
TEMPORARY, PERMANENT = {"network", "rate limit"}, {"refused", "unavailable", "too large"}
STATUS_KINDS = {401: "forbidden", 403: "forbidden", 408: "network", 425: "network", 429: "rate limit"}
# "identity": the length of a body that is compressed on the way would not be the file's.
HEADERS = {"Accept-Encoding": "identity", "User-Agent": f"trailer_lib/{__version__}"}


class Fetched(NamedTuple):
    """A trailer's file; that of its sound where it is another one; and why its sound was not to be had, else ""."""

    video: Path
    sound: Path | None = None
    no_sound: str = ""


def require_https(url: str) -> str:
    """`url`, or SourceError unless it is an https link with a host."""
    with suppress(ValueError):
        if urlsplit(url).scheme == "https" and urlsplit(url).hostname:
            return url
    raise _error(url, "refused", "only https: links are fetched")


def is_public(host: str) -> bool:
    """Whether all addresses of `host` are on the public internet; True when it has none (only a proxy knows it)."""
    addresses = set()
    with suppress(OSError, UnicodeError):
        addresses = {entry[4][0] for entry in socket.getaddrinfo(host, 443, type=socket.SOCK_STREAM)}
    return all(ipaddress.ip_address(address).is_global for address in addresses)


def printable_url(url: str) -> str:
    """A link for a message: without password, query (it may hold a key) and control characters."""
    with suppress(ValueError):
        parts = urlsplit(url)
        url = f"{parts.scheme}://{parts.hostname or ''}{parts.path}" if parts.scheme else parts.path
    return re.sub(r"[^\x21-\x7e]", "?", url)[:200]


def retry_after(header: str) -> float:
    """The seconds of a Retry-After header, a number or a date (RFC 9110, 10.2.3): at most six hours, 0 for none."""
    with suppress(InvalidHeader, ValueError, OverflowError):
        return min(Retry().parse_retry_after(header), 21_600.0)
    return 0.0


def download(
    url: str, target: Path, limit: int, tries: int = TRIES, check: Callable[[Path], None] | None = None, title: str = ""
) -> Path:
    """Download `url` (https only) to `target` with the server's Last-Modified as its mtime; return `target`.

    SourceError after `tries`, with growing random waits between them, or the server's longer Retry-After, and for over
    `limit` bytes. `check` gets the file before it is in place and raises TrailerError when it is wrong.
    """
    for failures in count(1):
        try:
            with files.atomic_path(target) as temporary:
                _fetch(url, temporary, limit, title)
                if check:
                    check(temporary)
            return target
        except SourceError as error:
            if error.kind not in TEMPORARY or failures == tries:
                raise
            wait = max(error.retry_after, random.uniform(0.5, 1.0) * min(2.0**failures, 60.0))
            print(f"{error}; trying again in {wait:.0f} s", file=sys.stderr)
            time.sleep(wait)


def _fetch(url: str, path: Path, limit: int, title: str) -> None:
    """One try of the whole file."""
    try:
        with requests.Session() as session, _response(session, url) as response, open(path, "wb") as file:
            size = response.raw.length_remaining  # None if not told; urllib3 raises when fewer bytes come
            shown = bar(desc=title, total=size, unit="B", unit_scale=True, disable=not title)
            with files.reporting_full_disk(path, lambda: size or limit), shown as progress:
                for chunk in response.raw.stream(CHUNK, decode_content=False):
                    if max(size or 0, file.tell() + len(chunk)) > limit:
                        raise _error(url, "too large", f"more than {limit / 1e6:.0f} MB")
                    progress.update(file.write(chunk))
    except ValueError as error:
        raise _error(url, "refused", "not a link") from error
    except (requests.RequestException, HTTPError) as error:
        reason = re.split("Caused by |: ", str(error))[-1].strip("()'\", ")  # what is before it holds the whole link
        raise _error(url, "network", reason[:120]) from error
    with suppress(ValueError, TypeError, OverflowError):  # no date, or nonsense
        modified = parsedate_to_datetime(response.headers.get("Last-Modified", "")).timestamp()
        if 0 < modified < time.time() + 86_400:
            os.utime(path, (modified, modified))


def _response(session: requests.Session, url: str) -> requests.Response:
    """The response after redirects, each checked before it is followed; SourceError for any status but 200."""
    place = require_https(url)
    for _ in range(REDIRECTS + 1):
        response = session.get(place, headers=HEADERS, stream=True, timeout=TIMEOUT, allow_redirects=False)
        location = session.get_redirect_target(response)
        if location is None:
            break
        response.close()
        before, place = place, require_https(urljoin(place, location))
        if urlsplit(place).hostname != urlsplit(before).hostname and not is_public(urlsplit(place).hostname):
            raise _error(url, "refused", f"redirects to {printable_url(place)}, a private address")
    else:
        raise _error(url, "refused", f"more than {REDIRECTS} redirects")
    if (status := response.status_code) != 200:
        kind = STATUS_KINDS.get(status, "network" if status >= 500 else "unavailable")
        wait = retry_after(response.headers.get("Retry-After", "")) if kind in TEMPORARY else 0.0
        raise _error(url, kind, f"HTTP {status} {responses.get(status, '')}".strip(), wait)
    return response


def _error(url: str, kind: str, text: str, wait: float = 0.0) -> SourceError:
    return SourceError(kind, f"{printable_url(url)}: {text}", kind in PERMANENT, wait)
