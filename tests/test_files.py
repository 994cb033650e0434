"""Files and folders that are whole or absent, locks, and some 440 hostile titles that become folders."""

import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest

from trailer_lib import TrailerError, files
from trailer_lib.video import folder_id, folder_name

UNSAFE = ':/?*"<>|'
WORST = [
    "", " ", ".", "..", "...", "../../etc/x", "../" * 40, "..\\..\\x", "/etc/passwd", "C:\\x", "\\\\server\\share",
    "nul\0inside", "two\nlines", "\r\t\v\f\x1b[31m\x7f", "\u202egpj.exe", "\u200f", "\ufeff\u200b", "\ud800", "\uffff",
    "-rf", "--help", "~", "~root", "-.hidden", "-.tmp-1-film", "- -x", "$HOME", "%s%n", "`id`", "$(id)", "'; rm -rf *",
    "CON", "con.txt", "NUL", "aux .tar.gz", "PRN.", "COM1.x", "LPT¹", "conin$", "-CON", " con ", "CONx" * 40,
    "COM1" + " " * 20 + ".txt", "trailing dot.", "trailing space ", "trailing . .", ".tmp-1-x", ".hidden",
    "no\u00a0break", "(1999) [tt0000001]", "a" * 300, "é" * 300, "e\u0301" * 300, "한" * 300, "🎬" * 300, "Amélie",
    "x" + "\u0301" * 500, "\U0001f468\u200d\U0001f469\u200d\U0001f467", "a" * 119 + ". b", "a" * 118 + " .b",
    "Ame\u0301lie", "AMÉLIE", "amélie", "Å", "A\u030a", "\u212b", "ﬁlm", "film", "FILM", "ß", "ss", "ẞ", "İ", "i̇",
]  # fmt: skip
Film = tuple[str, str, int]


class Stop(Exception):
    """What the tests raise in the middle of a write."""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write_file(path: Path, text: str, stop: bool = False) -> None:
    with files.atomic_path(path) as temporary:
        temporary.write_text(text)
        if stop:
            raise Stop


def write_folder(path: Path, text: str, stop: bool = False) -> None:
    with files.atomic_path(path) as temporary:
        temporary.mkdir()
        (temporary / text).write_text(text)
        if stop:
            raise Stop


def content(path: Path) -> object:
    return path.read_text() if path.is_file() else names(path)


@pytest.mark.parametrize("write", [write_file, write_folder])
def test_a_write_replaces_the_old_one_whole_or_changes_nothing(write: Callable, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "new"
    with pytest.raises(Stop):
        write(path, "half", stop=True)
    assert not path.exists()
    write(path, "old")
    before = content(path)
    with pytest.raises(Stop):
        write(path, "half", stop=True)
    assert content(path) == before and names(path.parent) == ["new"]
    write(path, "other")
    assert content(path) != before and "other" in str(content(path)) and names(path.parent) == ["new"]


def test_what_killed_writers_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    for folder in (".tmp-123-film", "film", "not.tmp-film"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "0.jpg").write_text("")
    (tmp_path / ".tmp-9-table.csv").write_text("half")
    files.remove_temporary(tmp_path)
    assert names(tmp_path) == ["film", "not.tmp-film"]


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_a_second_run_is_refused_until_the_first_ends_however_it_ends(tmp_path: Path, kind: str) -> None:
    place = tmp_path if kind == "folder" else tmp_path / "table.csv"
    code = (
        "from pathlib import Path; from trailer_lib import files; import sys\n"
        "with files.single_run(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, place]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(TrailerError, match="another run is filling it"), files.single_run(place):
            pass
        holder.kill()
    with files.single_run(place):
        pass


@pytest.fixture(scope="module")
def films() -> list[Film]:
    """As many titles as the real table has of each kind: 395 with signs, 8 of them slashes, 19 not ASCII, 2 pairs."""
    signs = ["/"] * 8 + [UNSAFE.replace("/", "")[number % 7] for number in range(387)]
    titles = [f"Part {number}{sign} The {sign}Rest{sign}" for number, sign in enumerate(signs)]
    titles += [f"Film {letter}" for letter in "éèüöäñçøåßœłžšığćřőþ"[:19]]
    titles += ["The Guest", "The Guest", "Into the Blue", "Into the Blue", *WORST]
    return [(f"tt{number:07d}", title, 1990) for number, title in enumerate(titles, 1)]


def test_each_film_has_its_own_folder_and_nothing_is_made_elsewhere(films: list[Film], tmp_path: Path) -> None:
    images = tmp_path / "around" / "root" / "images"
    images.mkdir(parents=True)
    for imdb_id, title, year in films:
        with files.atomic_path(images / folder_name(imdb_id, title, year)) as temporary:
            temporary.mkdir()
            (temporary / "0.jpg").write_text(imdb_id)
    folders = {*images.iterdir()}
    assert len(folders) == len(films)
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == {path / "0.jpg" for path in folders}
    assert all((path / "0.jpg").read_text() == folder_id(path.name) for path in folders)
    # Without safe_name titles would lead out of the root.
    paths = [title for title in WORST if not set(title) & {"\0", "\ud800"}]
    outside = [title for title in paths if not (tmp_path / title).resolve().is_relative_to(tmp_path)]
    assert {"..", "../../etc/x", "/etc/passwd"} <= set(outside)


def test_a_name_fits_every_disk_and_is_its_own_safe_name(films: list[Film]) -> None:
    for film in films:
        name, short = folder_name(*film), files.safe_name(film[1], 10)
        assert len(name.encode()) <= 150  # room for what is put before a temporary folder
        assert len(unicodedata.normalize("NFD", name).encode("utf-16-le")) // 2 <= 255  # HFS+
        assert files.safe_name(name, 255) == name and files.safe_name(short, 10) == short and short
        for text in (name, short):
            assert not set(text) & set('/\\<>:"|?*\0\n\r\t') and text[0] not in ".-~" and text[-1] not in ". "
            assert not files.RESERVED.fullmatch(text.partition(".")[0].rstrip())
            assert not any(unicodedata.category(letter).startswith("C") for letter in text)


def test_names_stay_apart_where_case_or_accents_are_not_kept_apart(films: list[Film]) -> None:
    def as_stored(name: str) -> str:
        return unicodedata.normalize("NFKD", unicodedata.normalize("NFD", name).casefold())

    assert len({as_stored(folder_name(*film)) for film in films}) == len(films)
    # The id does it: the titles alone would not.
    assert len({as_stored(files.safe_name(title, 120)) for _, title, _ in films}) < len(films) - 10


def test_a_harmless_title_is_its_own_name() -> None:
    for title in ("Con Air", "COM10", "Amélie", "2 Fast 2 Furious", "A.I"):
        assert files.safe_name(title, 120) == title == files.safe_name(unicodedata.normalize("NFD", title), 120)
