"""A spreadsheet of any encoding, separator and damage -> rows of text, and the rows left out with their reasons."""

import codecs
import csv
import re
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from itertools import dropwhile
from pathlib import Path
from typing import Any

from trailer_lib.errors import TrailerError

MOST_BYTES = 100_000_000  # IMDb's million films in 100 bytes each
LONGEST_LINE = 100_000  # letters; a row of a spreadsheet has some hundreds
LONGEST_CELL = 100  # lines that a cell in quotation marks may span
# Other formats under a table's name, by their first bytes.
FORMATS = {b"PK\x03\x04": "zip or Excel", b"\x1f\x8b": "gzip", b"\xd0\xcf\x11\xe0": "old Excel", b"%PDF": "PDF"}
# Tried in this order where a table is not UTF-8; and what no title has: odd signs, a capital within a word, three
# accented Latin letters in a row, two scripts in a word.
CODE_PAGES = {"cp1252": "Windows-1252", "mac_roman": "Mac Roman", "cp1251": "Windows-1251", "cp1250": "Windows-1250"}
IMPLAUSIBLE = re.compile(
    r"[\x80-\x9f\ufffd\uf8ff†‡¬√◊∂∆Ω≈∫∏∑˜]|[a-zß-öø-ÿ][À-ÖØ-ÞŠŽŸ]|[A-Z][À-ÖØ-ÞŠŽŸ][a-zß-ÿ]|[а-я][А-Я]|[À-ſ]{3}|[A-Za-z][Ѐ-ӿ]|[Ѐ-ӿ][A-Za-z]"
    r"|[^\W_][^\w\s\x00-\x7f’‘“”–—…·´½][^\W_]|[£¤¥¦§°±¶][^\W\d_]"
)
PARTED = r"\d{1,3}(?P<mark>[ '.,])(?:\d{2,3}(?P=mark))*\d{3}"  # a whole number with its thousands parted
SIGNS = str.maketrans("\u2212’٫٬", "-'.'")
Row = dict[str, Any]
Dropped = tuple[str, int, str, str]  # a row left out: file, number (the heading is row 1), title and reason


@dataclass
class Table:
    """`rows`: texts by column, and "row", the row's number. `columns`: those there. `remark`: on the encoding."""

    columns: list[str]
    remark: str = ""
    rows: list[Row] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)


def read_rows(path: Path, needed: list[str], optional: list[str] | None) -> Table:
    """Read the columns `needed` and, where the file has them, `optional` ("" where not; None: all) of a CSV file.

    UTF-8, UTF-16 or one of CODE_PAGES; commas, semicolons, tabs or what a line `sep=` names. A damaged row costs that
    row only. `\\N` is an empty cell. TrailerError when the file is missing, no table, or lacks a needed column.
    """
    expected = "expected a CSV table" + f" with the columns {', '.join(needed)}" * bool(needed)
    lines, remark = _decode(_read_lines(path, expected))
    lines, marks = list(dropwhile(lambda line: not line.strip(), lines)), ",;\t"
    if lines and (named := re.fullmatch(r'"?sep=([^\w"])"?', lines[0].strip(" "), re.IGNORECASE)):
        lines, marks = lines[1:], named[1]
    if not lines:
        raise TrailerError(f"{path}: empty: {expected}")
    separator, width, places = _read_heading(path, lines[0], marks, needed, optional)
    table, empty = Table(list(places), remark), dict.fromkeys([*places, *(optional or [])], "")
    for number, (first, cells) in enumerate(_records(lines[1:], separator, width), 2):
        if not first.strip():
            continue
        if isinstance(cells, str):
            table.dropped.append((path.name, number, first.strip()[:80], cells))
        else:
            cells = ["" if cell.strip() == r"\N" else cell.strip() for cell in cells]
            row = {name: cells[place] for name, place in places.items() if place < len(cells)}
            table.rows.append({"row": number} | empty | row)
    return table


def dated_name(path: Path) -> str:
    """ "films.csv of 2026-11-26": the UTC day of its last change, which `catalog --fetch` sets to the server's."""
    return f"{path.name} of {datetime.fromtimestamp(path.stat().st_mtime, timezone.utc):%Y-%m-%d}"


def parse_number(text: str, grouped: bool = False) -> float | None:
    """A number as spreadsheets write it: "7,5", "1.234.567,8", "1 234"; None for what is none, infinity and nan."""
    # A single comma or point is the decimal mark; with `grouped`, it parts thousands where three digits follow.
    # NFKC makes no-break and thin spaces plain ones, and digits of full width too.
    text = unicodedata.normalize("NFKC", text).strip().translate(SIGNS)
    whole = rf"{PARTED}|\d+" if grouped else rf"\d+|{PARTED}"
    match = re.fullmatch(rf"([+-]?(?:{whole}))([.,]\d*)?([eE][+-]?\d+)?", text)
    if not match or (match["mark"] and (match[3] or "").startswith(match["mark"])):
        return None
    value = float(re.sub("[ '.,]", "", match[1]) + (match[3] or "").replace(",", ".") + (match[4] or ""))
    return value if abs(value) < 1e12 else None


def parse_whole(text: str) -> int | None:
    """A whole number: "1999.0", "12.345", "1,234,567"."""
    value = parse_number(text, grouped=True)
    return int(value) if value is not None and value == int(value) else None


