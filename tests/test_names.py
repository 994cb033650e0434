"""About 440 hostile titles become folders: each film its own, on every disk, none outside the root, always the same."""

import csv
import os
import re
import unicodedata
from pathlib import Path

import pytest
from conftest import SHARED

from trailer_lib import files
from trailer_lib.video import frame_folder

REAL = SHARED / "real" / "excels" / "movie_metadata.csv"
UNSAFE = ':/?*"<>|'
WORST = [
    "", " ", ".", "..", "...", "../../etc/x", "../" * 40, "..\\..\\x", "/etc/passwd", "C:\\x", "\\\\server\\share",
    "nul\0inside", "two\nlines", "\r\t\v\f\x1b[31m\x7f", "\u202egpj.exe", "\u200f", "\ufeff\u200b", "\ud800", "\uffff",
    "-rf", "--help", "~", "~root", "$HOME", "%s%n", "`id`", "$(id)", "'; rm -rf *", "CON", "con.txt", "NUL", "COM1.x",
    "LPT¹", "trailing dot.", "trailing space ", "trailing . .", ".tmp-1-x", ".hidden", "[tt0000001]",
    "(1999) [tt0000001]", "a" * 300, "é" * 300, "e\u0301" * 300, "한" * 300, "🎬" * 300, "x" + "\u0301" * 500,
    "\U0001f468\u200d\U0001f469\u200d\U0001f467",
    "Amélie", "Ame\u0301lie", "AMÉLIE", "amélie", "Å", "A\u030a", "\u212b", "ﬁlm", "film", "FILM", "ß",
    "ss", "ẞ", "İ", "i̇",
]  # fmt: skip
Film = tuple[str, str, int]


def made_up() -> list[Film]:
    """As many titles as the real table has of each kind: 395 with signs, 8 of them slashes, 19 not ASCII, 2 pairs."""
    signs = ["/"] * 8 + [UNSAFE.replace("/", "")[number % 7] for number in range(387)]
    titles = [f"Part {number}{sign} The {sign}Rest{sign}" for number, sign in enumerate(signs)]
    titles += [f"Film {letter}" for letter in "éèüöäñçøåßœłžšığćřőþ"[:19]]
    titles += ["The Guest", "The Guest", "Into the Blue", "Into the Blue", *WORST]
    return [(f"tt{number:07d}", title, 1990) for number, title in enumerate(titles, 1)]


def real() -> list[Film]:
    """The real table's unsafe, not ASCII and shared titles, and the worst."""
    with open(REAL, encoding="utf-8-sig", newline="") as file:
        rows = [
            (row["movie_title"].replace("\u00a0", " ").strip(), row["movie_imdb_link"]) for row in csv.DictReader(file)
        ]
    assert sum(bool(set(title) & set(UNSAFE)) for title, _ in rows) == 395
    assert sum("/" in title for title, _ in rows) == 8 and sum(not title.isascii() for title, _ in rows) == 19
    wild = [row for row in rows if set(row[0]) & set(UNSAFE) or not row[0].isascii()]
    wild += [row for row in rows if row[0] in ("The Host", "Out of the Blue")]
    films = {re.search(r"tt\d+", link)[0]: title for title, link in wild}  # the table has some films twice
    worst = {f"tt9{number:06d}": title for number, title in enumerate(WORST)}
    return [(imdb_id, title, 1990) for imdb_id, title in (films | worst).items()]


@pytest.fixture(params=["made up", "real"])
def films(request: pytest.FixtureRequest) -> list[Film]:
    if request.param == "made up":
        return made_up()
    if not REAL.is_file():
        pytest.skip(f"the real table is not there ({REAL})")
    return real()


def tree(folder: Path) -> set[Path]:
    return {Path(top) / name for top, folders, names in os.walk(folder) for name in [*folders, *names]}


def make_folders(films: list[Film], images: Path) -> dict[str, str]:
    """IMDb id -> the folder made for it, as the scrape makes it."""
    names = {}
    for imdb_id, title, year in films:
        names[imdb_id] = frame_folder.folder_name(imdb_id, title, year)
        with files.atomic_folder(images / names[imdb_id]) as temporary:
            (temporary / "0.jpg").write_text(imdb_id)
    return names


def test_there_are_as_many_as_promised(films: list[Film]) -> None:
    assert len(films) >= 420 and len({imdb_id for imdb_id, _, _ in films}) == len(films)


def test_each_film_has_its_own_folder_and_nothing_is_made_elsewhere(films: list[Film], tmp_path: Path) -> None:
    images = tmp_path / "around" / "root" / "images"
    images.mkdir(parents=True)
    before = tree(tmp_path)
    names = make_folders(films, images)
    made = tree(tmp_path) - before
    folders = {path for path in made if path.is_dir()}
    assert folders == {images / name for name in names.values()} and len(folders) == len(films)
    assert made - folders == {images / name / "0.jpg" for name in names.values()}
    assert all((images / name / "0.jpg").read_text() == imdb_id for imdb_id, name in names.items())
    # A second scrape finds the same folders, and adds none.
    assert make_folders(films, images) == names and tree(tmp_path) - before == made


def test_the_folder_gives_the_film_back(films: list[Film]) -> None:
    assert all(frame_folder.folder_id(frame_folder.folder_name(*film)) == film[0] for film in films)


def test_a_name_fits_every_disk(films: list[Film]) -> None:
    names = [frame_folder.folder_name(*film) for film in films]
    assert max(len(name.encode()) for name in names) <= 150 < 255  # room for what is put before a temporary folder
    assert max(len(unicodedata.normalize("NFD", name).encode("utf-16-le")) // 2 for name in names) <= 255  # HFS+
    assert not any(set(name) & set('/\\<>:"|?*\0\n\r\t') or name[0] in ".-~" or name[-1] in ". " for name in names)
    assert not any(files.RESERVED.fullmatch(name.partition(".")[0]) for name in names)


def test_names_stay_apart_where_case_or_accents_are_not_kept_apart(films: list[Film]) -> None:
    def as_stored(name: str) -> str:
        return unicodedata.normalize("NFKD", unicodedata.normalize("NFD", name).casefold())

    assert len({as_stored(frame_folder.folder_name(*film)) for film in films}) == len(films)
    # The id does it: the titles alone would not.
    assert len({as_stored(files.safe_name(title, 120)) for _, title, _ in films}) < len(films) - 10


def test_a_name_made_safe_twice_is_the_name_made_safe_once(films: list[Film]) -> None:
    for imdb_id, title, year in films:
        name = frame_folder.folder_name(imdb_id, title, year)
        assert frame_folder.folder_name(imdb_id, title, year) == name
        assert frame_folder.folder_name(imdb_id, files.safe_name(title, 120), year) == name
        assert files.safe_name(name, 255) == name


def test_one_film_spelt_in_composed_or_decomposed_letters_has_one_folder() -> None:
    spelt = {
        frame_folder.folder_name("tt0211915", unicodedata.normalize(form, "Amélie"), 2001) for form in ("NFC", "NFD")
    }
    assert spelt == {"Amélie (2001) [tt0211915]"}


def test_a_title_used_as_a_path_would_leave_the_root(tmp_path: Path) -> None:
    # What the tests above would see without safe_name.
    outside = [
        title
        for title in WORST
        if not set(title) & {"\0", "\ud800"} and not (tmp_path / title).resolve().is_relative_to(tmp_path)
    ]
    assert {"..", "../../etc/x", "/etc/passwd"} <= set(outside)
