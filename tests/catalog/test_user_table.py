"""The user's own excels/films.csv: enough by itself, and checked value by value."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from trailer_lib import Project, TrailerError, catalog, dataset
from trailer_lib.__main__ import main
from trailer_lib.catalog import COLUMNS, FILM_ID, trailer_keys
from trailer_lib.catalog.catalog import NAMESAKE, USER_TABLE, Catalog, own_id
from trailer_lib.catalog.join import BAD_ID, REPEATED
from trailer_lib.catalog.titles import NO_VIDEO
from trailer_lib.video import folder_id

LINK = "https://example.org/trailers/film.mp4"
GOOD = {"title": "Good", "year": "2001", "score": "7.5", "youtube_id": "goodgoodgo0"}
BAD_IMDB_ID = "the imdb_id is not tt and 7 to 10 digits"
BAD_LINK = "the url is no https link"
VIDEO = {"title": "Film", "year": "2100.0", "score": "10"}


def load(root: Path, rows: list[dict[str, str]], **options: Any) -> Catalog:
    (root / "excels").mkdir(exist_ok=True)
    with open(root / "excels" / USER_TABLE, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)), restval="")
        writer.writeheader()
        writer.writerows(rows)
    return catalog.load(Project.open(root), **options)


def test_title_year_score_and_trailer_are_enough(tmp_path: Path) -> None:
    result = load(tmp_path, [GOOD | {"genres": "Drama, Sci-Fi,War"}])
    assert result.films.columns.tolist() == COLUMNS
    assert result.films.drop(columns=["runtime_minutes", "votes"]).values.tolist() == [
        [own_id("Good", 2001), "Good", 2001, 7.5, "goodgoodgo0", "Drama|Sci-Fi|War", "", "", "own table", False]
    ]
    assert result.rows == {"films.csv": 1} and result.dropped.empty
    assert result.scores_from.startswith("films.csv of 20") and "no row dropped" in result.summary()


def test_the_key_is_the_imdb_id_or_depends_on_title_and_year_alone(tmp_path: Path) -> None:
    assert load(tmp_path, [GOOD | {"imdb_id": "tt0099785"}]).films.imdb_id.tolist() == ["tt0099785"]
    key = own_id("The Matrix", 1999)
    assert FILM_ID.fullmatch(key) and key == own_id("Matrix, THE", 1999)
    assert folder_id(f"The Matrix (1999) [{key}]") == key and not folder_id(f"X [{key}] x")
    assert len({key, own_id("The Matrix", 2000), own_id("Matrix", 1999)}) == 3


@pytest.mark.parametrize(("column", "value", "reason"), [
    *(("title", title, "no title") for title in ("", " \u00a0 ", r"\N")),
    ("year", "", "no year (a series?)"), ("year", "1999-2001", "the year is not a number"),
    *(("year", year, "the year is not from 1870 to 2100") for year in ("1869", "2101")),
    ("score", "", "no score"),
    *(("score", score, "the score is not a number") for score in ("75%", "nan")),
    *(("score", score, "the score is not from 1 to 10") for score in ("0.9", "10.1")),
    *(("youtube_id", text, BAD_ID) for text in ("#NAME?", "../../etc/x", "twelve-chars", "dQw4w9 gXcQ")),
    ("youtube_id", "https://www.youtube.com/user/FoxTrailers", NO_VIDEO),
    ("youtube_id", "", "neither youtube_id nor url nor file"),
    *(("imdb_id", text, BAD_IMDB_ID) for text in ("0099785", "tt12", "../tt0099785")),
    *(("url", url, BAD_LINK) for url in ("http://b.org/film.mp4", "file:///etc/passwd", "https:///film.mp4")),
    *(("url", f"https://{rest}", BAD_LINK) for rest in ("a:secret@b.org/f", "b.org/a film", "b.org/\nHost: x")),
    *(("url", f"https://{rest}", BAD_LINK) for rest in ("b.org:port/film", "[b.org/f", "b.org/" + "x" * 2000)),
])  # fmt: skip
def test_a_bad_value_drops_its_row_with_the_reason(tmp_path: Path, column: str, value: str, reason: str) -> None:
    bad = GOOD | {"title": "Bad", "youtube_id": "badbadbadb0"} | {column: value}
    result = load(tmp_path, [GOOD | {"url": LINK, "imdb_id": "tt0000001"}, bad])
    assert result.films.title.tolist() == ["Good"]
    assert result.dropped.values.tolist() == [["films.csv", 3, "Bad" if column != "title" else "", reason]]


def test_two_films_of_one_title_and_year_are_told_apart_by_their_ids_or_trailers(tmp_path: Path) -> None:
    other = GOOD | {"youtube_id": "otherother0"}
    numbered = [GOOD | {"youtube_id": "thirdthird0", "imdb_id": key} for key in ("tt0000001", "tt0000002")]
    films = load(tmp_path, [GOOD, other, *numbered]).films
    assert len(set(films.imdb_id)) == 4 and own_id("Good", 2001) not in set(films.imdb_id)
    assert set(load(tmp_path, [other, GOOD]).films.imdb_id) < set(films.imdb_id)  # in any order of the rows


@pytest.mark.parametrize(("rows", "reason"), [
    ([{}, {"title": "GOOD"}], REPEATED),
    ([{"imdb_id": "tt0000001"}, {"imdb_id": "tt0000001", "title": "Other", "youtube_id": "otherother0"}], REPEATED),
    ([{}, {"score": "1"}], NAMESAKE), ([{"imdb_id": "tt0000001"}, {"score": "1"}], NAMESAKE),
])  # fmt: skip
def test_a_film_listed_twice_counts_once(tmp_path: Path, rows: list[dict[str, str]], reason: str) -> None:
    result = load(tmp_path, [GOOD | row for row in rows])
    assert result.films.score.tolist() == [7.5] and result.films.title.tolist() == ["Good"]
    assert result.dropped[["row", "reason"]].values.tolist() == [[3, reason]]
    assert result.films.shared[0] == (reason == NAMESAKE) and "give an imdb_id" in NAMESAKE


def test_a_table_of_pictures_needs_no_trailers_but_ids(tmp_path: Path) -> None:
    poster = {"title": "Film", "year": "1870", "score": "1", "imdb_id": "tt0000007"}
    films = load(tmp_path, [poster, poster | {"imdb_id": "tt0000008"}, poster | {"imdb_id": ""}]).films
    assert films.imdb_id.tolist() == ["tt0000007", "tt0000008"] and not films.shared.any()
    assert trailer_keys(films).tolist() == ["tt0000007", "tt0000008"]
    with pytest.raises(TrailerError, match=r"films\.csv: no column 'youtube_id', 'url' or 'file', nor 'imdb_id'"):
        load(tmp_path, [{"title": "Film", "year": "1870", "score": "1"}])


def test_a_table_without_a_good_row_says_all_reasons_and_writes_the_rows(tmp_path: Path) -> None:
    rows = [GOOD | {"score": "x"}, GOOD | {"score": "y"}, GOOD | {"year": "x", "title": ""}]
    with pytest.raises(TrailerError) as caught:
        load(tmp_path, rows, dropped_to=tmp_path / "dropped.csv")
    assert "the score is not a number: 2 rows; no title: 1 rows; the year is not a number: 1 rows" in str(caught.value)
    assert f"all rows are in {tmp_path / 'dropped.csv'}" in str(caught.value)
    saved = pd.read_csv(tmp_path / "dropped.csv")
    assert saved.reason.tolist() == [*["the score is not a number"] * 2, "no title; the year is not a number"]


def test_no_table_is_written_over_one_that_was_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load(tmp_path, [GOOD])
    table = tmp_path / "excels" / "films.csv"
    text = table.read_text()
    (tmp_path / "link.csv").symlink_to(table)
    for flag, path in (("--csv", table), ("--dropped", tmp_path / "link.csv")):
        assert main(["catalog", "--root", str(tmp_path), flag, str(path)]) == 1
        assert "is not written over: name another file" in capsys.readouterr().err
    assert table.read_text() == text
    assert main(["catalog", "--root", str(tmp_path), "--csv", str(tmp_path / "excels" / "other.csv")]) == 0


def test_a_saved_catalogue_is_a_table_of_ones_own(frames_root: Path, tmp_path: Path) -> None:
    first = catalog.load(Project.open(frames_root))
    first.save(tmp_path / "excels" / USER_TABLE)
    again = catalog.load(Project.open(tmp_path))
    assert again.scores_from == first.scores_from and again.dropped.empty
    pd.testing.assert_frame_equal(again.films.drop(columns="joined_by"), first.films.drop(columns="joined_by"))
    titles = ["None", "NaN", "NA", "null", "N/A"]  # like a missing value
    load(tmp_path, [GOOD | {"title": title} for title in titles]).save(tmp_path / "saved.csv")
    (tmp_path / "saved.csv").replace(tmp_path / "excels" / USER_TABLE)
    assert catalog.load(Project.open(tmp_path)).films.title.tolist() == titles


def test_the_scores_are_of_the_file_unless_its_rows_agree_on_another(tmp_path: Path) -> None:
    for texts in (["a", "b"], ["a", ""], ["\x1b[31mred\nline"] * 2):
        rows = [GOOD | {"title": str(number), "scores_from": text} for number, text in enumerate(texts)]
        assert load(tmp_path, rows).scores_from.startswith("films.csv of 20")


def test_links_to_youtube_in_either_column_and_to_imdb_are_read_as_ids(tmp_path: Path) -> None:
    links = ["https://www.youtube.com/watch?v=abcdefghij1&t=3", "youtu.be/abcdefghij1"]
    rows = [{column: link} for column in ("youtube_id", "url") for link in links]
    films = load(tmp_path, [VIDEO | row | {"title": str(number)} for number, row in enumerate(rows)]).films
    assert films[["youtube_id", "url"]].values.tolist() == [["abcdefghij1", ""]] * 4
    links = ["https://www.imdb.com/title/tt0133095/?ref_=x", "http://m.imdb.com/de/title/tt0133096"]
    rows = [GOOD | {"imdb_id": link} for link in [*links, "https://example.org/title/tt0133097/"]]
    assert load(tmp_path, rows).films.imdb_id.tolist() == ["tt0133095", "tt0133096"]


def test_a_german_spreadsheet_in_a_code_page_is_read_and_the_code_page_named(tmp_path: Path) -> None:
    assert "UTF-8" not in load(tmp_path, [GOOD]).summary()
    rows = "sep=;\ntitle;year;score;youtube_id;votes;runtime_minutes\nBrücke;31.03.1999;7,5;abcdefghij1;12.345;90,0\n"
    (tmp_path / "excels" / USER_TABLE).write_text(rows, encoding="cp1252")
    result = catalog.load(Project.open(tmp_path))
    film = result.films.iloc[0]
    assert (film.year, film.score, film.votes, film.runtime_minutes) == (1999, 7.5, 12345, 90)
    assert "films.csv: not UTF-8, read as Windows-1252: 'Brücke' should be a word" in result.summary()


def test_a_file_of_ones_own_is_a_trailer(tmp_path: Path) -> None:
    rows = [VIDEO | {"title": str(n), "file": file} for n, file in enumerate(["a.mp4", "b.mp4", "b.mp4", ""])]
    result = load(tmp_path, rows)
    assert result.films.file.tolist() == trailer_keys(result.films).tolist() == ["a.mp4", "b.mp4", "b.mp4"]
    assert result.films.shared.tolist() == [False, True, True]
    assert result.dropped.reason.tolist() == ["neither youtube_id nor url nor file"]


def test_a_dataset_is_built_of_posters_without_trailers(frames_root: Path, copy_of: Callable) -> None:
    project = copy_of(frames_root)
    films = catalog.load(project).films
    for path in project.images.glob("*/*"):
        if path.name != "0.jpg":
            path.unlink()
    load(project.root, films[["title", "year", "score", "imdb_id"]].astype(str).to_dict("records"))
    data = dataset.build(project, project.settings("dataset", min_frames=1))
    assert set(data.films.imdb_id) == set(films.imdb_id) and set(data.films["count"]) == {1}
