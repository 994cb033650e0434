"""The join of the score table and the trailer list: which rows meet, which are dropped, and why."""

import csv
import os
from pathlib import Path

import pandas as pd
import pytest

from trailer_lib import Project, TrailerError
from trailer_lib.catalog import catalog
from trailer_lib.catalog.join import METADATA, TRAILERS

SCORE_COLUMNS = ["movie_title", "title_year", "imdb_score", "movie_imdb_link", "genres", "duration", "num_voted_users"]
TRAILER_COLUMNS = ["youtubeId", "movieId", "title"]
FILLER = ("Filler", "1970", "5.0", "tt9999999")
FILLER_TRAILER = ("fillerfille", "Filler (1970)")
Film = tuple[str, str, str, str]


def write_csv(path: Path, header: list[str], rows: list[list[str]]) -> None:
    path.parent.mkdir(exist_ok=True)
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])


def excels(root: Path, films: list[Film], trailers: list[tuple[str, str]]) -> Project:
    """A project with the two tables: films of title, year, score and id; trailers of YouTube id and title (year)."""
    link = "http://www.imdb.com/title/{}/?ref_=fn_tt_tt_1"
    scores = [[title, year, score, link.format(imdb_id), "Drama", "90", "7"] for title, year, score, imdb_id in films]
    write_csv(root / "excels" / METADATA, SCORE_COLUMNS, scores)
    write_csv(root / "excels" / TRAILERS, TRAILER_COLUMNS, [[key, "1", title] for key, title in trailers])
    return Project.open(root)


def joined(root: Path, films: list[Film], trailers: list[tuple[str, str]]) -> dict[str, str]:
    """IMDb id -> YouTube id of the films that met; FILLER, which always does, left out."""
    table = catalog.load(excels(root, [*films, FILLER], [*trailers, FILLER_TRAILER])).films
    return {key: value for key, value in zip(table.imdb_id, table.youtube_id) if key != FILLER[3]}


def reasons(root: Path, films: list[Film], trailers: list[tuple[str, str]]) -> list[tuple[str, int, str]]:
    """(file, row, reason) of what was dropped, FILLER added after the others."""
    lost = catalog.load(excels(root, [*films, FILLER], [*trailers, FILLER_TRAILER])).dropped
    return list(zip(lost.file, lost.row, lost.reason))


def film_reasons(root: Path, films: list[Film], trailers: list[tuple[str, str]]) -> list[tuple[str, int, str]]:
    """`reasons` of the score table alone."""
    return [found for found in reasons(root, films, trailers) if found[0] == METADATA]


def film(title: str, year: str = "1999", score: str = "7.5", imdb_id: str = "tt0000001") -> Film:
    return title, year, score, imdb_id


def trailer(title: str, key: str = "-dQw4w9WgXc") -> tuple[str, str]:
    return key, title


