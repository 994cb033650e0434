"""IMDb's own tables and MovieLens' links.csv: joined by id, without titles, in little memory."""

import csv
import gzip
import os
import tracemalloc
from pathlib import Path

import pytest

from trailer_lib import Project, TrailerError
from trailer_lib.catalog import COLUMNS, catalog
from trailer_lib.catalog.join import BAD_ID, LINKS, METADATA, NO_TRAILER, TRAILERS
from trailer_lib.catalog.official_tables import BASICS, RATINGS
from trailer_lib.catalog.titles import SECOND

BASICS_HEADING = "tconst titleType primaryTitle originalTitle isAdult startYear endYear runtimeMinutes genres".split()
RATINGS_HEADING = ["tconst", "averageRating", "numVotes"]
METADATA_HEADING = "movie_title title_year imdb_score movie_imdb_link genres duration num_voted_users"
NONE = r"\N"
SERIES = "IMDb has it as a series, short, special or game"


def basics_row(number: int, title: str, kind: str = "movie", year: str = "1999", genres: str = "Drama") -> list[str]:
    return [f"tt{number:07d}", kind, title, f"original {title}", "0", year, NONE, "101", genres]


def write_imdb(folder: Path, name: str, rows: list[list[str]]) -> None:
    heading = BASICS_HEADING if name == BASICS else RATINGS_HEADING
    text = "".join("\t".join(row) + "\n" for row in [heading, *rows])
    (folder / name).write_bytes(gzip.compress(text.encode()))


def write_csv(path: Path, rows: list[list[str]]) -> None:
    headings = {TRAILERS: "youtubeId movieId title", LINKS: "movieId imdbId", METADATA: METADATA_HEADING}
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([headings[path.name].split(), *rows])


def write_metadata(folder: Path, films: list[tuple[int, str, str]]) -> None:
    """Rows of number, title and score, all of 1999."""
    rows = [[title, "1999", score, f"/title/tt{n:07d}/", "Comedy", "90", "7"] for n, title, score in films]
    write_csv(folder / METADATA, rows)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """excels/ with two films that have everything, and IMDb's two tables."""
    folder = tmp_path / "excels"
    folder.mkdir()
    trailers = [["https://youtu.be/trailer--01", "10", "Whatever"], ["trailer--02", "20", "Some Name (1950)"]]
    write_csv(folder / TRAILERS, trailers)
    write_csv(folder / LINKS, [["10", "0000001"], ["20", "2"]])
    films = [basics_row(1, '"First" Film', genres="Drama,War"), basics_row(2, "Second", "tvMovie", genres=NONE)]
    write_imdb(folder, BASICS, films)
    write_imdb(folder, RATINGS, [["tt0000001", "7.5", "1000"], ["tt0000002", "3.1", "20"]])
    return folder


def load(folder: Path, **options: int) -> catalog.Catalog:
    return catalog.load(Project.open(folder.parent), **options)


def dropped(result: catalog.Catalog) -> set[tuple[str, int, str]]:
    return {(row.file, row.row, row.reason) for row in result.dropped.itertuples()}


def balanced(result: catalog.Catalog) -> bool:
    """Whether every row of every spreadsheet is of a film or dropped, once."""
    lost = result.dropped.groupby("file").size()
    return not result.dropped.duplicated(["file", "row"]).any() and all(
        rows == len(result.films) + lost.get(name, 0) for name, rows in result.rows.items()
    )


def test_ids_give_the_join_and_imdb_gives_the_facts(folder: Path) -> None:
    os.utime(folder / RATINGS, (1_700_000_000, 1_700_000_000))
    result = load(folder)
    assert result.films[COLUMNS].values.tolist() == [
        ["tt0000001", '"First" Film', 1999, 7.5, "trailer--01", "Drama|War", 101, 1000, "", "", "id", False],
        ["tt0000002", "Second", 1999, 3.1, "trailer--02", "", 101, 20, "", "", "id", False],
    ]
    assert result.scores_from == "title.ratings.tsv.gz of 2023-11-14"
    assert result.rows == {TRAILERS: 2, LINKS: 2} and result.dropped.empty


def test_every_row_without_a_film_has_its_reason(folder: Path) -> None:
    extra = [
        ["trailer--03", "30", "Not in links"], ["#NAME?", "40", "Bad id"], ["trailer--05", "11", "The first again"],
        ["trailer--06", "60", "Unknown to IMDb"], ["trailer--07", "70", "A series"], ["trailer--08", "80", "No rating"],
        ["trailer--09", "90", "No year"],
    ]  # fmt: skip
    write_csv(folder / TRAILERS, [["trailer--01", "10", "x"], ["trailer--02", "20", "y"], *extra])
    links = "10,tt0000001 20,2.0 11,1 40,4 60,6 70,7 80,8 90,9 10,99 500,x 501,5"
    write_csv(folder / LINKS, [link.split(",") for link in links.split()])
    extra = ["tt0000010", "movie"], [*basics_row(11, "x"), "one", "two"]  # damaged
    basics = [basics_row(1, "A"), basics_row(2, "B"), basics_row(7, "C", "tvSeries"), *extra, basics_row(8, "D")]
    write_imdb(folder, BASICS, [*basics, basics_row(9, "E", year=NONE)])
    write_imdb(folder, RATINGS, [[f"tt000000{number}", "5.0", "10"] for number in (1, 2, 7, 9)])
    result = load(folder)
    assert result.films.youtube_id.tolist() == ["trailer--01", "trailer--02"]
    lost = [("not in title.basics.tsv.gz", 7, 6), (SERIES, 8, 7), ("no score", 9, 8), ("no year (a series?)", 10, 9)]
    assert dropped(result) == {
        (TRAILERS, 4, "its movieId is not in links.csv"),
        (TRAILERS, 5, BAD_ID),
        (TRAILERS, 6, SECOND),
        *((TRAILERS, row, reason) for reason, row, _ in lost),
        *((LINKS, row, reason) for reason, _, row in lost),
        (LINKS, 4, NO_TRAILER),
        (LINKS, 5, NO_TRAILER),
        (LINKS, 10, "the movieId is in an earlier row"),
        (LINKS, 11, "no IMDb number"),
        (LINKS, 12, NO_TRAILER),
    }
    assert balanced(result)


