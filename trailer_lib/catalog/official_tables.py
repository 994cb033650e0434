"""The official tables: where GroupLens and IMDb keep them, on what terms, and how they come into excels/."""

import csv
import gzip
import os
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import BinaryIO

import pandas as pd

from trailer_lib import files
from trailer_lib.catalog.read_table import LONGEST_LINE, Row
from trailer_lib.download import download
from trailer_lib.errors import TrailerError
from trailer_lib.progress import bar
from trailer_lib.project import Project

GROUPLENS = "https://files.grouplens.org/datasets/movielens"
IMDB = "https://datasets.imdbws.com"
DOWNLOADED, UNPACKED = 4_000_000_000, 16_000_000_000  # bytes at most: ten times what the largest table has
CHUNK = 1 << 20
ARCHIVE = ".zip"  # links.csv.zip, beside links.csv until it is unpacked
GROUPLENS_TERMS = (
    "MovieLens tables (GroupLens, University of Minnesota): for research; acknowledge them in publications, imply no "
    "endorsement, no commercial use without permission, pass them on only on the same conditions. "
    "Full text: https://grouplens.org/datasets/movielens/"
)
IMDB_TERMS = (
    "IMDb tables: for personal and non-commercial use only, not to be passed on; information courtesy of IMDb "
    "(https://www.imdb.com), used with permission. Full text: https://developer.imdb.com/non-commercial-datasets/"
)


@dataclass(frozen=True)
class Table:
    """A table in excels/: its file, where it comes from, how its first line begins, and its owner's terms."""

    name: str
    url: str
    header: str
    terms: str


TABLES = (
    Table("ml-youtube.csv", f"{GROUPLENS}/ml-20m-youtube.zip", "youtubeId,movieId,title", GROUPLENS_TERMS),
    Table("title.ratings.tsv.gz", f"{IMDB}/title.ratings.tsv.gz", "tconst\taverageRating\tnumVotes", IMDB_TERMS),
    Table("title.basics.tsv.gz", f"{IMDB}/title.basics.tsv.gz", "tconst\ttitleType\tprimaryTitle", IMDB_TERMS),
    Table("links.csv", f"{GROUPLENS}/ml-latest.zip", "movieId,imdbId,tmdbId", GROUPLENS_TERMS),
)


def fetch(project: Project, say: Callable[[str], None] = print) -> list[Path]:
    """Get the official tables that are not yet in `project.excels`, and return their files.

    A table that is there stays as it is, whoever put it there; delete it to get today's. The terms of a table's owner
    are said when its first download begins, not when it goes on. Stopped or cut off, the same call goes on.
    """
    project.excels.mkdir(exist_ok=True)
    files.remove_temporary(project.excels)
    missing = [table for table in TABLES if not (project.excels / table.name).exists()]
    for terms in dict.fromkeys(table.terms for table in missing if not _begun(project.excels, table)):
        say(terms)
    for table in TABLES:
        path = project.excels / table.name
        if table in missing:
            _fetch(table, path)
        when = datetime.fromtimestamp(path.stat().st_mtime, timezone.utc).date()
        say(f"{table.name}: {'fetched' if table in missing else 'kept as it was'}, of {when}")
    return [project.excels / table.name for table in missing]


def _begun(folder: Path, table: Table) -> bool:
    """Whether an earlier call, stopped since, has said this table's terms."""
    return (folder / f"{table.name}{ARCHIVE}").exists()


def _fetch(table: Table, path: Path) -> None:
    if not table.url.endswith(".zip"):
        download(table.url, path, DOWNLOADED, check=lambda part: _check_gzip(part, table), title=table.name)
        return
    archive = path.with_name(path.name + ARCHIVE)
    if not archive.exists():  # else an earlier call was stopped while it unpacked
        download(table.url, archive, DOWNLOADED, title=table.name)
    try:
        _unpack(archive, table, path)
    except TrailerError:
        archive.unlink()  # the same bytes would fail again
        raise
    archive.unlink()


def _check_gzip(path: Path, table: Table) -> None:
    """TrailerError unless the whole of `path` can be decompressed (its CRC is at the end) and is the table."""
    try:
        with gzip.open(path, "rb") as file:
            _copy(file, None, table)
    except (OSError, EOFError, zlib.error) as error:
        raise TrailerError(f"{table.url}: not a whole gzip file ({error}): call again to fetch it anew") from error


def _unpack(archive: Path, table: Table, path: Path) -> None:
    """The one member wanted, wherever in the archive it is, as `path`; names in the archive are never used as paths."""
    try:
        with zipfile.ZipFile(archive) as opened:
            names = [name for name in opened.namelist() if name.rpartition("/")[2] == table.name]
            if len(names) != 1:
                raise TrailerError(f"{table.url}: has {len(names)} files {table.name}, expected one: get it by hand")
            with files.atomic_path(path) as temporary:
                with opened.open(names[0]) as member, open(temporary, "wb") as file:
                    _copy(member, file, table)  # checks the member's CRC at its end
                os.utime(temporary, (archive.stat().st_atime, archive.stat().st_mtime))
    except (zipfile.BadZipFile, EOFError, zlib.error, NotImplementedError, RuntimeError) as error:
        raise TrailerError(f"{table.url}: not a whole zip file ({error}): call again to fetch it anew") from error


