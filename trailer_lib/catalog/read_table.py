"""Spreadsheets as other people save them: any encoding, separator and damage -> rows of text, and the rows left out."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import islice
from pathlib import Path
from typing import IO, Any, NamedTuple

from trailer_lib.errors import TrailerError

LONGEST_LINE = 100_000  # letters; a row of a spreadsheet has some hundreds
MOST_ROWS = 2_000_000  # IMDb knows under a million films
LONGEST_CELL = 100  # lines that a cell in quotation marks may span
# What else is given that name: other formats, by their first bytes.
FORMATS = {b"PK\x03\x04": "zip or Excel", b"\x1f\x8b": "gzip", b"\xd0\xcf\x11\xe0": "old Excel", b"%PDF": "PDF"}
Row = dict[str, Any]


class Dropped(NamedTuple):
    """A row left out: its file, its number there (the heading is row 1), its title and the reason."""

    file: str
    row: int
    title: str
    reason: str


@dataclass
class Table:
    """`rows`: a dict of text a row, of the columns asked for and "row", its number. `dropped`: rows that are none.

    `columns`: those asked for that are there. `date`: the UTC day of the file.
    """

    name: str
    date: str
    columns: list[str]
    rows: list[Row] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)


def read_rows(path: Path, needed: list[str], optional: list[str]) -> Table:
    """Read the columns `needed` and, where there, `optional` ("" where not) of a CSV file.

    UTF-8, UTF-16 or Windows-1252 (Latin-1), with commas, semicolons or tabs. A damaged row costs that row only.
    Raises TrailerError, naming file and column, when the file is missing, is no table or lacks a needed column.
    """
    if not path.is_file():
        raise TrailerError(f"{path} is missing: put the table there (README, 'Where the data comes from')")
    expected = f"expected a CSV table with the columns {', '.join(needed)}"
    encoding = _encoding(path, expected)
    # A byte that is not UTF-8 is kept for `_mended`; of UTF-16 there is nothing to mend.
    with open(path, encoding=encoding, errors="surrogateescape" if encoding == "utf-8-sig" else "replace") as file:
        lines = _lines(file, path, expected)
        heading = next((line for line in lines if line.strip()), "")
        if not heading:
            raise TrailerError(f"{path}: empty: {expected}")
        separator, places, width = _columns(heading, path, needed, optional)
        table = Table(path.name, file_date(path), list(places))
        empty = dict.fromkeys(needed + optional, "")
        for number, first, cells in _records(lines, separator, width):
            if number > MOST_ROWS:
                raise TrailerError(f"{path}: over {MOST_ROWS:,} rows: {expected}, a row a film")
            if reason := _damage(first, cells, width):
                table.dropped.append(Dropped(path.name, number, first.strip()[:80], reason))
            else:
                row = {name: cells[place].strip() for name, place in places.items() if place < len(cells)}
                table.rows.append(empty | row | {"row": number})
    return table


def file_date(path: Path) -> str:
    """The UTC day the file was last changed, which `catalog --fetch` sets to the day its server gives."""
    return datetime.fromtimestamp(path.stat().st_mtime, timezone.utc).strftime("%Y-%m-%d")


def parse_number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) < 1e12 else None  # no infinity and no nan


def parse_whole(text: str) -> int | None:
    """A whole number, also as a spreadsheet may write it: "1999.0"."""
    value = parse_number(text)
    return int(value) if value is not None and value == int(value) else None


def _encoding(path: Path, expected: str) -> str:
    with open(path, "rb") as file:
        start = file.read(4096)
    for magic, name in FORMATS.items():
        if start.startswith(magic):
            raise TrailerError(f"{path}: a {name} file: {expected}; save it as CSV")
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    # Without a mark: Latin letters in UTF-16 are every second byte 0.
    if start[1::2].count(0) > len(start) / 4:
        return "utf-16-le"
    return "utf-16-be" if start[::2].count(0) > len(start) / 4 else "utf-8-sig"


def _lines(file: IO[str], path: Path, expected: str) -> Iterator[str]:
    while line := file.readline(LONGEST_LINE):
        if len(line) == LONGEST_LINE:
            raise TrailerError(f"{path}: a line of over {LONGEST_LINE:,} letters: {expected}")
        yield line if line.isascii() else _mended(line)


def _mended(line: str) -> str:
    """A line that is not UTF-8 as Windows-1252, the superset of Latin-1 that spreadsheets write."""
    raw = line.encode("utf-8", "surrogateescape")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


def _columns(heading: str, path: Path, needed: list[str], optional: list[str]) -> tuple[str, dict[str, int], int]:
    """The separator, where each column stands, and how many there are; case does not matter."""
    heading = heading.replace("\0", "")
    rows = {separator: next(csv.reader([heading], delimiter=separator)) for separator in ",;\t"}
    known = {name.casefold() for name in needed + optional}
    names = {key: [cell.strip().casefold() for cell in cells] for key, cells in rows.items()}
    separator = max(rows, key=lambda key: (len(known & set(names[key])), len(names[key])))
    shown = ", ".join(cell.strip() for cell in rows[separator][:8])[:200]
    for name in needed:
        if name.casefold() not in names[separator]:
            raise TrailerError(f"{path}: no column {name!r}; it has {shown!r}, expected {', '.join(needed)}")
    for name in needed + optional:
        if names[separator].count(name.casefold()) > 1:
            raise TrailerError(f"{path}: two columns {name!r}: expected one; remove or rename the other")
    found = [name for name in needed + optional if name.casefold() in names[separator]]
    return separator, {name: names[separator].index(name.casefold()) for name in found}, len(names[separator])


def _records(lines: Iterator[str], separator: str, width: int) -> Iterator[tuple[int, str, list[str]]]:
    """The row number, first line and cells of each record; empty lines have a number and are no rows."""
    waiting: list[str] = []
    number = 1
    while True:
        waiting += islice(lines, LONGEST_CELL - len(waiting))
        if not waiting:
            return
        number += 1
        used, cells = _record(waiting, separator, width)
        first = waiting[0]
        del waiting[:used]
        if first.strip():
            yield number, first, cells


def _record(lines: list[str], separator: str, width: int) -> tuple[int, list[str]]:
    """How many lines the first record takes, and its cells; no cells when a quotation mark is not closed."""
    marks = 0
    for used, line in enumerate(lines, 1):
        marks += line.count('"')
        if used > 1 and marks % 2:
            continue
        try:
            records = list(csv.reader(lines[:used], delimiter=separator, strict=bool(used > 1 or marks % 2)))
        except csv.Error:
            continue
        if len(records) == 1 and (used == 1 or _is_one_row(lines[:used], records[0], separator, width)):
            return used, records[0]
    return 1, []


def _is_one_row(lines: list[str], cells: list[str], separator: str, width: int) -> bool:
    """Whether a cell in quotation marks spans these lines; if each looks like a row, stray marks swallowed rows."""
    return len(cells) == width and any(line.count(separator) != width - 1 for line in lines)


def _damage(line: str, cells: list[str], width: int) -> str:
    if "\0" in line:
        return "a NUL byte in the row"
    if not cells:
        return "a quotation mark is not closed"
    return "more cells than the heading has" if any(cells[width:]) else ""
