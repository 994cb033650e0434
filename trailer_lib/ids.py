"""The keys of films and trailers: their one definition, for the spreadsheets, the folders and the sources."""

import re
from urllib.parse import parse_qs, urlsplit

from trailer_lib import links
from trailer_lib.errors import TrailerError

IMDB_ID = re.compile(r"tt[0-9]{7,10}")
# A film of the user's own table without an IMDb id: see `own_table.own_id`.
OWN_ID = re.compile(r"own-[0-9a-f]{10}")
FILM_ID = re.compile(f"{IMDB_ID.pattern}|{OWN_ID.pattern}")
YOUTUBE_ID = re.compile(r"[0-9A-Za-z_-]{11}")

YOUTUBE = ("youtube.com", "youtu.be", "youtube-nocookie.com")
LINK = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def youtube_id(link: str) -> str:
    """The id of the video that a link to YouTube shows, "" for another site's link."""
    parts = urlsplit(links.checked(link))
    if not any(parts.hostname == host or parts.hostname.endswith(f".{host}") for host in YOUTUBE):
        return ""
    words = [*parse_qs(parts.query).get("v", []), *parts.path.split("/")]
    found = [word for word in words if YOUTUBE_ID.fullmatch(word)]
    if not found:
        raise TrailerError(f"{links.shown(link)}: no video's id in this link: copy the link of one video")
    return found[0]
