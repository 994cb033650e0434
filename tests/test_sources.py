"""Where trailers come from: a folder, and what yt-dlp's errors mean."""

from pathlib import Path

import pytest

from trailer_lib import TrailerError, sources
from trailer_lib.settings import ScrapeSettings
from trailer_lib.sources import SourceError

VIDEO = "-dQw4w9WgXc"
COOKIES = (
    "Use --cookies-from-browser or --cookies for the authentication. See  "
    "https://github.com/yt-dlp/yt-dlp/wiki/FAQ#how-do-i-pass-cookies-to-yt-dlp  for how to manually pass cookies"
)
FOR_GOOD = [
    ("private", f"Private video. Sign in if you've been granted access to this video. {COOKIES}"),
    (
        "members only",
        "This video is available to this channel's members on level: Popcorn (or any higher level). "
        "Join this channel to get access to members-only content and other exclusive perks.",
    ),
    ("members only", "Join this channel to get access to members-only content like this video."),
    ("age limit", f"Sign in to confirm your age. This video may be inappropriate for some users. {COOKIES}"),
    ("not in this country", "Video unavailable. The uploader has not made this video available in your country"),
    (
        "not in this country",
        "The uploader has not made this video available in your country\n"
        "This video is available in Germany, Austria.\n"
        "You might want to use a VPN or a proxy server (with --proxy) to workaround.",
    ),
    (
        "not in this country",
        "Video unavailable. This video contains content from WMG, who has blocked it in your country "
        "on copyright grounds",
    ),
    ("unavailable", "Video unavailable"),
    ("unavailable", "Video unavailable. This video has been removed by the uploader"),
    ("unavailable", "This video has been removed for violating YouTube's Terms of Service"),
    ("unavailable", "Video unavailable. This video isn't available anymore"),
    ("unavailable", "Video unavailable. This video is no longer available due to a copyright claim by Studio"),
    (
        "unavailable",
        "Video unavailable. This video is no longer available because the YouTube account associated with this video "
        "has been terminated.",
    ),
]
PASSING = [
    ("bot check", f"Sign in to confirm you’re not a bot. {COOKIES}"),
    ("bot check", f"Sign in to confirm you're not a bot. {COOKIES}"),
    ("bot check", "This video is restricted. YouTube is requiring a captcha challenge before playback"),
    ("rate limit", "Unable to download webpage: HTTP Error 429: Too Many Requests (caused by <HTTPError 429>)"),
    (
        "rate limit",
        "Video unavailable. This content isn't available, try again later. The current session has been rate-limited "
        "by YouTube for up to an hour.",
    ),
    (
        "network",
        "Unable to download API page: HTTPSConnection(host='www.youtube.com', port=443): Failed to resolve "
        "'www.youtube.com' ([Errno -3] Temporary failure in name resolution) (caused by TransportError())",
    ),
    ("network", "Unable to download webpage: The read operation timed out (caused by TransportError())"),
    ("network", "Unable to download webpage: [Errno 104] Connection reset by peer (caused by TransportError())"),
    ("network", "Unable to download webpage: HTTP Error 503: Service Unavailable (caused by <HTTPError 503>)"),
    ("network", "Unable to download webpage: [SSL: UNEXPECTED_EOF_WHILE_READING] EOF occurred (_ssl.c:1006)"),
    ("unknown", "Failed to extract any player response; please report this issue on  https://github.com/yt-dlp"),
    ("unknown", "The following content is not available on this app.. Watch on the latest version of YouTube."),
    ("unknown", "Premieres in 3 hours"),
    ("unknown", ""),
]


@pytest.mark.parametrize("prefix", [f"ERROR: [youtube] {VIDEO}: ", f"\x1b[0;31mERROR:\x1b[0m [youtube] {VIDEO}: ", ""])
@pytest.mark.parametrize(
    ("kind", "text", "permanent"),
    [(*failure, True) for failure in FOR_GOOD] + [(*failure, False) for failure in PASSING],
)
def test_what_youtube_says_has_its_kind_and_is_final_or_not(prefix: str, kind: str, text: str, permanent: bool) -> None:
    error = sources.youtube_failure(prefix + text)
    assert (error.kind, error.permanent) == (kind, permanent)


