"""A film -> its trailer as a file on disk: from YouTube, or from a folder."""

import logging
import re
from pathlib import Path

from trailer_lib.errors import TrailerError, nearest
from trailer_lib.settings import ScrapeSettings

SUFFIXES = (".mp4", ".webm", ".mkv", ".mov", ".avi")
RUNTIME_HINT = "install a JavaScript runtime that yt-dlp can use (deno, or node >= 20)"
# yt-dlp raises one class for everything; what happened stands in its text. The first pattern found wins.
YOUTUBE_FAILURES = (
    ("private", True, r"private video"),
    ("members only", True, r"members[- ]only|join this channel|requires payment|drm protected"),
    ("age limit", True, r"confirm your age|age[- ]restricted|inappropriate for some users"),
    ("not in this country", True, r"in your country|not available from your location|geo[- ]?restrict"),
    ("bot check", False, r"not a bot|captcha"),
    ("rate limit", False, r"rate[- ]limit|HTTP Error 429|too many requests|try again later"),
    ("no JavaScript runtime", False, r"javascript runtime|js runtime"),
    ("unavailable", True, r"video (is )?unavailable|has been removed|been terminated|not exist|Error 404|no longer"),
    ("network", False, r"timed? ?out|unable to download|connection|resolve|HTTP Error 5\d\d|network|SSL|reset by peer"),
)  # fmt: skip


class SourceError(TrailerError):
    """A trailer that could not be had. `kind` is for the ledger; a permanent failure is not tried again.

    `retry_after`: seconds that the server asked to wait, 0 if it did not.
    """

    def __init__(self, kind: str, text: str, permanent: bool, retry_after: float = 0.0) -> None:
        super().__init__(text)
        self.kind, self.permanent, self.retry_after = kind, permanent, retry_after


def check_source(source: str) -> None:
    """TrailerError unless `source` is 'youtube', 'pytube' or 'folder:DIR'."""
    if source not in FETCHERS and not source.startswith("folder:"):
        raise TrailerError(f"unknown source {source!r}: {nearest(source, [*FETCHERS, 'folder:DIR'])}")


def fetch(youtube_id: str, url: str, settings: ScrapeSettings, root: Path, scratch: Path) -> Path:
    """The trailer's file: a download into `scratch` (the caller deletes it), or the folder's own file.

    A folder's relative name starts from `root`. `url` is the link in the user's own table, "" for none.
    """
    if settings.source.startswith("folder:"):
        return _from_folder(youtube_id, root / settings.source.removeprefix("folder:"), settings.source)
    return FETCHERS[settings.source](youtube_id, scratch, settings.height)


def _from_folder(youtube_id: str, folder: Path, source: str) -> Path:
    for suffix in SUFFIXES:
        path = folder / f"{youtube_id}{suffix}"
        if path.is_file():
            return path
    raise SourceError("missing", f"no {youtube_id}.mp4, .webm, .mkv, .mov or .avi in {source}", permanent=False)


def _from_youtube(youtube_id: str, scratch: Path, height: int) -> Path:
    import yt_dlp  # slow to import, and only downloads need it

    try:
        with yt_dlp.YoutubeDL(_youtube_options(scratch, height)) as downloader:
            downloader.extract_info(f"https://www.youtube.com/watch?v={youtube_id}")
    except yt_dlp.utils.YoutubeDLError as error:
        raise youtube_failure(str(error)) from error
    found = [path for path in scratch.iterdir() if path.suffix in SUFFIXES]
    if not found:
        raise SourceError("no format", "no stream that can be read (mp4 or webm)", permanent=True)
    return found[0]


def _youtube_options(scratch: Path, height: int) -> dict:
    small = f"bv[height>={height}][vcodec~='^(avc1|vp0?9|av01)']"
    return {
        # Smallest stream with enough lines; nothing that needs merging, as there is no sound.
        "format": f"{small}/bv/b",
        "format_sort": ["+height", "+size", "+br"],
        # The id and never the title: a title is other people's text.
        "outtmpl": str(scratch / "%(id)s.%(ext)s"),
        "js_runtimes": {"deno": {}, "node": {}},
        "quiet": True,
        "noprogress": True,
        "no_warnings": True,
        "logger": logging.getLogger("trailer_lib.yt_dlp"),
        "cachedir": False,
        "noplaylist": True,
        "retries": 3,
        "socket_timeout": 30,
        "max_filesize": 500_000_000,
    }


def youtube_failure(text: str) -> SourceError:
    """yt-dlp's text as a SourceError of the right kind; what is not recognised counts as passing."""
    line = re.sub(r"\x1b\[[\d;]*m", "", text).removeprefix("ERROR: ").split("\n")[0]
    for kind, permanent, pattern in YOUTUBE_FAILURES:
        if re.search(pattern, line, re.IGNORECASE):
            hint = f": {RUNTIME_HINT}" if kind == "no JavaScript runtime" else ""
            return SourceError(kind, line[:200] + hint, permanent)
    return SourceError("unknown", line[:200], permanent=False)


def _from_pytube(youtube_id: str, scratch: Path, height: int) -> Path:
    import pytube

    try:
        streams = pytube.YouTube(f"https://www.youtube.com/watch?v={youtube_id}").streams
        stream = streams.filter(only_video=True, file_extension="mp4", res=f"{height}p").first() or streams.first()
        return Path(stream.download(str(scratch), filename=f"{youtube_id}.mp4", skip_existing=False))
    except Exception as error:  # pytube raises whatever its parsing of the site's pages stumbled on
        text = f"pytube, last released in 2023, failed ({type(error).__name__}): set source='youtube' to use yt-dlp"
        raise SourceError("pytube", text, permanent=False) from error


FETCHERS = {"youtube": _from_youtube, "pytube": _from_pytube}