def test_a_film_with_score_and_trailer_has_what_the_tables_say(tmp_path: Path) -> None:
    project = excels(tmp_path, [film("Matrix\u00a0")], [trailer("Matrix (1999)")])
    row = catalog.load(project).films.iloc[0].to_dict()
    assert row == {
        "imdb_id": "tt0000001",
        "title": "Matrix",
        "year": 1999,
        "score": 7.5,
        "youtube_id": "-dQw4w9WgXc",
        "genres": "Drama",
        "runtime_minutes": 90.0,
        "votes": 7.0,
        "url": "",
        "joined_by": "title and year",
        "shared": False,
    }


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("The Matrix", "Matrix, The (1999)"),
        ("A Bug's Life", "Bug's Life, A (1999)"),
        ("Les Misérables", "Misérables, Les (1999)"),
        ("L'avventura", "Avventura, L' (1999)"),
        ("Amélie", "Amelie (1999)"),
        ("Ame\u0301lie", "Am\u00e9lie (1999)"),
        ("AMÉLIE", "amélie (1999)"),
        ("Bonnie & Clyde", "Bonnie and Clyde (1999)"),
        ("Ocean's Eleven", "Oceans Eleven (1999)"),
        ("Ocean’s Eleven", "Ocean's Eleven (1999)"),
        ("Ocean´s Eleven", "Ocean's Eleven (1999)"),
        ("Ocean`s Eleven", "Ocean's Eleven (1999)"),
        ("Ocean‘s Eleven", "Ocean's Eleven (1999)"),
        ("Star Wars: A New Hope", "Star Wars - A New Hope (1999)"),
        ("Mission_ Impossible", "Mission: Impossible (1999)"),
        ("The\u00a0Matrix\u00a0", "The Matrix (1999)"),
        ("The  Matrix", "The Matrix   (1999) "),
        ("Se7en", "Seven (a.k.a. Se7en) (1999)"),
        ("Seven", "Seven (a.k.a. Se7en) (1999)"),
        ("The Postman", "Postino, Il (Postman, The) (1999)"),
        ("Il Postino", "Postino, Il (Postman, The) (1999)"),
        ("Straße", "STRASSE (1999)"),
        ("Æon Flux", "Aeon Flux (1999)"),
        ("9½ Weeks", "9 1/2 Weeks (Nine 1/2 Weeks) (1999)"),
        ("500 Days of Summer", "(500) Days of Summer (1999)"),
        ("Men in Black 3", "Men in Black III (1999)"),
        ("Rocky: Part II", "Rocky: Part 2 (1999)"),
        ("Oldboy", "Old Boy (1999)"),
        ("Spiderman", "Spider-Man (1999)"),
        ("七人の侍", "七人の侍 (1999)"),
    ],
)
def test_two_spellings_of_a_title_meet(tmp_path: Path, ours: str, theirs: str) -> None:
    assert joined(tmp_path, [film(ours)], [trailer(theirs)]) == {"tt0000001": "-dQw4w9WgXc"}


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("Alien", "Aliens (1999)"),
        ("Matrix", "Matrix, The (1999)"),
        ("The Matrix", "Matrix, Das (1999)"),
        ("Halloween", "Halloween II (1999)"),
        ("Room", "Room 237 (1999)"),
        ("Nine", "9 (1999)"),
        ("Rocky II", "Rocky III (1999)"),
        ("Malcolm 10", "Malcolm X (1999)"),
        ("Days of Summer Camp", "(500) Days of Summer (1999)"),
        ("Se7en", "Seven (1999)"),
        ("$", "? (1999)"),
        ("...", "Film () (1999)"),
    ],
)
def test_two_different_titles_do_not_meet(tmp_path: Path, ours: str, theirs: str) -> None:
    assert joined(tmp_path, [film(ours)], [trailer(theirs)]) == {}
    assert (METADATA, 2, "no trailer of this title and year in the list") in reasons(
        tmp_path, [film(ours)], [trailer(theirs)]
    )


def test_a_title_of_its_own_goes_before_the_same_title_in_brackets(tmp_path: Path) -> None:
    trailers = [trailer("Other (Film) (1999)", "otherother0"), trailer("Film (1999)", "filmfilmfi0")]
    assert joined(tmp_path, [film("Film")], trailers) == {"tt0000001": "filmfilmfi0"}
    assert joined(tmp_path, [film("Film")], trailers[:1]) == {"tt0000001": "otherother0"}


def test_a_film_listed_twice_counts_once_with_its_first_row(tmp_path: Path) -> None:
    films = [film("Film", score="7.5"), film("Film", score="2.0")]
    table = catalog.load(excels(tmp_path, films, [trailer("Film (1999)")]))
    assert table.films.score.tolist() == [7.5]
    assert table.dropped[["file", "row", "reason"]].values.tolist() == [[METADATA, 3, "the film is in another row"]]


def test_two_trailers_of_a_film_give_the_first(tmp_path: Path) -> None:
    trailers = [trailer("Film (1999)", "firstfirst0"), trailer("Film (1999)", "secondsecon")]
    assert joined(tmp_path, [film("Film")], trailers) == {"tt0000001": "firstfirst0"}


@pytest.mark.parametrize("key", ["#NAME?", "dQw4w9WgXcQ/", "", "short", "twelve-chars", "dQw4w9WgXc?", "dQw4w9 gXcQ"])
def test_a_youtube_id_that_is_none_is_dropped(tmp_path: Path, key: str) -> None:
    assert joined(tmp_path, [film("Film")], [trailer("Film (1999)", key)]) == {}
    dropped = reasons(tmp_path, [film("Film")], [trailer("Film (1999)", key)])
    assert (TRAILERS, 2, "the YouTube id is not 11 letters, digits, - or _") in dropped


