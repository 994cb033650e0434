"""YouTube by yt-dlp: what its texts mean, which stream it takes, and what it does with servers of every kind.

YouTube itself is not asked. Its texts are those in yt-dlp's source and in the reports of its users; its servers' place
is taken by one on loopback, which yt-dlp's generic extractor reads with the same options and the same error mapping.
"""

import contextlib
import math
import re
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import yt_dlp
from server import Answer, Site, file, first, serving, status
from yt_dlp.utils import YoutubeDLError

from trailer_lib import TrailerError
from trailer_lib.download import Fetched
from trailer_lib.errors import SourceError
from trailer_lib.scrape import fetch_trailer, fetch_youtube, youtube
from trailer_lib.settings import ScrapeSettings

VIDEO = "-dQw4w9WgXc"
# Kind, permanent, and what YouTube says; the lines after it are worded so by the yt-dlp that is installed.
TEXTS = [
    ("private", True, "Private video. Sign in if you've been granted access"),
    ("members only", True, "available to this channel's members. Join this channel\tThis video requires payment"),
    ("age limit", True, "Sign in to confirm your age. This video may be inappropriate\tThis video is age-restricted"),
    ("not in this country", True, "who has blocked it in your country on copyright grounds"),
    ("unavailable", True, "Video unavailable\tThis video is not available.\tThis video does not exist.\t"
     "This video has been removed for violating YouTube's policy\twho has blocked it on copyright grounds\t"
     "because the YouTube account associated with this video has been terminated.\t"
     "HTTP Error 404: Not Found\tHTTP Error 410: Gone\tThis video isn't available anymore"),
    ("bot check", False, "Sign in to confirm you’re not a bot. Use --cookies"),
    ("rate limit", False, "HTTP Error 429: Too Many Requests\tVideo unavailable. This content isn’t available."),
    ("live", False, "Premieres in 3 hours\tPremiere will begin shortly\tThis live event will begin in 5 days."),
    ("network", False, "Failed to resolve 'www.youtube.com'\tThe read operation timed out\tConnection reset by peer\t"
     "HTTP Error 503: Service Unavailable\t[SSL: CERTIFICATE_VERIFY_FAILED]\t512 bytes read, 512 more expected"),
    ("forbidden", False, "unable to download video data: HTTP Error 403: Forbidden"),
    ("unknown", False, "The page needs to be reloaded.\t"),
]  # fmt: skip
WORDED = [
    ("not in this country", True, "has not made this video available in your country\tdue to geo restriction"),
    ("unavailable", True, "DRM protected\tlooks truncated"),
    ("bot check", False, "Your IP is likely being blocked by Youtube\tcaptcha challenge before playback"),
    ("rate limit", False, "This content isn't available, try again later\thas been rate-limited by YouTube for up to"),
    ("network", False, "content too short (expected \tDid not get any data blocks\tUnable to download webpage"),
    ("no format", False, "Requested format is not available\tNo video formats found!"),
    ("unknown", False, "Failed to extract any player response"),
]
NO_RUNTIME = "No supported JavaScript runtime could be found\tn challenge solving failed\tSignature solving failed"


@pytest.mark.parametrize(("kind", "permanent", "texts"), TEXTS + WORDED)
def test_each_text_of_youtube_has_its_kind_and_is_permanent_or_not(kind: str, permanent: bool, texts: str) -> None:
    for text in texts.split("\t"):
        for prefix in ("", f"ERROR: [youtube] {VIDEO}: ", "\x1b[0;31mERROR:\x1b[0m [youtube] private-bot: "):
            error = youtube.failure(prefix + text)
            assert (error.kind, error.permanent) == (kind, permanent), prefix + text


def test_the_installed_yt_dlp_words_its_errors_so() -> None:
    names = ["YoutubeDL.py", "extractor/common.py", "extractor/youtube/_video.py", "extractor/youtube/_base.py",
             "extractor/youtube/_mistakes.py", "downloader/http.py", "utils/_utils.py"]  # fmt: skip
    folder = Path(yt_dlp.__file__).parent
    source = re.sub(r"'\s+f?'", "", "".join((folder / name).read_text(encoding="utf-8") for name in names))
    phrases = "\t".join([NO_RUNTIME, *(texts for *_, texts in WORDED)]).split("\t")
    assert [phrase for phrase in phrases if phrase not in source] == []


