"""The official tables: fetched from a server on loopback in their owners' place, unpacked, checked, kept."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from server import MODIFIED, Site, file, first, gzipped, status, zipped

from trailer_lib import Project, TrailerError
from trailer_lib.__main__ import main
from trailer_lib.catalog import join, official_tables
from trailer_lib.errors import SourceError

NAMES = ["links.csv", "ml-youtube.csv", "title.basics.tsv.gz", "title.ratings.tsv.gz"]
YOUTUBE = "youtubeId,movieId,title\nK26_sDKnvMU,1,Toy Story (1995)\n"
LINKS = "movieId,imdbId,tmdbId\n1,0114709,862\n"
RATINGS = "tconst\taverageRating\tnumVotes\ntt0114709\t8.3\t1100000\n"
BASICS = (
    "tconst\ttitleType\tprimaryTitle\toriginalTitle\tisAdult\tstartYear\tendYear\truntimeMinutes\tgenres\n"
    "tt0114709\tmovie\tToy Story\tToy Story\t0\t1995\t\\N\t81\tAdventure,Animation\n"
)
README = "the licence"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.open(tmp_path)


@pytest.fixture
def homes(site: Site, waits: list[float], monkeypatch: pytest.MonkeyPatch) -> Site:
    """Both homes on one site on loopback, in good order."""
    tables = tuple(
        official_tables.Table(table.name, f"{site.url}/{table.url.rpartition('/')[2]}", table.header, table.terms)
        for table in official_tables.TABLES
    )
    monkeypatch.setattr(official_tables, "TABLES", tables)
    site.pages["/ml-20m-youtube.zip"] = file(zipped(**{"ml-youtube.csv": YOUTUBE, "README.txt": README}))
    site.pages["/ml-latest.zip"] = file(zipped(**{"ml-latest/README.txt": README, "ml-latest/links.csv": LINKS}))
    site.pages["/title.basics.tsv.gz"] = file(gzipped(BASICS))
    site.pages["/title.ratings.tsv.gz"] = file(gzipped(RATINGS))
    return site


def names(project: Project) -> list[str]:
    return sorted(path.name for path in project.excels.iterdir())


def said(project: Project) -> str:
    lines: list[str] = []
    official_tables.fetch(project, lines.append)
    return "\n".join(lines)


def test_the_homes_are_the_owners_own_and_https() -> None:
    assert {table.name: table.url for table in official_tables.TABLES} == {
        "ml-youtube.csv": "https://files.grouplens.org/datasets/movielens/ml-20m-youtube.zip",
        "links.csv": "https://files.grouplens.org/datasets/movielens/ml-latest.zip",
        "title.basics.tsv.gz": "https://datasets.imdbws.com/title.basics.tsv.gz",
        "title.ratings.tsv.gz": "https://datasets.imdbws.com/title.ratings.tsv.gz",
    }


def test_all_four_tables_come_and_nothing_beside_them(project: Project, homes: Site) -> None:
    fetched = official_tables.fetch(project, lambda _: None)
    assert sorted(path.name for path in fetched) == names(project) == NAMES
    assert (project.excels / "ml-youtube.csv").read_text() == YOUTUBE
    assert (project.excels / "links.csv").read_text() == LINKS
    assert (project.excels / "title.basics.tsv.gz").read_bytes() == gzipped(BASICS)
    assert {path.stat().st_mtime for path in fetched} == {MODIFIED}  # what the catalogue dates a table by


def test_the_terms_are_said_once_and_what_is_there_is_kept(project: Project, homes: Site) -> None:
    text = said(project)
    assert text.count(official_tables.GROUPLENS_TERMS) == text.count(official_tables.IMDB_TERMS) == 1
    assert text.count("fetched, of 2020-09-13") == 4
    asked = len(homes.requests)
    text = said(project)
    assert "Full text" not in text and text.count("kept as it was, of 2020-09-13") == 4
    assert len(homes.requests) == asked


def test_a_table_of_the_users_own_is_not_touched(project: Project, homes: Site) -> None:
    project.excels.mkdir()
    (project.excels / "links.csv").write_text("my own")
    (project.excels / "ml-latest.zip").write_text("mine too")
    assert "links.csv: kept as it was" in said(project)
    assert (project.excels / "links.csv").read_text() == "my own"
    assert (project.excels / "ml-latest.zip").read_text() == "mine too"
    assert "/ml-latest.zip" not in [request.path for request in homes.requests]


def test_a_fetch_that_broke_resumes_without_what_it_has(project: Project, homes: Site) -> None:
    whole = homes.pages["/title.basics.tsv.gz"]
    homes.pages["/title.basics.tsv.gz"] = first(1, file(gzipped(BASICS), upto=0.5), status(503))
    with pytest.raises(SourceError, match=r"title\.basics\.tsv\.gz: HTTP 503"):
        official_tables.fetch(project, lambda _: None)
    assert names(project) == ["ml-youtube.csv", "title.ratings.tsv.gz"]
    homes.pages["/title.basics.tsv.gz"] = whole
    homes.requests.clear()
    official_tables.fetch(project, lambda _: None)
    assert names(project) == NAMES
    assert [request.path for request in homes.requests] == ["/title.basics.tsv.gz", "/ml-latest.zip"]


def test_an_archive_left_by_a_stopped_fetch_is_unpacked(
    project: Project, homes: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(official_tables, "_unpack", stop)
        official_tables.fetch(project, lambda _: None)
    assert names(project) == ["ml-youtube.csv.zip"]
    assert official_tables.GROUPLENS_TERMS not in said(project).partition(official_tables.IMDB_TERMS)[0]
    assert names(project) == NAMES
    assert [request.path for request in homes.requests].count("/ml-20m-youtube.zip") == 1


def damaged(data: bytes) -> bytes:
    """One bit of the compressed text flipped."""
    middle = len(data) // 3
    return data[:middle] + bytes([data[middle] ^ 4]) + data[middle + 1 :]


PAGE = b"<!DOCTYPE html><title>Be right back</title>"
BAD = {
    "/title.basics.tsv.gz": {
        "a page": PAGE,
        "nothing": b"",
        "cut short": gzipped(BASICS)[:-9],
        "a wrong checksum": gzipped(BASICS)[:-8] + b"\0\0\0\0" + gzipped(BASICS)[-4:],
        "one bit flipped": damaged(gzipped(BASICS)),
        "other columns": gzipped("tconst\tordering\ttitle\n"),
        "no text": gzipped(""),
    },
    "/ml-20m-youtube.zip": {
        "a page": PAGE,
        "nothing": b"",
        "cut short": zipped(**{"ml-youtube.csv": YOUTUBE})[:-30],
        "one bit flipped": damaged(zipped(**{"ml-youtube.csv": YOUTUBE * 50})),
        "no such file": zipped(**{"README.txt": README}),
        "two such files": zipped(**{"a/ml-youtube.csv": YOUTUBE, "b/ml-youtube.csv": YOUTUBE}),
        "other columns": zipped(**{"ml-youtube.csv": "movieId,imdbId,tmdbId\n"}),
    },
}


@pytest.mark.parametrize(("path", "fault"), [(path, fault) for path, bad in BAD.items() for fault in bad])
def test_what_is_not_the_table_is_refused_in_one_line_and_not_kept(
    path: str, fault: str, project: Project, homes: Site
) -> None:
    good = homes.pages[path]
    homes.pages[path] = file(BAD[path][fault])
    with pytest.raises(TrailerError) as caught:
        official_tables.fetch(project, lambda _: None)
    assert path in str(caught.value) and "\n" not in str(caught.value)
    assert not [name for name in names(project) if path[1:].removesuffix(".zip") in name or name.startswith(".tmp")]
    homes.pages[path] = good
    official_tables.fetch(project, lambda _: None)
    assert names(project) == NAMES


@pytest.mark.parametrize("name", ["../../links.csv", "/tmp/links.csv", "a/../../links.csv", "C:\\links.csv/links.csv"])
def test_names_in_an_archive_are_never_paths(name: str, project: Project, homes: Site) -> None:
    homes.pages["/ml-latest.zip"] = file(zipped(**{name: LINKS, "../evil": "evil", "ml-latest/ratings.csv": "big"}))
    around = sorted(project.root.parent.iterdir())
    official_tables.fetch(project, lambda _: None)
    assert (names(project), sorted(project.root.parent.iterdir())) == (NAMES, around)
    assert sorted(path.name for path in project.root.iterdir()) == ["excels"]
    assert (project.excels / "links.csv").read_text() == LINKS


@pytest.mark.parametrize("path", ["/title.ratings.tsv.gz", "/ml-latest.zip"])
def test_a_small_file_that_unpacks_without_end_is_refused(
    path: str, project: Project, homes: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(official_tables, "UNPACKED", 10_000_000)
    bomb = "\0" * 30_000_000
    packed = gzipped(RATINGS + bomb) if path.endswith("gz") else zipped(**{"ml-latest/links.csv": LINKS + bomb})
    assert len(packed) < 100_000
    homes.pages[path] = file(packed)
    with pytest.raises(TrailerError, match="unpacks to more than"):
        official_tables.fetch(project, lambda _: None)
    assert not [name for name in names(project) if path[1:] in name or "links" in name]


def test_more_bytes_than_any_such_table_has_are_refused(
    project: Project, homes: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(official_tables, "DOWNLOADED", 100)
    with pytest.raises(SourceError, match="more than 0 MB"):
        official_tables.fetch(project, lambda _: None)
    assert names(project) == []


def test_the_command_fetches_only_when_told_to(
    frames_root: Path, tmp_path: Path, homes: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    shutil.copytree(frames_root / "excels", root / "excels")
    (root / "excels" / join.TRAILERS).unlink()
    assert main(["catalog", "--root", str(root)]) == 1
    assert homes.requests == []
    main(["catalog", "--root", str(root), "--fetch"])
    out = capsys.readouterr().out
    assert official_tables.IMDB_TERMS in out and "ml-youtube.csv: fetched" in out
    assert (root / "excels" / join.TRAILERS).read_text() == YOUTUBE


STOPPED = """
import sys
from trailer_lib.catalog import official_tables as official
from trailer_lib.__main__ import main
home, root = sys.argv[1:]
official.TABLES = [official.Table(t.name, home + "/" + t.url.split("/")[-1], t.header, "") for t in official.TABLES]
sys.exit(main(["catalog", "--fetch", "--root", root]))
"""


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_command_says_so_and_the_next_goes_on(stop: signal.Signals, project: Project, homes: Site) -> None:
    whole = homes.pages["/title.basics.tsv.gz"]
    homes.pages["/title.basics.tsv.gz"] = file(gzipped(BASICS), upto=0.5, stall=True)
    command = [sys.executable, "-c", STOPPED, homes.url, str(project.root)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and "/title.basics.tsv.gz" not in [request.path for request in homes.requests]:
        time.sleep(0.02)
    process.send_signal(stop)
    errors = process.communicate(timeout=30)[1]
    assert process.returncode == 1 and "Traceback" not in errors
    assert errors.splitlines()[-1].endswith("stopped; run the same command again")
    assert names(project) == ["ml-youtube.csv", "title.ratings.tsv.gz"]
    homes.pages["/title.basics.tsv.gz"] = whole
    official_tables.fetch(project, lambda _: None)
    assert names(project) == NAMES


def test_without_a_network_the_command_fails_in_one_line(
    tmp_path: Path, waits: list[float], no_network: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["catalog", "--root", str(tmp_path), "--fetch"]) == 1
    error = capsys.readouterr().err
    assert error.count("error: ") == 1 and "files.grouplens.org" in error