@pytest.mark.parametrize("key", ["-dQw4w9WgXc", "_dQw4w9WgXc", "01234567890", "----_------"])
def test_a_youtube_id_may_have_hyphens_and_underscores(tmp_path: Path, key: str) -> None:
    assert joined(tmp_path, [film("Film")], [trailer("Film (1999)", key)]) == {"tt0000001": key}


def test_a_good_row_stands_in_for_a_trailer_whose_id_was_eaten(tmp_path: Path) -> None:
    trailers = [trailer("Film (1999)", "#NAME?"), trailer("Film (1999)", "secondsecon")]
    assert joined(tmp_path, [film("Film")], trailers) == {"tt0000001": "secondsecon"}


@pytest.mark.parametrize("year", ["1998", "2000"])
def test_a_year_off_by_one_is_forgiven_where_nothing_else_can_be_meant(tmp_path: Path, year: str) -> None:
    assert joined(tmp_path, [film("Film")], [trailer(f"Film ({year})")]) == {"tt0000001": "-dQw4w9WgXc"}


@pytest.mark.parametrize(
    ("films", "trailers"),
    [
        pytest.param([film("Film")], [trailer("Film (2001)")], id="off by two"),
        pytest.param([film("Film")], [trailer("Film (1998)"), trailer("Film (2000)", "a" * 11)], id="on both sides"),
        pytest.param(
            [film("Film")], [trailer("Film (2000)"), trailer("Film (1950)", "a" * 11)], id="a remake's trailer"
        ),
        pytest.param([film("Film")], [trailer("Film (2000)"), trailer("Film (2000)", "a" * 11)], id="two trailers"),
        pytest.param(
            [film("Film"), film("Film", year="1950", imdb_id="tt0000002")], [trailer("Film (2000)")], id="a remake"
        ),
    ],
)
def test_a_year_off_by_one_is_not_forgiven_where_something_else_can_be_meant(
    tmp_path: Path, films: list[Film], trailers: list[tuple[str, str]]
) -> None:
    assert joined(tmp_path, films, trailers) == {}


def test_the_exact_year_goes_before_a_year_off_by_one(tmp_path: Path) -> None:
    films = [film("Film"), film("Film", year="2000", imdb_id="tt0000002")]
    trailers = [trailer("Film (1999)", "nineninenin"), trailer("Film (2000)", "zerozerozer")]
    assert joined(tmp_path, films, trailers) == {"tt0000001": "nineninenin", "tt0000002": "zerozerozer"}


def test_two_films_of_the_same_title_and_year_are_both_dropped(tmp_path: Path) -> None:
    films = [film("Film"), film("film", imdb_id="tt0000002")]
    assert joined(tmp_path, films, [trailer("Film (1999)")]) == {}
    reason = "several films have this title and year"
    rows = [(TRAILERS, 2, reason), (METADATA, 2, reason), (METADATA, 3, reason)]
    assert reasons(tmp_path, films, [trailer("Film (1999)")]) == rows


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (film("Film", year=""), "no year (a series?)"),
        (film("Film", year="soon"), "no year (a series?)"),
        (film("Film", year="nan"), "no year (a series?)"),
        (film("Film", year="1999.5"), "no year (a series?)"),
        (film("Film", year="1869"), "the year is not from 1870 to 2100"),
        (film("Film", year="20010"), "the year is not from 1870 to 2100"),
        (film("Film", score=""), "no score from 1 to 10"),
        (film("Film", score="good"), "no score from 1 to 10"),
        (film("Film", score="0.9"), "no score from 1 to 10"),
        (film("Film", score="10.1"), "no score from 1 to 10"),
        (film("Film", score="nan"), "no score from 1 to 10"),
        (film("Film", score="inf"), "no score from 1 to 10"),
        (film("Film", score="-5"), "no score from 1 to 10"),
        (film("Film", imdb_id=""), "no IMDb id in the link"),
        (film("Film", imdb_id="nm0000001"), "no IMDb id in the link"),
        (film("Film", imdb_id="tt12"), "no IMDb id in the link"),
    ],
)
def test_a_row_that_is_no_film_with_a_score_is_dropped(tmp_path: Path, row: Film, reason: str) -> None:
    assert joined(tmp_path, [row], [trailer("Film (1999)")]) == {}
    assert film_reasons(tmp_path, [row], [trailer("Film (1999)")]) == [(METADATA, 2, reason)]


