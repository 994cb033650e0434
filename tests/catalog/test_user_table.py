"""The user's own excels/films.csv: enough by itself, and checked value by value."""

import csv
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from trailer_lib import Project, TrailerError, catalog, dataset
from trailer_lib.catalog import COLUMNS, FILM_ID, trailer_keys
from trailer_lib.catalog.catalog import USER_TABLE, Catalog, own_id
from trailer_lib.catalog.join import BAD_ID, REPEATED
from trailer_lib.video.frame_folder import folder_id, folder_name

LINK = "https://example.org/trailers/film.mp4"
GOOD = {"title": "Good", "year": "2001", "score": "7.5", "youtube_id": "goodgoodgo0"}
BAD_IMDB_ID = "the imdb_id is not tt and 7 to 10 digits"
BAD_LINK = "the url is no https link"


def load(root: Path, rows: list[dict[str, str]], **options: int) -> Catalog:
    (root / "excels").mkdir(exist_ok=True)
    with open(root / "excels" / USER_TABLE, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)), restval="")
        writer.writeheader()
        writer.writerows(rows)
    return catalog.load(Project.open(root), **options)


def test_title_year_score_and_trailer_are_enough(tmp_path: Path) -> None:
    result = load(tmp_path, [GOOD])
    assert result.films.columns.tolist() == COLUMNS
    assert result.films.drop(columns=["runtime_minutes", "votes"]).to_dict("records") == [
        {
            "imdb_id": own_id("Good", 2001), "title": "Good", "year": 2001, "score": 7.5, "url": "", "genres": "",
            "youtube_id": "goodgoodgo0", "joined_by": "own table", "shared": False,
        }
    ]  # fmt: skip
    assert result.rows == {"films.csv": 1} and result.dropped.empty
    assert result.scores_from.startswith("films.csv of 20") and "no row dropped" in result.summary()


def test_it_goes_before_the_other_tables(frames_root: Path, copy_of: Callable) -> None:
    project = copy_of(frames_root)
    assert len(catalog.load(project).films) > 1
    assert load(project.root, [GOOD]).films.title.tolist() == ["Good"]


def test_the_key_is_the_imdb_id_or_depends_on_title_and_year_alone(tmp_path: Path) -> None:
    assert load(tmp_path, [GOOD | {"imdb_id": "tt0099785"}]).films.imdb_id.tolist() == ["tt0099785"]
    key = own_id("The Matrix", 1999)
    assert FILM_ID.fullmatch(key) and key == own_id("Matrix, THE", 1999)
    assert len({key, own_id("The Matrix", 2000), own_id("Matrix", 1999)}) == 3


def test_the_folder_of_a_film_with_a_key_of_its_own_is_found_by_it() -> None:
    key = own_id("Good", 2001)
    assert folder_id(folder_name(key, "Good", 2001)) == key
    for name in ("Film [own-12345]", "Film [own-12345678ZZ]", "Film [own-1234567890] x", "[own-1234567890]\n"):
        assert folder_id(name) is None


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        *(("title", title, "no title") for title in ("", " \u00a0 ")),
        *(("year", year, "no year (a series?)") for year in ("", "MMI")),
        *(("year", year, "the year is not from 1870 to 2100") for year in ("1869", "2101")),
        *(("score", score, "no score from 1 to 10") for score in ("", "0.9", "10.1", "75%", "nan")),
        *(("youtube_id", text, BAD_ID) for text in ("#NAME?", "../../etc/x")),
        ("youtube_id", "", "neither youtube_id nor url"),
        *(("imdb_id", text, BAD_IMDB_ID) for text in ("0099785", "tt12", "../tt0099785")),
        *(("url", url, BAD_LINK) for url in ("http://example.org/film.mp4", "file:///etc/passwd", "film.mp4")),
        *(("url", url, BAD_LINK) for url in ("https:///film.mp4", "https://name:secret@example.org/film.mp4")),
        *(("url", url, BAD_LINK) for url in ("https://example.org/a film.mp4", "https://example.org/a\nHost: x")),
        *(("url", url, BAD_LINK) for url in ("https://example.org:port/film.mp4", "https://[example.org/film.mp4")),
        ("url", "https://example.org/" + "x" * 2000, BAD_LINK),
    ],
)
def test_a_bad_value_drops_its_row_with_the_reason(tmp_path: Path, column: str, value: str, reason: str) -> None:
    bad = GOOD | {"title": "Bad", "youtube_id": "badbadbadb0"} | {column: value}
    result = load(tmp_path, [GOOD | {"url": LINK, "imdb_id": "tt0000001"}, bad])
    assert result.films.title.tolist() == ["Good"]
    assert result.dropped.values.tolist() == [["films.csv", 3, " ".join(bad["title"].split()), reason]]


