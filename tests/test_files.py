"""Files and folders that are whole or absent, and names that are safe on every disk."""

import unicodedata
from pathlib import Path

import pytest

from trailer_lib import TrailerError, files

RESERVED = ["CON", "con", "Nul.txt", "aux .tar.gz", "PRN.", "COM1", "lpt9.x", "COM¹", "conin$", "-CON", " con "]
HOSTILE = [
    "",
    " ",
    ".",
    "..",
    "...",
    "../../etc/passwd",
    "..\\..\\windows",
    "/etc/passwd",
    "C:\\films",
    "nul\0inside",
    "two\nlines\r\tand tab",
    "\u202egnp.exe",
    "\u200f\u200b\ufeff",
    "\ud800",
    "-rf",
    "--help",
    "~root",
    "-.hidden",
    "-.tmp-1-film",
    "- -x",
    "trailing dot.",
    "trailing space ",
    "trailing both . . ",
    "no\u00a0break",
    'a<b>c:d"e|f?g*h',
    "a" * 300,
    "é" * 300,
    "e\u0301" * 300,
    "🎬" * 100,
    "a" * 119 + ". b",
    "a" * 118 + " .b",
    "Amélie",
    "七人の侍",
    *RESERVED,
    "CONx" * 40,
    "COM1" + " " * 20 + ".txt",
]