@pytest.mark.parametrize("score", ["1", "1.0", "10", "7.55"])
def test_scores_from_1_to_10_are_taken(tmp_path: Path, score: str) -> None:
    project = excels(tmp_path, [film("Film", score=score)], [trailer("Film (1999)")])
    assert catalog.load(project).films.score.tolist() == [float(score)]


def test_a_year_written_as_a_float_is_a_year(tmp_path: Path) -> None:
    project = excels(tmp_path, [film("Film", year="1999.0")], [trailer("Film (1999)")])
    assert catalog.load(project).films.year.tolist() == [1999]


@pytest.mark.parametrize("title", ["Film", "Film 1999", "Film (99)", "Film (1999) Trailer", "Film (1999-2001)"])
def test_a_trailer_without_a_year_is_dropped(tmp_path: Path, title: str) -> None:
    assert joined(tmp_path, [film("Film")], [trailer(title)]) == {}
    assert (TRAILERS, 2, "no (year) at the end of the title") in reasons(tmp_path, [film("Film")], [trailer(title)])


def test_optional_columns_may_lack(tmp_path: Path) -> None:
    project = excels(tmp_path, [film("Film")], [trailer("Film (1999)")])
    path = project.excels / METADATA
    pd.read_csv(path).drop(columns=["genres", "duration", "num_voted_users"]).to_csv(path, index=False)
    row = catalog.load(project).films.iloc[0]
    assert (row.genres, row.youtube_id) == ("", "-dQw4w9WgXc")
    assert pd.isna(row.votes)


def test_a_title_that_looks_like_a_missing_value_is_a_title(tmp_path: Path) -> None:
    assert joined(tmp_path, [film("None")], [trailer("None (1999)")]) == {"tt0000001": "-dQw4w9WgXc"}
    assert joined(tmp_path, [film("NA")], [trailer("NA (1999)")]) == {"tt0000001": "-dQw4w9WgXc"}


def test_commas_at_the_ends_of_rows_shift_no_columns(tmp_path: Path) -> None:
    project = excels(tmp_path, [film("Film")], [])
    (project.excels / TRAILERS).write_text("youtubeId,movieId,title\n-dQw4w9WgXc,1,Film (1999),\n")
    assert catalog.load(project).films.youtube_id.tolist() == ["-dQw4w9WgXc"]


@pytest.mark.parametrize("name", [METADATA, TRAILERS])
def test_a_missing_table_is_named(tmp_path: Path, name: str) -> None:
    project = excels(tmp_path, [film("Film")], [trailer("Film (1999)")])
    (project.excels / name).unlink()
    with pytest.raises(TrailerError, match=f"{name} is missing"):
        catalog.load(project)


@pytest.mark.parametrize(
    ("name", "column"), [(METADATA, "imdb_score"), (METADATA, "movie_imdb_link"), (TRAILERS, "youtubeId")]
)
def test_a_missing_column_is_named(tmp_path: Path, name: str, column: str) -> None:
    project = excels(tmp_path, [film("Film")], [trailer("Film (1999)")])
    path = project.excels / name
    path.write_text(path.read_text().replace(column, "renamed"))
    with pytest.raises(TrailerError, match=f"{name}: no column '{column}'; it has .*renamed"):
        catalog.load(project)


@pytest.mark.parametrize(
    ("films", "trailers"),
    [([], []), ([film("Film")], []), ([], [trailer("Film (1999)")]), ([film("Film")], [trailer("Other (1999)")])],
)
def test_tables_without_a_film_in_common_are_an_error(
    tmp_path: Path, films: list[Film], trailers: list[tuple[str, str]]
) -> None:
    with pytest.raises(TrailerError, match="no film has both a score and a trailer"):
        catalog.load(excels(tmp_path, films, trailers))


