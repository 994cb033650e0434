"""Where trailers come from: a folder, links of the user's own, pytube; YouTube is in test_youtube.py."""

from pathlib import Path

import pandas as pd
import pytest
import pytube
from server import Answer, Site, file, status

from trailer_lib import Project, TrailerError, scrape
from trailer_lib.download import PERMANENT, STATUS_KINDS
from trailer_lib.errors import SourceError
from trailer_lib.scrape import fetch_trailer, sources, youtube
from trailer_lib.settings import ScrapeSettings

VIDEO = "-dQw4w9WgXc"

FILMS = pd.DataFrame(
    [("tt0000001", VIDEO, "Home Alone", 1990, ""), ("tt0000002", "", "Amélie", 2001, ""),
     ("tt0000003", "", "Heat", 1995, ""), ("tt0000004", "", "Alien", 1979, "my own Alien.MKV"),
     ("own-0123456789", "", "Tenet", 2020, "")],
    columns=["imdb_id", "youtube_id", "title", "year", "file"],
)  # fmt: skip


def matched(tmp_path: Path, *names: str) -> dict[str, str]:
    """Film -> the name of its video in a folder of files with these names."""
    for folder in ("trailers", "images"):
        (tmp_path / folder).mkdir()
    for name in names:
        (tmp_path / "trailers" / name).write_bytes(b"video")
    videos = sources.match_folder(Project(tmp_path), FILMS, "folder:trailers")
    return {imdb_id: path.name for imdb_id, path in videos.items()}


def test_a_video_is_of_the_film_that_its_name_tells(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    names = [f"Trailer [{VIDEO}].webm", "tt0000002.mov", "Heat (1995).mkv", "My Own alien.mkv", "Tenet (2020).AVI"]
    worse = ["Heat (1995).avi", "Heat (1995).flv"]  # in containers that are harder to read
    assert matched(tmp_path, *names, *worse) == dict(zip(FILMS.imdb_id, names))
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("trailers: 7 videos; 5 of 5 films have one (2 by title and year, 1 by ")
    assert second == "left out, as of none of these films: Heat (1995).avi, Heat (1995).flv"


def test_what_matches_no_film_is_named_in_a_file_if_many(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    hidden = [f"._{VIDEO}.mp4", f"{VIDEO}.txt", f"{VIDEO}.jpg", VIDEO]
    others = ["Heat (1996).mp4", "Heat.mp4", f"{VIDEO.lower()}.mp4", "caf\udce9.mp4", f"x{VIDEO}.mp4"]
    assert matched(tmp_path, *hidden, *others, *(f"{number:03}.mp4" for number in range(20))) == {}
    said = capsys.readouterr().out
    assert said.startswith("trailers: 25 videos; 0 of 5 films have one (none)")
    assert said.endswith("007.mp4, 008.mp4, ... (all 25 in images/unmatched_videos.txt)\n")
    left = (tmp_path / "images" / "unmatched_videos.txt").read_text().splitlines()
    assert len(left) == 25 and set(left) > {"Heat (1996).mp4", "Heat.mp4", "caf\\xe9.mp4", f"x{VIDEO}.mp4"}


def test_a_folder_may_be_anywhere_and_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "my trailers").mkdir()
    for place in ("my trailers", tmp_path / "my trailers", "~/my trailers"):
        sources.check_source(ScrapeSettings(source=f"folder:{place}"), tmp_path)
    with pytest.raises(TrailerError, match="nowhere: no such folder"):
        sources.check_source(ScrapeSettings(source="folder:nowhere"), tmp_path)


@pytest.mark.parametrize(("source", "url", "reason"), [
    ("youtube", "https://example.org/film.mp4", "no YouTube id of this film is known$"),
    ("links", "", "no YouTube id of this film is known and no link"),
    ("folder:x", "", "no video of this film in folder:x"),
])  # fmt: skip
def test_no_trailer_is_no_temporary_failure(
    source: str, url: str, reason: str, tmp_path: Path, no_network: None
) -> None:
    with pytest.raises(SourceError, match=reason) as caught:
        fetch_trailer("", url, ScrapeSettings(source=source), tmp_path, tmp_path)
    assert (caught.value.kind, caught.value.permanent) == ("missing", True)


def follow(site: Site, scratch: Path, answer: Answer, path: str = "/film") -> Path:
    site.pages[path] = answer
    return fetch_trailer(VIDEO, site.url + path, ScrapeSettings(source="links"), scratch, scratch).video


def test_a_link_gives_a_file_with_a_name_of_ours(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = follow(site, tmp_path, file(b"video", kind="video/mp4"), "/-rf.exe")
    assert list(tmp_path.iterdir()) == [fetched] == [tmp_path / "trailer.mp4"] and fetched.read_bytes() == b"video"
    monkeypatch.setattr(scrape, "fetch_youtube", lambda video, scratch, *_, **__: scratch / video)  # without a link
    assert fetch_trailer(VIDEO, "", ScrapeSettings(source="links"), tmp_path, tmp_path) == tmp_path / VIDEO


def test_a_link_that_fails_has_its_kind_and_is_asked_once(
    site: Site, tmp_path: Path, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "SIZE_LIMIT", 6)
    for answer, kind, wait in ((status(429, Retry_After=77), "rate limit", 77), (file(b"too large"), "too large", 0)):
        site.requests.clear()
        with pytest.raises(SourceError) as caught:
            follow(site, tmp_path, answer)
        assert (caught.value.kind, caught.value.retry_after) == (kind, wait)
        assert (len(site.requests), waits) == (1, [])  # the scrape decides on another attempt


def test_pytube_fails_in_one_line_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: str) -> None:  # as it does on today's YouTube
        raise pytube.exceptions.RegexMatchError(caller="get_throttling_function_name", pattern="multiple")

    monkeypatch.setattr(pytube, "YouTube", fail)
    with pytest.raises(SourceError, match=r"\(RegexMatchError\): set source='youtube'") as caught:
        fetch_trailer(VIDEO, "", ScrapeSettings(source="pytube"), tmp_path, tmp_path)
    assert (caught.value.kind, caught.value.permanent) == ("pytube", False)


def test_every_kind_of_temporary_failure_has_a_remedy() -> None:
    kinds = {"unknown", sources.LOST, *(kind for kind, _, _ in youtube.FAILURES), *STATUS_KINDS.values(), *PERMANENT}
    final = {"private", "members only", "age limit", "not in this country", "unavailable", "too large", "too long"}
    assert kinds - set(sources.REMEDIES) <= final and set(sources.REMEDIES) >= sources.STOPPING
