"""Where trailers come from: a folder, links of the user's own, pytube; YouTube is in test_youtube.py."""

import ast
from pathlib import Path

import pytest
import pytube
from server import Answer, Site, file, redirect, status

import trailer_lib
from trailer_lib import TrailerError
from trailer_lib.download import STATUS_KINDS
from trailer_lib.errors import SourceError
from trailer_lib.scrape import fetch_trailer, sources, youtube
from trailer_lib.settings import ScrapeSettings

VIDEO = "-dQw4w9WgXc"


@pytest.mark.parametrize(
    ("source", "said"),
    [("YouTube", "did you mean 'youtube'"), ("folder", "did you mean 'folder:DIR'"), ("", "choose from")],
)
def test_a_misspelt_source_names_the_nearest(source: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(TrailerError, match=f"unknown source '{source}': {said}"):
        sources.check_source(ScrapeSettings(source=source), tmp_path)


def from_folder(root: Path, name: str, youtube_id: str = VIDEO) -> Path:
    (root / "trailers").mkdir()
    (root / "trailers" / name).write_bytes(b"video")
    return fetch_trailer(youtube_id, "", ScrapeSettings(source="folder:trailers"), root, root / "scratch")


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".mkv", ".mov", ".avi"])
def test_a_folder_gives_its_own_file(tmp_path: Path, suffix: str) -> None:
    assert from_folder(tmp_path, VIDEO + suffix) == tmp_path / "trailers" / f"{VIDEO}{suffix}"
    assert [path.name for path in tmp_path.iterdir()] == ["trailers"]
    elsewhere = ScrapeSettings(source=f"folder:{tmp_path / 'trailers'}")
    assert fetch_trailer(VIDEO, "", elsewhere, tmp_path / "root", tmp_path).suffix == suffix


@pytest.mark.parametrize("name", ["other000000.mp4", f"{VIDEO}.txt", VIDEO, f"x{VIDEO}.mp4", f"{VIDEO}x.mp4"])
def test_a_film_without_its_own_file_is_missing_but_may_come(tmp_path: Path, name: str) -> None:
    with pytest.raises(SourceError, match=VIDEO) as caught:
        from_folder(tmp_path, name)
    assert (caught.value.kind, caught.value.permanent) == ("missing", False)


@pytest.mark.parametrize("source", ["youtube", "pytube", "folder:trailers"])
def test_a_film_without_an_id_is_missing_from_all_but_links(source: str, tmp_path: Path, no_network: None) -> None:
    with pytest.raises(SourceError, match=f"no YouTube id for {source}") as caught:
        fetch_trailer("", "https://example.org/film.mp4", ScrapeSettings(source=source), tmp_path, tmp_path)
    assert caught.value.kind == "missing"


# Links of the user's own table.


def follow(site: Site, scratch: Path, answer: Answer, path: str = "/film") -> Path:
    site.pages[path] = answer
    return fetch_trailer(VIDEO, site.url + path, ScrapeSettings(source="links"), scratch, scratch)


@pytest.mark.parametrize("path", ["/film.mp4", "/film", "/-rf"])
def test_a_link_gives_a_file_with_a_name_of_ours(path: str, site: Site, tmp_path: Path) -> None:
    fetched = follow(site, tmp_path, file(b"video", kind="video/mp4"), path)
    assert list(tmp_path.iterdir()) == [fetched] == [tmp_path / "trailer.mp4"] and fetched.read_bytes() == b"video"


@pytest.mark.parametrize(
    ("answer", "kind", "permanent", "wait"),
    [(status(404, Retry_After=77), "unavailable", True, 0), (status(403, Retry_After=77), "forbidden", False, 0),
     (status(429, Retry_After=77), "rate limit", False, 77), (status(503, Retry_After=77), "network", False, 77),
     (file(b"video", upto=0.0, stall=True), "network", False, 0), (redirect("file:///x"), "refused", True, 0),
     (redirect("https://localhost:1/x"), "refused", True, 0), (file(b"too large"), "too large", True, 0)],
    ids=["404", "403", "429", "503", "stalled", "file", "own network", "too large"],
)  # fmt: skip
def test_a_link_that_fails_has_its_kind_and_is_asked_once(
    answer: Answer, kind: str, permanent: bool, wait: float,
    site: Site, tmp_path: Path, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr(sources, "SIZE_LIMIT", 6)
    with pytest.raises(SourceError) as caught:
        follow(site, tmp_path, answer)
    assert (caught.value.kind, caught.value.permanent, caught.value.retry_after) == (kind, permanent, wait)
    assert (len(site.requests), waits) == (1, [])  # the scrape decides on another attempt


@pytest.mark.parametrize(
    ("url", "kind", "permanent"),
    [("http://example.org/film.mp4", "refused", True), ("/etc/hostname", "refused", True), ("", "missing", False)],
)
def test_only_https_links_are_followed(url: str, kind: str, permanent: bool, tmp_path: Path, no_network: None) -> None:
    with pytest.raises(SourceError) as caught:
        fetch_trailer(VIDEO, url, ScrapeSettings(source="links"), tmp_path, tmp_path)
    assert (caught.value.kind, caught.value.permanent) == (kind, permanent)


# pytube, and what can be done.


def test_pytube_fails_in_one_line_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: str) -> None:  # as it does on today's YouTube
        raise pytube.exceptions.RegexMatchError(caller="get_throttling_function_name", pattern="multiple")

    monkeypatch.setattr(pytube, "YouTube", fail)
    with pytest.raises(SourceError, match=r"\(RegexMatchError\): set source='youtube'") as caught:
        fetch_trailer(VIDEO, "", ScrapeSettings(source="pytube"), tmp_path, tmp_path)
    assert (caught.value.kind, caught.value.permanent) == ("pytube", False)


def test_every_kind_of_temporary_failure_has_a_remedy() -> None:
    kinds = {"unknown", sources.LOST} | {kind for kind, _, _ in youtube.FAILURES} | set(STATUS_KINDS.values())
    for path in Path(trailer_lib.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "SourceError":
                kinds |= {argument.value for argument in node.args[:1] if isinstance(argument, ast.Constant)}
    final = {"private", "members only", "age limit", "not in this country", "unavailable", "too large", "too long"}
    assert {kind for kind in kinds if not sources.remedy(kind)} == final | {"pytube"}  # says it in its error
    assert set(sources.REMEDIES) <= kinds and set(sources.REMEDIES) >= sources.STOPPING
