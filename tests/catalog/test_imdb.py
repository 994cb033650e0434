"""IMDb's own tables and MovieLens' links.csv: joined by id, without titles, in little memory."""

import csv
import gzip
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from trailer_lib import Project, TrailerError
from trailer_lib.catalog import catalog, official_tables
from trailer_lib.catalog.join import BAD_ID, LINKS, METADATA, NO_TRAILER, TRAILERS

BASICS_HEADING = "tconst titleType primaryTitle originalTitle isAdult startYear endYear runtimeMinutes genres".split()
METADATA_HEADING = "movie_title title_year imdb_score movie_imdb_link genres duration num_voted_users".split()
TORTURE = pytest.mark.skipif(not os.environ.get("TORTURE"), reason="takes minutes: set TORTURE=1")
NONE = r"\N"


def basics_row(
    number: int, title: str, kind: str = "movie", year: str = "1999", genres: str = "Drama,War"
) -> list[str]:
    return [f"tt{number:07d}", kind, title, f"original {title}", "0", year, NONE, "101", genres]


def write_basics(folder: Path, rows: list[list[str]]) -> None:
    text = "".join("\t".join(row) + "\n" for row in [BASICS_HEADING, *rows])
    (folder / official_tables.BASICS).write_bytes(gzip.compress(text.encode()))


def write_ratings(folder: Path, rows: list[list[str]]) -> None:
    text = "".join("\t".join(row) + "\n" for row in [["tconst", "averageRating", "numVotes"], *rows])
    (folder / official_tables.RATINGS).write_bytes(gzip.compress(text.encode()))