def _copy(source: BinaryIO, target: BinaryIO | None, table: Table) -> None:
    """All of `source` into `target`, if any; TrailerError if it is not the table, or grows beyond all bounds."""
    chunk, count = source.read(CHUNK), 0
    begin = chunk.removeprefix(b"\xef\xbb\xbf")[: len(table.header)]
    if begin != table.header.encode():
        text = begin.decode(errors="replace")
        raise TrailerError(f"{table.url}: begins with {text!r}, expected {table.header!r}: the table has changed")
    while chunk:
        count += len(chunk)
        if count > UNPACKED:
            raise TrailerError(f"{table.url}: unpacks to more than {UNPACKED / 1e9:.0f} GB: not fetched")
        if target:
            target.write(chunk)
        chunk = source.read(CHUNK)


BASICS, RATINGS = "title.basics.tsv.gz", "title.ratings.tsv.gz"
BASICS_COLUMNS = ["tconst", "titleType", "primaryTitle", "startYear", "runtimeMinutes", "genres"]
RATINGS_COLUMNS = ["tconst", "averageRating", "numVotes"]
# Made for one evening, with a trailer of their own: no short, series, episode, special or game.
FILM_KINDS = {"movie", "tvMovie", "video"}
ROWS_AT_ONCE = 100_000  # about 50 MB


def imdb_tables_available(folder: Path) -> bool:
    """Whether both tables are there; TrailerError when only one is."""
    there = [name for name in (BASICS, RATINGS) if (folder / name).is_file()]
    if len(there) == 1:
        (missing,) = {BASICS, RATINGS} - set(there)
        raise TrailerError(
            f"{folder / there[0]} is of no use without {missing}: put it there too, or remove {there[0]}"
        )
    return bool(there)


def imdb_facts(folder: Path, wanted: set[str]) -> tuple[dict[str, Row], dict[str, str]]:
    """Of the IMDb ids `wanted`: title, year, score, genres, runtime_minutes and votes; for the others the reason."""
    basics, ratings = _rows(folder / BASICS, BASICS_COLUMNS, wanted), _rows(folder / RATINGS, RATINGS_COLUMNS, wanted)
    known, reasons = {}, dict.fromkeys(wanted, f"not in {BASICS}")
    for imdb_id, row in basics.items():
        rating = ratings.get(imdb_id, {"averageRating": "", "numVotes": ""})
        known[imdb_id] = _film(row, rating)
        reasons[imdb_id] = "" if row["titleType"] in FILM_KINDS else "IMDb has it as a series, short, special or game"
    return {name: film for name, film in known.items() if not reasons[name]}, {k: v for k, v in reasons.items() if v}


def _film(row: Row, rating: Row) -> Row:
    return {
        "title": row["primaryTitle"],
        "year": row["startYear"],
        "score": rating["averageRating"],
        "genres": row["genres"].replace(r"\N", "").replace(",", "|"),
        "runtime_minutes": row["runtimeMinutes"],
        "votes": rating["numVotes"],
    }


def _rows(path: Path, columns: list[str], wanted: set[str]) -> dict[str, Row]:
    """IMDb id -> its row, of the ids wanted; the first where an id stands twice."""
    kept = []
    try:
        with _Lines(path) as file, bar(desc=path.name, unit="row", unit_scale=True) as progress:
            # A quotation mark is a letter here. A row with too many cells is skipped; its film then has a reason.
            for chunk in pd.read_csv(
                file, sep="\t", usecols=columns, dtype=str, chunksize=ROWS_AT_ONCE, quoting=csv.QUOTE_NONE,
                keep_default_na=False, encoding_errors="replace", on_bad_lines="skip",
            ):  # fmt: skip
                kept.append(chunk[chunk["tconst"].isin(wanted)])
                progress.update(len(chunk))
    except (EOFError, gzip.BadGzipFile, zlib.error, pd.errors.ParserError) as error:
        raise TrailerError(f"{path}: damaged ({' '.join(str(error).split())}): fetch it again") from error
    except ValueError as error:  # an empty file, or columns that are not there
        raise TrailerError(f"{path}: expected a table with the columns {', '.join(columns)}: fetch it again") from error
    table = pd.concat(kept).drop_duplicates("tconst").fillna("")
    return {row["tconst"]: row for row in table.to_dict("records")}


class _Lines(gzip.GzipFile):
    """A gzip file that refuses an endless line, which a small file may hold, before it fills the memory."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.since_newline = 0

    def read(self, size: int | None = -1) -> bytes:
        return self._checked(super().read(size))

    def read1(self, size: int = -1) -> bytes:
        return self._checked(super().read1(size))

    def _checked(self, piece: bytes) -> bytes:
        last = piece.rfind(b"\n")
        self.since_newline = len(piece) - last - 1 if last >= 0 else self.since_newline + len(piece)
        if self.since_newline > LONGEST_LINE:
            raise TrailerError(f"{self.name}: a line of over {LONGEST_LINE:,} bytes: fetch it again")
        return piece
