"""The join of the score table and the trailer list: which rows match, which are dropped, and why."""

from collections import Counter
from pathlib import Path

import pandas as pd
import pytest

from trailer_lib import Project, TrailerError
from trailer_lib.catalog import COLUMNS, load
from trailer_lib.catalog.join import BAD_ID, METADATA, REPEATED, TRAILERS
from trailer_lib.catalog.titles import DAMAGED, MISSING, SECOND, SEVERAL

SCORE_COLUMNS = ["movie_title", "title_year", "imdb_score", "movie_imdb_link", "genres", "duration", "num_voted_users"]
LINK = "http://www.imdb.com/title/{}/?ref_=fn_tt_tt_1"
FILLER = ("Filler", "1970", "5.0", "tt9999999")
FILLER_TRAILER = ("fillerfille", "Filler (1970)", "0")
MATCHED = {"tt0000001": "-dQw4w9WgXc"}
Film = tuple[str, str, str, str]
Trailer = tuple[str, str, str]


def excels(root: Path, films: list[Film], trailers: list[Trailer], runtime: str = "90") -> Project:
    """A project with the two tables: films of title, year, score and id; trailers of YouTube id, title and movieId."""
    scores = [[title, year, score, LINK.format(key), "Drama", runtime, "7"] for title, year, score, key in films]
    scores += [[*FILLER[:3], LINK.format(FILLER[3]), "Drama", "90", "7"]]
    rows = [[key, number, title] for key, title, number in [*trailers, FILLER_TRAILER]]
    (root / "excels").mkdir(exist_ok=True)
    pd.DataFrame(scores, columns=SCORE_COLUMNS).to_csv(root / "excels" / METADATA, index=False)
    pd.DataFrame(rows, columns=["youtubeId", "movieId", "title"]).to_csv(root / "excels" / TRAILERS, index=False)
    return Project.open(root)


def joined(root: Path, films: list[Film], trailers: list[Trailer]) -> dict[str, str]:
    """IMDb id -> YouTube id of the films that were matched; FILLER, which always is, left out."""
    return load(excels(root, films, trailers)).films.set_index("imdb_id").youtube_id.drop(FILLER[3]).to_dict()


def reasons(root: Path, films: list[Film], trailers: list[Trailer]) -> list[tuple[str, int, str]]:
    """(file, row, reason) of the dropped rows."""
    lost = load(excels(root, films, trailers)).dropped
    return list(zip(lost.file, lost.row, lost.reason))


def film(title: str = "Film", year: str = "1999", score: str = "7.5", imdb_id: str = "tt0000001") -> Film:
    return title, year, score, imdb_id


def trailer(title: str = "Film (1999)", key: str = "-dQw4w9WgXc", number: str = "1") -> Trailer:
    return key, title, number


@pytest.mark.parametrize(("ours", "theirs"), [
    ("The\u00a0Matrix\u00a0", "Matrix,  The  "), ("Se7en", "Seven (a.k.a. Se7en)"), ("NA", "NA"),
    ("The Postman", "Postino, Il (Postman, The)"), ("Il Postino", "Postino, Il (Postman, The)"),
    ("9½ Weeks", "9 1/2 Weeks (Nine 1/2 Weeks)"), ("500 Days of Summer", "(500) Days of Summer"),
    ("Barfi", "Barfi!"),
])  # fmt: skip
def test_two_spellings_of_a_title_match(tmp_path: Path, ours: str, theirs: str) -> None:
    assert joined(tmp_path, [film(ours)], [trailer(f"{theirs} (1999) ")]) == MATCHED


def test_a_first_name_goes_before_the_same_title_in_brackets(tmp_path: Path) -> None:
    trailers = [trailer("Other (Film) (1999)", "otherother0"), trailer("Film (1999)", "filmfilmfi0")]
    assert joined(tmp_path, [film()], trailers) == {"tt0000001": "filmfilmfi0"}
    assert joined(tmp_path, [film()], trailers[:1]) == {"tt0000001": "otherother0"}


@pytest.mark.parametrize("scores", [("7.5", "2.0"), ("", "7.5")])
def test_of_two_rows_of_a_film_the_first_with_a_score_counts(tmp_path: Path, scores: tuple[str, str]) -> None:
    table = load(excels(tmp_path, [film(score=score) for score in scores], [trailer()]))
    assert table.films.score[0] == 7.5 and len(table.films) == 2
    assert table.dropped[["row", "reason"]].values.tolist() == [[2 + scores.index(min(scores)), REPEATED]]


