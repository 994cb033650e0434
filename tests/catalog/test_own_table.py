"""The user's own excels/films.csv: enough by itself, and checked value by value."""

import csv
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from trailer_lib import Project, TrailerError
from trailer_lib.catalog import catalog, join
from trailer_lib.catalog.titles import FILM_ID
from trailer_lib.dataset import builder, dataset
from trailer_lib.video import frame_folder

LINK = "https://example.org/trailers/film.mp4"
GOOD = {"title": "Good", "year": "2001", "score": "7.5", "youtube_id": "goodgoodgo0"}


def load(root: Path, rows: list[dict[str, str]], **options: int) -> catalog.Catalog:
    (root / "excels").mkdir(exist_ok=True)
    with open(root / "excels" / catalog.USER_TABLE, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)), restval="")
        writer.writeheader()
        writer.writerows(rows)
    return catalog.load(Project.open(root), **options)


def test_title_year_score_and_trailer_are_enough(tmp_path: Path) -> None:
    found = load(tmp_path, [GOOD])
    assert found.films.columns.tolist() == catalog.COLUMNS
    assert found.films.drop(columns=["runtime_minutes", "votes"]).to_dict("records") == [
        {
            "imdb_id": catalog.own_id("Good", 2001), "title": "Good", "year": 2001, "score": 7.5,
            "youtube_id": "goodgoodgo0", "genres": "", "url": "", "joined_by": "own table", "shared": False,
        }
    ]  # fmt: skip
    assert found.rows == {"films.csv": 1} and found.dropped.empty
    assert found.scores_from.startswith("films.csv of 20") and "no row dropped" in found.summary()


def test_it_goes_before_the_other_tables(frames_root: Path, tmp_path: Path) -> None:
    (tmp_path / "excels").mkdir()
    for path in (frames_root / "excels").iterdir():
        (tmp_path / "excels" / path.name).write_bytes(path.read_bytes())
    assert len(catalog.load(Project.open(tmp_path)).films) > 1
    assert load(tmp_path, [GOOD]).films.title.tolist() == ["Good"]


def test_a_link_may_stand_in_place_of_a_youtube_id(tmp_path: Path) -> None:
    films = load(tmp_path, [{"title": "Film", "year": "1999", "score": "5", "url": LINK}]).films
    assert films[["youtube_id", "url"]].values.tolist() == [["", LINK]]


def test_an_imdb_id_is_the_films_key(tmp_path: Path) -> None:
    assert load(tmp_path, [GOOD | {"imdb_id": "tt0099785"}]).films.imdb_id.tolist() == ["tt0099785"]


def test_the_key_of_a_film_without_one_depends_on_its_title_and_year_alone(tmp_path: Path) -> None:
    key = catalog.own_id("The Matrix", 1999)
    assert FILM_ID.fullmatch(key) and FILM_ID.fullmatch(key)
    assert key == catalog.own_id("Matrix, THE", 1999)
    assert len({key, catalog.own_id("The Matrix", 2000), catalog.own_id("Matrix", 1999)}) == 3


def test_the_folder_of_a_film_with_a_key_of_its_own_is_found_by_it(tmp_path: Path) -> None:
    key = catalog.own_id("Good", 2001)
    assert frame_folder.folder_id(frame_folder.folder_name(key, "Good", 2001)) == key