class Stop(Exception):
    """What the tests raise in the middle of a write."""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_becomes_its_new_self_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    with files.atomic_path(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new"
    assert names(path.parent) == ["file"]


def test_who_reads_a_file_while_it_is_replaced_reads_the_old_one_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with open(path) as reader:
        files.write_text(path, "new and longer")
        assert reader.read() == "old"
    assert path.read_text() == "new and longer"


def test_a_file_keeps_its_old_self_when_the_block_raises(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(Stop), files.atomic_path(path) as temporary:
        temporary.write_text("half of the n")
        raise Stop
    assert path.read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_a_new_file_is_absent_when_the_block_raises(tmp_path: Path) -> None:
    with pytest.raises(Stop), files.atomic_path(tmp_path / "file") as temporary:
        temporary.write_text("half of the n")
        raise Stop
    assert names(tmp_path) == []


def test_a_folder_appears_whole_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "folder"
    with files.atomic_folder(path) as temporary:
        (temporary / "a").write_text("1")
        (temporary / "b").write_text("2")
        assert not path.exists()
    assert names(path) == ["a", "b"]
    assert names(path.parent) == ["folder"]


def test_a_folder_replaces_the_old_one_whole(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    path.mkdir()
    (path / "old").write_text("")
    with files.atomic_folder(path) as temporary:
        (temporary / "new").write_text("")
    assert names(path) == ["new"]


def test_a_folder_keeps_its_old_self_when_the_block_raises(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    path.mkdir()
    (path / "old").write_text("")
    with pytest.raises(Stop), files.atomic_folder(path) as temporary:
        (temporary / "new").write_text("")
        raise Stop
    assert names(path) == ["old"]
    assert names(tmp_path) == ["folder"]


def test_a_new_folder_is_absent_when_the_block_raises(tmp_path: Path) -> None:
    with pytest.raises(Stop), files.atomic_folder(tmp_path / "folder") as temporary:
        (temporary / "a").write_text("1")
        raise Stop
    assert names(tmp_path) == []


def test_what_killed_writers_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    for folder in (".tmp-123-film", "film", "not.tmp-film"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "0.jpg").write_text("")
    (tmp_path / ".tmp-9-table.csv").write_text("half")
    (tmp_path / "table.csv").write_text("whole")
    files.remove_temporary(tmp_path)
    assert names(tmp_path) == ["film", "not.tmp-film", "table.csv"]


def test_removing_from_a_folder_without_leftovers_or_without_existence_is_no_error(tmp_path: Path) -> None:
    files.remove_temporary(tmp_path)
    files.remove_temporary(tmp_path / "nowhere")
    assert names(tmp_path) == []


def test_text_and_json_are_written_in_utf8(tmp_path: Path) -> None:
    files.write_text(tmp_path / "text", "Amélie\n")
    files.write_json(tmp_path / "json", {"title": "Amélie"})
    assert (tmp_path / "text").read_bytes() == "Amélie\n".encode()
    assert "Amélie" in (tmp_path / "json").read_text(encoding="utf-8")


def test_json_that_cannot_be_written_leaves_the_old_file(tmp_path: Path) -> None:
    files.write_json(tmp_path / "json", 1)
    with pytest.raises(TypeError):
        files.write_json(tmp_path / "json", object())
    assert (tmp_path / "json").read_text() == "1\n"


def test_toml_is_read_and_a_missing_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "good.toml").write_text("[a]\nb = 1\n")
    assert files.read_toml(tmp_path / "good.toml") == {"a": {"b": 1}}
    with pytest.raises(TrailerError, match=r"none\.toml"):
        files.read_toml(tmp_path / "none.toml")


@pytest.mark.parametrize("limit", [10, 120])
@pytest.mark.parametrize("title", HOSTILE)
def test_a_name_is_one_short_visible_plain_part_of_a_path(title: str, limit: int) -> None:
    name = files.safe_name(title, limit)
    assert 0 < len(name.encode()) <= limit
    assert not set(name) & set('/\\<>:"|?*\0\n\r\t')
    assert name == name.strip()
    assert name[0] not in ".-~"
    assert not any(unicodedata.category(letter).startswith("C") for letter in name)


@pytest.mark.parametrize("limit", [10, 120])
@pytest.mark.parametrize("title", HOSTILE)
def test_the_name_of_a_name_is_the_name(title: str, limit: int) -> None:
    name = files.safe_name(title, limit)
    assert files.safe_name(name, limit) == name


@pytest.mark.parametrize("title", HOSTILE)
def test_a_name_can_be_a_file_and_stays_in_its_folder(title: str, tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / files.safe_name(title, 120)).write_text("here")
    assert len(names(inside)) == 1
    assert names(tmp_path) == ["inside"]


@pytest.mark.parametrize("limit", [3, 4, 120])
@pytest.mark.parametrize("title", [*RESERVED, "CONx", "nulx"])
def test_no_name_is_that_of_a_device_on_windows(title: str, limit: int) -> None:
    name = files.safe_name(title, limit)
    devices = {
        "con",
        "prn",
        "aux",
        "nul",
        "conin$",
        *(f"{port}{number}" for port in ("com", "lpt") for number in "19¹"),
    }
    assert name.split(".")[0].strip().casefold() not in devices
    assert files.safe_name(name, limit) == name and 0 < len(name.encode()) <= limit


@pytest.mark.parametrize("title", ["Con Air", "Console", "Nuller", "Auxiliary", "COM10", "lpt"])
def test_a_title_that_only_begins_like_a_device_is_its_own_name(title: str) -> None:
    assert files.safe_name(title, 120) == title


@pytest.mark.parametrize("title", ["Amélie", "Der Fünfte Akt", "2 Fast 2 Furious", "Borat!", "A.I", "E.T the film"])
def test_a_harmless_title_is_its_own_name(title: str) -> None:
    assert files.safe_name(title, 120) == title


def test_composed_and_decomposed_letters_give_the_same_name() -> None:
    composed, decomposed = "Am\u00e9lie", "Ame\u0301lie"
    assert composed != decomposed
    assert files.safe_name(composed, 120) == files.safe_name(decomposed, 120)


def test_different_titles_keep_different_names() -> None:
    assert files.safe_name("Alien", 120) != files.safe_name("Aliens", 120)


def test_a_long_name_is_cut_between_letters() -> None:
    assert files.safe_name("é" * 300, 9) == "é" * (9 // len("é".encode()))