@pytest.mark.parametrize("change", [{"year": "1870"}, {"year": "2100.0"}, {"score": "1"}, {"score": "10"}])
def test_the_values_at_the_ends_are_good(tmp_path: Path, change: dict[str, str]) -> None:
    assert len(load(tmp_path, [GOOD | change]).films) == 1


def test_a_film_listed_twice_counts_once(tmp_path: Path) -> None:
    result = load(tmp_path, [GOOD, GOOD | {"title": "GOOD", "score": "1"}, GOOD | {"year": "2002"}])
    assert result.films.score.tolist() == [7.5, 7.5]
    assert result.dropped.values.tolist() == [["films.csv", 3, "GOOD", REPEATED]]
    assert result.films.shared.all()


def test_few_votes_and_unknown_votes_are_dropped_when_votes_are_asked_for(tmp_path: Path) -> None:
    rows = [GOOD | {"title": title, "votes": votes} for title, votes in (("A", "10"), ("B", "9"), ("C", ""))]
    assert len(load(tmp_path, rows).films) == 3
    assert load(tmp_path, rows, min_votes=10).films.title.tolist() == ["A"]


def test_genres_may_be_parted_by_commas(tmp_path: Path) -> None:
    assert load(tmp_path, [GOOD | {"genres": "Drama, Sci-Fi,War"}]).films.genres.tolist() == ["Drama|Sci-Fi|War"]


def test_a_table_of_pictures_needs_no_trailers_but_ids(tmp_path: Path) -> None:
    poster = {"title": "Film", "year": "1999", "score": "5", "imdb_id": "tt0000007"}
    films = load(tmp_path, [poster, poster | {"imdb_id": "tt0000008"}, poster | {"imdb_id": ""}]).films
    assert films.imdb_id.tolist() == ["tt0000007", "tt0000008"] and not films.shared.any()
    assert trailer_keys(films).tolist() == ["tt0000007", "tt0000008"]


@pytest.mark.parametrize("column", ["title", "year", "score", "youtube_id"])
def test_a_missing_column_is_named(tmp_path: Path, column: str) -> None:
    with pytest.raises(TrailerError, match=rf"films\.csv: no column '{column}'"):
        load(tmp_path, [{name: value for name, value in GOOD.items() if name != column}])


def test_a_table_without_a_good_row_says_the_commonest_reason(tmp_path: Path) -> None:
    with pytest.raises(TrailerError, match=r"no film has both .*no score from 1 to 10: 2 rows"):
        load(tmp_path, [GOOD | {"score": "x"}, GOOD | {"score": "y"}, GOOD | {"year": "x"}])


def test_a_saved_catalogue_is_a_table_of_ones_own(frames_root: Path, tmp_path: Path) -> None:
    first = catalog.load(Project.open(frames_root))
    first.save(tmp_path / "excels" / USER_TABLE)
    again = catalog.load(Project.open(tmp_path))
    assert again.scores_from == first.scores_from and again.dropped.empty
    pd.testing.assert_frame_equal(again.films.drop(columns="joined_by"), first.films.drop(columns="joined_by"))


@pytest.mark.parametrize("texts", [["a", "b"], ["a", ""], ["\x1b[31mred\nline"] * 2])
def test_the_scores_are_of_the_file_unless_its_rows_agree_on_another(tmp_path: Path, texts: list[str]) -> None:
    rows = [GOOD | {"title": str(number), "scores_from": text} for number, text in enumerate(texts)]
    assert load(tmp_path, rows).scores_from.startswith("films.csv of 20")


def test_films_that_share_a_link_have_one_key(tmp_path: Path) -> None:
    film = {"year": "1999", "score": "5"}
    rows = [film | {"title": f"Film {n}", "url": f"https://example.org/{n // 2}.mp4"} for n in range(4)]
    keys = trailer_keys(load(tmp_path, rows).films).tolist()
    assert keys[::2] == keys[1::2] == ["https://example.org/0.mp4", "https://example.org/1.mp4"]


def test_a_dataset_is_built_of_posters_without_trailers(frames_root: Path, copy_of: Callable) -> None:
    project = copy_of(frames_root)
    films = catalog.load(project).films
    for path in project.images.glob("*/*"):
        if path.name != "0.jpg":
            path.unlink()
    load(project.root, films[["title", "year", "score", "imdb_id"]].astype(str).to_dict("records"))
    data = dataset.build(project, project.settings("dataset", min_frames=1))
    assert set(data.films.imdb_id) == set(films.imdb_id) and set(data.films["count"]) == {1}