@pytest.mark.parametrize("warning", NO_RUNTIME.split("\t"))
def test_what_fails_for_want_of_a_runtime_says_so(warning: str) -> None:
    for text in ("Requested format is not available", "HTTP Error 403: Forbidden", "The page needs to be reloaded."):
        assert youtube.failure(text, ["something else", warning]).kind == "no JavaScript runtime"
    assert youtube.failure("Private video", [warning]).kind == "private"


@pytest.mark.skipif(find_spec("deno") is None, reason="deno has no wheel for this system")
def test_yt_dlp_has_found_the_javascript_runtime_that_came_with_it() -> None:
    with youtube.Downloader(youtube.options(Path("x"), 360)) as downloader:
        runtime = downloader._js_runtimes["deno"].info
    assert runtime.supported and Path(runtime.path).is_relative_to(sys.prefix)


@pytest.mark.parametrize("advice", ["Use --cookies", "It is recommended to use `-t`", "(caused by <HTTPError 429>)"])
def test_a_failure_is_one_short_line_without_advice_for_another_command_line(advice: str) -> None:
    text = f"\x1b[0;31mERROR:\x1b[0m [youtube] {VIDEO}: Private video. {advice}\nMore"
    assert str(youtube.failure(text)) == f"[youtube] {VIDEO}: Private video"
    assert str(youtube.failure("x" * 1000)) == "x" * 200


# Which stream is taken.

GOOGLE = "https://rr1---sn-1.googlevideo.com/videoplayback"


def stream(name: str, height: int | None, vcodec: str = "avc1.4d401e", size: int | None = None, **more: object) -> dict:
    facts = {"format_id": name, "url": f"{GOOGLE}?id={name}", "height": height, "vcodec": vcodec, "acodec": "none",
             "protocol": "https", "ext": "mp4", "filesize": size}  # fmt: skip
    return facts | more


def chosen(*streams: dict, height: int = 360, longest: float = math.inf, sound: bool = False, **info: object) -> str:
    """The format_id that yt-dlp takes with our options, from a list as YouTube gives it, last the best.

    It is that of the picture, or with `sound` of the sound alone.
    """
    facts = {"id": VIDEO, "title": "T", "extractor": "youtube", "extractor_key": "Youtube", "formats": [*streams]}
    options = youtube.options(Path("x"), height, longest, sound_only=sound)
    options["format"] = options["format"] if sound else options["format"].partition(",")[0]
    with youtube.Downloader(options) as downloader:
        return downloader.process_ie_result(facts | info, download=False)["format_id"]


SOUND = stream("sound", None, "none", 1, acodec="mp4a.40.2", ext="m4a")
STORYBOARD = stream("board", 90, "none", 1, protocol="mhtml", ext="mhtml", width=160)
WITH_SOUND = stream("18", 360, size=1, acodec="mp4a.40.2")
HLS, DASH = stream("hls", 480, protocol="m3u8_native"), stream("dash", 480, protocol="http_dash_segments")
USUAL = [
    SOUND, STORYBOARD, WITH_SOUND, stream("160", 144, size=1), stream("278", 144, "vp09.00.11.08", 2, ext="webm"),
    stream("394", 144, "av01.0.00M.08", 3), stream("133", 240, size=4), stream("134", 360, size=30),
    stream("243", 360, "vp9", 20, ext="webm"), stream("396", 360, "av01.0.01M.08", 15), stream("135", 480, size=5),
    stream("248", 1080, "vp9", 6, ext="webm"), stream("old", 360, "mp4v.20.3", 1), HLS, DASH,
]  # fmt: skip


@pytest.mark.parametrize(("height", "taken"), [(360, "396"), (361, "135"), (144, "160"), (2160, "248")])
def test_the_smallest_stream_of_enough_lines_is_taken_else_the_tallest(height: int, taken: str) -> None:
    assert chosen(*USUAL, height=height) == chosen(*USUAL[::-1], height=height) == taken


