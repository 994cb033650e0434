"""The official tables: fetched from GroupLens and IMDb into excels/, and IMDb's own read for the films wanted."""

import gzip
import os
import zipfile
import zlib
from collections import namedtuple
from functools import partial
from pathlib import Path
from typing import IO

from trailer_lib import files
from trailer_lib.catalog.read_table import LONGEST_LINE, Row, dated_name
from trailer_lib.download import download
from trailer_lib.errors import TrailerError
from trailer_lib.progress import bar
from trailer_lib.project import Project

GROUPLENS, IMDB = "https://files.grouplens.org/datasets/movielens", "https://datasets.imdbws.com"
GROUPLENS_TERMS = """\
MovieLens tables (GroupLens, University of Minnesota): for research; acknowledge them in publications, imply no \
endorsement, no commercial use without permission, pass them on only on the same conditions. \
Full text: https://grouplens.org/datasets/movielens/"""
IMDB_TERMS = """\
IMDb tables: for personal and non-commercial use only, not to be passed on; information courtesy of IMDb \
(https://www.imdb.com), used with permission; terms: https://developer.imdb.com/non-commercial-datasets/"""
DOWNLOADED, UNPACKED = 4_000_000_000, 16_000_000_000  # bytes at most: ten times what the largest table has
DAMAGE = (EOFError, gzip.BadGzipFile, zlib.error)  # errors of a compressed file
BASICS, RATINGS = "title.basics.tsv.gz", "title.ratings.tsv.gz"
FACTS = {
    "title": "primaryTitle", "year": "startYear", "score": "averageRating", "genres": "genres",
    "runtime_minutes": "runtimeMinutes", "votes": "numVotes"}  # fmt: skip
# Made for one evening, with a trailer of their own: no short, series, episode, special or game.
FILM_KINDS = {"movie", "tvMovie", "video"}
# A table of excels/: its file, where it comes from, how its first line begins, and its owner's terms.
OfficialTable = namedtuple("OfficialTable", "name url header terms")
TABLES = (
    OfficialTable("ml-youtube.csv", f"{GROUPLENS}/ml-20m-youtube.zip", "youtubeId,movieId,title", GROUPLENS_TERMS),
    OfficialTable(RATINGS, f"{IMDB}/{RATINGS}", "tconst\taverageRating\tnumVotes", IMDB_TERMS),
    OfficialTable(BASICS, f"{IMDB}/{BASICS}", "tconst\ttitleType\tprimaryTitle", IMDB_TERMS),
    OfficialTable("links.csv", f"{GROUPLENS}/ml-latest.zip", "movieId,imdbId,tmdbId", GROUPLENS_TERMS),
)


def fetch(project: Project) -> None:
    """Download the official tables that `project.excels` lacks; delete one to get today's."""
    project.excels.mkdir(exist_ok=True)
    files.remove_temporary(project.excels)
    missing = [table for table in TABLES if not imdb_path(project.excels, table.name).exists()]
    for terms in dict.fromkeys(table.terms for table in missing):
        print(terms)
    for table in TABLES:
        path = imdb_path(project.excels, table.name)
        if table in missing:
            download(table.url, path, DOWNLOADED, check=partial(_check, table=table), title=table.name)
        print(f"{dated_name(path)}: {'fetched' if table in missing else 'left as it was'}")


def _check(packed: Path, table: OfficialTable) -> None:
    """TrailerError if the file is damaged, another table or too large; the table takes the place of its zip file."""
    try:
        if table.url.endswith(".gz"):
            with gzip.open(packed) as source:
                return _copy(source, Path(os.devnull), table)
        with files.atomic_path(packed) as temporary, zipfile.ZipFile(packed) as archive:
            # Wherever in the archive it is; the names in it are never used as paths.
            places = {name.rpartition("/")[2]: name for name in archive.namelist()}
            with archive.open(places[table.name]) as source:
                _copy(source, temporary, table)
            os.utime(temporary, (packed.stat().st_atime, packed.stat().st_mtime))
    except (*DAMAGE, zipfile.BadZipFile, KeyError, NotImplementedError, RuntimeError) as error:
        raise TrailerError(f"{table.url}: no whole {table.name} ({error}): call again to fetch it anew") from error