@pytest.mark.parametrize(
    "name", ["Film [own-12345]", "Film [own-12345678ZZ]", "Film [own-1234567890] x", "[own-1234567890]\n"]
)
def test_what_is_no_key_of_its_own_is_none(name: str) -> None:
    assert frame_folder.folder_id(name) is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"title": ""}, "no title"),
        ({"title": " \u00a0 "}, "no title"),
        ({"year": ""}, "no year (a series?)"),
        ({"year": "MMI"}, "no year (a series?)"),
        ({"year": "1869"}, "the year is not from 1870 to 2100"),
        ({"year": "2101"}, "the year is not from 1870 to 2100"),
        ({"score": ""}, "no score from 1 to 10"),
        ({"score": "0.9"}, "no score from 1 to 10"),
        ({"score": "10.1"}, "no score from 1 to 10"),
        ({"score": "75%"}, "no score from 1 to 10"),
        ({"score": "nan"}, "no score from 1 to 10"),
        ({"youtube_id": "#NAME?"}, join.BAD_ID),
        ({"youtube_id": "../../etc/x"}, join.BAD_ID),
        ({"youtube_id": "https://youtu.be/goodgoodgo0"}, join.BAD_ID),
        ({"youtube_id": ""}, "neither youtube_id nor url"),
        ({"imdb_id": "0099785"}, "the imdb_id is not tt and 7 to 10 digits"),
        ({"imdb_id": "tt12"}, "the imdb_id is not tt and 7 to 10 digits"),
        ({"imdb_id": "../tt0099785"}, "the imdb_id is not tt and 7 to 10 digits"),
        ({"url": "http://example.org/film.mp4"}, "the url is no https link"),
        ({"url": "file:///etc/passwd"}, "the url is no https link"),
        ({"url": "ftp://example.org/film.mp4"}, "the url is no https link"),
        ({"url": "https:///film.mp4"}, "the url is no https link"),
        ({"url": "https://name:secret@example.org/film.mp4"}, "the url is no https link"),
        ({"url": "https://example.org/a film.mp4"}, "the url is no https link"),
        ({"url": "https://example.org/film.mp4\nHost: x"}, "the url is no https link"),
        ({"url": "https://example.org:port/film.mp4"}, "the url is no https link"),
        ({"url": "https://[example.org/film.mp4"}, "the url is no https link"),
        ({"url": "https://example.org/" + "x" * 2000}, "the url is no https link"),
        ({"url": "film.mp4"}, "the url is no https link"),
    ],
)
def test_a_bad_value_drops_its_row_under_one_reason(tmp_path: Path, change: dict[str, str], reason: str) -> None:
    bad = GOOD | {"title": "Bad", "youtube_id": "badbadbadb0"} | change
    found = load(tmp_path, [GOOD | {"url": LINK, "imdb_id": "tt0000001"}, bad])
    assert found.films.title.tolist() == ["Good"]
    assert found.dropped.values.tolist() == [["films.csv", 3, " ".join(bad["title"].split()), reason]]


@pytest.mark.parametrize("change", [{"year": "1870"}, {"year": "2100.0"}, {"score": "1"}, {"score": "10"}])
def test_the_values_at_the_ends_are_good(tmp_path: Path, change: dict[str, str]) -> None:
    assert len(load(tmp_path, [GOOD | change]).films) == 1


def test_a_film_listed_twice_counts_once(tmp_path: Path) -> None:
    found = load(tmp_path, [GOOD, GOOD | {"title": "GOOD", "score": "1"}, GOOD | {"year": "2002"}])
    assert found.films.score.tolist() == [7.5, 7.5]
    assert found.dropped.values.tolist() == [["films.csv", 3, "GOOD", "the film is in another row"]]
    assert found.films.shared.all()


def test_few_votes_and_unknown_votes_are_dropped_when_votes_are_asked_for(tmp_path: Path) -> None:
    rows = [GOOD | {"title": title, "votes": votes} for title, votes in (("A", "10"), ("B", "9"), ("C", ""))]
    assert len(load(tmp_path, rows).films) == 3
    assert load(tmp_path, rows, min_votes=10).films.title.tolist() == ["A"]


def test_genres_may_be_parted_by_commas(tmp_path: Path) -> None:
    assert load(tmp_path, [GOOD | {"genres": "Drama, Sci-Fi,War"}]).films.genres.tolist() == ["Drama|Sci-Fi|War"]


def test_without_a_column_for_the_trailer_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrailerError, match=r"films\.csv: no column 'youtube_id' and no 'url'"):
        load(tmp_path, [{"title": "Film", "year": "1999", "score": "5"}])


def test_a_table_of_pictures_needs_no_trailers_but_ids(tmp_path: Path) -> None:
    poster = {"title": "Film", "year": "1999", "score": "5", "imdb_id": "tt0000007"}
    films = load(tmp_path, [poster, poster | {"imdb_id": "tt0000008"}, poster | {"imdb_id": ""}]).films
    assert films.imdb_id.tolist() == ["tt0000007", "tt0000008"] and not films.shared.any()
    assert catalog.trailer_keys(films).tolist() == ["tt0000007", "tt0000008"]
    again = load(tmp_path, [poster | {"youtube_id": ""}, poster | {"imdb_id": "tt0000008", "youtube_id": ""}])
    assert again.films.imdb_id.tolist() == films.imdb_id.tolist()


