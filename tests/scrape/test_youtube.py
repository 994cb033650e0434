"""YouTube by yt-dlp: what its texts mean, which stream it takes, and what it does with servers of every kind.

YouTube itself is not asked. Its texts are those in yt-dlp's source and in the reports of its users; its servers' place
is taken by one on loopback, which yt-dlp's generic extractor reads with the same options and the same error mapping.
"""

import contextlib
import errno
import math
import os
import re
import socket
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path

import numpy as np
import pytest
import yt_dlp
from server import Answer, Site, file, first, redirect, serving, status
from yt_dlp.utils import YoutubeDLError
from yt_dlp.utils._jsruntime import DenoJsRuntime, NodeJsRuntime

from trailer_lib import TrailerError
from trailer_lib.errors import SourceError
from trailer_lib.scrape import sources, youtube
from trailer_lib.settings import ScrapeSettings
from trailer_lib.video import container, sampling

VIDEO = "-dQw4w9WgXc"
COOKIES = (
    "Use --cookies-from-browser or --cookies for the authentication. See  "
    "https://github.com/yt-dlp/yt-dlp/wiki/FAQ#how-do-i-pass-cookies-to-yt-dlp  for how to manually pass cookies"
)
FOR_GOOD = {
    "private": [
        f"Private video. Sign in if you've been granted access to this video. {COOKIES}",
        "This video is private",
    ],
    "members only": [
        "This video is available to this channel's members on level: Popcorn (or any higher level). "
        "Join this channel to get access to members-only content and other exclusive perks.",
        "Join this channel to get access to members-only content like this video, and other exclusive perks.",
        "This video requires payment to watch",
        "This video is only available to Music Premium members",
    ],
    "age limit": [
        f"Sign in to confirm your age. This video may be inappropriate for some users. {COOKIES}",
        "This video may be inappropriate for some users.",
        "This video is age-restricted and only available on YouTube",
    ],
    "not in this country": [
        "Video unavailable. The uploader has not made this video available in your country",
        "The uploader has not made this video available in your country\n"
        "This video is available in Germany, Austria.\n"
        "You might want to use a VPN or a proxy server (with --proxy) to workaround.",
        "Video unavailable. This video contains content from WMG, who has blocked it in your country on copyright "
        "grounds",
        "This video is not available from your location due to geo restriction",
        "This video is not available in your country",
    ],
    "unavailable": [
        "Video unavailable",
        "Video unavailable. This video has been removed by the uploader",
        "Video unavailable. This video is not available",
        "This video is unavailable",
        "This video is not available.",
        "This video is no longer available.",
        "This video does not exist.",
        "This video has been removed for violating YouTube's Terms of Service",
        "This video has been removed for violating YouTube's policy on hate speech. Learn more about combating hate",
        "Video unavailable. This video isn't available anymore",
        "Video unavailable. This video is no longer available due to a copyright claim by Studio",
        "Video unavailable. This video is no longer available because the YouTube account associated with this video "
        "has been terminated.",
        "Video unavailable. This video is no longer available because the uploader has closed their YouTube account.",
        "Video unavailable. This video contains content from Studio, who has blocked it on copyright grounds",
        "This video is DRM protected",
        "Incomplete YouTube ID abc. URL https://www.youtube.com/watch?v=abc looks truncated.",
        "Unable to download webpage: HTTP Error 404: Not Found (caused by <HTTPError 404: Not Found>)",
        "Unable to download webpage: HTTP Error 410: Gone (caused by <HTTPError 410: Gone>)",
    ],
}
PASSING = {
    "bot check": [
        f"Sign in to confirm you’re not a bot. {COOKIES}",
        f"Sign in to confirm you're not a bot. {COOKIES}",
        "Sign in to confirm you're not a bot. This helps protect our community. Learn more",
        "This video is restricted. YouTube is requiring a captcha challenge before playback",
        "All player responses are invalid. Your IP is likely being blocked by Youtube",
    ],
    "rate limit": [
        "Unable to download webpage: HTTP Error 429: Too Many Requests (caused by <HTTPError 429: Too Many Requests>)",
        "Unable to download API page: HTTP Error 429: Too Many Requests (caused by <HTTPError 429: Too Many Requests>)",
        "unable to download video data: HTTP Error 429: Too Many Requests",
        "Video unavailable. This content isn't available, try again later. The current session has been rate-limited "
        "by YouTube for up to an hour. It is recommended to use `-t sleep` to add a delay between video requests to "
        "avoid exceeding the rate limit. For more information, refer to  https://github.com/yt-dlp/yt-dlp/wiki/"
        "Extractors#this-content-isnt-available-try-again-later",
        "Video unavailable. This content isn't available, try again later. Your account has been rate-limited",
        "Video unavailable. This content isn’t available.",
    ],
    "live": [
        "Premieres in 3 hours",
        "Premiere will begin shortly",
        "This live event will begin in a few moments.",
        "This live event will begin in 5 days.",
        "This live event has ended.",
        "This live stream recording is not available.",
    ],
    "network": [
        "Unable to download API page: HTTPSConnection(host='www.youtube.com', port=443): Failed to resolve "
        "'www.youtube.com' ([Errno -3] Temporary failure in name resolution) (caused by TransportError())",
        "Unable to download webpage: The read operation timed out (caused by TransportError())",
        "Unable to download webpage: [Errno 104] Connection reset by peer (caused by TransportError())",
        "Unable to download webpage: HTTP Error 503: Service Unavailable (caused by <HTTPError 503>)",
        "Unable to download webpage: [SSL: UNEXPECTED_EOF_WHILE_READING] EOF occurred (_ssl.c:1006)",
        "Unable to download webpage: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed",
        "unable to download video data: HTTP Error 500: Internal Server Error",
        "unable to download video data: 512 bytes read, 512 more expected",
        "content too short (expected 1024 bytes and served 512)",
        "Did not get any data blocks",
        "[Errno 111] Connection refused",
    ],
    "forbidden": [
        "unable to download video data: HTTP Error 403: Forbidden",
        "Unable to download API page: HTTP Error 403: Forbidden (caused by <HTTPError 403: Forbidden>)",
    ],
    "no format": [
        "Requested format is not available. Use --list-formats for a list of available formats",
        "No video formats found!; please report this issue on  https://github.com/yt-dlp/yt-dlp/issues?q=",
    ],
    "unknown": [
        "Failed to extract any player response; please report this issue on  https://github.com/yt-dlp/yt-dlp",
        "The following content is not available on this app.. Watch on the latest version of YouTube.",
        "The page needs to be reloaded.",
        "",
    ],
}
SAID = [(kind, text, True) for kind, texts in FOR_GOOD.items() for text in texts]
SAID += [(kind, text, False) for kind, texts in PASSING.items() for text in texts]
NO_RUNTIME = (
    "No supported JavaScript runtime could be found. Only deno is enabled by default; to use another runtime add  "
    "--js-runtimes RUNTIME[:PATH]  to your command/config. YouTube extraction without a JS runtime has been deprecated"
)
UNSOLVED = "n challenge solving failed: Some formats may be missing. Ensure you have a supported JavaScript runtime"


