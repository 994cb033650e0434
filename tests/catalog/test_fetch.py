"""The official tables: fetched from a server on loopback in their owners' place, unpacked and checked."""

from pathlib import Path

import pytest
from server import MODIFIED, Site, file, gzipped, zipped

from trailer_lib import Project, TrailerError
from trailer_lib.catalog import fetch, official_tables
from trailer_lib.catalog.official_tables import GROUPLENS_TERMS, IMDB_TERMS, TABLES

NAMES = ["links.csv", "ml-youtube.csv", "title.basics.tsv.gz", "title.ratings.tsv.gz"]
YOUTUBE = "youtubeId,movieId,title\nK26_sDKnvMU,1,Toy Story (1995)\n"
LINKS = "movieId,imdbId,tmdbId\n1,0114709,862\n"
RATINGS = "tconst\taverageRating\tnumVotes\ntt0114709\t8.3\t1100000\n"
BASICS = (
    "tconst\ttitleType\tprimaryTitle\toriginalTitle\tisAdult\tstartYear\tendYear\truntimeMinutes\tgenres\n"
    "tt0114709\tmovie\tToy Story\tToy Story\t0\t1995\t\\N\t81\tAdventure,Animation\n"
)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.open(tmp_path)


@pytest.fixture
def homes(site: Site, waits: list[float], monkeypatch: pytest.MonkeyPatch) -> Site:
    """Both homes on one site on loopback, in good order."""
    tables = [table._replace(url=f"{site.url}/{table.url.rpartition('/')[2]}") for table in TABLES]
    monkeypatch.setattr(official_tables, "TABLES", tables)
    monkeypatch.setattr(official_tables, "UNPACKED", 1_000_000)
    site.pages["/ml-20m-youtube.zip"] = file(zipped(**{"ml-youtube.csv": YOUTUBE}))
    site.pages["/ml-latest.zip"] = file(zipped(**{"../evil": "evil", "a/../../links.csv": LINKS}))  # never paths
    site.pages["/title.basics.tsv.gz"] = file(gzipped(BASICS))
    site.pages["/title.ratings.tsv.gz"] = file(gzipped(RATINGS))
    return site


def names(project: Project) -> list[str]:
    return sorted(path.name for path in project.excels.iterdir())


def test_all_four_tables_come_and_nothing_beside_them(project: Project, homes: Site) -> None:
    around = sorted(project.root.parent.iterdir())
    fetch(project)
    assert [path.name for path in project.root.iterdir()] == ["excels"]
    assert sorted(project.root.parent.iterdir()) == around
    assert names(project) == NAMES
    assert (project.excels / "ml-youtube.csv").read_text() == YOUTUBE
    assert (project.excels / "links.csv").read_text() == LINKS
    assert (project.excels / "title.basics.tsv.gz").read_bytes() == gzipped(BASICS)
    dates = {path.stat().st_mtime for path in project.excels.iterdir()}  # what the catalogue dates a table by
    assert dates == {MODIFIED}


def test_terms_are_said_and_a_table_that_is_there_is_left(
    project: Project, homes: Site, capsys: pytest.CaptureFixture
) -> None:
    project.excels.mkdir()
    (project.excels / "links.csv").write_text("my own")
    fetch(project)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [GROUPLENS_TERMS, IMDB_TERMS] and len(lines) == 6
    assert "ml-youtube.csv of 2020-09-13: fetched" in lines and lines[-1].endswith(": left as it was")
    assert (project.excels / "links.csv").read_text() == "my own"
    assert "/ml-latest.zip" not in [request.path for request in homes.requests]
    homes.requests.clear()
    fetch(project)
    assert not homes.requests and "terms" not in capsys.readouterr().out


GZIP, ZIP = "/title.basics.tsv.gz", "/ml-20m-youtube.zip"
BAD = {
    "gzip cut short": (GZIP, gzipped(BASICS)[:-9]),
    "gzip with a wrong checksum": (GZIP, gzipped(BASICS)[:-8] + b"\0\0\0\0" + gzipped(BASICS)[-4:]),
    "gzip with other columns": (GZIP, gzipped("tconst\tordering\ttitle\n")),
    "zip cut short": (ZIP, zipped(**{"ml-youtube.csv": YOUTUBE})[:-30]),
    "zip without the file": (ZIP, zipped(**{"README.txt": "the licence"})),
    "gzip without end": (GZIP, gzipped(BASICS + "\0" * 3_000_000)),
    "zip without end": (ZIP, zipped(**{"ml-youtube.csv": YOUTUBE + "\0" * 3_000_000})),
}


@pytest.mark.parametrize("fault", BAD)
def test_what_is_not_the_table_is_refused_in_one_line_and_deleted(fault: str, project: Project, homes: Site) -> None:
    path, content = BAD[fault]
    good, homes.pages[path] = homes.pages[path], file(content)
    with pytest.raises(TrailerError) as caught:
        fetch(project)
    assert path in str(caught.value) and "\n" not in str(caught.value)
    assert ("unpacks to over" in str(caught.value)) == fault.endswith("without end")
    assert not [name for name in names(project) if path[1:].removesuffix(".zip") in name or name.startswith(".tmp")]
    homes.pages[path] = good
    fetch(project)
    assert names(project) == NAMES