def test_what_decides_between_streams() -> None:
    assert chosen(stream("unknown", 360), stream("size", 360, size=99), stream("more", 480, size=1)) == "size"
    assert chosen(stream("fast", 360, tbr=900), stream("slow", 360, tbr=300)) == "slow"
    assert chosen(SOUND, WITH_SOUND, stream("137", 1080, size=99)) == "137"
    assert chosen(SOUND, WITH_SOUND) == "18"
    assert chosen(stream("dark", None, None, acodec=None), stream("160", 144)) == "160"
    assert chosen(stream("dark", None, None, acodec=None)) == "dark"
    hdr = stream("701", 360, "av01.0.12M.10", 1, dynamic_range="HDR10")
    assert chosen(hdr, stream("137", 1080, size=99, dynamic_range="SDR")) == "137" and chosen(hdr) == "701"
    for streams in ([STORYBOARD, SOUND], [HLS, DASH]):
        with pytest.raises(YoutubeDLError) as caught:
            chosen(*streams)
        assert youtube.failure(str(caught.value)).kind == "no format"


def test_the_smallest_stream_of_the_original_sound_is_taken_or_one_with_a_picture() -> None:
    small = stream("139", None, "none", 9, acodec="mp4a.40.5", ext="m4a", language_preference=10)
    others = [
        stream("251", None, "none", 20, acodec="opus", ext="webm", language_preference=10),
        stream("139-drc", None, "none", 8, acodec="mp4a.40.5", ext="m4a", language_preference=10),
        stream("dubbed", None, "none", 7, acodec="mp4a.40.5", ext="m4a", language_preference=-1),
    ]
    assert chosen(*others, small, *USUAL[1:], sound=True) == chosen(small, *others, sound=True) == "139"
    assert chosen(WITH_SOUND, stream("137", 1080), HLS, sound=True) == "18"


def test_what_is_live_is_left_for_later_and_what_is_too_long_is_refused() -> None:
    for state in ("is_live", "is_upcoming"):
        with pytest.raises(SourceError) as caught:
            chosen(stream("135", 480), live_status=state)
        assert (caught.value.kind, caught.value.permanent) == ("live", False)
    with pytest.raises(SourceError, match=f"{VIDEO}: 31 minutes long") as caught:
        chosen(stream("135", 480), longest=1800.0, duration=1860)
    assert (caught.value.kind, caught.value.permanent) == ("too long", True)
    assert chosen(stream("135", 480), longest=1800.0, duration=1800, live_status="was_live") == "135"


def test_only_youtube_is_read_and_no_program_runs() -> None:
    options = youtube.options(Path("x"), 360)
    with youtube.Downloader(options) as downloader:
        assert list(downloader._ies) == ["Youtube"]
        assert {"hls", "dash"} <= set(downloader.get_info_extractor("Youtube")._configuration_arg("skip"))
        assert set(downloader.params["js_runtimes"]) == {"deno", "node"}
    assert not options.keys() & {"exec_cmd", "postprocessors", "external_downloader", "enable_file_urls", "cookiefile",
                                 "cookiesfrombrowser", "usenetrc", "writethumbnail", "writesubtitles"}  # fmt: skip


@pytest.mark.parametrize(
    "url", ["file:///etc/hostname", "https://youtube.com.evil.example/", "https://youtube.com@evil.example/", ""]
)
def test_only_youtubes_servers_are_asked(url: str, no_network: None) -> None:
    with youtube.Downloader({"quiet": True}) as downloader:
        with pytest.raises(SourceError, match="not one of YouTube's servers"):
            downloader.urlopen(url)
        with pytest.raises(yt_dlp.networking.exceptions.TransportError):
            downloader.urlopen(f"{GOOGLE}?x")


# From end to end, with a server on loopback in YouTube's place.

COOKIE = "127.0.0.1\tFALSE\t/\tFALSE\t1999999999\tSID\ts3cret"
# With a mark and no first line, as programs on Windows write it, too.
COOKIES = f"\ufeff\n{COOKIE}\n#HttpOnly_{COOKIE.replace('SID', 'HSID')}\n"
DATA = np.random.default_rng(0).bytes(300_000)


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(youtube, "EXTRACTORS", ["generic"])
    monkeypatch.setattr(youtube, "HOSTS", ("127.0.0.1",))
    ours, quick = youtube.options, {"sleep_interval_requests": 0, "socket_timeout": 0.5}
    monkeypatch.setattr(youtube, "options", lambda *arguments: ours(*arguments) | quick)
    with serving() as site:
        monkeypatch.setattr(youtube, "WATCH", site.url + "/{}")
        yield site


def fetch(site: Site, tmp_path: Path, answer: Answer, cookies: str = "") -> Path:
    site.pages[f"/{VIDEO}"] = answer
    (tmp_path / "scratch").mkdir(exist_ok=True)
    return fetch_trailer(VIDEO, "", ScrapeSettings(cookies=cookies), tmp_path, tmp_path / "scratch").video