def test_what_is_not_made_for_one_evening_is_no_film(folder: Path) -> None:
    kinds = "movie tvMovie video short tvShort tvSeries tvMiniSeries tvEpisode tvSpecial videoGame movie movie".split()
    films = [basics_row(number, kind, kind) for number, kind in enumerate(kinds)]
    films[-2][BASICS_HEADING.index("isAdult")], films[-1][BASICS_HEADING.index("primaryTitle")] = "1", NONE
    write_imdb(folder, BASICS, films)
    write_imdb(folder, RATINGS, [[film[0], "5.0", "10"] for film in films])
    write_csv(folder / TRAILERS, [[f"trailer--{n:02}", str(n), "x"] for n in range(12)])
    write_csv(folder / LINKS, [[str(n), str(n)] for n in range(12)])
    result = load(folder)
    assert result.films.title.tolist() == kinds[:3] and balanced(result)
    lost = result.dropped[result.dropped.file == LINKS].reason.tolist()
    assert lost == [SERIES] * 7 + ["IMDb has it as an adult title", "no title"]


def test_an_unpacked_table_is_read_whatever_its_name(folder: Path) -> None:
    text = gzip.decompress((folder / BASICS).read_bytes())
    (folder / BASICS).write_bytes(b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n"))
    assert load(folder).films.title.tolist() == ['"First" Film', "Second"]
    (folder / BASICS).rename(folder / "title.basics.tsv")
    assert load(folder).films.title.tolist() == ['"First" Film', "Second"]


def test_ids_join_the_score_table_without_looking_at_titles(folder: Path) -> None:
    for name in (BASICS, RATINGS):
        (folder / name).unlink()
    write_metadata(folder, [(1, "Anything", "8.8"), (3, "Some Name", "2.2")])
    result = load(folder)
    assert result.films.iloc[0][["title", "score", "youtube_id", "joined_by"]].tolist() == [
        "Anything", 8.8, "trailer--01", "id"]  # fmt: skip
    lost = "no film of this IMDb id in movie_metadata.csv"
    assert dropped(result) == {(METADATA, 3, NO_TRAILER), (TRAILERS, 3, lost), (LINKS, 3, lost)} and balanced(result)


def test_without_links_the_score_table_gives_the_ids_and_imdb_the_facts(folder: Path) -> None:
    (folder / LINKS).unlink()
    write_metadata(folder, [(1, "Whatever", "8.8"), (3, "Unknown", "8.8")])
    write_csv(folder / TRAILERS, [["trailer--01", "10", "Whatever (1999)"], ["trailer--03", "10", "Unknown (1999)"]])
    result = load(folder)
    assert result.films[["title", "score", "votes", "joined_by"]].values.tolist() == [
        ['"First" Film', 7.5, 1000, "title and year"]
    ]
    assert result.scores_from.startswith("title.ratings.tsv.gz of")
    lost = "not in title.basics.tsv.gz"
    assert dropped(result) == {(METADATA, 3, lost), (TRAILERS, 3, lost)} and balanced(result)


@pytest.mark.parametrize("name", [LINKS, BASICS, RATINGS])
def test_a_table_that_the_others_need_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(TrailerError, match="needs MovieLens' links.csv" if name == LINKS else f"{name} is missing"):
        load(folder)


@pytest.mark.parametrize(("name", "content", "message"), [
    (BASICS, b"", "expected a table with the columns tconst"),
    (RATINGS, gzip.compress(b"tconst\tother\n1\t5\n"), "expected a table with the columns tconst"),
    (BASICS, gzip.compress(b"\t".join([b"tconst titleType primaryTitle"] * 9))[:-9], "damaged"),
    (RATINGS, gzip.compress(b"tconst\taverageRating\tnumVotes\n" + bytes(300_000)), "a line of over 100,000 bytes"),
], ids=["empty", "other columns", "cut short", "an endless line"])  # fmt: skip  # ids of gzip bytes would hold the time
def test_a_damaged_table_is_refused_in_one_line(folder: Path, name: str, content: bytes, message: str) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(TrailerError, match=f"{name}: {message}.*: fetch it again") as caught:
        load(folder)
    assert "\n" not in str(caught.value)


def test_memory_does_not_grow_with_the_tables(folder: Path) -> None:
    films = (f"tt{n:07d}\tmovie\tFilm {n}\tFilm {n}\t0\t1999\t\\N\t90\tDrama,Comedy\n" for n in range(1, 60_000))
    with gzip.open(folder / BASICS, "wt", compresslevel=1) as file:
        file.writelines(["\t".join(BASICS_HEADING) + "\n", *films])
    tracemalloc.start()
    assert len(load(folder).films) == 2
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000  # the table has 3 MB