def parse_year(text: str) -> int | None:
    """A year, or that of a date that has it in four digits: "1999-03-31", "31. 3. 1999", "March 31, 1999"."""
    if not text or parse_number(text, grouped=True) is not None:
        return parse_whole(text)
    digits = re.findall("[0-9]+", re.split(r"[T ][0-9]+:", text)[0])
    years = [int(number) for number in digits if len(number) == 4]
    return years[0] if len(years) == 1 and all(len(number) in (1, 2, 4) for number in digits) else None


PARSERS = {"year": parse_year, "score": parse_number, "runtime_minutes": parse_whole, "votes": parse_whole}


def _read_lines(path: Path, expected: str) -> list[bytes]:
    """The lines without their ends; TrailerError when the file is missing, of another format or too large."""
    if not path.is_file():
        raise TrailerError(f"{path} is missing: put the table there (README, 'Where the data comes from')")
    if path.stat().st_size > MOST_BYTES:
        raise TrailerError(f"{path}: over {MOST_BYTES / 1e6:.0f} MB: {expected}, a row a film")
    raw = path.read_bytes()
    if name := FORMATS.get(raw[:4]) or FORMATS.get(raw[:2]):
        raise TrailerError(f"{path}: a {name} file: {expected}; save it as CSV")
    # UTF-16 has a mark, or a zero in every second byte.
    for encoding, mark, zeros in (("utf-16-le", codecs.BOM_UTF16_LE, 1), ("utf-16-be", codecs.BOM_UTF16_BE, 0)):
        if raw.startswith(mark) or raw[zeros:4096:2].count(0) > len(raw[:4096]) / 4:
            raw = raw.removeprefix(mark).decode(encoding, "replace").encode()
    lines = raw.removeprefix(codecs.BOM_UTF8).splitlines()
    if any(len(line) > LONGEST_LINE for line in lines):
        raise TrailerError(f"{path}: a line of over {LONGEST_LINE:,} letters: {expected}")
    return lines


def _decode(lines: list[bytes]) -> tuple[list[str], str]:
    """The lines as text, and a remark where some are not UTF-8: the code page assumed, and a word to judge it by."""
    texts = [line.decode("utf-8", "surrogateescape") for line in lines]
    others = [number for number, text in enumerate(texts) if re.search("[\udc80-\udcff]", text)]
    if not others:
        return texts, ""
    raw = b"\n".join(lines[number] for number in others)
    faults = {page: len(IMPLAUSIBLE.findall(raw.decode(page, "replace"))) for page in CODE_PAGES}
    page = min(faults, key=faults.get)
    for number in others:
        texts[number] = lines[number].decode(page, "replace")
    word = re.search(r"[^\s,;\"]*[^\x00-\x7f][^\s,;\"]*", raw.decode(page, "replace"))[0][:40]
    doubt = "has letters that no title has" if faults[page] else "should be a word"
    return texts, f"not UTF-8, read as {CODE_PAGES[page]}: {word!r} {doubt}; if it is wrong, save the table as UTF-8"


def _read_heading(path: Path, line: str, marks: str, needed: list[str], optional: list[str] | None) -> tuple:
    """The separator, how many columns there are, and each one's place; TrailerError where one is missing or twice."""
    line, wanted = line.replace("\0", ""), {name.casefold() for name in needed + (optional or [])}
    headings = {mark: [cell.strip() for cell in next(csv.reader([line.casefold()], delimiter=mark))] for mark in marks}
    # The separator that gives the most of the columns wanted.
    mark = max(marks, key=lambda mark: (len(wanted & set(headings[mark])), len(headings[mark])))
    names, places = headings[mark], {}
    for name in needed + (list(filter(None, names)) if optional is None else optional):
        if names.count(name.casefold()) > 1:
            raise TrailerError(f"{path}: two columns {name!r}: expected one; remove or rename the other")
        if name.casefold() in names:
            places[name] = names.index(name.casefold())
        elif name in needed:
            raise TrailerError(f"{path}: no column {name!r}; it has {line[:200]!r}, expected {', '.join(needed)}")
    return mark, len(names), places


def _records(lines: list[str], separator: str, width: int) -> Iterator[tuple[str, list[str] | str]]:
    """The first line and the cells of each record, or its damage."""
    start = 0
    while start < len(lines):
        used, cells = _record(lines[start : start + LONGEST_CELL], separator, width)
        if "\0" in lines[start]:
            cells = "a NUL byte in the row"
        elif any(cells[width:]):
            cells = "more cells than the heading has"
        yield lines[start], cells or "a quotation mark is not closed"
        start += used


def _record(lines: list[str], separator: str, width: int) -> tuple[int, list[str]]:
    """How many lines the first record spans, and its cells; no cells when a quotation mark is not closed."""
    odd = lines[0].count('"') % 2 == 1
    reader = csv.reader((f"{line}\n" for line in lines) if odd else lines[:1], delimiter=separator, strict=odd)
    with suppress(csv.Error):
        cells, used = next(reader), reader.line_num
        # Lines that all look like rows are rows, which two stray quotation marks seem to join.
        if used == 1 or (len(cells) == width and any(line.count(separator) != width - 1 for line in lines[:used])):
            return used, cells
    return 1, []