def movie(data: bytes = DATA, **options: object) -> Answer:
    return file(data, kind="video/mp4", **options)


def refusal(site: Site, tmp_path: Path, answer: Answer) -> SourceError:
    with pytest.raises(SourceError) as caught:
        fetch(site, tmp_path, answer)
    assert "\n" not in str(caught.value)
    return caught.value


def test_a_video_is_a_file_with_a_name_of_ours(plain: Site, tmp_path: Path) -> None:
    path = fetch(plain, tmp_path, movie())
    assert path == tmp_path / "scratch" / "trailer1.mp4" and path.read_bytes() == DATA
    (tmp_path / "100% %(title)s").mkdir()
    assert fetch_youtube(VIDEO, tmp_path / "100% %(title)s", 360).video.parent.name == "100% %(title)s"


@pytest.fixture
def streams(plain: Site, monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """The streams that the page of a trailer names; their bytes are at /picture, /both and /sound of the server."""
    formats = []
    for name, kind in (("picture", "video/webm"), ("both", "video/mp4"), ("sound", "audio/webm")):
        plain.pages[f"/{name}"] = file(f"a {name}".encode() * 100, kind=kind)

    class Page(yt_dlp.extractor.common.InfoExtractor):
        _VALID_URL = r"http://127\.0\.0\.1.*"

        def _real_extract(self, url: str) -> dict:
            return {"id": "../../x", "title": "/etc/x", "formats": [facts | {"ext": "webm"} for facts in formats]}

    class WithPage(youtube.Downloader):
        def __init__(self, options: dict) -> None:
            super().__init__(options | {"allowed_extractors": ["youtube"]})
            self.add_info_extractor(Page())

    monkeypatch.setattr(youtube, "Downloader", WithPage)
    formats += [stream("picture", 360), stream("sound", None, "none", acodec="opus")]
    for facts in formats:
        facts["url"] = f"{plain.url}/{facts['format_id']}"
    return formats


def contents(fetched: Fetched) -> list[str]:
    return [path and path.read_text()[: len(path.read_text()) // 100] for path in fetched[:2]]


def test_picture_and_sound_are_two_files_with_names_of_ours(plain: Site, streams: list, tmp_path: Path) -> None:
    fetched = fetch_youtube(VIDEO, tmp_path, 360)
    assert contents(fetched) == ["a picture", "a sound"] and fetched.no_sound == ""
    assert sorted(tmp_path.iterdir()) == sorted(fetched[:2])
    plain.requests.clear()
    (tmp_path / "again").mkdir()
    assert contents(fetch_youtube(VIDEO, tmp_path / "again", 360, sound_only=True)) == ["a sound", "a sound"]
    assert [request.path for request in plain.requests] == ["/sound"]


def test_without_a_stream_of_sound_the_videos_own_is_used(plain: Site, streams: list, tmp_path: Path) -> None:
    streams[1:] = [stream("both", 360, acodec="mp4a.40.2", url=f"{plain.url}/both")]
    (tmp_path / "again").mkdir()
    assert fetch_youtube(VIDEO, tmp_path, 360)[1:] == (None, "")
    assert contents(fetch_youtube(VIDEO, tmp_path / "again", 360, sound_only=True)) == ["a both", None]
    del streams[0]
    (tmp_path / "third").mkdir()
    assert contents(fetch_youtube(VIDEO, tmp_path / "third", 360)) == ["a both", None]


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [(status(403), "later: forbidden"), (status(410), "unavailable"), (file(b"x" * 999, upto=0.5), "later: network"),
     (file(b"x" * 300_000), "too large")],
)  # fmt: skip
def test_a_sound_that_cannot_be_had_leaves_the_picture(
    answer: Answer, outcome: str, plain: Site, streams: list, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(youtube, "SIZE_LIMIT", 200_000)
    plain.pages["/sound"] = answer
    fetched = fetch_youtube(VIDEO, tmp_path, 360)
    assert contents(fetched) == ["a picture", None] and fetched.no_sound == outcome
    plain.pages["/picture"] = status(404)
    (tmp_path / "again").mkdir()
    for only in (False, True):
        with pytest.raises(SourceError):
            fetch_youtube(VIDEO, tmp_path / "again", 360, sound_only=only)


def test_a_page_of_sound_alone_is_no_trailer(streams: list, tmp_path: Path) -> None:
    del streams[0]
    with pytest.raises(SourceError, match="no stream that can be read"):
        fetch_youtube(VIDEO, tmp_path, 360)


@pytest.mark.parametrize(
    ("when", "code", "kind", "permanent"),
    [("page", 404, "unavailable", True), ("data", 403, "forbidden", False), ("data", 429, "rate limit", False),
     ("page", 503, "network", False)],
)  # fmt: skip
def test_a_refusal_has_its_kind_and_the_time_to_wait(
    when: str, code: int, kind: str, permanent: bool, plain: Site, tmp_path: Path
) -> None:
    no = status(code, Retry_After="1234")
    error = refusal(plain, tmp_path, no if when == "page" else first(1, movie(), no))
    assert (error.kind, error.permanent, error.retry_after) == (kind, permanent, 1234)


def test_a_broken_download_is_resumed_by_yt_dlp_but_not_by_the_next_call(plain: Site, tmp_path: Path) -> None:
    answers = first(1, movie(), first(2, movie(upto=0.5), first(3, status(503), movie())))
    assert fetch(plain, tmp_path, answers).read_bytes() == DATA
    assert re.fullmatch(r"bytes=[1-9]\d*-", plain.ranges()[-1])
    plain.requests.clear()
    error = refusal(plain, tmp_path, first(1, movie(), movie(upto=0.5, ranges=False)))
    assert (error.kind, error.permanent) == ("network", False)
    assert fetch(plain, tmp_path, movie(DATA[::-1])).read_bytes() == DATA[::-1]  # perhaps another stream


def test_a_video_beyond_the_limit_is_broken_off(plain: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(youtube, "SIZE_LIMIT", 200_000)
    for length in (True, False):
        error = refusal(plain, tmp_path, movie(length=length))
        assert (error.kind, error.permanent) == ("too large", True)


def test_a_full_disk_is_not_the_trailers_failure(plain: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "ERROR: unable to write data: [Errno 28] No space left on device"  # yt-dlp's words for an OSError of write()
    monkeypatch.setattr(youtube.Downloader, "extract_info", lambda *_: (_ for _ in ()).throw(YoutubeDLError(text)))
    with pytest.raises(OSError, match="No space left"):
        fetch(plain, tmp_path, movie())


def test_nothing_is_printed_and_the_cookies_file_stays_as_it_was(
    plain: Site, tmp_path: Path, capfd: pytest.CaptureFixture, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cookies.txt").write_text(COOKIES)
    with pytest.raises(SourceError) as caught:
        fetch(plain, tmp_path, status(403, Set_Cookie="SID=changed; Path=/"), cookies="cookies.txt")
    assert plain.requests[0].headers["Cookie"] == "SID=s3cret; HSID=s3cret"
    assert "".join(capfd.readouterr()) + caplog.text == "" and "s3cret" not in str(caught.value)
    assert (tmp_path / "cookies.txt").read_text() == COOKIES and list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.parametrize("line", [COOKIE.replace("\t", " "), COOKIE.replace("1999999999", "soon")])
def test_a_line_that_is_not_a_cookie_is_refused_by_its_number_and_not_shown(
    line: str, tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    (tmp_path / "cookies.txt").write_text(COOKIES + line)
    with pytest.raises(TrailerError, match="line 4 is not a cookie") as caught:
        fetch_youtube(VIDEO, tmp_path, 360, tmp_path / "cookies.txt")
    assert not isinstance(caught.value, SourceError)
    assert "s3cret" not in str(caught.value) + "".join(capfd.readouterr())


@pytest.mark.parametrize("guarded", [True, False])
def test_no_playlist_makes_yt_dlp_ask_another_server(
    guarded: bool, plain: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not guarded:
        monkeypatch.setattr(youtube, "HOSTS", ("127.0.0.1", "localhost"))
    with serving() as canary:
        canary.pages["/canary.ts"] = file(b"the canary sings", kind="video/mp2t")
        place = canary.url.replace("127.0.0.1", "localhost")  # the same machine under its other name
        text = f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=9,RESOLUTION=640x360\n{place}/canary.ts\n"
        with contextlib.suppress(SourceError):
            fetch(plain, tmp_path, file(text.encode(), kind="text/xml"))
        assert bool(canary.requests) != guarded