@pytest.mark.parametrize("column", ["title", "year", "score"])
def test_a_missing_column_is_named(tmp_path: Path, column: str) -> None:
    with pytest.raises(TrailerError, match=rf"films\.csv: no column '{column}'.*expected title, year, score"):
        load(tmp_path, [{name: value for name, value in GOOD.items() if name != column}])


def test_a_table_without_a_good_row_says_the_commonest_reason(tmp_path: Path) -> None:
    with pytest.raises(TrailerError, match=r"no film has both .*no score from 1 to 10: 2 rows"):
        load(tmp_path, [GOOD | {"score": "x"}, GOOD | {"score": "y"}, GOOD | {"year": "x"}])


def test_a_saved_catalogue_is_a_table_of_ones_own(frames_root: Path, tmp_path: Path) -> None:
    first = catalog.load(Project.open(frames_root))
    first.save(tmp_path / "excels" / catalog.USER_TABLE)
    again = catalog.load(Project.open(tmp_path))
    assert again.scores_from == first.scores_from and again.dropped.empty
    pd.testing.assert_frame_equal(again.films.drop(columns="joined_by"), first.films.drop(columns="joined_by"))
    pd.testing.assert_frame_equal(
        again.shuffled(0, 9).drop(columns="joined_by"), first.shuffled(0, 9).drop(columns="joined_by")
    )


@pytest.mark.parametrize("said", [["a", "b"], ["a", ""], ["\x1b[31mred\nline"] * 2])
def test_where_the_scores_are_from_is_said_by_the_file_unless_its_rows_agree(tmp_path: Path, said: list[str]) -> None:
    rows = [GOOD | {"title": str(number), "scores_from": text} for number, text in enumerate(said)]
    assert load(tmp_path, rows).scores_from.startswith("films.csv of 20")


def test_films_that_share_a_link_stay_in_one_split_and_others_are_spread(tmp_path: Path) -> None:
    rows = [
        {"title": f"Film {n}", "year": "1999", "score": "5", "url": f"https://example.org/{n // 2}.mp4"}
        for n in range(200)
    ]
    keys = catalog.trailer_keys(load(tmp_path, rows).films)
    splits = [dataset.split_of(key, dataset.DatasetSettings()) for key in keys]
    assert splits[::2] == splits[1::2] and set(splits) == {"train", "val", "test"}


def test_a_dataset_is_built_of_films_with_keys_and_links_of_their_own(frames_root: Path, copy_of: Callable) -> None:
    project = copy_of(frames_root)
    rows = []
    for number, film in enumerate(catalog.load(project).films.itertuples()):
        title, link = str(300 + number), f"https://example.org/{number // 2}.mp4"
        rows.append({"title": title, "year": str(film.year), "score": str(film.score), "url": link})
        (folder,) = project.images.glob(f"*{film.imdb_id}*")
        key = catalog.own_id(title, film.year)
        folder.rename(project.images / frame_folder.folder_name(key, title, film.year))
    films = load(project.root, rows).films
    built = builder.build(project, project.settings("dataset"))
    table = dataset.Dataset.open(project).films
    assert len(table) == len(rows) and built.card["left_out"] == {}
    assert set(table.imdb_id) == set(films.imdb_id) and set(table.title) == {row["title"] for row in rows}
    assert set(table.youtube_id) == {""}
    assert (table.groupby("url").split.nunique() == 1).all() and table.split.nunique() == 3


def test_a_dataset_is_built_of_posters_without_trailers(frames_root: Path, copy_of: Callable) -> None:
    project = copy_of(frames_root)
    rows = []
    for film in catalog.load(project).films.itertuples():
        (folder,) = project.images.glob(f"*{film.imdb_id}*")
        for path in folder.iterdir():
            if path.name != "0.jpg":
                path.unlink()
        facts = {"title": film.title, "year": str(film.year), "score": str(film.score), "imdb_id": film.imdb_id}
        rows.append(facts)
    load(project.root, rows)
    data = builder.build(project, project.settings("dataset", min_frames=1))
    assert data.films["count"].tolist() == [1] * len(rows) == [1] * len(data.frames)
    assert data.films.split.tolist() == [
        dataset.split_of(film_id, project.settings("dataset")) for film_id in data.films.imdb_id
    ]
