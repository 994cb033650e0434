"""Spreadsheets as they come: encodings, separators, damaged rows and hostile files."""

import codecs
from pathlib import Path

import pytest

from trailer_lib import TrailerError
from trailer_lib.catalog import read_rows
from trailer_lib.catalog.read_table import CODE_PAGES, Table, parse_number, parse_whole, parse_year

HEADING = ["id", "title", "year"]
ROWS = [["a1", "Amélie, the film", "2001"], ["b2", 'The "Best" Film', "1999"], ["c3", "Straße; Œuvre", "1980"]]
GOOD = "g1,Good,1999\n"


def read(path: Path, content: bytes | str) -> Table:
    path = path / "table.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_rows(path, HEADING, ["more"])


def cells(table: Table) -> list[list[str]]:
    return [[row[name] for name in HEADING] for row in table.rows]


@pytest.mark.parametrize(("encoding", "mark", "separator"), [
    ("utf-8", b"", ","), ("utf-8", codecs.BOM_UTF8, ";"), ("utf-16-le", codecs.BOM_UTF16_LE, "\t"),
    ("utf-16-be", codecs.BOM_UTF16_BE, ","), ("utf-16-le", b"", "\t"), ("utf-16-be", b"", ";"),
    ("cp1252", b"", ";"),
])  # fmt: skip
def test_every_encoding_gives_the_same_rows(tmp_path: Path, encoding: str, mark: bytes, separator: str) -> None:
    lines = [separator.join('"' + cell.replace('"', '""') + '"' for cell in row) for row in [HEADING, *ROWS]]
    table = read(tmp_path, mark + "\r\n".join([*lines, ""]).encode(encoding))
    assert cells(table) == ROWS and table.dropped == []
    assert [row["row"] for row in table.rows] == [2, 3, 4]
    rows = ["a1,Amélie,2001\n".encode(), "b2,Café,1999\n".encode("cp1252"), "c3,Œuvre,1980\n".encode()]
    table = read(tmp_path, b"id,title,year\n" + b"".join(rows))  # one in another encoding
    assert [row["title"] for row in table.rows] == ["Amélie", "Café", "Œuvre"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_columns_are_found_by_name_whatever_their_order_case_and_company(tmp_path: Path, end: str) -> None:
    table = read(tmp_path, end.join([" Year ,x,x,TITLE,Id", "1999,1,2,Film,a1", "", "2000,1,2,Film,b2"]))
    assert cells(table) == [["a1", "Film", "1999"], ["b2", "Film", "2000"]]
    assert [row["row"] for row in table.rows] == [2, 4]
    assert table.columns == ["id", "title", "year"] and table.rows[0]["more"] == ""


@pytest.mark.parametrize(("bad", "reason"), [
    pytest.param('b1,"not closed,1999\n', "a quotation mark is not closed", id="open quote"),
    pytest.param("b1,Crouching Tiger, Hidden Dragon,2000\n", "more cells than the heading has", id="comma"),
    pytest.param("b1,Fi\0lm,1999\n", "a NUL byte in the row", id="nul"),
    pytest.param(f"b1,{'x' * 99_000},1999,more\n", "more cells than the heading has", id="long"),
])  # fmt: skip
@pytest.mark.parametrize("after", ['"g2","Good, too","1999"\n', 'g2,"Two\nlines",1999\n', 'g2,7",1999\n', ""])
def test_a_damaged_row_costs_that_row_alone(tmp_path: Path, bad: str, reason: str, after: str) -> None:
    table = read(tmp_path, "id,title,year\n" + GOOD + bad + GOOD + after + GOOD)
    assert [row["id"] for row in table.rows] == ["g1", "g1", *(["g2"] if after else []), "g1"]
    assert table.dropped == [("table.csv", 3, bad.strip()[:80], reason)]


@pytest.mark.parametrize(("line", "title"), [
    ('b1,7" single,1999', '7" single'), ('b1,"The ""Best"" Film",1999', 'The "Best" Film'), ("b1,Film", "Film"),
    ("b1,Film,1999,,,", "Film"), (r"b1,\N,1999", ""), ("  b1  ,  Film  ,1999", "Film"),
    ('b1,"' + 50 * "A line, and on.\n" + '",1999', (50 * "A line, and on.\n").strip()),
])  # fmt: skip
def test_an_odd_row_that_can_be_read_is_read(tmp_path: Path, line: str, title: str) -> None:
    table = read(tmp_path, f"id,title,year\n{GOOD}{line}\n{GOOD}{line}\n{GOOD}")
    assert [row["title"] for row in table.rows] == ["Good", title, "Good", title, "Good"]
    assert table.dropped == []


@pytest.mark.parametrize(("content", "message"), [
    pytest.param(b"", "empty: expected a CSV table with the columns id, title, year", id="empty"),
    pytest.param(codecs.BOM_UTF8 + b"\n\n \n", "empty: expected", id="blank lines"),
    pytest.param(b"id,name,year\n", "no column 'title'; it has 'id,name,year', expected id, title", id="column"),
    pytest.param(b"id,title,title,year\n", "two columns 'title': expected one", id="column twice"),
    pytest.param(b"a1,Film,1999\nb2,Film,1999\n", "no column 'id'; it has 'a1,Film,1999'", id="no heading"),
    pytest.param(b"PK\x03\x04\x14\x00\x06\x00\x08\x00\x00", "a zip or Excel file: expected a CSV table", id="xlsx"),
    pytest.param(b"\x1f\x8b\x08\x00", "a gzip file: expected a CSV table", id="gzip"),
    pytest.param(bytes(range(256)) * 9, "no column 'id'", id="bytes"),
    pytest.param(b"id,title,year\n" + b"x" * 200_000, "a line of over 100,000 letters: expected", id="long line"),
])  # fmt: skip
def test_what_is_no_such_table_is_refused_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(TrailerError) as caught:
        read(tmp_path, content)
    text = str(caught.value)
    assert text.startswith(f"{tmp_path / 'table.csv'}: {message}")
    assert "\n" not in text and text.isprintable() and len(text) < 500


def test_a_missing_file_and_one_of_many_gigabytes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TrailerError, match=r"none\.csv is missing"):
        read_rows(tmp_path / "none.csv", HEADING, [])
    with open(tmp_path / "table.csv", "wb") as file:
        file.truncate(1 << 36)  # a hole: nothing is written, and no memory could hold it
    with pytest.raises(TrailerError, match="over 100 MB"):
        read_rows(tmp_path / "table.csv", HEADING, [])