def _copy(source: IO[bytes], path: Path, table: OfficialTable) -> None:
    begin = source.readline(LONGEST_LINE)
    if not begin.decode("utf-8-sig", "replace").startswith(table.header):
        raise TrailerError(f"{table.url}: begins with {begin[:40]!r}, not {table.header!r}: it has changed")
    with open(path, "wb") as target:
        target.write(begin)
        while chunk := source.read(1 << 20):  # to the end, where a CRC is
            target.write(chunk)
            if source.tell() > UNPACKED:
                raise TrailerError(f"{table.url}: unpacks to over {UNPACKED / 1e9:.0f} GB: not fetched")


def imdb_path(folder: Path, name: str) -> Path:
    """The table, or its unpacked copy (title.basics.tsv) where only that is there."""
    unpacked = folder / name.removesuffix(".gz")
    return unpacked if unpacked.is_file() and not (folder / name).exists() else folder / name


def imdb_facts(folder: Path, wanted: set[str]) -> dict[str, Row]:
    """For each of the IMDb ids `wanted` the columns FACTS as texts, and "fault": why it is no film, else ""."""
    basics = _rows(imdb_path(folder, BASICS), "titleType primaryTitle startYear runtimeMinutes genres".split(), wanted)
    ratings = _rows(imdb_path(folder, RATINGS), ["averageRating", "numVotes"], wanted)
    facts = {imdb_id: {"fault": f"not in {BASICS}"} for imdb_id in wanted}
    for imdb_id, row in basics.items():
        row |= ratings.get(imdb_id, {}) | {"genres": row["genres"].replace(",", "|")}
        fault = "" if row["titleType"] in FILM_KINDS else "IMDb has it as a series, short, special or game"
        fault = "IMDb has it as an adult title" if row.get("isAdult") == "1" else fault
        facts[imdb_id] = {name: row.get(column, "") for name, column in FACTS.items()} | {"fault": fault}
    return facts


def _rows(path: Path, columns: list[str], wanted: set[str]) -> dict[str, Row]:
    """IMDb id -> the cells of its first row, of the ids `wanted`; a row with too many or too few cells is left out."""
    keys, rows = {imdb_id.encode() for imdb_id in wanted}, {}
    try:
        with open(path, "rb") as packed, gzip.open(packed) if packed.peek(2)[:2] == b"\x1f\x8b" else packed as file:
            lines = iter(lambda: file.readline(LONGEST_LINE), b"")
            heading = next(lines, b"").decode("utf-8-sig", "replace").rstrip("\r\n").split("\t")
            if heading[0] != "tconst" or not set(columns) <= set(heading):
                names = ", ".join(["tconst", *columns])
                raise TrailerError(f"{path}: expected a table with the columns {names}: fetch it again")
            for line in bar(lines, desc=path.name, unit="row", unit_scale=True):
                if len(line) == LONGEST_LINE:  # which would fill the memory: a small gzip file may hold gigabytes
                    raise TrailerError(f"{path}: a line of over {LONGEST_LINE:,} bytes: fetch it again")
                if line.partition(b"\t")[0] in keys:
                    cells = line.decode(errors="replace").rstrip("\r\n").split("\t")  # quotation marks are letters
                    if len(cells) == len(heading):
                        row = {name: "" if cell == r"\N" else cell for name, cell in zip(heading, cells)}
                        rows.setdefault(cells[0], row)
    except DAMAGE as error:
        raise TrailerError(f"{path}: damaged ({' '.join(str(error).split())}): fetch it again") from error
    return rows
