"""Where trailers come from: a folder, links of the user's own, pytube; YouTube is in test_youtube.py."""

import ast
from pathlib import Path

import pytest
import pytube
from server import Answer, Site, file, first, redirect, status

import trailer_lib
from trailer_lib import TrailerError
from trailer_lib.errors import SourceError
from trailer_lib.scrape import sources
from trailer_lib.settings import ScrapeSettings

VIDEO = "-dQw4w9WgXc"


@pytest.mark.parametrize("source", ["youtube", "pytube", "links", "folder:trailers", "folder:/somewhere/else"])
def test_known_sources_are_taken(source: str) -> None:
    assert sources.check_source(source) is None


@pytest.mark.parametrize(
    ("source", "meant"),
    [("youtub", "youtube"), ("YouTube", "youtube"), ("pytub", "pytube"), ("folder", "folder:DIR"), ("link", "links")],
)
def test_a_misspelt_source_names_the_nearest(source: str, meant: str) -> None:
    with pytest.raises(TrailerError, match=f"unknown source '{source}': did you mean '{meant}'"):
        sources.check_source(source)


@pytest.mark.parametrize("source", ["", "zzzzzz"])
def test_a_source_like_none_lists_them_all(source: str) -> None:
    with pytest.raises(TrailerError, match="choose from youtube, pytube, links, folder:DIR"):
        sources.check_source(source)


def put(folder: Path, name: str) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(b"video")
    return folder / name


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".mkv", ".mov", ".avi"])
def test_a_folder_gives_its_own_file(tmp_path: Path, suffix: str) -> None:
    path = put(tmp_path / "trailers", VIDEO + suffix)
    scratch = tmp_path / "scratch"
    assert sources.fetch_trailer(VIDEO, "", ScrapeSettings(source="folder:trailers"), tmp_path, scratch) == path
    assert path.read_bytes() == b"video"
    assert not scratch.exists()


def test_a_folder_may_lie_anywhere(tmp_path: Path) -> None:
    path = put(tmp_path / "elsewhere", f"{VIDEO}.mp4")
    source = f"folder:{tmp_path / 'elsewhere'}"
    assert sources.fetch_trailer(VIDEO, "", ScrapeSettings(source=source), tmp_path / "root", tmp_path) == path


@pytest.mark.parametrize("source", ["youtube", "pytube", "folder:trailers"])
def test_a_film_without_a_trailer_is_missing_from_all_but_links(tmp_path: Path, source: str) -> None:
    put(tmp_path / "trailers", ".mp4")
    with pytest.raises(SourceError, match=f"no YouTube id for {source}") as caught:
        sources.fetch_trailer("", "", ScrapeSettings(source=source), tmp_path, tmp_path)
    assert caught.value.kind == "missing"


@pytest.mark.parametrize("name", ["other000000.mp4", f"{VIDEO}.txt", f"{VIDEO}", f"x{VIDEO}.mp4", f"{VIDEO}x.mp4"])
def test_a_film_without_its_own_file_is_missing_but_may_come(tmp_path: Path, name: str) -> None:
    put(tmp_path / "trailers", name)
    with pytest.raises(SourceError, match=VIDEO) as error:
        sources.fetch_trailer(VIDEO, "", ScrapeSettings(source="folder:trailers"), tmp_path, tmp_path)
    assert (error.value.kind, error.value.permanent) == ("missing", False)


def test_a_folder_that_is_named_like_the_trailer_is_no_trailer(tmp_path: Path) -> None:
    (tmp_path / "trailers" / f"{VIDEO}.mp4").mkdir(parents=True)
    with pytest.raises(SourceError, match=VIDEO):
        sources.fetch_trailer(VIDEO, "", ScrapeSettings(source="folder:trailers"), tmp_path, tmp_path)


def test_a_folder_that_does_not_exist_has_no_trailers(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="nowhere"):
        sources.fetch_trailer(VIDEO, "", ScrapeSettings(source="folder:nowhere"), tmp_path, tmp_path)


# Links of the user's own table.

LINKS = ScrapeSettings(source="links")


def follow(site: Site, scratch: Path, answer: Answer, path: str = "/film") -> Path:
    site.pages[path] = answer
    return sources.fetch_trailer(VIDEO, site.url + path, LINKS, scratch.parent, scratch)


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    (tmp_path / "scratch").mkdir()
    return tmp_path / "scratch"


@pytest.mark.parametrize("path", ["/film.mp4", "/film", "/%2e%2e%2fevil.sh", "/a.mp4/../../x.exe", "/-rf"])
def test_a_link_gives_a_file_with_a_name_of_ours(path: str, site: Site, scratch: Path) -> None:
    answer = file(b"video", kind="video/mp4")
    # Once yt-dlp is imported, urllib3 no longer tidies percent signs: the request may come in either spelling.
    spelt = ["/x.exe", "/film.mp4", "/film", "/..%2Fevil.sh", "/..%2fevil.sh", "/-rf"]
    site.pages = dict.fromkeys(spelt, answer)
    fetched = sources.fetch_trailer(VIDEO, site.url + path, LINKS, scratch.parent, scratch)
    assert fetched == scratch / "trailer.mp4" and fetched.read_bytes() == b"video"
    assert list(scratch.iterdir()) == [fetched] and list(scratch.parent.iterdir()) == [scratch]


