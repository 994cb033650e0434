"""A film -> its trailer as a file on disk: from YouTube, from a folder, or from the link in the user's own table."""

from collections import Counter
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd

from trailer_lib import files, scrape  # which loads yt-dlp when it is first used
from trailer_lib.catalog import explain_files
from trailer_lib.download import SIZE_LIMIT, Fetched, download
from trailer_lib.errors import SourceError, TrailerError, suggestion
from trailer_lib.project import Project
from trailer_lib.settings import ScrapeSettings
from trailer_lib.video import VIDEO_SUFFIXES, NoSound, is_video_name, probe, read_sound

LISTED = 10  # films or files in a message; thousands would bury the rest
OTHERS, LOST = "unmatched_videos.txt", "worker lost"
# The next film would meet these too: after some in a row the run stops.
STOPPING = {"bot check", "rate limit", "no JavaScript runtime", LOST}
UPDATE = "pip install -U 'yt-dlp[default,deno]'"  # deno: the JavaScript runtime that YouTube's pages need, as a wheel
RUNTIME_HINT = f"{UPDATE}; where deno has no wheel, install deno 2.3 or newer, or node 22 or newer"
SOURCES = ("youtube", "pytube", "links", "folder:DIR")
REMEDIES = {  # what a user can do; nothing about a private or deleted video
    "bot check": "wait some hours, or name a browser's cookies.txt (setting cookies)",
    "rate limit": "wait an hour, then resume with a longer pause (setting pause, in seconds)",
    "no JavaScript runtime": RUNTIME_HINT,
    "forbidden": f"{UPDATE}; for a link of your own, see whether it needs a login",
    "no format": RUNTIME_HINT,
    "network": "check the connection and run again: these films are tried again",
    "refused": "correct the link in the table; for YouTube, update this library: it knows which servers are YouTube's",
    "live": "run again when the film's premiere is over",
    "missing": "fill in youtube_id, url or file in films.csv, or name the file by YouTube id, IMDb id, 'Title (Year)'",
    "unknown": f"{UPDATE} and run again",
    LOST: "see that the machine has memory left and that the executor's workers run",
}


def check_source(settings: ScrapeSettings, root: Path) -> None:
    """TrailerError unless the source is 'youtube', 'pytube', 'links' or 'folder:DIR' and the cookies are readable."""
    source = settings.source
    if source not in SOURCES and not source.startswith("folder:"):
        raise TrailerError(f"unknown source {source!r}: {suggestion(source, SOURCES)}")
    folder = root / Path(source.removeprefix("folder:")).expanduser()
    if source.startswith("folder:") and not folder.is_dir():
        raise TrailerError(f"{folder}: no such folder: correct the setting source")
    if settings.cookies and source == "youtube":
        scrape.read_cookies(root / Path(settings.cookies).expanduser())


def match_folder(project: Project, films: pd.DataFrame, source: str) -> dict[str, Path]:
    """IMDb id -> the film's video in the folder; prints what was matched by what, and the videos that match no film."""
    folder = project.root / Path(source.removeprefix("folder:")).expanduser()
    names = [path.name for path in folder.iterdir() if is_video_name(path.name) and path.is_file()]
    # Of two videos of a film, the one in the container that is easier to read: film.mkv made of film.wmv.
    names.sort(key=lambda name: (VIDEO_SUFFIXES.index(Path(name).suffix.lower()), name))
    matches = explain_files(names, films)
    matched = dict(matches.values())
    how = ", ".join(f"{count} by {key}" for key, count in Counter(key for _, key in matches.values()).most_common())
    found = f"{len(matches)} of {len(films)} films have one ({how or 'none'})"
    print(f"{files.printable(folder.name)}: {len(names)} videos; {found}")
    others = [files.printable(name) for name in names if name not in matched]
    if others:
        files.write_text(project.images / OTHERS, "\n".join(others))
        more = f", ... (all {len(others)} in images/{OTHERS})" if len(others) > LISTED else ""
        print(f"left out, as of none of these films: {', '.join(others[:LISTED])}{more}")
    return {imdb_id: folder / name for imdb_id, (name, _) in matches.items()}


def explain_missing(source: str) -> str:
    """Why a film without a trailer has none."""
    known = "no YouTube id of this film is known" + " and no link" * (source == "links")
    return f"no video of this film in {source}" if source.startswith("folder:") else known


def fetch_trailer(youtube_id: str, url: str, settings: ScrapeSettings, root: Path, scratch: Path) -> Fetched:
    """Download the trailer, or with the setting `sound` its sound, into `scratch`; SourceError when that fails."""
    if settings.source == "links" and url:
        # A fixed name: the link's and the server's are not trusted. One try: the scrape decides on more.
        return Fetched(download(url, scratch / "trailer.mp4", SIZE_LIMIT, tries=1))
    if settings.source.startswith("folder:") or not youtube_id:
        raise SourceError("missing", explain_missing(settings.source), permanent=True)
    if settings.source == "pytube":
        return _from_pytube(youtube_id, settings.height, scratch)
    cookies = root / Path(settings.cookies).expanduser() if settings.cookies else None
    return scrape.fetch_youtube(youtube_id, scratch, settings.height, cookies, sound_only=settings.sound)


def sound_of(trailer: Fetched, start: float | None = None, duration: float = 3600) -> tuple[np.ndarray | None, str]:
    """The spectrogram and "ok", or None and why there is none; the video's `start` in seconds, None if not known."""
    if trailer.no_sound:
        return None, trailer.no_sound
    if start is None:
        with suppress(TrailerError):  # a file of sound alone has neither
            info = probe(trailer.video)
            start, duration = info.pts[0] * info.time_base, info.duration
    try:
        return read_sound(trailer.sound or trailer.video, start or 0.0, duration), "ok"
    except (NoSound, MemoryError) as error:
        return None, getattr(error, "kind", "memory")


def _from_pytube(youtube_id: str, height: int, scratch: Path) -> Fetched:
    import pytube

    try:
        streams = pytube.YouTube(f"https://www.youtube.com/watch?v={youtube_id}").streams
        stream = streams.filter(only_video=True, file_extension="mp4", res=f"{height}p").first()
        path = Path((stream or streams.first()).download(str(scratch), filename="trailer.mp4"))
        return Fetched(path, None, "later: pytube")
    except Exception as error:  # pytube raises whatever its parsing of the site's pages leads to
        text = f"pytube, last released in 2023, can't read today's YouTube ({type(error).__name__})"
        raise SourceError("pytube", f"{text}: set source='youtube'", permanent=False) from error
