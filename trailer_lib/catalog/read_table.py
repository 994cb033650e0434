"""A spreadsheet of any encoding, separator and damage -> rows of text, and the rows left out with their reasons."""

import codecs
import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from trailer_lib.errors import TrailerError

MOST_BYTES = 100_000_000  # IMDb's million films in 100 bytes each
LONGEST_LINE = 100_000  # letters; a row of a spreadsheet has some hundreds
LONGEST_CELL = 100  # lines that a cell in quotation marks may span
# Other formats under a table's name, by their first bytes.
FORMATS = {b"PK\x03\x04": "zip or Excel", b"\x1f\x8b": "gzip", b"\xd0\xcf\x11\xe0": "old Excel", b"%PDF": "PDF"}
Row = dict[str, Any]
Dropped = tuple[str, int, str, str]  # a row left out: file, number (the heading is row 1), title and reason


@dataclass
class Table:
    """`rows`: texts by column, and "row", the row's number. `columns`: those asked for that the file has."""

    columns: list[str]
    rows: list[Row] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)


def read_rows(path: Path, needed: list[str], optional: list[str]) -> Table:
    """Read the columns `needed` and, where the file has them, `optional` ("" where not) of a CSV file.

    UTF-8, UTF-16 or Windows-1252 (Latin-1); commas, semicolons or tabs. A damaged row costs that row only.
    TrailerError, naming file and column, when the file is missing, is no table or lacks a needed column.
    """
    expected = f"expected a CSV table with the columns {', '.join(needed)}"
    lines = _read_lines(path, expected)
    start = next((number for number, line in enumerate(lines) if line.strip()), None)
    if start is None:
        raise TrailerError(f"{path}: empty: {expected}")
    separator, width, places = _read_heading(lines[start], path, needed, optional)
    table, empty = Table(list(places)), dict.fromkeys(needed + optional, "")
    for number, first, cells in _records(lines[start + 1 :], separator, width):
        if isinstance(cells, str):
            table.dropped.append((path.name, number, first.strip()[:80], cells))
        else:
            row = {name: cells[place].strip() for name, place in places.items() if place < len(cells)}
            table.rows.append(empty | row | {"row": number})
    return table


def dated_name(path: Path) -> str:
    """ "films.csv of 2026-11-26": the UTC day of its last change, which `catalog --fetch` sets to the server's."""
    return f"{path.name} of {datetime.fromtimestamp(path.stat().st_mtime, timezone.utc):%Y-%m-%d}"


def parse_number(text: str) -> float | None:
    """None for what is no number, for infinity and for nan."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) < 1e12 else None


def parse_whole(text: str) -> int | None:
    """A whole number, also as a spreadsheet may write it: "1999.0"."""
    value = parse_number(text)
    return int(value) if value is not None and value == int(value) else None


def _read_lines(path: Path, expected: str) -> list[str]:
    """The lines without their ends; TrailerError when the file is missing, of another format or too large."""
    if not path.is_file():
        raise TrailerError(f"{path} is missing: put the table there (README, 'Where the data comes from')")
    if path.stat().st_size > MOST_BYTES:
        raise TrailerError(f"{path}: over {MOST_BYTES / 1e6:.0f} MB: {expected}, a row a film")
    raw = path.read_bytes()
    for magic, name in FORMATS.items():
        if raw.startswith(magic):
            raise TrailerError(f"{path}: a {name} file: {expected}; save it as CSV")
    # UTF-16 has a mark, or a zero in every second byte.
    for encoding, mark, zeros in (("utf-16-le", codecs.BOM_UTF16_LE, 1), ("utf-16-be", codecs.BOM_UTF16_BE, 0)):
        if raw.startswith(mark) or raw[zeros:4096:2].count(0) > len(raw[:4096]) / 4:
            raw = raw.removeprefix(mark).decode(encoding, "replace").encode()
    lines = [_decoded(line) for line in raw.removeprefix(codecs.BOM_UTF8).splitlines()]
    if max(map(len, lines), default=0) > LONGEST_LINE:
        raise TrailerError(f"{path}: a line of over {LONGEST_LINE:,} letters: {expected}")
    return lines


def _decoded(line: bytes) -> str:
    """A line that is not UTF-8 is read as Windows-1252, the superset of Latin-1 that spreadsheets write."""
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("cp1252", "replace")


def _read_heading(line: str, path: Path, needed: list[str], optional: list[str]) -> tuple[str, int, dict[str, int]]:
    """The separator, the number of columns, and the place of each that the file has; case does not matter."""
    line, wanted = line.replace("\0", ""), needed + optional
    names = {mark: [cell.strip() for cell in next(csv.reader([line.casefold()], delimiter=mark))] for mark in ",;\t"}
    # The separator that gives the most of the columns wanted.
    mark = max(names, key=lambda mark: (sum(name.casefold() in names[mark] for name in wanted), len(names[mark])))
    counts = {name: names[mark].count(name.casefold()) for name in wanted}
    for name, count in counts.items():
        if count > 1:
            raise TrailerError(f"{path}: two columns {name!r}: expected one; remove or rename the other")
        if not count and name in needed:
            raise TrailerError(f"{path}: no column {name!r}; it has {line[:200]!r}, expected {', '.join(needed)}")
    places = {name: names[mark].index(name.casefold()) for name, count in counts.items() if count}
    return mark, len(names[mark]), places


def _records(lines: list[str], separator: str, width: int) -> Iterator[tuple[int, str, list[str] | str]]:
    """The row number, first line and cells of each record, or its damage; empty lines have a number and are no rows."""
    start, number = 0, 1
    while start < len(lines):
        number += 1
        used, cells = _record(lines[start : start + LONGEST_CELL], separator, width)
        if "\0" in lines[start]:
            cells = "a NUL byte in the row"
        elif any(cells[width:]):
            cells = "more cells than the heading has"
        if lines[start].strip():
            yield number, lines[start], cells or "a quotation mark is not closed"
        start += used


def _record(lines: list[str], separator: str, width: int) -> tuple[int, list[str]]:
    """How many lines the first record spans, and its cells; no cells when a quotation mark is not closed."""
    for used in range(1, len(lines) + 1):
        text = "\n".join(lines[:used])
        closed = text.count('"') % 2 == 0
        if used > 1 and not closed:
            continue
        try:
            cells = next(csv.reader([text], delimiter=separator, strict=used > 1 or not closed))
        except csv.Error:
            continue
        # Lines that all look like rows are rows, which two stray quotation marks seem to join.
        one_row = len(cells) == width and any(line.count(separator) != width - 1 for line in lines[:used])
        if used == 1 or one_row:
            return used, cells
    return 1, []
