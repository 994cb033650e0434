"""Which film a title, a link or a file's name means."""

import pandas as pd
import pytest

from trailer_lib import TrailerError
from trailer_lib.catalog import explain_files, find_film, youtube_id
from trailer_lib.catalog.titles import title_key

FILMS = pd.DataFrame(
    [
        ["tt0099785", "Home Alone", 1990, "homealone-1", "", False],
        ["tt0000002", "Se7en: Part II", 1995, "_seven-7_id", "", False],
        ["own-0123456789", "Łódź", 2001, "", "My own Trailer.MP4", False],
        ["tt0000004", "Pinocchio", 2022, "pinocchio01", "", False],
        ["tt0000005", "Pinocchio", 2022, "pinocchio02", "", False],
        ["tt0000006", "One Trailer", 1999, "sharedshare", "", True],
        ["tt0000007", "For Two", 1999, "sharedshare", "", True],
    ],
    columns=["imdb_id", "title", "year", "youtube_id", "file", "shared"],
)


@pytest.mark.parametrize(("one", "other"), [
    ("The Matrix", "Matrix, The"), ("L'avventura", "Avventura, L'"), ("AMÉLIE", "Ame\u0301lie"),
    ("Bonnie & Clyde", "Bonnie and Clyde"), *((f"Ocean{mark}s Eleven", "Oceans Eleven") for mark in "'’´`‘"),
    ("Mission_ Impossible", "Mission: Impossible"), ("Rocky: Part II", "Rocky: Part 2"), ("Oldboy", "Old Boy"),
    ("Łódź", "Lodz"), ("Đặng", "Dang"), ("Ǿ", "O"), ("Garður", "Gardur"), ("Þór", "Thor"), ("Kış", "Kis"),
    ("Straße™", "STRASSETM"), ("Æon", "Aeon"), ("Cœur", "Coeur"), ("ΖΟΡΜΠΑΣ", "Ζορμπάς"), ("パ", "ハ\u309a"),
    ("ﾊﾟ", "パ"), ("İstanbul", "istanbul"), ("I ❤️ You", "I ❤ You"),
])  # fmt: skip
def test_spellings_of_one_title(one: str, other: str) -> None:
    assert title_key(one) == title_key(other)


@pytest.mark.parametrize(("one", "other"), [
    ("パパ", "ハハ"), ("कला", "किला"), ("कला", "कल"), ("มา", "มี"), ("ป่า", "ป้า"), ("كَتَبَ", "كُتِبَ"), ("أب", "اب"),
    ("שָׁלוֹם", "שִׁלוּם"), ("й", "и"), ("கா", "கி"), ("Matrix", "Matrix, The"), ("The Matrix", "Matrix, Das"),
    ("Halloween", "Halloween II"), ("Nine", "9"), ("Malcolm 10", "Malcolm X"), ("Se7en", "Seven"),
    ("$", "?"), ("Alien", "Aliens"),
])  # fmt: skip
def test_titles_that_differ(one: str, other: str) -> None:
    assert title_key(one) != title_key(other)


@pytest.mark.parametrize("link", [
    "https://m.youtube.com/watch?feature=share&v=abcdefghij1&t=3", "https://youtu.be/abcdefghij1?si=x",
    "youtu.be/abcdefghij1", "www.youtube.com/shorts/abcdefghij1/",
    "https://www.youtube-nocookie.com/embed/abcdefghij1", "https://www.youtube.com:443/live/abcdefghij1?feature=x",
    "http://youtube.com/v/abcdefghij1", "//music.youtube.com/watch?v=abcdefghij1", "HTTPS://YOUTU.BE/abcdefghij1",
])  # fmt: skip
def test_the_id_of_a_link_to_a_video(link: str) -> None:
    assert youtube_id(link) == "abcdefghij1"


@pytest.mark.parametrize("place", [
    "embed/videoseries?list=PLabcdefghijkl", "embed/live_stream?channel=UCabc", "user/FoxTrailers", "c/moviemagnet",
    "hashtag/newtrailers", "@newtrailers", "@newtrailer/videos", "channel/UCabcdefghi", "playlist?v=abcdefghij1",
    "newtrailers", "watch?list=abcdefghij1", "watch?v=short", "results?search_query=abcdefghij1", "",
])  # fmt: skip
def test_a_link_to_youtube_that_is_of_no_video_is_refused_in_words(place: str) -> None:
    with pytest.raises(TrailerError, match="no video's id in this link: copy the link of one video"):
        youtube_id(f"https://www.youtube.com/{place}")


@pytest.mark.parametrize(
    "link", ["https://example.org/watch?v=abcdefghij1", "https://notyoutube.com/v/abcdefghij1",
             "https://youtube.com.evil.example/v/abcdefghij1", "https://youtube.com:443@evil.example/v/abcdefghij1"]
)  # fmt: skip
def test_another_sites_link_has_no_id(link: str) -> None:
    assert youtube_id(link) == ""


@pytest.mark.parametrize(("name", "imdb_id"), [
    *((name, "tt0099785") for name in (
        "homealone-1.mp4", "homealone-1", "Home Alone ｜ Trailer [homealone-1].mp4", "X [homealone-1].f137.webm",
        "Official Trailer-homealone-1.mkv", "tt0099785.mov", "some/where/film_tt0099785_hd.mp4",
        "Home Alone (1990) [tt0099785]", "Home Alone (1990).mp4", "home_alone (1990) - Trailer 2.MP4",
        "https://youtu.be/homealone-1",
    )),
    ("Part Two-_seven-7_id.mp4", "tt0000002"), ("Se7en_ Part 2 (1995).mp4", "tt0000002"),
    *((name, "own-0123456789") for name in ("Lodz (2001).mp4", "x\\my own trailer.mp4", "own-0123456789.mp4")),
    ("One Trailer (1999).mp4", "tt0000006"),
])  # fmt: skip
def test_a_name_that_tells_its_film(name: str, imdb_id: str) -> None:
    assert find_film(name, FILMS)["imdb_id"] == imdb_id


@pytest.mark.parametrize("name", [
    "Home Alone.mp4", "Home Alone (1991).mp4", "Pinocchio (2022).mp4", "[homealone-1] X.mp4", "xhomealone-1.mp4",
    "butt0099785.mp4", "tt00997851234.mp4", "HOMEALONE-1.mp4", "unknownunkn.mp4", "sharedshare.mp4",
    "https://youtu.be/sharedshare", "https://example.org/homealone-1", "",
])  # fmt: skip
def test_a_name_that_tells_none_or_several(name: str) -> None:
    assert find_film(name, FILMS) == {}


def test_files_of_a_folder_are_matched_to_films() -> None:
    names = ["Home Alone (1990).mp4", "homealone-1.webm", "notes.mp4", "X [sharedshare].mp4", "My own Trailer.MP4"]
    assert explain_files(names, FILMS) == {
        "tt0099785": ("homealone-1.webm", "YouTube id"),
        "own-0123456789": ("My own Trailer.MP4", "file"),
        "tt0000006": ("X [sharedshare].mp4", "YouTube id"),
        "tt0000007": ("X [sharedshare].mp4", "YouTube id"),
    }
    matches = explain_files(["Home Alone (1990).mp4", "tt0000004.mp4"], FILMS.drop(columns="file"))
    assert [how for _, how in matches.values()] == ["title and year", "IMDb id"] and explain_files([], FILMS) == {}