@pytest.fixture
def twenty() -> tuple[list[Film], list[tuple[str, str]]]:
    films = [film(f"Film {number}", imdb_id=f"tt00000{number:02}") for number in range(20)]
    return films, [trailer(f"Film {number} (1999)", f"trailer--{number:02}") for number in range(20)]


def test_the_draw_depends_on_the_seed_alone_and_not_on_the_order_of_the_rows(
    tmp_path: Path, twenty: tuple[list[Film], list[tuple[str, str]]]
) -> None:
    films, trailers = twenty
    there = catalog.load(excels(tmp_path, films, trailers))
    back = catalog.load(excels(tmp_path, films[::-1], trailers[3:] + trailers[:3]))
    assert there.films.imdb_id.tolist() != back.films.imdb_id.tolist()
    pd.testing.assert_frame_equal(there.shuffled(0, 8), back.shuffled(0, 8))
    assert there.shuffled(0, 8).imdb_id.tolist() != there.shuffled(1, 8).imdb_id.tolist()


def test_a_draw_is_of_different_films_in_another_order(
    tmp_path: Path, twenty: tuple[list[Film], list[tuple[str, str]]]
) -> None:
    drawn = catalog.load(excels(tmp_path, *twenty)).shuffled(0, 20).imdb_id.tolist()
    assert len(set(drawn)) == 20
    assert drawn != sorted(drawn)


@pytest.mark.parametrize(("count", "expected"), [(0, 20), (1, 1), (8, 8), (20, 20), (500, 20)])
def test_as_many_films_are_drawn_as_asked_for_and_all_for_0(
    tmp_path: Path, twenty: tuple[list[Film], list[tuple[str, str]]], count: int, expected: int
) -> None:
    assert len(catalog.load(excels(tmp_path, *twenty)).shuffled(0, count)) == expected


def test_a_larger_draw_begins_with_the_smaller(
    tmp_path: Path, twenty: tuple[list[Film], list[tuple[str, str]]]
) -> None:
    result = catalog.load(excels(tmp_path, *twenty))
    pd.testing.assert_frame_equal(result.shuffled(0, 12).head(5), result.shuffled(0, 5))


def test_the_saved_table_is_the_table_and_says_whose_scores_it_holds(tmp_path: Path) -> None:
    project = excels(tmp_path, [film("Amélie, the film")], [trailer("Amélie, the film (1999)")])
    os.utime(project.excels / METADATA, (1_500_000_000, 1_500_000_000))
    result = catalog.load(project)
    result.save(tmp_path / "catalog.csv")
    saved = pd.read_csv(tmp_path / "catalog.csv", keep_default_na=False)
    assert saved.columns.tolist() == [*catalog.COLUMNS, "scores_from"]
    assert result.scores_from == "movie_metadata.csv of 2017-07-14"
    assert saved.to_dict("records") == result.films.assign(scores_from=result.scores_from).to_dict("records")


# How every row is accounted for.


def balance(result: catalog.Catalog) -> dict[str, int]:
    """Rows of each spreadsheet that are neither of a film nor dropped."""
    return {name: rows - len(result.films) - (result.dropped.file == name).sum() for name, rows in result.rows.items()}


MIXED_FILMS = [
    film("Film"), film("Film"), film("No Trailer", imdb_id="tt0000002"), film("Bad", "", imdb_id="tt0000003"),
    film("Twin", imdb_id="tt0000004"), film("Twin", imdb_id="tt0000005"), film("Eaten", imdb_id="tt0000006"),
    film("Near", imdb_id="tt0000007"), film("Two", imdb_id="tt0000008"), film("Zwei", imdb_id="tt0000009"),
]  # fmt: skip
MIXED_TRAILERS = [
    trailer("Film (1999)"), trailer("Film (1999)", "a" * 11), trailer("x"), trailer("Twin (1999)"),
    trailer("Eaten (1999)", "#NAME?"), trailer("Near (2000)"), trailer("Other (2000)"),
    trailer("Both (Two) (Zwei) (1999)"),
]  # fmt: skip


