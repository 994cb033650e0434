"""Spreadsheets as they come: encodings, separators, damaged rows and hostile files."""

import codecs
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from trailer_lib import TrailerError
from trailer_lib.catalog import read_table

HEADING = ["id", "title", "year"]
ROWS = [["a1", "Amélie, the film", "2001"], ["b2", 'The "Best" Film', "1999"], ["c3", "Straße; Œuvre", "1980"]]


def csv_text(separator: str, rows: list[list[str]]) -> str:
    """RFC 4180, every cell in quotation marks."""
    lines = [separator.join('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows]
    return "\r\n".join([*lines, ""])


def read(path: Path, content: bytes | str, needed: list[str] = HEADING) -> read_table.Table:
    path = path / "table.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_table.read_rows(path, needed, ["more"])


def cells(table: read_table.Table) -> list[list[str]]:
    return [[row[name] for name in HEADING] for row in table.rows]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("utf-8", b""),
        ("utf-8", codecs.BOM_UTF8),
        ("utf-16-le", codecs.BOM_UTF16_LE),
        ("utf-16-be", codecs.BOM_UTF16_BE),
        ("utf-16-le", b""),
        ("utf-16-be", b""),
        ("cp1252", b""),
    ],
)
def test_every_encoding_and_separator_gives_the_same_rows(
    tmp_path: Path, encoding: str, mark: bytes, separator: str
) -> None:
    table = read(tmp_path, mark + csv_text(separator, [HEADING, *ROWS]).encode(encoding))
    assert cells(table) == ROWS
    assert [row["row"] for row in table.rows] == [2, 3, 4]
    assert table.dropped == []


def test_latin_1_is_read(tmp_path: Path) -> None:
    assert cells(read(tmp_path, "id,title,year\na1,Amélie ÿ,2001\n".encode("latin-1"))) == [["a1", "Amélie ÿ", "2001"]]


def test_one_row_in_another_encoding_does_not_spoil_the_others(tmp_path: Path) -> None:
    content = (
        "id,title,year\na1,Amélie,2001\n".encode() + "b2,Café,1999\n".encode("cp1252") + "c3,Œuvre,1980\n".encode()
    )
    assert [row["title"] for row in read(tmp_path, content).rows] == ["Amélie", "Café", "Œuvre"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_line_ending_is_read(tmp_path: Path, end: str) -> None:
    assert cells(read(tmp_path, end.join(["id,title,year", "a1,Film,1999", "", "b2,Film,2000"]))) == [
        ["a1", "Film", "1999"],
        ["b2", "Film", "2000"],
    ]


def test_columns_are_found_by_name_whatever_their_order_case_and_company(tmp_path: Path) -> None:
    table = read(tmp_path, " Year ,x,x,TITLE,Id\n1999,1,2,Film,a1\n")
    assert cells(table) == [["a1", "Film", "1999"]]
    assert table.columns == ["id", "title", "year"] and table.rows[0]["more"] == ""


GOOD = "g1,Good,1999\n"


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        pytest.param('b1,"not closed,1999\n', "a quotation mark is not closed", id="open quote"),
        pytest.param('"b1,Film,1999\n', "a quotation mark is not closed", id="open quote in the first cell"),
        pytest.param("b1,Crouching Tiger, Hidden Dragon,2000\n", "more cells than the heading has", id="comma"),
        pytest.param("b1,Fi\0lm,1999\n", "a NUL byte in the row", id="nul"),
        pytest.param(f"b1,{'x' * 99_000},1999,more\n", "more cells than the heading has", id="long"),
    ],
)
@pytest.mark.parametrize("after", ['"g2","Good, too","1999"\n', 'g2,"Two\nlines",1999\n', 'g2,7",1999\n', ""])
def test_a_damaged_row_costs_that_row_alone(tmp_path: Path, bad: str, reason: str, after: str) -> None:
    table = read(tmp_path, "id,title,year\n" + GOOD + bad + GOOD + after + GOOD)
    assert [row["id"] for row in table.rows] == ["g1", "g1", *(["g2"] if after else []), "g1"]
    assert [(drop.file, drop.row, drop.reason) for drop in table.dropped] == [("table.csv", 3, reason)]
    assert table.dropped[0].title.startswith(bad.strip()[:10])


@pytest.mark.parametrize("bad", ['"b1,Film,1999', '"b1,Film'])
def test_two_stray_marks_do_not_make_one_row_of_two(tmp_path: Path, bad: str) -> None:
    table = read(tmp_path, f'id,title,year\n{bad}\ng2,7",1999\n')
    assert cells(table) == [["g2", '7"', "1999"]]
    assert [drop.row for drop in table.dropped] == [2]


def test_a_cell_may_span_many_lines(tmp_path: Path) -> None:
    plot = "\n".join(f"Line {number}, and so on, and on, and on." for number in range(50))
    assert cells(read(tmp_path, f'id,title,year\n{GOOD}a1,"{plot}",1999\n{GOOD}'))[1] == ["a1", plot, "1999"]


