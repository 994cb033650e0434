"""A YouTube id -> the smallest video that is tall enough, and its sound, by yt-dlp; and what yt-dlp's errors mean."""

import errno
import io
import math
import os
import re
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yt_dlp
from yt_dlp.networking.exceptions import HTTPError

from trailer_lib.download import SIZE_LIMIT, Fetched, retry_after
from trailer_lib.errors import SourceError, TrailerError

WATCH = "https://www.youtube.com/watch?v={}"
EXTRACTORS = ["youtube"]
READ = (".mp4", ".webm", ".mkv", ".mov", ".m4a")
HOSTS = ("youtube.com", "googlevideo.com", "youtubei.googleapis.com")  # whatever a page or a playlist names
# (kind, permanent, pattern of yt-dlp's text); the first match decides: "Sign in" and "unavailable" are in many.
FAILURES = (
    ("private", True, r"private video|video is private"),
    ("members only", True, r"members[- ]only|join this channel|channel's members|requires payment|premium members"),
    ("age limit", True, r"confirm your age|age[- ]restricted|inappropriate for some users|age verification"),
    ("not in this country", True, r"in your country|from your location|geo[- ]?restrict"),
    ("bot check", False, r"not a bot|captcha|ip is likely being blocked"),
    # "This content isn't available" comes and goes with the session (yt-dlp's issues 13583 and 14095).
    ("rate limit", False, r"rate[- ]limit|HTTP Error 429|too many requests|try again later|content isn['’]t available"),
    ("no JavaScript runtime", False, r"javascript runtime|js runtime"),
    ("live", False, r"premieres? in|premieres? will|premiere.*not|live event|live stream|is offline|has not started"),
    ("refused", False, r"no connection adapters|redirection to url|file:// url"),
    ("forbidden", False, r"HTTP Error 40[13]"),
    ("unavailable", True, r"video (is )?(currently )?(unavailable|not available)|(has|have|been) (been )?"
     r"(closed|removed|terminated)|not exist|not available anymore|HTTP Error (404|410)|no longer available"
     r"|drm protected|isn['’]t available anymore|blocked it on copyright|incomplete youtube id|looks truncated"),
    ("network", False, r"timed? ?out|unable to download|connection|resolve|HTTP Error 5\d\d|network|\[SSL|reset by peer"
     r"|incomplete|bytes read|more expected|content too short|did not get any data"),
    ("no format", False, r"requested format is not available|no video formats"),
)  # fmt: skip
# Without a runtime yt-dlp only warns; then formats are missing, or their links do not work.
RUNTIME_WARNING = r"No supported JavaScript runtime|challenge solving failed|Signature solving failed"
# Of seven fields; or an empty line or a comment.
COOKIE = re.compile(r"\s*|#(?!HttpOnly_).*|([^\t]*\t){4}(\d+(\.\d+)?)?\t[^\t]*\t[^\t]*")
ADVICE = r"[.;!]*\s+(Use --|It is recommended|please report this issue|\(caused by).*"  # for yt-dlp's command line


class Downloader(yt_dlp.YoutubeDL):
    """A YoutubeDL that connects to HOSTS alone, and its own logger: no link or cookie is printed or ends in a log."""

    debug = info = error = lambda *_: None

    def __init__(self, options: dict[str, Any]) -> None:
        self.warnings: list[str] = []
        self.warning = self.warnings.append
        self.retry_after = 0.0  # seconds, as the last refusal asked for
        super().__init__(options | {"logger": self})

    def urlopen(self, request: Any) -> Any:
        url = request if isinstance(request, str) else request.url
        host = urlsplit(url).hostname or ""
        if not any(host == allowed or host.endswith(f".{allowed}") for allowed in HOSTS):
            text = f"yt-dlp was sent to {host or url[:40]!r}, which is not one of YouTube's servers"
            raise SourceError("refused", text, permanent=False)
        try:
            return super().urlopen(request)
        except HTTPError as error:  # noted here, as yt-dlp drops it after its last try
            self.retry_after = retry_after(error.response.headers.get("Retry-After", ""))
            raise


def fetch_youtube(
    youtube_id: str, scratch: Path, height: int, cookies: Path | None = None, longest: float = math.inf,
    sound_only: bool = False,
) -> Fetched:  # fmt: skip
    """Download a trailer's picture and its sound into `scratch`; SourceError when the picture is not available."""
    error, paths = None, {}

    def note(state: dict[str, Any]) -> None:
        if state["status"] == "finished":
            paths["sound" if state["info_dict"].get("vcodec") == "none" else "video"] = Path(state["filename"])

    # yt-dlp writes cookies back at the end: it gets a copy in memory, and the user's file stays as it is.
    jar = {"cookiefile": io.StringIO(read_cookies(cookies))} if cookies else {}
    with Downloader(options(scratch, height, longest, sound_only) | jar) as downloader:
        downloader.add_progress_hook(note)
        try:
            downloader.extract_info(WATCH.format(youtube_id))
        except yt_dlp.utils.YoutubeDLError as caught:
            if (full := os.strerror(errno.ENOSPC)) in str(caught):
                raise OSError(errno.ENOSPC, full, str(scratch)) from caught
            error = failure(str(caught), downloader.warnings, downloader.retry_after)
        except SourceError as caught:
            error = caught
    video, sound = paths.get("video", paths.get("sound") if sound_only else None), paths.get("sound")
    if video is None or video.suffix not in READ:
        text = f"{youtube_id}: no stream that can be read (mp4 or webm)"
        raise error or SourceError("no format", text, permanent=False)
    # The picture comes first: an error after it is of the sound.
    no_sound = (error.kind if error.permanent else f"later: {error.kind}") if error and not sound else ""
    return Fetched(video, sound, no_sound)