@pytest.mark.parametrize(
    ("code", "kind", "permanent", "wait"),
    [(404, "unavailable", True, 0), (410, "unavailable", True, 0), (403, "forbidden", False, 0),
     (429, "rate limit", False, 77), (500, "network", False, 77), (503, "network", False, 77)],
)  # fmt: skip
def test_a_refused_link_has_its_kind_and_is_asked_once(
    code: int, kind: str, permanent: bool, wait: float, site: Site, scratch: Path, waits: list[float]
) -> None:
    with pytest.raises(SourceError) as caught:
        follow(site, scratch, status(code, Retry_After=77))
    assert (caught.value.kind, caught.value.permanent, caught.value.retry_after) == (kind, permanent, wait)
    assert (len(site.requests), waits) == (1, [])  # the scrape decides on another try


def test_a_cut_link_starts_again_at_the_next_try(site: Site, scratch: Path) -> None:
    answer = first(1, file(b"video" * 100, upto=0.5), file(b"video" * 100))
    with pytest.raises(SourceError) as caught:
        follow(site, scratch, answer)
    assert (caught.value.kind, caught.value.permanent) == ("network", False)
    assert follow(site, scratch, answer).read_bytes() == b"video" * 100
    assert site.ranges() == [None, None]


def test_a_silent_link_is_a_network_error(site: Site, scratch: Path) -> None:
    with pytest.raises(SourceError) as caught:
        follow(site, scratch, file(b"video", upto=0.0, stall=True))
    assert (caught.value.kind, caught.value.permanent) == ("network", False)


@pytest.mark.parametrize("location", ["file:///etc/hostname", "http://127.0.0.1/x", "https://localhost:1/x"])
def test_a_link_that_leads_off_https_or_into_the_own_network_is_refused(
    location: str, site: Site, scratch: Path
) -> None:
    with pytest.raises(SourceError) as caught:
        follow(site, scratch, redirect(location))
    assert caught.value.kind == "refused" and list(scratch.iterdir()) == []


@pytest.mark.parametrize("url", ["http://example.org/film.mp4", "file:///etc/hostname", "/etc/hostname", "trailer.mp4"])
def test_only_https_links_are_followed(url: str, scratch: Path, no_network: None) -> None:
    with pytest.raises(SourceError, match="only https") as caught:
        sources.fetch_trailer(VIDEO, url, LINKS, scratch.parent, scratch)
    assert caught.value.kind == "refused"


def test_a_link_to_more_than_the_limit_is_left(site: Site, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "LINK_LIMIT", 4)
    with pytest.raises(SourceError) as caught:
        follow(site, scratch, file(b"video"))
    assert (caught.value.kind, caught.value.permanent) == ("too large", True)


def test_a_film_without_a_link_is_missing_and_may_get_one(scratch: Path) -> None:
    with pytest.raises(SourceError, match="column url") as caught:
        sources.fetch_trailer(VIDEO, "", LINKS, scratch.parent, scratch)
    assert (caught.value.kind, caught.value.permanent) == ("missing", False)


@pytest.mark.parametrize("source", ["youtube", "pytube", "folder:trailers"])
def test_a_link_in_the_table_is_followed_only_for_the_source_links(
    source: str, site: Site, scratch: Path, no_network: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(sources, "download", lambda url, *_, **__: asked.append(url))
    with pytest.raises(SourceError):
        sources.fetch_trailer(VIDEO, f"{site.url}/film", ScrapeSettings(source=source), scratch.parent, scratch)
    assert asked == []


# pytube, and what can be done.


def test_pytube_fails_in_one_line_with_the_way_out(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: str) -> None:  # as it does on today's YouTube
        raise pytube.exceptions.RegexMatchError(caller="get_throttling_function_name", pattern="multiple")

    monkeypatch.setattr(pytube, "YouTube", fail)
    with pytest.raises(SourceError) as caught:
        sources.fetch_trailer(VIDEO, "", ScrapeSettings(source="pytube"), scratch.parent, scratch)
    assert (caught.value.kind, caught.value.permanent) == ("pytube", False)
    why = "pytube, last released in 2023, can't read today's YouTube (RegexMatchError)"
    assert str(caught.value) == f"{why}: set source='youtube' to use yt-dlp"


def test_pytube_without_a_network_says_so(scratch: Path, no_network: None) -> None:
    with pytest.raises(SourceError, match="no network") as caught:
        sources.fetch_trailer(VIDEO, "", ScrapeSettings(source="pytube"), scratch.parent, scratch)
    assert (caught.value.kind, caught.value.permanent) == ("network", False)


def kinds() -> set[str]:
    """Every kind that the library's own text gives to a SourceError."""
    from trailer_lib import download
    from trailer_lib.scrape import youtube

    found = {"unknown"} | {kind for kind, _, _ in youtube.FAILURES} | set(download.STATUS_KINDS.values()) | download.PERMANENT
    for path in Path(trailer_lib.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "SourceError":
                found |= {one.value for one in node.args[:1] if isinstance(one, ast.Constant)}
    return found


def test_what_passes_has_a_remedy_and_what_is_final_needs_none() -> None:
    final = {"private", "members only", "age limit", "not in this country", "unavailable", "too large", "too long"}
    assert {kind for kind in kinds() if not sources.remedy(kind)} == final
    assert set(sources.REMEDIES) <= kinds()
    assert set(sources.REMEDIES) >= sources.STOPPING


def test_a_run_that_stops_names_cookies_waiting_and_a_runtime() -> None:
    text = " ".join(sources.remedy(kind) for kind in sorted(sources.STOPPING))
    assert all(word in text for word in ("cookies", "wait", "deno", "node", "pause"))
    assert not any("\n" in sources.remedy(kind) for kind in kinds())