@pytest.mark.parametrize(("films", "trailers"), [
    pytest.param([film()], [trailer("Film (2001)")], id="off by two"),
    pytest.param([film()], [trailer("Film (1998)"), trailer("Film (2000)", "a" * 11)], id="on both sides"),
    pytest.param([film()], [trailer(key="#NAME?"), trailer("Film (2000)")], id="a damaged row of the right year"),
    pytest.param([film(), film(year="1950", imdb_id="tt0000002")], [trailer("Film (2000)")], id="a remake"),
    pytest.param([film(score=""), film(year="2000", imdb_id="tt0000002")], [trailer()], id="a film with no score"),
    pytest.param([film("Barfi")], [trailer("Barfi! (1998)")], id="an exclamation mark"),
])  # fmt: skip
def test_another_meaning_bars_a_year_off_by_one(tmp_path: Path, films: list[Film], trailers: list[Trailer]) -> None:
    assert joined(tmp_path, films, trailers) == {}
    for year in ("1998", "2000"):
        assert joined(tmp_path, [film()], [trailer(f"Film ({year})")]) == MATCHED


def test_a_film_made_after_the_list_is_not_in_it(tmp_path: Path) -> None:
    until_1998 = [trailer(f"Film {number} (1998)", f"trailer--{number:02}") for number in range(30)]
    assert joined(tmp_path, [film("Film 3")], until_1998) == {}
    assert joined(tmp_path, [film("Film 3")], [*until_1998, *(trailer(f"Late {n} (1999)") for n in range(30))]) != {}
    assert joined(tmp_path, [film("Film 3", year="1997")], until_1998) == {"tt0000001": "trailer--03"}


def test_of_two_trailers_of_one_title_and_year_the_first_number_is_taken_and_marked(tmp_path: Path) -> None:
    def match(*trailers: Trailer) -> tuple[str, str]:
        row = load(excels(tmp_path, [film()], list(trailers))).films.iloc[0]
        return row.youtube_id, row.joined_by

    first, second = trailer(key="a" * 11, number="588"), trailer(key="b" * 11, number="114240")
    assert match(first, second) == match(second, first) == ("a" * 11, "first of several")
    # Two trailers of one film, and one trailer listed twice, leave nothing to choose.
    assert match(first, trailer(key="b" * 11, number="588")) == ("a" * 11, "title and year")
    assert match(first, trailer(key="a" * 11, number="114240")) == ("a" * 11, "title and year")
    # Another trailer of the film stands in for a damaged one, the trailer of another film does not.
    spare = trailer(key="b" * 11, number="588")
    assert match(trailer(key="#NAME?", number="588"), spare) == ("b" * 11, "title and year")
    assert match(trailer(key="#NAME?", number="588"), second) == (FILLER_TRAILER[0], "title and year")


@pytest.mark.parametrize(("row", "reason"), [
    (film(score="10,1"), "the score is not from 1 to 10"),
    (film("", "x", "8", "tt12"), "no title; the year is not a number; no IMDb id in the link"),
    (film("Film", "", "x"), "no year (a series?); the score is not a number"),
])  # fmt: skip
def test_a_row_that_is_no_film_with_a_score_is_dropped(tmp_path: Path, row: Film, reason: str) -> None:
    assert (METADATA, 2, reason) in reasons(tmp_path, [row], [trailer()])


def test_a_film_has_what_the_tables_say_and_a_game_without_running_time_is_dropped(tmp_path: Path) -> None:
    project = excels(tmp_path, [film()], [trailer()], runtime="")
    lost, path = load(project).dropped, project.excels / METADATA
    assert (METADATA, 2, "no running time (a game?)") in list(zip(lost.file, lost.row, lost.reason))
    pd.read_csv(path).drop(columns=["genres", "duration", "num_voted_users"]).to_csv(path, index=False)
    row = load(Project.open(tmp_path)).films.iloc[0]
    assert (row.genres, row.youtube_id) == ("", "-dQw4w9WgXc") and pd.isna(row.votes)
    row = load(excels(tmp_path, [film("Matrix\u00a0")], [trailer("Matrix (1999)")])).films[COLUMNS].iloc[0].tolist()
    assert row[:8] == ["tt0000001", "Matrix", 1999, 7.5, "-dQw4w9WgXc", "Drama", 90, 7]
    assert row[8:] == ["", "", "title and year", False]