@pytest.mark.parametrize(
    ("line", "title"),
    [
        ('b1,7" single,1999', '7" single'),
        ('b1,"The ""Best"" Film",1999', 'The "Best" Film'),
        ('b1,The "Best" Film,1999', 'The "Best" Film'),
        ("b1,Film,1999,,,", "Film"),
        ("  b1  ,  Film  ,1999", "Film"),
        ('b1,"Two\nlines",1999', "Two\nlines"),
    ],
)
def test_an_odd_row_that_can_be_read_is_read(tmp_path: Path, line: str, title: str) -> None:
    table = read(tmp_path, f"id,title,year\n{GOOD}{line}\n{GOOD}{line}\n{GOOD}")
    assert [row["title"] for row in table.rows] == ["Good", title, "Good", title, "Good"]
    assert table.dropped == []


def test_a_short_row_has_empty_cells(tmp_path: Path) -> None:
    assert cells(read(tmp_path, "id,title,year\na1,Film\n")) == [["a1", "Film", ""]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "empty: expected a CSV table with the columns id, title, year", id="empty"),
        pytest.param(b"\n\n \n", "empty: expected", id="blank lines"),
        pytest.param(codecs.BOM_UTF8, "empty: expected", id="a mark alone"),
        pytest.param(
            b"id,name,year\na,b,c\n", "no column 'title'; it has 'id, name, year', expected id, title", id="column"
        ),
        pytest.param(b"id,title,title,year\n", "two columns 'title': expected one", id="column twice"),
        pytest.param(b"a1,Film,1999\nb2,Film,1999\n", "no column 'id'; it has 'a1, Film, 1999'", id="no heading"),
        pytest.param(b"PK\x03\x04\x14\x00\x06\x00\x08\x00\x00", "a zip or Excel file: expected a CSV table", id="xlsx"),
        pytest.param(b"\x1f\x8b\x08\x00", "a gzip file: expected a CSV table", id="gzip"),
        pytest.param(bytes(range(256)) * 9, "no column 'id'", id="bytes"),
        pytest.param(b"\0" * 9999, "no column 'id'", id="zeros"),
        pytest.param(b"id,title,year\n" + b"x" * 200_000, "a line of over 100,000 letters: expected", id="long line"),
        pytest.param(b"i" * 200_000, "a line of over 100,000 letters: expected", id="long heading"),
    ],
)
def test_what_is_no_such_table_is_refused_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(TrailerError) as caught:
        read(tmp_path, content)
    text = str(caught.value)
    assert text.startswith(f"{tmp_path / 'table.csv'}: {message}")
    assert "\n" not in text and text.isprintable() and len(text) < 500


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrailerError, match=r"none\.csv is missing"):
        read_table.read_rows(tmp_path / "none.csv", HEADING, [])


def test_a_table_of_more_rows_than_there_are_films_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_table, "MOST_ROWS", 3)
    assert len(read(tmp_path, "id,title,year\n" + 2 * GOOD).rows) == 2
    with pytest.raises(TrailerError, match="over 3 rows"):
        read(tmp_path, "id,title,year\n" + 3 * GOOD)


@pytest.mark.parametrize("start", [b"", b"id,title,year\na1,Film,1999\n"], ids=["heading", "row"])
def test_a_line_of_a_gigabyte_is_refused_without_reading_it(tmp_path: Path, start: bytes) -> None:
    path = tmp_path / "table.csv"
    with open(path, "wb") as file:
        file.write(start + b"a" * 8192)
        file.truncate(1 << 30)  # a hole: nothing is written
    code = (
        "import sys; from pathlib import Path; from trailer_lib.catalog import read_rows\n"
        "read_rows(Path(sys.argv[1]), ['id'], [])"
    )

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (400 << 20, 400 << 20))

    done = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, timeout=60, preexec_fn=limit, check=False
    )
    assert "table.csv: a line of over 100,000 letters" in done.stderr and done.returncode == 1


@pytest.mark.parametrize(
    ("text", "value"),
    [("7.5", 7.5), ("1e3", 1000), ("", None), ("good", None), ("nan", None), ("inf", None), ("1e300", None)],
)
def test_numbers(text: str, value: float | None) -> None:
    assert read_table.parse_number(text) == value


@pytest.mark.parametrize(("text", "value"), [("1999", 1999), ("1999.0", 1999), ("1999.5", None), ("", None)])
def test_whole_numbers(text: str, value: int | None) -> None:
    assert read_table.parse_whole(text) == value


def test_the_date_of_a_table_is_the_day_of_its_file_in_utc(tmp_path: Path) -> None:
    table_path = tmp_path / "table.csv"
    read(tmp_path, "id,title,year\n")
    os.utime(table_path, (86_400 * 365, 86_400 * 365 - 1))
    assert read_table.file_date(table_path) == "1970-12-31"