@pytest.mark.parametrize(("text", "number", "whole"), [
    ("1999.0", 1999, 1999), ("7.5", 7.5, None), ("12,34,567", 1234567, 1234567), ("1e3", 1000, 1000),
    *((text, 7.5, None) for text in ("7,5", "+7,50", "７.５", "٧٫٥")),
    *((text, -3, -3) for text in ("-3", "\u22123")),
    *((f"1{mark}234{mark}567", 1234567, 1234567) for mark in ",. '’\u00a0\u202f"),
    *((text, 1234.5, None) for text in ("1,234.5", "1.234,5", "1 234,5", "1'234.5")),
    *((text, 12.345, 12345) for text in ("12.345", "12,345")),  # a part, but of votes thousands
    *((text, None, None) for text in ("", "good", "nan", "inf", "1e300", "1 2", "1,2,3", "1.234.5", "7.5/10")),
])  # fmt: skip
def test_numbers(text: str, number: float | None, whole: int | None) -> None:
    assert parse_number(text) == number and parse_whole(text) == whole


@pytest.mark.parametrize("text", [
    "1999-03-31", "31.03.1999", "03/31/1999", "31. 3. 1999", "1999/3/31", "31 March 1999", "March 31, 1999", "1999-03",
    "31-Mar-1999", "1999-03-31 00:00:00", "1999-03-31T23:59:59.000Z", "1999年3月31日", "1999.0", "1,999",
])  # fmt: skip
def test_the_year_of_a_date(text: str) -> None:
    assert parse_year(text) == 1999
    for other in ("", "1999.5", "31/03/99", "Mar-99", "1999-2001", "soon", "19990331x"):
        assert parse_year(other) is None


@pytest.mark.parametrize(("encoding", "titles"), [
    ("cp1252", ["Amélie", "L’Été", "¡Three Amigos!", "Kærlighed", "Barbie™"]), ("cp1250", ["Łódź", "Miś"]),
    ("mac_roman", ["Amélie"]), ("mac_roman", ["Männer", "Cœur fidèle"]), ("cp1251", ["Брат"]),
    ("cp1251", ["Левиафан", "Москва слезам не верит"]),
])  # fmt: skip
def test_a_code_page_is_recognised_by_words_and_named(tmp_path: Path, encoding: str, titles: list[str]) -> None:
    text = "id,title,year\n" + "".join(f"a1,{title},1999\n" for title in titles)
    table = read(tmp_path, text.encode(encoding))
    assert [row["title"] for row in table.rows] == titles
    assert f"read as {CODE_PAGES[encoding]}" in table.remark and "no title has" not in table.remark
    for encoding, title in (("cp932", "七人の侍"), ("gb18030", "霸王别姬"), ("cp1253", "Ζορμπάς")):
        remark = read(tmp_path, f"id,title,year\na1,{title},1999\n".encode(encoding)).remark
        assert "letters that no title has" in remark


@pytest.mark.parametrize(("mark", "line"), [(";", "sep=;"), ("|", "SEP=|"), ("\t", "sep=\t"), (",", '"sep=,"')])
def test_a_line_that_names_the_separator_is_no_heading(tmp_path: Path, mark: str, line: str) -> None:
    table = read(tmp_path, "\r\n".join([line, mark.join(HEADING), mark.join(["a1", "Film", "1999"])]))
    assert cells(table) == [["a1", "Film", "1999"]] and table.rows[0]["row"] == 2 and not table.remark
    with pytest.raises(TrailerError, match="empty"):
        read(tmp_path, line)