def test_the_order_depends_on_the_seed_and_not_on_the_order_of_the_files(tmp_path: Path) -> None:
    films = [film(f"Film {number}", imdb_id=f"tt00000{number:02}") for number in range(19)]
    trailers = [trailer(f"Film {number} (1999)", f"trailer--{number:02}") for number in range(19)]
    forward = load(excels(tmp_path, films, trailers))
    backward = load(excels(tmp_path, films[::-1], trailers))
    assert forward.films.imdb_id.tolist() != backward.films.imdb_id.tolist()
    pd.testing.assert_frame_equal(forward.shuffled(0, 8), backward.shuffled(0, 8))
    assert forward.shuffled(0, 8).imdb_id.tolist() != forward.shuffled(1, 8).imdb_id.tolist()
    whole = forward.shuffled(0, 0).imdb_id.tolist()
    assert len(set(whole)) == 20 and whole != sorted(whole) and forward.shuffled(0, 8).imdb_id.tolist() == whole[:8]


MIXED_FILMS = [
    film(), film(), film("No Trailer", imdb_id="tt0000002"), film("Bad", "", imdb_id="tt0000003"),
    film("Twin", imdb_id="tt0000004"), film("Twin", imdb_id="tt0000005"), film("Eaten", imdb_id="tt0000006"),
    film("Near", imdb_id="tt0000007"), film("Two", imdb_id="tt0000008"), film("Zwei", imdb_id="tt0000009"),
]  # fmt: skip
MIXED_TRAILERS = [
    trailer(), trailer(key="a" * 11), trailer("x"), trailer("Twin (1999)"), trailer("Eaten (1999)", "#NAME?"),
    trailer("Near (2000)"), trailer("Other (2000)"), trailer("Both (Two) (Zwei) (1999)"),
]  # fmt: skip


def test_every_row_of_both_tables_is_of_a_film_or_dropped_with_a_reason(tmp_path: Path) -> None:
    result = load(excels(tmp_path, MIXED_FILMS, MIXED_TRAILERS))
    assert result.rows == {METADATA: 11, TRAILERS: 9}
    assert result.dropped.groupby("file").size().to_dict() == {METADATA: 8, TRAILERS: 6}  # and 3 films
    assert not result.dropped.duplicated(["file", "row"]).any()
    reasons = Counter(zip(result.dropped.file, result.dropped.reason))
    assert reasons == {
        (TRAILERS, SEVERAL): 2, (TRAILERS, SECOND): 1, (TRAILERS, "no (year) at the end of the title"): 1,
        (TRAILERS, "no film of this title and year in movie_metadata.csv"): 1, (TRAILERS, BAD_ID): 1,
        (METADATA, SEVERAL): 4, (METADATA, MISSING): 1, (METADATA, "no year (a series?)"): 1, (METADATA, DAMAGED): 1,
        (METADATA, REPEATED): 1,
    }  # fmt: skip
    assert [line.split() for line in result.summary().splitlines() if SEVERAL in line] == [
        [TRAILERS, *SEVERAL.split(), "2"], [METADATA, *SEVERAL.split(), "4"]]  # fmt: skip
    assert result.films.joined_by.tolist() == ["title and year", "year off by one", "title and year"]
    assert result.films.shared.tolist() == [True, True, False]  # the YouTube id of "Film" is in other rows too
    assert result.dropped[result.dropped.row == 5].title.tolist() == ["Twin (1999)", "Bad"]


def test_films_with_few_votes_are_dropped_with_both_their_rows(tmp_path: Path) -> None:
    project = excels(tmp_path, [film()], [trailer()])
    path = project.excels / METADATA
    path.write_text(path.read_text().replace(",90,7", ",90,", 1))  # an unknown number
    result = load(project, min_votes=7)
    assert result.films.imdb_id.tolist() == [FILLER[3]]
    assert result.dropped[["file", "title"]].values.tolist() == [[TRAILERS, "Film (1999)"], [METADATA, "Film"]]
    assert set(result.dropped.reason) == {"fewer than 7 votes"}
    with pytest.raises(TrailerError, match=r"no film .*fewer than 8 votes: 4 rows"):
        load(project, min_votes=8)
