"""Which links may be followed: https, and no redirect into the user's own machine or network."""

import ipaddress
import re
import socket
from urllib.parse import urljoin, urlsplit

from trailer_lib.errors import SourceError


def checked(url: str) -> str:
    """`url`, or SourceError unless it is an https link with a host."""
    try:
        parts = urlsplit(url)
        good = parts.scheme == "https" and parts.hostname
    except ValueError:
        good = False
    if not good:
        raise SourceError("refused", f"{shown(url)}: only https: links are fetched", permanent=True)
    return url


def followed(url: str, location: str) -> str:
    """Where a redirect from `url` leads; SourceError unless it is https, and on the same host or a public one."""
    try:
        there = checked(urljoin(url, location))
    except (SourceError, ValueError):
        text = f"{shown(url)}: redirects to {shown(location)}: only https is followed"
        raise SourceError("refused", text, permanent=True) from None
    host = urlsplit(there).hostname
    if host != urlsplit(url).hostname and not is_public(host):
        raise SourceError("refused", f"{shown(url)}: redirects to {host}, a private address", permanent=True)
    return there


def is_public(host: str) -> bool:
    """Whether every address of `host` is one of the public internet; True for a host that is unknown here."""
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo(host, 443, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        return True  # only a proxy can reach it, and it has rules of its own
    return all(ipaddress.ip_address(address).is_global for address in found)


def shown(url: str) -> str:
    """A link for a message: no password, no query (it may hold a key), no sign that a terminal would obey."""
    try:
        parts = urlsplit(url)
        text = f"{parts.scheme}://{parts.hostname or ''}{parts.path}" if parts.scheme else parts.path
    except ValueError:
        text = url
    return re.sub(r"[^\x21-\x7e]", "?", text)[:200]