@pytest.mark.parametrize("prefix", [f"ERROR: [youtube] {VIDEO}: ", f"\x1b[0;31mERROR:\x1b[0m [youtube] {VIDEO}: ", ""])
@pytest.mark.parametrize(("kind", "text", "permanent"), SAID)
def test_what_youtube_says_has_its_kind_and_is_final_or_not(prefix: str, kind: str, text: str, permanent: bool) -> None:
    error = youtube.failure(prefix + text)
    assert (error.kind, error.permanent) == (kind, permanent)


def source_of_yt_dlp() -> str:
    folder = Path(yt_dlp.__file__).parent
    files = ["YoutubeDL.py", "extractor/common.py", "extractor/youtube/_video.py", "extractor/youtube/_base.py",
             "extractor/youtube/_mistakes.py",
             "networking/exceptions.py", "downloader/http.py", "utils/_utils.py"]  # fmt: skip
    text = "".join((folder / name).read_text(encoding="utf-8") for name in files)
    return re.sub(r"'\s+f?'", "", text)


@pytest.mark.parametrize(
    ("phrase", "kind"),
    [
        ("Your IP is likely being blocked by Youtube", "bot check"),
        ("YouTube is requiring a captcha challenge before playback", "bot check"),
        ("This content isn't available, try again later", "rate limit"),
        ("has been rate-limited by YouTube for up to an hour", "rate limit"),
        ("The uploader has not made this video available in your country", "not in this country"),
        ("This video is not available from your location due to geo restriction", "not in this country"),
        ("This video is DRM protected", "unavailable"),
        ("looks truncated", "unavailable"),
        ("Requested format is not available", "no format"),
        ("No video formats found!", "no format"),
        ("Did not get any data blocks", "network"),
        ("unable to download video data: ", "network"),
        ("Unable to download webpage", "network"),
        ("Unable to download API page", "network"),
        ("content too short (expected ", "network"),
        ("more expected", "network"),
        ("Failed to extract any player response", "unknown"),
    ],
)
def test_the_installed_yt_dlp_words_it_so(phrase: str, kind: str) -> None:
    assert phrase in source_of_yt_dlp()
    assert youtube.failure(phrase).kind == kind