def write_csv(path: Path, rows: list[list[str]]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def write_trailers(folder: Path, rows: list[list[str]]) -> None:
    """Rows of YouTube id, movieId and title."""
    write_csv(folder / TRAILERS, [["youtubeId", "movieId", "title"], *rows])


def write_links(folder: Path, rows: list[list[str]]) -> None:
    write_csv(folder / LINKS, [["movieId", "imdbId", "tmdbId"], *([*row, "1"] for row in rows)])


def write_metadata(folder: Path, films: list[tuple[int, str, str]]) -> None:
    """Rows of number, title and score, all of 1999."""
    rows = [[title, "1999", score, f"/title/tt{n:07d}/", "Comedy", "90", "7"] for n, title, score in films]
    write_csv(folder / METADATA, [METADATA_HEADING, *rows])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """excels/ with two films that have everything, and IMDb's two tables."""
    folder = tmp_path / "excels"
    folder.mkdir()
    write_trailers(folder, [["trailer--01", "10", "Whatever"], ["trailer--02", "20", "Some Name (1950)"]])
    write_links(folder, [["10", "0000001"], ["20", "2"]])
    write_basics(folder, [basics_row(1, '"First" Film'), basics_row(2, "Second", "tvMovie", genres=NONE)])
    write_ratings(folder, [["tt0000001", "7.5", "1000"], ["tt0000002", "3.1", "20"]])
    return folder


def load(folder: Path, **options: int) -> catalog.Catalog:
    return catalog.load(Project.open(folder.parent), **options)


def dropped(found: catalog.Catalog) -> set[tuple[str, int, str]]:
    return {(row.file, row.row, row.reason) for row in found.dropped.itertuples()}


def balanced(found: catalog.Catalog) -> bool:
    """Whether every row of every spreadsheet is of a film or dropped, once."""
    lost = found.dropped.groupby("file").size()
    return not found.dropped.duplicated(["file", "row"]).any() and all(
        rows == len(found.films) + lost.get(name, 0) for name, rows in found.rows.items()
    )


def test_ids_give_the_join_and_imdb_gives_the_facts(folder: Path) -> None:
    os.utime(folder / official_tables.RATINGS, (1_700_000_000, 1_700_000_000))
    found = load(folder)
    assert found.films.columns.tolist() == catalog.COLUMNS
    assert found.films.to_dict("records") == [
        {
            "imdb_id": "tt0000001", "title": '"First" Film', "year": 1999, "score": 7.5,
            "youtube_id": "trailer--01",
            "genres": "Drama|War", "runtime_minutes": 101, "votes": 1000, "url": "", "joined_by": "id", "shared": False,
        },
        {
            "imdb_id": "tt0000002", "title": "Second", "year": 1999, "score": 3.1, "youtube_id": "trailer--02",
            "genres": "", "runtime_minutes": 101, "votes": 20, "url": "", "joined_by": "id", "shared": False,
        },
    ]  # fmt: skip
    assert found.scores_from == "title.ratings.tsv.gz of 2023-11-14"
    assert found.rows == {TRAILERS: 2, LINKS: 2} and found.dropped.empty


@pytest.mark.parametrize(
    ("number", "imdb_id"),
    [
        ("114709", "tt0114709"),
        ("0114709", "tt0114709"),
        ("10872600", "tt10872600"),
        ("tt0114709", "tt0114709"),
        ("114709.0", "tt0114709"),
    ],
)
def test_a_number_of_links_csv_is_an_imdb_id(folder: Path, number: str, imdb_id: str) -> None:
    write_links(folder, [["10", number]])
    write_basics(folder, [[imdb_id, *basics_row(1, "Film")[1:]]])
    write_ratings(folder, [[imdb_id, "7.5", "10"]])
    assert load(folder).films.imdb_id.tolist() == [imdb_id]


def test_every_row_without_a_film_has_its_reason(folder: Path) -> None:
    extra = [
        ["trailer--03", "30", "Not in links"], ["#NAME?", "40", "Bad id"], ["trailer--05", "11", "The first again"],
        ["trailer--06", "60", "Unknown to IMDb"], ["trailer--07", "70", "A series"], ["trailer--08", "80", "No rating"],
        ["trailer--09", "90", "No year"],
    ]  # fmt: skip
    write_trailers(folder, [["trailer--01", "10", "x"], ["trailer--02", "20", "y"], *extra])
    links = [["10", "1"], ["20", "2"], ["11", "1"], ["40", "4"], ["60", "6"], ["70", "7"], ["80", "8"], ["90", "9"]]
    write_links(folder, [*links, ["10", "99"], ["500", "x"], ["501", "5"]])
    basics = [basics_row(1, "A"), basics_row(2, "B"), basics_row(7, "C", "tvSeries"), basics_row(8, "D")]
    write_basics(folder, [*basics, basics_row(9, "E", year=NONE)])
    write_ratings(folder, [[f"tt000000{number}", "5.0", "10"] for number in (1, 2, 7, 9)])
    found = load(folder)
    assert found.films.youtube_id.tolist() == ["trailer--01", "trailer--02"]
    series = "IMDb has it as a series, short, special or game"
    lost = [
        ("not in title.basics.tsv.gz", 7, 6),
        (series, 8, 7),
        ("no score from 1 to 10", 9, 8),
        ("no year (a series?)", 10, 9),
    ]
    assert dropped(found) == {
        (TRAILERS, 4, "its movieId is not in links.csv"),
        (TRAILERS, 5, BAD_ID),
        (TRAILERS, 6, "another row gave the film its trailer"),
        *((TRAILERS, row, reason) for reason, row, _ in lost),
        *((LINKS, row, reason) for reason, _, row in lost),
        (LINKS, 4, NO_TRAILER),
        (LINKS, 5, NO_TRAILER),
        (LINKS, 10, "the movieId is in an earlier row"),
        (LINKS, 11, "no IMDb number"),
        (LINKS, 12, NO_TRAILER),
    }
    assert balanced(found)


@pytest.mark.parametrize("kind", ["movie", "tvMovie", "video"])
def test_films_for_cinema_television_and_video_are_films(folder: Path, kind: str) -> None:
    write_basics(folder, [basics_row(1, "Film", kind)])
    assert load(folder).films.title.tolist() == ["Film"]


@pytest.mark.parametrize(
    "kind", ["short", "tvShort", "tvSeries", "tvMiniSeries", "tvEpisode", "tvSpecial", "videoGame", ""]
)
def test_nothing_else_is_one(folder: Path, kind: str) -> None:
    write_basics(folder, [basics_row(1, "No film", kind), basics_row(2, "Film")])
    assert load(folder).films.title.tolist() == ["Film"]


def test_least_votes(folder: Path) -> None:
    assert load(folder, min_votes=20).films.votes.tolist() == [1000, 20]
    found = load(folder, min_votes=21)
    assert found.films.votes.tolist() == [1000] and balanced(found)
    assert dropped(found) == {(TRAILERS, 3, "fewer than 21 votes"), (LINKS, 3, "fewer than 21 votes")}


def test_ids_join_the_score_table_without_looking_at_titles(folder: Path) -> None:
    (folder / official_tables.BASICS).unlink()
    (folder / official_tables.RATINGS).unlink()
    write_metadata(folder, [(1, "Anything", "8.8"), (3, "Some Name", "2.2")])
    found = load(folder)
    assert found.films[["title", "score", "youtube_id", "joined_by"]].values.tolist() == [
        ["Anything", 8.8, "trailer--01", "id"]
    ]
    lost = "no film of this IMDb id in movie_metadata.csv"
    assert dropped(found) == {(METADATA, 3, NO_TRAILER), (TRAILERS, 3, lost), (LINKS, 3, lost)} and balanced(found)


def test_without_links_the_score_table_gives_the_ids_and_imdb_the_facts(folder: Path) -> None:
    (folder / LINKS).unlink()
    write_metadata(folder, [(1, "Whatever", "8.8"), (3, "Unknown", "8.8")])
    write_trailers(folder, [["trailer--01", "10", "Whatever (1999)"], ["trailer--03", "10", "Unknown (1999)"]])
    found = load(folder)
    assert found.films[["title", "score", "votes", "joined_by"]].values.tolist() == [
        ['"First" Film', 7.5, 1000, "title and year"]
    ]
    assert found.scores_from.startswith("title.ratings.tsv.gz of")
    lost = "not in title.basics.tsv.gz"
    assert dropped(found) == {(METADATA, 3, lost), (TRAILERS, 3, lost)} and balanced(found)


def test_imdbs_tables_alone_do_not_say_which_trailer_is_whose(folder: Path) -> None:
    (folder / LINKS).unlink()
    with pytest.raises(TrailerError, match=r"nothing says which trailer .*put MovieLens' links\.csv there"):
        load(folder)


@pytest.mark.parametrize(
    ("there", "missing"),
    [(official_tables.BASICS, official_tables.RATINGS), (official_tables.RATINGS, official_tables.BASICS)],
)
def test_one_of_the_two_tables_is_refused(folder: Path, there: str, missing: str) -> None:
    (folder / missing).unlink()
    with pytest.raises(TrailerError, match=f"{there} is of no use without {missing}"):
        load(folder)


@pytest.mark.parametrize("name", [official_tables.BASICS, official_tables.RATINGS])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "expected a table with the columns tconst", id="empty"),
        pytest.param(b"tconst\taverageRating\n", "damaged", id="no gzip"),
        pytest.param(
            gzip.compress(b"tconst\tother\ntt0000001\t5\n"), "expected a table with the columns tconst", id="columns"
        ),
        pytest.param(gzip.compress(b"tconst\tother\n" * 9999)[:60], "damaged", id="cut"),
        pytest.param(gzip.compress(b"\xff" * 300_000), "a line of over 100,000 bytes", id="long line"),
    ],
)
def test_a_damaged_table_is_refused_in_one_line(folder: Path, name: str, content: bytes, message: str) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(TrailerError, match=f"{name}: {message}.*: fetch it again") as caught:
        load(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("write", [write_basics, write_ratings])
def test_tables_without_rows_give_no_film(folder: Path, write: Callable[[Path, list], None]) -> None:
    write(folder, [])
    with pytest.raises(TrailerError, match="no film has both a score and a trailer"):
        load(folder)


def test_a_damaged_row_costs_that_row_alone(folder: Path) -> None:
    write_basics(folder, [["tt0000002", "movie"], [*basics_row(3, "x"), "one", "two"], basics_row(1, "Film")])
    found = load(folder)
    assert found.films.title.tolist() == ["Film"]
    assert (TRAILERS, 3, "no year (a series?)") in dropped(found)


def write_big(folder: Path, rows: int, films: int) -> None:
    """IMDb's tables of `rows` rows and as long titles as the real ones have, and `films` films with a trailer."""
    step = rows // films
    with (
        gzip.open(folder / official_tables.BASICS, "wt", compresslevel=1) as basics,
        gzip.open(folder / official_tables.RATINGS, "wt", compresslevel=1) as ratings,
    ):
        basics.write("\t".join(BASICS_HEADING) + "\n")
        ratings.write("tconst\taverageRating\tnumVotes\n")
        for number in range(1, rows + 1):
            title = f"Episode #{number}.{number % 97}"
            basics.write(f"tt{number:07d}\tmovie\t{title}\t{title}\t0\t1999\t\\N\t90\tDrama,Comedy\n")
            if number % 8 == 0 or number % step == 0:
                ratings.write(f"tt{number:07d}\t{1 + number % 90 / 10:.1f}\t{number % 1000}\n")
    ids = range(step, rows + 1, step)
    write_trailers(folder, [[f"trl{number:08d}", str(number), f"Film {number}"] for number in ids])
    write_links(folder, [[str(number), str(number)] for number in ids])


# Linux counts into ru_maxrss what the process was forked from, here all of pytest; VmHWM begins anew.
PEAK = """
import resource, sys
from pathlib import Path
from trailer_lib import Project, catalog
films = len(catalog.load(Project.open(sys.argv[1])).films)
status = Path("/proc/self/status")
if status.exists():
    peak = next(int(line.split()[1]) / 1024 for line in status.open() if line.startswith("VmHWM"))
else:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
print(films, peak)
"""


def peak_memory(root: Path) -> tuple[int, float]:
    """How many films a fresh process finds, and its peak of memory in MB."""
    done = subprocess.run([sys.executable, "-c", PEAK, root], capture_output=True, text=True, check=True)
    films, megabytes = done.stdout.split()
    return int(films), float(megabytes)


def big_project(root: Path, rows: int, films: int) -> Path:
    (root / "excels").mkdir(parents=True)
    write_big(root / "excels", rows, films)
    return root


def test_memory_does_not_grow_with_the_tables(tmp_path: Path) -> None:
    """Read whole, a million rows take 180 MB more than a hundred thousand."""
    short, long = (peak_memory(big_project(tmp_path / str(rows), rows, 1000)) for rows in (100_000, 1_000_000))
    assert short[0] == long[0] == 1000
    assert long[1] - short[1] < 80


@TORTURE
def test_twelve_million_rows_take_less_than_600_mb(tmp_path: Path) -> None:
    films, megabytes = peak_memory(big_project(tmp_path, 12_000_000, 25_000))
    print(f"peak of memory: {megabytes:.0f} MB")
    assert films == 25_000 and megabytes < 600