def test_every_row_of_both_tables_is_of_a_film_or_dropped_under_one_reason(tmp_path: Path) -> None:
    result = catalog.load(excels(tmp_path, MIXED_FILMS, MIXED_TRAILERS))
    assert result.rows == {METADATA: 10, TRAILERS: 8}
    assert balance(result) == {METADATA: 0, TRAILERS: 0}
    assert not result.dropped.duplicated(["file", "row"]).any()
    assert result.reasons().values.tolist() == [
        [TRAILERS, "several films have this title and year", 2],
        [TRAILERS, "another row gave the film its trailer", 1],
        [TRAILERS, "no (year) at the end of the title", 1],
        [TRAILERS, "no film of this title and year in movie_metadata.csv", 1],
        [TRAILERS, "the YouTube id is not 11 letters, digits, - or _", 1],
        [METADATA, "several films have this title and year", 4],
        [METADATA, "no trailer of this title and year in the list", 1],
        [METADATA, "no year (a series?)", 1],
        [METADATA, "the YouTube id of its trailer is damaged", 1],
        [METADATA, "the film is in another row", 1],
    ]


def test_the_dropped_rows_are_written_as_they_are_counted(tmp_path: Path) -> None:
    result = catalog.load(excels(tmp_path, MIXED_FILMS, MIXED_TRAILERS))
    result.save_dropped(tmp_path / "dropped.csv")
    saved = pd.read_csv(tmp_path / "dropped.csv", keep_default_na=False)
    assert saved.to_dict("records") == result.dropped.to_dict("records")
    assert saved[saved.row == 5].values.tolist() == [
        [TRAILERS, 5, "Twin (1999)", "several films have this title and year"],
        [METADATA, 5, "Bad", "no year (a series?)"],
    ]


def test_films_with_few_votes_are_dropped_with_both_their_rows(tmp_path: Path) -> None:
    project = excels(tmp_path, [film("Film"), film("Other", imdb_id="tt0000002")], [])
    path = project.excels / METADATA
    path.write_text(path.read_text().replace("tt0000002/?ref_=fn_tt_tt_1,Drama,90,7", "tt0000002,Drama,90,6"))
    write_csv(
        project.excels / TRAILERS, TRAILER_COLUMNS, [["a" * 11, "1", "Film (1999)"], ["b" * 11, "2", "Other (1999)"]]
    )
    result = catalog.load(project, min_votes=7)
    assert result.films.imdb_id.tolist() == ["tt0000001"]
    assert result.dropped.values.tolist() == [
        [TRAILERS, 3, "Other (1999)", "fewer than 7 votes"], [METADATA, 3, "Other", "fewer than 7 votes"]
    ]  # fmt: skip
    assert balance(result) == {METADATA: 0, TRAILERS: 0}
    with pytest.raises(TrailerError, match=r"no film .*fewer than 8 votes: 4 rows"):
        catalog.load(project, min_votes=8)


# What must not meet, though it looks alike.


def listed(root: Path, films: list[Film], rows: list[list[str]]) -> dict[str, tuple[str, str]]:
    """IMDb id -> YouTube id and how they were joined, of a trailer list of YouTube id, movieId and title."""
    project = excels(root, [*films, FILLER], [])
    write_csv(project.excels / TRAILERS, TRAILER_COLUMNS, [*rows, [FILLER_TRAILER[0], "0", FILLER_TRAILER[1]]])
    table = catalog.load(project).films.set_index("imdb_id").drop(FILLER[3])
    return {film.Index: (film.youtube_id, film.joined_by) for film in table.itertuples()}


def test_of_two_films_of_one_title_and_year_the_first_number_is_taken_and_marked(tmp_path: Path) -> None:
    """MovieLens has two Aladdins of 1992."""
    first, second = ["a" * 11, "588", "Film (1999)"], ["b" * 11, "114240", "Film (1999)"]
    taken = {"tt0000001": ("a" * 11, "first of several")}
    assert listed(tmp_path, [film("Film")], [first, second]) == taken
    assert listed(tmp_path, [film("Film")], [second, first]) == taken
    # Two trailers of one film, and one trailer listed twice, leave nothing to choose.
    for other in (["b" * 11, "588", "Film (1999)"], ["a" * 11, "114240", "Film (1999)"]):
        assert listed(tmp_path, [film("Film")], [first, other]) == {"tt0000001": ("a" * 11, "title and year")}