def options(scratch: Path, height: int, longest: float = math.inf, sound_only: bool = False) -> dict:
    """yt-dlp's options: picture and sound as two files, nothing merged or converted, no program but for JavaScript."""
    codec, direct = "[vcodec~='^(avc1|h264|vp0?9|av0?1)']", "[protocol~='^https?$']"
    # Without sound if there is such a stream; else with it; last, a file of which nothing is known.
    picture = f"bv{codec}{direct}/b{codec}{direct}/b{direct}[vcodec!=?none]"
    sound = f"ba{direct}[format_id!$=drc]"  # DRC: YouTube's copy with its loudness evened out
    return {
        "format": f"{sound}/b{direct}" if sound_only else f"{picture},{sound}",  # a comma: the one, then the other
        # The original language; SDR before HDR; "+height:360": from 360 up the smallest first, then from 359 down.
        "format_sort": ["lang", "+hdr", f"+height:{height}", "+size", "+br"],
        # No playlists of fragments (HLS, DASH): they name other servers, and need FFmpeg to be joined.
        "extractor_args": {"youtube": {"skip": ["hls", "dash", "translated_subs"]}},
        "fixup": "never", "allowed_extractors": EXTRACTORS, "noplaylist": True,
        "match_filter": partial(_refuse, longest), "progress_hooks": [_refuse_large],
        # Title and id are not trusted; the number keeps a .webm of sound from a .webm of pictures.
        "outtmpl": str(scratch).replace("%", "%%") + "/trailer%(autonumber)d.%(ext)s",
        "continuedl": False,  # the next call may choose another stream, whose bytes must not follow this one's
        # Both run YouTube's script without access to files or the network; bun and quickjs do not promise that.
        "js_runtimes": {"deno": {}, "node": {}},
        "quiet": True, "noprogress": True, "color": "never", "cachedir": False,
        "retries": 3, "socket_timeout": 30, "sleep_interval_requests": 0.75,  # seconds; as in yt-dlp's polite preset
    }  # fmt: skip


def _refuse(longest: float, info: dict[str, Any], *_: Any, **__: Any) -> None:
    if info.get("live_status") in ("is_live", "is_upcoming") or info.get("is_live"):
        raise SourceError("live", f"{info.get('id')}: is live, or will be: not a trailer yet", permanent=False)
    seconds = info.get("duration") or 0
    if seconds > longest:
        text = f"{info.get('id')}: {seconds / 60:.0f} minutes long: from a link at most {longest / 60:.0f} are read"
        raise SourceError("too long", text, permanent=True)


def _refuse_large(state: dict[str, Any]) -> None:
    if max(state.get("total_bytes") or 0, state.get("downloaded_bytes") or 0) > SIZE_LIMIT:
        raise SourceError("too large", f"more than {SIZE_LIMIT / 1e6:.0f} MB", permanent=True)


def read_cookies(path: Path) -> str:
    """A cookies.txt, with the first line that yt-dlp needs. TrailerError for a line that yt-dlp would print."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise TrailerError(f"{path}: no such cookies.txt, or not readable: correct the setting cookies") from error
    for number, line in enumerate(text.splitlines(), 1):
        if not COOKIE.fullmatch(line):
            raise TrailerError(f"{path}: line {number} is not a cookie: export cookies.txt in Netscape format")
    return f"# Netscape HTTP Cookie File\n{text}"


def failure(text: str, warnings: Iterable[str] = (), retry_after: float = 0.0) -> SourceError:
    """The SourceError for yt-dlp's error text and the warnings before it; an unknown text counts as temporary."""
    line = re.sub(r"\x1b\[[\d;]*m", "", text).removeprefix("ERROR: ").split("\n")[0]
    message = re.sub(r"^\[[^]]+\] (\S+: )?", "", line)  # without the id, which may contain one of the words
    matches = ((kind, final) for kind, final, pattern in FAILURES if re.search(pattern, message, re.IGNORECASE))
    kind, permanent = next(matches, ("unknown", False))
    if kind in ("no format", "forbidden", "unknown") and any(re.search(RUNTIME_WARNING, text) for text in warnings):
        kind = "no JavaScript runtime"
    return SourceError(kind, re.sub(ADVICE, "", line)[:200], permanent, retry_after)