@pytest.mark.parametrize(
    "text",
    [
        "unable to download video data: HTTP Error 403: Forbidden",
        f"[youtube] {VIDEO}: Unable to download API page: HTTP Error 403: Forbidden (caused by <HTTPError 403>)",
    ],
)
def test_a_403_which_an_old_yt_dlp_gets_for_any_film_is_not_final(text: str) -> None:
    assert not sources.youtube_failure(f"ERROR: {text}").permanent


def test_a_failure_keeps_what_youtube_said_in_one_plain_short_line() -> None:
    error = sources.youtube_failure(f"\x1b[0;31mERROR:\x1b[0m [youtube] {VIDEO}: Private video.\nMore " + "x" * 1000)
    assert str(error) == f"[youtube] {VIDEO}: Private video."
    assert len(str(sources.youtube_failure("x" * 1000))) == 200


def test_a_missing_javascript_runtime_comes_with_the_remedy() -> None:
    error = sources.youtube_failure("ERROR: No supported JavaScript runtime could be found")
    assert not error.permanent
    assert sources.RUNTIME_HINT in str(error)
    assert sources.RUNTIME_HINT not in str(sources.youtube_failure("ERROR: Private video"))


@pytest.mark.parametrize("source", ["youtube", "pytube", "folder:trailers", "folder:/somewhere/else"])
def test_known_sources_are_taken(source: str) -> None:
    assert sources.check_source(source) is None


@pytest.mark.parametrize(
    ("source", "meant"),
    [("youtub", "youtube"), ("YouTube", "youtube"), ("pytub", "pytube"), ("folder", "folder:DIR")],
)
def test_a_misspelt_source_names_the_nearest(source: str, meant: str) -> None:
    with pytest.raises(TrailerError, match=f"unknown source '{source}': did you mean '{meant}'"):
        sources.check_source(source)


@pytest.mark.parametrize("source", ["", "zzzzzz"])
def test_a_source_like_none_lists_them_all(source: str) -> None:
    with pytest.raises(TrailerError, match="choose from youtube, pytube, folder:DIR"):
        sources.check_source(source)


def put(folder: Path, name: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"video")
    return folder / name


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".mkv", ".mov", ".avi"])
def test_a_folder_gives_its_own_file(tmp_path: Path, suffix: str) -> None:
    path = put(tmp_path / "trailers", VIDEO + suffix)
    scratch = tmp_path / "scratch"
    assert sources.fetch(VIDEO, "", ScrapeSettings(source="folder:trailers"), tmp_path, scratch) == path
    assert path.read_bytes() == b"video"
    assert not scratch.exists()


def test_a_folder_may_lie_anywhere(tmp_path: Path) -> None:
    path = put(tmp_path / "elsewhere", f"{VIDEO}.mp4")
    source = f"folder:{tmp_path / 'elsewhere'}"
    assert sources.fetch(VIDEO, "", ScrapeSettings(source=source), tmp_path / "root", tmp_path) == path


@pytest.mark.parametrize("name", ["other000000.mp4", f"{VIDEO}.txt", f"{VIDEO}", f"x{VIDEO}.mp4", f"{VIDEO}x.mp4"])
def test_a_film_without_its_own_file_is_missing_but_may_come(tmp_path: Path, name: str) -> None:
    put(tmp_path / "trailers", name)
    with pytest.raises(SourceError, match=VIDEO) as error:
        sources.fetch(VIDEO, "", ScrapeSettings(source="folder:trailers"), tmp_path, tmp_path)
    assert (error.value.kind, error.value.permanent) == ("missing", False)


def test_a_folder_that_is_named_like_the_trailer_is_no_trailer(tmp_path: Path) -> None:
    (tmp_path / "trailers" / f"{VIDEO}.mp4").mkdir(parents=True)
    with pytest.raises(SourceError, match=VIDEO):
        sources.fetch(VIDEO, "", ScrapeSettings(source="folder:trailers"), tmp_path, tmp_path)


def test_a_folder_that_does_not_exist_has_no_trailers(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="nowhere"):
        sources.fetch(VIDEO, "", ScrapeSettings(source="folder:nowhere"), tmp_path, tmp_path)