@pytest.mark.parametrize("phrase", ["No supported JavaScript runtime could be found", "n challenge solving failed",
                                    "Signature solving failed"])  # fmt: skip
def test_the_installed_yt_dlp_warns_so_of_a_missing_runtime(phrase: str) -> None:
    assert phrase in source_of_yt_dlp()
    assert youtube.failure("Requested format is not available", [f"[youtube] {phrase}"]).kind == "no JavaScript runtime"


@pytest.mark.parametrize("warning", [NO_RUNTIME, UNSOLVED])
def test_without_a_runtime_what_fails_for_want_of_one_says_so(warning: str) -> None:
    for text in [*PASSING["no format"], *PASSING["forbidden"], *PASSING["unknown"]]:
        error = youtube.failure(text, ["something else", warning])
        assert (error.kind, error.permanent) == ("no JavaScript runtime", False)
        assert youtube.failure(text, ["something else"]).kind != "no JavaScript runtime"
    assert youtube.failure("Private video", [warning]).kind == "private"
    assert youtube.failure(PASSING["bot check"][0], [warning]).kind == "bot check"


def test_the_runtimes_named_are_those_that_yt_dlp_takes() -> None:
    deno, node = ".".join(map(str, DenoJsRuntime.MIN_SUPPORTED_VERSION[:2])), NodeJsRuntime.MIN_SUPPORTED_VERSION[0]
    assert f"deno {deno}" in sources.remedy("no JavaScript runtime")
    assert f"node {node}" in sources.remedy("no JavaScript runtime")
    chosen = youtube.options(Path("x"), 360, youtube.Log())["js_runtimes"]
    assert set(yt_dlp.YoutubeDL({"js_runtimes": chosen, "quiet": True}).params["js_runtimes"]) == {"deno", "node"}


def test_an_id_that_looks_like_a_word_means_nothing() -> None:
    assert youtube.failure("ERROR: [youtube] timedout-id: Private video").kind == "private"
    assert youtube.failure("ERROR: [youtube] private-video: nothing known").kind == "unknown"


def test_a_failure_keeps_what_youtube_said_in_one_plain_short_line() -> None:
    error = youtube.failure(f"\x1b[0;31mERROR:\x1b[0m [youtube] {VIDEO}: Private video.\nMore " + "x" * 1000)
    assert str(error) == f"[youtube] {VIDEO}: Private video."
    assert len(str(youtube.failure("x" * 1000))) == 200


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        (PASSING["bot check"][0], "Sign in to confirm you’re not a bot"),
        (PASSING["rate limit"][0], "Unable to download webpage: HTTP Error 429: Too Many Requests"),
        (PASSING["rate limit"][3], PASSING["rate limit"][3].partition(". It is")[0]),
        (PASSING["no format"][0], "Requested format is not available"),
        (PASSING["no format"][1], "No video formats found"),
    ],
)
def test_advice_for_yt_dlps_own_command_line_is_left_out(text: str, kept: str) -> None:
    assert str(youtube.failure(text)) == kept


