"""IMDb's own tables, title.basics.tsv.gz and title.ratings.tsv.gz: facts of the films asked for, in little memory."""

import csv
import gzip
import zlib
from pathlib import Path

import pandas as pd

from trailer_lib.errors import TrailerError
from trailer_lib.progress import bar
from trailer_lib.tables import LONGEST_LINE, Row

BASICS, RATINGS = "title.basics.tsv.gz", "title.ratings.tsv.gz"
BASICS_COLUMNS = ["tconst", "titleType", "primaryTitle", "startYear", "runtimeMinutes", "genres"]
RATINGS_COLUMNS = ["tconst", "averageRating", "numVotes"]
# Made for one evening, with a trailer of their own: no short, series, episode, special or game.
FILM_KINDS = {"movie", "tvMovie", "video"}
ROWS_AT_ONCE = 100_000  # about 50 MB


def available(folder: Path) -> bool:
    """Whether both tables are there; TrailerError when only one is."""
    there = [name for name in (BASICS, RATINGS) if (folder / name).is_file()]
    if len(there) == 1:
        (missing,) = {BASICS, RATINGS} - set(there)
        raise TrailerError(
            f"{folder / there[0]} is of no use without {missing}: put it there too, or remove {there[0]}"
        )
    return bool(there)


def facts(folder: Path, wanted: set[str]) -> tuple[dict[str, Row], dict[str, str]]:
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
