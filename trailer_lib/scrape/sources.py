"""A film -> its trailer as a file on disk: from YouTube, from a folder, or from the link in the user's own table."""

from pathlib import Path

from trailer_lib.download import download
from trailer_lib.errors import SourceError, TrailerError, suggestion
from trailer_lib.settings import ScrapeSettings

VIDEO_SUFFIXES = (".mp4", ".webm", ".mkv", ".mov", ".avi")
LINK_LIMIT = 500_000_000  # bytes
# Kinds that the next film meets too: after some in a row, going on only makes it worse.
STOPPING = {"bot check", "rate limit", "no JavaScript runtime"}
RUNTIME_HINT = "install a JavaScript runtime that yt-dlp can use (deno 2.3 or newer, or node 22 or newer)"
_UPDATE = "update yt-dlp (pip install -U 'yt-dlp[default]')"
REMEDIES = {
    "bot check": f"wait some hours, or name a browser's cookies.txt (setting cookies), and {RUNTIME_HINT}",
    "rate limit": "wait an hour, then go on with a longer pause (setting pause, in seconds)",
    "no JavaScript runtime": RUNTIME_HINT,
    "forbidden": f"{_UPDATE}; for a link of your own, see whether it needs a login",
    "no format": f"{_UPDATE} and {RUNTIME_HINT}",
    "network": "look at the connection and run again: what failed so is tried again",
    "refused": "mend the link in the table; for YouTube, update this library: it knows which servers are YouTube's",
    "live": "run again when the film's premiere is over",
    "missing": "put the file there under the trailer's id, or the link into the table's column url",
    "pytube": "set source='youtube' to use yt-dlp",
    "unknown": f"{_UPDATE} and run again",
}


def remedy(kind: str) -> str:
    """What a user can do about failures of a `kind`, "" where nothing can be done (a private video, a deleted one)."""
    return REMEDIES.get(kind, "")


def check_source(source: str) -> None:
    """TrailerError unless `source` is 'youtube', 'pytube', 'links' or 'folder:DIR'."""
    if source not in FETCHERS and not source.startswith("folder:"):
        raise TrailerError(f"unknown source {source!r}: {suggestion(source, [*FETCHERS, 'folder:DIR'])}")


def fetch_trailer(youtube_id: str, url: str, settings: ScrapeSettings, root: Path, scratch: Path) -> Path:
    """The trailer's file: a download into `scratch` (the caller deletes it), or the folder's own file.

    `url` is the link in the user's own table, "" for none. Relative names in the settings start from `root`.
    SourceError when the trailer can't be had, TrailerError when a setting is wrong.
    """
    check_source(settings.source)
    if not youtube_id and settings.source != "links":
        raise SourceError("missing", f"the film has no YouTube id for {settings.source}", permanent=False)
    if settings.source.startswith("folder:"):
        return _from_folder(youtube_id, root / settings.source.removeprefix("folder:"), settings.source)
    return FETCHERS[settings.source](youtube_id, url, settings, root, scratch)


def _from_folder(youtube_id: str, folder: Path, source: str) -> Path:
    for suffix in VIDEO_SUFFIXES:
        path = folder / f"{youtube_id}{suffix}"
        if path.is_file():
            return path
    raise SourceError("missing", f"no {youtube_id}.mp4, .webm, .mkv, .mov or .avi in {source}", permanent=False)


def _from_youtube(youtube_id: str, url: str, settings: ScrapeSettings, root: Path, scratch: Path) -> Path:
    from trailer_lib.scrape.youtube import fetch_youtube  # yt-dlp is slow to import, and only downloads need it

    return fetch_youtube(youtube_id, scratch, settings.height, root / settings.cookies if settings.cookies else None)


def _from_link(youtube_id: str, url: str, settings: ScrapeSettings, root: Path, scratch: Path) -> Path:
    if not url:
        raise SourceError("missing", f"no link for {youtube_id or 'this film'} in the column url", permanent=False)
    # A name of our own: the link's and the server's are other people's text. One try; the scrape decides on more.
    return download(url, scratch / "trailer.mp4", LINK_LIMIT, tries=1)


def _from_pytube(youtube_id: str, url: str, settings: ScrapeSettings, root: Path, scratch: Path) -> Path:
    import pytube

    try:
        streams = pytube.YouTube(f"https://www.youtube.com/watch?v={youtube_id}").streams
        stream = streams.filter(only_video=True, file_extension="mp4", res=f"{settings.height}p").first()
        return Path((stream or streams.first()).download(str(scratch), filename="trailer.mp4"))
    except OSError as error:
        raise SourceError("network", f"pytube: {error}", permanent=False) from error
    except Exception as error:  # pytube raises whatever its parsing of the site's pages stumbled on
        text = f"pytube, last released in 2023, can't read today's YouTube ({type(error).__name__}): {remedy('pytube')}"
        raise SourceError("pytube", text, permanent=False) from error


FETCHERS = {"youtube": _from_youtube, "pytube": _from_pytube, "links": _from_link}