# Which stream is taken.

GOOGLE = "https://rr1---sn-1.googlevideo.com/videoplayback"


def stream(name: str, height: int | None, vcodec: str = "avc1.4d401e", size: int | None = None, **more: object) -> dict:
    known = {"format_id": name, "url": f"{GOOGLE}?id={name}", "height": height, "vcodec": vcodec, "acodec": "none",
             "protocol": "https", "ext": "mp4", "filesize": size}  # fmt: skip
    return known | more


SOUND = stream("sound", None, "none", 1, acodec="mp4a.40.2", ext="m4a")
STORYBOARD = stream("board", 90, "none", 1, protocol="mhtml", ext="mhtml", width=160)
HLS = stream("hls", 480, protocol="m3u8_native", acodec=None)
DASH = stream("dash", 480, protocol="http_dash_segments")


def chosen(streams: list[dict], height: int = 360, longest: float = math.inf, **info: object) -> str:
    """The format_id that yt-dlp takes with our options, from a list as YouTube gives it, last the best."""
    facts = {"id": VIDEO, "title": "T", "extractor": "youtube", "extractor_key": "Youtube", "formats": streams}
    with youtube.Downloader(youtube.options(Path("x"), height, youtube.Log(), longest)) as downloader:
        return downloader.process_ie_result(facts | info, download=False)["format_id"]