def test_the_trailer_of_another_film_does_not_stand_in_for_a_damaged_one(tmp_path: Path) -> None:
    eaten, other = ["#NAME?", "588", "Film (1999)"], ["b" * 11, "114240", "Film (1999)"]
    assert listed(tmp_path, [film("Film")], [eaten, other]) == {}
    assert listed(tmp_path, [film("Film")], [eaten, ["b" * 11, "588", "Film (1999)"]]) != {}


def test_a_damaged_row_of_the_right_year_keeps_the_row_of_the_next_year_away(tmp_path: Path) -> None:
    assert joined(tmp_path, [film("Film")], [trailer("Film (1999)", "#NAME?"), trailer("Film (2000)")]) == {}
    assert joined(tmp_path, [film("Film")], [trailer("Film (2000)")]) == {"tt0000001": "-dQw4w9WgXc"}


def test_a_film_without_a_score_keeps_its_trailer_from_the_film_of_the_next_year(tmp_path: Path) -> None:
    films = [film("Film", score=""), film("Film", year="2000", imdb_id="tt0000002")]
    assert joined(tmp_path, films, [trailer("Film (1999)")]) == {}
    assert joined(tmp_path, films[1:], [trailer("Film (1999)")]) == {"tt0000002": "-dQw4w9WgXc"}
    assert (TRAILERS, 2, "no score from 1 to 10") in reasons(tmp_path, films, [trailer("Film (1999)")])


def test_of_two_rows_of_a_film_the_one_with_a_score_counts(tmp_path: Path) -> None:
    films = [film("Film", score=""), film("Film", score="2.0")]
    table = catalog.load(excels(tmp_path, films, [trailer("Film (1999)")]))
    assert table.films.score.tolist() == [2.0]
    assert table.dropped[["row", "reason"]].values.tolist() == [[2, "the film is in another row"]]


def test_with_the_year_off_by_one_an_exclamation_mark_tells_two_films_apart(tmp_path: Path) -> None:
    assert joined(tmp_path, [film("Barfi")], [trailer("Barfi! (1998)")]) == {}
    assert joined(tmp_path, [film("Barfi")], [trailer("Barfi! (1999)")]) == {"tt0000001": "-dQw4w9WgXc"}
    assert joined(tmp_path, [film("Barfi!")], [trailer("Barfi! (1998)")]) == {"tt0000001": "-dQw4w9WgXc"}


def test_a_film_from_after_the_end_of_the_list_is_not_in_it(tmp_path: Path) -> None:
    """The Boy (2015) is not The Boy of 2016, when the list was made in 2015."""
    until_1998 = [trailer(f"Film {number} (1998)", f"trailer--{number:02}") for number in range(30)]
    assert joined(tmp_path, [film("Film 3")], until_1998) == {}
    assert joined(tmp_path, [film("Film 3")], [*until_1998, *(trailer(f"Late {n} (1999)") for n in range(30))]) != {}
    assert joined(tmp_path, [film("Film 3", year="1997")], until_1998) == {"tt0000001": "trailer--03"}


def test_a_game_of_the_film_has_no_running_time_and_is_dropped(tmp_path: Path) -> None:
    project = excels(tmp_path, [film("Film"), FILLER], [trailer("Film (1999)"), FILLER_TRAILER])
    path = project.excels / METADATA
    path.write_text(path.read_text().replace("tt0000001/?ref_=fn_tt_tt_1,Drama,90", "tt0000001/,Fantasy,"))
    result = catalog.load(project)
    assert result.films.imdb_id.tolist() == [FILLER[3]]
    assert "no running time (a game?)" in set(result.dropped.reason)


def test_how_each_film_was_joined_and_whether_its_trailer_is_its_own(tmp_path: Path) -> None:
    films = [film("Film"), film("Near", imdb_id="tt0000002"), film("Own", imdb_id="tt0000003")]
    trailers = [trailer("Film (1999)"), trailer("Near (2000)", "b" * 11), trailer("Own (1999)", "c" * 11)]
    table = catalog.load(excels(tmp_path, films, [*trailers, trailer("No film of the table (1980)", "b" * 11)])).films
    assert table.joined_by.tolist() == ["title and year", "year off by one", "title and year"]
    assert table.shared.tolist() == [False, True, False]
