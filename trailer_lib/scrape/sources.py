"""A film -> its trailer as a file on disk: from YouTube, from a folder, or from the link in the user's own table."""

from pathlib import Path

from trailer_lib.download import download
from trailer_lib.errors import SourceError, TrailerError, suggestion
from trailer_lib.settings import ScrapeSettings

VIDEO_SUFFIXES = (".mp4", ".webm", ".mkv", ".mov", ".avi")
SIZE_LIMIT = 500_000_000  # bytes of a download
LOST = "worker lost"
# The next film would meet these too: after some in a row the run stops.
STOPPING = {"bot check", "rate limit", "no JavaScript runtime", LOST}
RUNTIME_HINT = "install a JavaScript runtime that yt-dlp can use (deno 2.3 or newer, or node 22 or newer)"
UPDATE = "update yt-dlp (pip install -U 'yt-dlp[default]')"
SOURCES = ("youtube", "pytube", "links", "folder:DIR")
REMEDIES = {
    "bot check": f"wait some hours, or name a browser's cookies.txt (setting cookies), and {RUNTIME_HINT}",
    "rate limit": "wait an hour, then resume with a longer pause (setting pause, in seconds)",
    "no JavaScript runtime": RUNTIME_HINT,
    "forbidden": f"{UPDATE}; for a link of your own, see whether it needs a login",
    "no format": f"{UPDATE} and {RUNTIME_HINT}",
    "network": "check the connection and run again: these films are tried again",
    "refused": "correct the link in the table; for YouTube, update this library: it knows which servers are YouTube's",
    "live": "run again when the film's premiere is over",
    "missing": "put the file there under the trailer's id, or the link into the table's column url",
    "unknown": f"{UPDATE} and run again",
    LOST: "see that the machine has memory left and that the executor's workers run",
}


def remedy(kind: str) -> str:
    """What a user can do about failures of a `kind`; "" where nothing can be done (a private or deleted video)."""
    return REMEDIES.get(kind, "")


def check_source(settings: ScrapeSettings, root: Path) -> None:
    """TrailerError unless the source is 'youtube', 'pytube', 'links' or 'folder:DIR' and the cookies are readable."""
    source = settings.source
    if source not in SOURCES[:3] and not source.startswith("folder:"):
        raise TrailerError(f"unknown source {source!r}: {suggestion(source, SOURCES)}")
    if settings.cookies and source == "youtube":
        from trailer_lib.scrape.youtube import read_cookies

        read_cookies(root / settings.cookies)


def fetch_trailer(youtube_id: str, url: str, settings: ScrapeSettings, root: Path, scratch: Path) -> Path:
    """The trailer's file: a download into `scratch` (the caller deletes it), or the folder's own file.

    `url` is the link in the user's own table, "" for none. Relative names in the settings start from `root`.
    SourceError when the trailer is not available, TrailerError when a setting is wrong.
    """
    if settings.source == "links":
        if not url:
            raise SourceError("missing", f"no link for {youtube_id or 'this film'} in the column url", permanent=False)
        # A fixed name: the link's and the server's are not trusted. One try: the scrape decides on more.
        return download(url, scratch / "trailer.mp4", SIZE_LIMIT, tries=1)
    if not youtube_id:
        raise SourceError("missing", f"the film has no YouTube id for {settings.source}", permanent=False)
    if settings.source.startswith("folder:"):
        return _from_folder(youtube_id, root / settings.source.removeprefix("folder:"), settings.source)
    if settings.source == "pytube":
        return _from_pytube(youtube_id, settings.height, scratch)
    from trailer_lib.scrape.youtube import fetch_youtube  # yt-dlp is slow to import, and only downloads need it

    return fetch_youtube(youtube_id, scratch, settings.height, root / settings.cookies if settings.cookies else None)


def _from_folder(youtube_id: str, folder: Path, source: str) -> Path:
    for suffix in VIDEO_SUFFIXES:
        path = folder / f"{youtube_id}{suffix}"
        if path.is_file():
            return path
    raise SourceError("missing", f"no {youtube_id}.mp4, .webm, .mkv, .mov or .avi in {source}", permanent=False)


def _from_pytube(youtube_id: str, height: int, scratch: Path) -> Path:
    import pytube

    try:
        streams = pytube.YouTube(f"https://www.youtube.com/watch?v={youtube_id}").streams
        stream = streams.filter(only_video=True, file_extension="mp4", res=f"{height}p").first()
        return Path((stream or streams.first()).download(str(scratch), filename="trailer.mp4"))
    except OSError as error:
        raise SourceError("network", f"pytube: {error}", permanent=False) from error
    except Exception as error:  # pytube raises whatever its parsing of the site's pages leads to
        text = (
            f"pytube, last released in 2023, can't read today's YouTube ({type(error).__name__}): set source='youtube'"
        )
        raise SourceError("pytube", text, permanent=False) from error