USUAL = [
    SOUND, STORYBOARD,
    stream("18", 360, size=9, acodec="mp4a.40.2"),
    stream("160", 144, size=1), stream("278", 144, "vp09.00.11.08", 2, ext="webm"),
    stream("394", 144, "av01.0.00M.08", 3),
    stream("133", 240, size=4), stream("134", 360, size=30), stream("243", 360, "vp9", 20, ext="webm"),
    stream("396", 360, "av01.0.01M.08", 15), stream("135", 480, size=5), stream("248", 1080, "vp9", 6, ext="webm"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("height", "taken"),
    [(360, "396"), (361, "135"), (480, "135"), (144, "160"), (0, "160"), (720, "248"), (2160, "248")],
)
def test_the_smallest_stream_of_enough_lines_is_taken_else_the_tallest(height: int, taken: str) -> None:
    assert chosen(USUAL, height) == taken
    assert chosen(USUAL[::-1], height) == taken


@pytest.mark.parametrize("codec", ["avc1.64001e", "vp9", "vp09.00.21.08", "av01.0.01M.08", "h264"])
def test_any_of_three_codecs_will_do(codec: str) -> None:
    assert chosen([stream("old", 360, "mp4v.20.3", 1), stream("good", 480, codec, 9)]) == "good"


def test_a_known_size_goes_before_an_unknown_one_and_the_lines_before_both() -> None:
    assert chosen([stream("unknown", 360), stream("known", 360, size=99), stream("more", 480, size=1)]) == "known"
    assert chosen([stream("unknown", 360), stream("more", 480, size=1)]) == "unknown"
    assert chosen([stream("fast", 360, tbr=900), stream("slow", 360, tbr=300)]) == "slow"
    assert chosen([stream("exact", 360, size=50), stream("about", 360, filesize_approx=40)]) == "about"


def test_sound_comes_along_only_where_there_is_nothing_without() -> None:
    muxed = stream("18", 360, size=1, acodec="mp4a.40.2")
    assert chosen([SOUND, muxed, stream("137", 1080, size=99)]) == "137"
    assert chosen([SOUND, muxed]) == "18"


def test_a_stream_of_which_nothing_is_known_is_the_last_resort() -> None:
    assert chosen([stream("dark", None, None, acodec=None), stream("160", 144)]) == "160"
    assert chosen([stream("dark", None, None, acodec=None)]) == "dark"


@pytest.mark.parametrize(
    "streams",
    [[STORYBOARD], [SOUND], [STORYBOARD, SOUND], [HLS], [DASH], [HLS, DASH, STORYBOARD],
     [stream("f", 360, protocol="f4m")], [stream("r", 360, protocol="rtmp", url="rtmp://x/y")]],
    ids=lambda streams: "+".join(one["format_id"] for one in streams),
)  # fmt: skip
def test_without_one_whole_file_there_is_no_format(streams: list[dict]) -> None:
    with pytest.raises(YoutubeDLError) as caught:
        chosen(streams)
    error = youtube.failure(str(caught.value))
    assert (error.kind, error.permanent) == ("no format", False)


def test_direct_files_are_taken_where_there_are_fragments_too() -> None:
    assert chosen([stream("135", 480, size=10**6), HLS, DASH]) == "135"


@pytest.mark.parametrize("state", ["is_live", "is_upcoming"])
def test_what_is_live_is_left_for_later(state: str) -> None:
    with pytest.raises(SourceError) as caught:
        chosen([stream("135", 480)], live_status=state)
    assert (caught.value.kind, caught.value.permanent) == ("live", False)
    assert chosen([stream("135", 480)], live_status="was_live") == "135"


def test_too_long_a_video_is_refused_before_its_download() -> None:
    with pytest.raises(SourceError, match=f"{VIDEO}: 31 minutes long: at most 30 are taken from a link") as caught:
        chosen([stream("135", 480)], longest=1800.0, duration=1860)
    assert (caught.value.kind, caught.value.permanent) == ("too long", True)
    assert chosen([stream("135", 480)], longest=1800.0, duration=1800) == "135"
    assert chosen([stream("135", 480)], duration=1860) == "135"


def test_youtube_alone_is_read_and_nothing_runs_or_asks_elsewhere() -> None:
    options = youtube.options(Path("x"), 360, youtube.Log())
    assert "title" not in str(options)
    with youtube.Downloader(options) as downloader:
        assert list(downloader._ies) == ["Youtube"]
        skipped = downloader.get_info_extractor("Youtube")._configuration_arg("skip")
        assert {"hls", "dash"} <= set(skipped)  # their manifests are not even asked for
    assert not options.keys() & {"exec_cmd", "postprocessors", "external_downloader", "enable_file_urls", "cookiefile",
                                 "cookiesfrombrowser", "usenetrc", "writethumbnail", "writesubtitles"}  # fmt: skip


@pytest.mark.parametrize(
    "url", ["https://evil.example/x", "http://127.0.0.1/", "file:///etc/hostname", "https://youtube.com.evil.example/",
            "https://notyoutube.com/", "https://youtube.com@evil.example/", "https://[::1]/", ""],
)  # fmt: skip
def test_other_servers_than_youtubes_are_not_asked(url: str, no_network: None) -> None:
    with youtube.Downloader({"quiet": True}) as downloader, pytest.raises(SourceError) as caught:
        downloader.urlopen(url)
    assert (caught.value.kind, caught.value.permanent) == ("refused", False)


@pytest.mark.parametrize("url", ["https://www.youtube.com/watch?v=x", f"{GOOGLE}?x", "https://youtube.com/"])
def test_youtubes_own_servers_are_asked(url: str, no_network: None) -> None:
    with youtube.Downloader({"quiet": True}) as downloader, pytest.raises(yt_dlp.networking.exceptions.TransportError):
        downloader.urlopen(url)


# Cookies.

COOKIE = ".youtube.com\tTRUE\t/\tTRUE\t1999999999\tSID\ts3cret"
BAKED = f"# Netscape HTTP Cookie File\n\n{COOKIE}\n#HttpOnly_{COOKIE.replace('SID', 'HSID')}\n"


def with_cookies(path: Path, text: str) -> list[str]:
    """The names of the cookies that yt-dlp knows when the user's file holds `text`."""
    path.write_text(text)
    options = {"quiet": True} | youtube._cookie_option(path)
    with youtube.Downloader(options) as downloader:
        return sorted(cookie.name for cookie in downloader.cookiejar)


def test_cookies_come_from_the_users_file_which_stays_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "cookies.txt"
    assert with_cookies(path, BAKED) == ["HSID", "SID"]
    assert path.read_text() == BAKED
    assert [file.name for file in tmp_path.iterdir()] == ["cookies.txt"]


@pytest.mark.parametrize(
    "line", [COOKIE.replace("\t", " "), COOKIE.replace("1999999999", "soon"), COOKIE + "\tmore", '[{"name": "s3cret"}]']
)
def test_a_line_that_is_no_cookie_is_refused_by_its_number_and_not_shown(
    line: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(TrailerError, match="line 5 is no cookie") as caught:
        with_cookies(tmp_path / "cookies.txt", BAKED + line)
    assert "s3cret" not in str(caught.value) + "".join(capfd.readouterr())


def test_a_cookies_file_that_is_not_there_is_named_before_youtube_is_asked(tmp_path: Path, no_network: None) -> None:
    chosen = ScrapeSettings(cookies="jars/cookies.txt")
    with pytest.raises(TrailerError, match=r"jars/cookies\.txt") as caught:
        sources.fetch_trailer(VIDEO, "", chosen, tmp_path, tmp_path)
    assert not isinstance(caught.value, SourceError)


# From end to end, with a server on loopback in YouTube's place.


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(youtube, "EXTRACTORS", ["generic"])
    monkeypatch.setattr(youtube, "HOSTS", ("127.0.0.1",))
    ours = youtube.options
    quick = {"sleep_interval_requests": 0, "socket_timeout": 0.5}
    monkeypatch.setattr(youtube, "options", lambda *arguments: ours(*arguments) | quick)
    with serving() as site:
        monkeypatch.setattr(youtube, "WATCH", site.url + "/{}")
        yield site


@pytest.fixture
def canary() -> Iterator[Site]:
    with serving() as site:
        site.pages["/canary.ts"] = file(b"the canary sings", kind="video/mp2t")
        yield site
        assert site.requests == []


DATA = np.random.default_rng(0).bytes(300_000)


def fetch(site: Site, tmp_path: Path, answer: Answer, cookies: str = "") -> Path:
    site.pages[f"/{VIDEO}"] = answer
    (tmp_path / "scratch").mkdir(exist_ok=True)
    return sources.fetch_trailer(VIDEO, "", ScrapeSettings(cookies=cookies), tmp_path, tmp_path / "scratch")


def movie(data: bytes = DATA, **options: object) -> Answer:
    return file(data, kind="video/mp4", **options)


def refusal(site: Site, tmp_path: Path, answer: Answer) -> SourceError:
    with pytest.raises(SourceError) as caught:
        fetch(site, tmp_path, answer)
    assert "\n" not in str(caught.value)
    return caught.value


def test_a_video_comes_as_a_file_with_a_name_of_ours(plain: Site, tmp_path: Path) -> None:
    path = fetch(plain, tmp_path, movie())
    assert path == tmp_path / "scratch" / "trailer.mp4" and path.read_bytes() == DATA
    assert [file.name for file in path.parent.iterdir()] == ["trailer.mp4"]


def test_a_folder_with_signs_in_its_name_is_no_template(plain: Site, tmp_path: Path) -> None:
    (tmp_path / "100% %(title)s").mkdir()
    plain.pages[f"/{VIDEO}"] = movie()
    assert youtube.fetch_youtube(VIDEO, tmp_path / "100% %(title)s", 360).parent.name == "100% %(title)s"


def test_frames_can_be_drawn_from_it(plain: Site, tmp_path: Path, make_video: Callable) -> None:
    shown = [np.full((48, 64, 3), level, np.uint8) for level in range(0, 240, 10)]
    data = make_video(tmp_path / "made.mp4", shown).read_bytes()
    path = fetch(plain, tmp_path, movie(data))
    assert sampling.sample_frames(path, 5, 0, "key").pixels.shape == (5, 48, 64, 3)


@pytest.mark.parametrize(
    ("code", "kind", "permanent"),
    [(404, "unavailable", True), (410, "unavailable", True), (403, "forbidden", False), (429, "rate limit", False),
     (500, "network", False), (503, "network", False)],
)  # fmt: skip
@pytest.mark.parametrize("when", ["page", "data"])
def test_a_refusal_has_its_kind_and_its_waiting_time(
    when: str, code: int, kind: str, permanent: bool, plain: Site, tmp_path: Path
) -> None:
    no = status(code, Retry_After="1234")
    error = refusal(plain, tmp_path, no if when == "page" else first(1, movie(), no))
    assert (error.kind, error.permanent, error.retry_after) == (kind, permanent, 1234)


def test_a_waiting_time_may_be_a_date(plain: Site, tmp_path: Path) -> None:
    soon = formatdate(2_000_000_000, usegmt=True)
    assert refusal(plain, tmp_path, status(429, Retry_After=soon)).retry_after > 0


def test_trouble_that_passes_is_tried_again_by_yt_dlp(plain: Site, tmp_path: Path) -> None:
    answers = first(1, movie(), first(3, status(503), movie()))
    assert fetch(plain, tmp_path, answers).read_bytes() == DATA


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_cut_video_goes_on_where_it_was_cut(share: float, plain: Site, tmp_path: Path) -> None:
    assert fetch(plain, tmp_path, first(1, movie(), first(2, movie(upto=share), movie()))).read_bytes() == DATA
    assert re.fullmatch(r"bytes=[1-9]\d*-", plain.ranges()[-1])


def test_a_video_that_is_always_cut_is_a_network_error(plain: Site, tmp_path: Path) -> None:
    error = refusal(plain, tmp_path, first(1, movie(), movie(upto=0.5, ranges=False)))
    assert (error.kind, error.permanent) == ("network", False)
    # What was left behind is not gone on with: the next stream may be another one.
    assert [path.stat().st_size > 0 for path in (tmp_path / "scratch").iterdir()] == [True]
    assert fetch(plain, tmp_path, movie(DATA[::-1])).read_bytes() == DATA[::-1]


def test_a_server_that_falls_silent_is_a_network_error(plain: Site, tmp_path: Path) -> None:
    error = refusal(plain, tmp_path, movie(upto=0.5, ranges=False, stall=True))
    assert (error.kind, error.permanent) == ("network", False)


def test_a_server_that_is_not_there_is_a_network_error(
    plain: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setattr(youtube, "WATCH", f"http://127.0.0.1:{port}/{{}}")
    assert (error := refusal(plain, tmp_path, movie())).kind == "network" and not error.permanent


@pytest.mark.parametrize("told", [True, False])
def test_a_video_beyond_the_limit_is_broken_off(
    told: bool, plain: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(youtube, "LIMIT", 200_000)
    error = refusal(plain, tmp_path, movie(length=told))
    assert (error.kind, error.permanent) == ("too large", True)


@pytest.mark.parametrize("location", ["file:///etc/hostname", "file://localhost/etc/hostname", "ftp://127.0.0.1/x"])
def test_a_redirect_into_the_own_disk_is_refused(location: str, plain: Site, tmp_path: Path) -> None:
    error = refusal(plain, tmp_path, redirect(location))
    assert (error.kind, error.permanent) == ("refused", False)
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_page_in_a_videos_place_is_no_video(plain: Site, tmp_path: Path) -> None:
    page = b"<!DOCTYPE html><html><title>Be right back</title></html>"
    error = refusal(plain, tmp_path, file(page, kind="text/html"))
    assert not error.permanent
    path = fetch(plain, tmp_path, movie(page))  # called a video: taken, and found out by whoever reads it
    with pytest.raises(container.VideoError):
        sampling.sample_frames(path, 5, 0, "key")


PLAYLISTS = {
    "segments on this disk": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n",
    "segments elsewhere": "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{canary}/canary.ts\n#EXT-X-ENDLIST\n",
    "a key elsewhere": '#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="{canary}/canary.ts"\n#EXT-X-TARGETDURATION:9\n'
    "#EXTINF:9,\nsegment.ts\n#EXT-X-ENDLIST\n",
    "a list elsewhere": "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=9,RESOLUTION=640x360\n{canary}/canary.ts\n",
    "a list on this disk": "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=9,RESOLUTION=640x360\nfile:///etc/hostname\n",
    "a DASH manifest": '<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" mediaPresentationDuration="PT9S"><Period>'
    '<AdaptationSet mimeType="video/mp4"><Representation id="1" bandwidth="9" height="360" codecs="avc1.4d">'
    "<BaseURL>{canary}/canary.ts</BaseURL></Representation></AdaptationSet></Period></MPD>",
    "an XSPF list": '<playlist xmlns="http://xspf.org/ns/0/"><trackList><track><location>{canary}/canary.ts</location>'
    "</track></trackList></playlist>",
    "a SMIL list": '<smil xmlns="http://www.w3.org/2001/SMIL20/Language"><body><video src="{canary}/canary.ts" '
    'height="360"/></body></smil>',
    "a page with a video": '<html><video src="{canary}/canary.ts" type="video/mp4"></video></html>',
    "an RSS feed": '<rss version="2.0"><channel><title>t</title><item><link>{canary}/canary.ts</link></item></channel>'
    "</rss>",
}


@pytest.mark.parametrize("kind", ["application/x-mpegurl", "video/mp4", "text/xml"])
@pytest.mark.parametrize("name", PLAYLISTS)
def test_no_list_makes_yt_dlp_ask_another_server_or_read_this_disk(
    name: str, kind: str, plain: Site, canary: Site, tmp_path: Path
) -> None:
    # The canary is on the same machine under its other name; the fixture fails if it was asked.
    text = PLAYLISTS[name].format(canary=canary.url.replace("127.0.0.1", "localhost"))
    plain.pages["/segment.ts"] = file(b"segment")
    try:
        path = fetch(plain, tmp_path, file(text.encode(), kind=kind))
        assert path.read_bytes() == text.encode()  # the list itself, which is no video
        with pytest.raises(container.VideoError):
            sampling.sample_frames(path, 5, 0, "key")
    except SourceError as error:
        assert error.kind in ("refused", "no format", "unknown", "unavailable", "network")
    kept = b"".join(path.read_bytes() for path in (tmp_path / "scratch").iterdir())
    assert b"sings" not in kept and socket.gethostname().encode() not in kept


@pytest.mark.parametrize("name", ["a list elsewhere", "a DASH manifest", "an XSPF list", "a SMIL list", "an RSS feed"])
def test_the_canary_would_be_asked_without_the_guard(
    name: str, plain: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(youtube, "HOSTS", ("127.0.0.1", "localhost"))
    with serving() as other:
        other.pages["/canary.ts"] = file(b"the canary sings", kind="video/mp2t")
        text = PLAYLISTS[name].format(canary=other.url.replace("127.0.0.1", "localhost"))
        with contextlib.suppress(SourceError):
            fetch(plain, tmp_path, file(text.encode(), kind="text/xml"))
        assert other.requests


def test_nothing_is_printed_and_no_cookie_leaves_its_file(
    plain: Site, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    baked = BAKED.replace(".youtube.com\tTRUE", "127.0.0.1\tFALSE").replace("\tTRUE\t1999", "\tFALSE\t1999")
    (tmp_path / "cookies.txt").write_text(baked)
    with pytest.raises(SourceError) as caught:
        fetch(plain, tmp_path, status(403, Set_Cookie="SID=changed; Path=/"), cookies="cookies.txt")
    assert "s3cret" in plain.requests[0].headers["Cookie"]
    assert "".join(capfd.readouterr()) + caplog.text == "" and "s3cret" not in str(caught.value)
    assert (tmp_path / "cookies.txt").read_text() == baked
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_full_disk_is_no_failure_of_the_trailer(plain: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # yt-dlp's own words for an OSError of write(), with the real text of the error in them.
    text = f"ERROR: unable to write data: {OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))}"
    monkeypatch.setattr(youtube.Downloader, "extract_info", lambda *_: (_ for _ in ()).throw(YoutubeDLError(text)))
    with pytest.raises(OSError, match="No space left") as caught:
        fetch(plain, tmp_path, movie())
    assert caught.value.filename == str(tmp_path / "scratch")
