"""Tables of features that others made of trailers (`features:FILE`): films by IMDb id, or by title and year."""

import csv
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd

from trailer_lib import titles
from trailer_lib.errors import TrailerError
from trailer_lib.ids import IMDB_ID

BIGGEST = 4_000_000_000  # bytes: 25,000 films of 40,000 columns
IDS = ("imdb_id", "tconst", "imdbid", "const")
NO_FEATURES = {
    *IDS,
    "title",
    "year",
    "movieid",
    "ytid",
    "youtubeid",
    "youtube_id",
    "tag",
}  # columns that say which film
KINDS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}


def read(path: Path, films: pd.DataFrame) -> pd.DataFrame:
    """The features of those `films` (imdb_id, title, year) that a file has: float32, a row a film, by imdb_id.

    .npz: `imdb_id`, text [n], beside one or more arrays of numbers [n, columns] or [n]. .csv or .tsv: a row a film, by
    a column imdb_id (or tconst), else by title and year; every other column of numbers is a feature. An unknown or
    infinite number is nan. Raises TrailerError for another file, for none of the films, and for two rows of one film.
    """
    if not path.is_file():
        raise TrailerError(f"{path}: no such table of features: expected a .npz, .csv or .tsv file")
    if path.stat().st_size > BIGGEST:
        raise TrailerError(f"{path}: over {BIGGEST:,} bytes: a row a film was expected, averaged over its frames")
    if path.suffix != ".npz" and path.suffix not in KINDS:
        raise TrailerError(f"{path}: unknown kind {path.suffix!r}: expected a .npz, .csv or .tsv file")
    table = _arrays(path) if path.suffix == ".npz" else _spreadsheet(path, films)
    table = table[table.index.isin(films.imdb_id)]
    if not len(table):
        raise TrailerError(f"{path}: none of its films is among the {len(films)} with a score: are the ids IMDb's?")
    if table.index.has_duplicates:
        again = table.index[table.index.duplicated()][0]
        raise TrailerError(f"{path}: several rows of {again}: expected a row a film: average or remove them")
    table = table.replace([np.inf, -np.inf], np.nan).dropna(axis=1, how="all")
    if not table.shape[1]:
        raise TrailerError(f"{path}: no column of numbers beside the films' ids")
    return table


def _arrays(path: Path) -> pd.DataFrame:
    try:
        with zipfile.ZipFile(path) as packed:
            if sum(entry.file_size for entry in packed.infolist()) > BIGGEST:  # before a small file fills the memory
                raise TrailerError(f"{path}: over {BIGGEST:,} bytes unpacked: a row a film was expected")
        with np.load(path, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise TrailerError(f"{path}: not a readable .npz of plain arrays ({' '.join(str(error).split())})") from error
    ids = found.pop("imdb_id", np.empty(0))
    if ids.ndim != 1 or ids.dtype.kind != "U":
        raise TrailerError(f"{path}: no array imdb_id of text [n]; it has {', '.join(found) or 'nothing else'}")
    features = {
        f"{name} {number}": column
        for name, array in found.items() if array.dtype.kind in "fiu" and len(array.shape) in (1, 2)
        for number, column in enumerate(_columns(path, name, array, len(ids)))
    }  # fmt: skip
    return pd.DataFrame(features, index=pd.Index(ids, name="imdb_id"), dtype=np.float32)


def _columns(path: Path, name: str, array: np.ndarray, films: int) -> np.ndarray:
    if len(array) != films:
        raise TrailerError(f"{path}: {name} has {len(array)} rows and imdb_id {films}: expected a row a film")
    return array.reshape(films, -1).T


def _spreadsheet(path: Path, films: pd.DataFrame) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, sep=KINDS[path.suffix], dtype={"title": str}, encoding_errors="replace")
    except (ValueError, csv.Error) as error:  # pandas' own errors are ValueErrors
        raise TrailerError(f"{path}: not a readable table ({' '.join(str(error).split())[:100]})") from error
    names = {name.casefold().strip(): name for name in table.columns}
    ids = [names[name] for name in IDS if name in names]
    if ids:
        keys = table[ids[0]].astype(str).str.extract(f"({IMDB_ID.pattern})")[0]
    elif {"title", "year"} <= names.keys():
        keys = _by_title(table[names["title"]], table[names["year"]], films)
    else:
        raise TrailerError(f"{path}: no column imdb_id, nor title and year; it has {', '.join(table.columns[:8])}")
    numbers = table[[column for key, column in names.items() if key not in NO_FEATURES]].select_dtypes("number")
    return numbers.astype(np.float32).set_index(pd.Index(keys, name="imdb_id"))[keys.notna().to_numpy()]


def _by_title(named: pd.Series, years: pd.Series, films: pd.DataFrame) -> pd.Series:
    """The imdb_id of the film that each row is of, as the catalogue matches trailers; nan where that can't be told."""
    years = pd.to_numeric(years, errors="coerce").fillna(0).astype(int)
    rows = [
        {"row": number, "title": f"{title} ({year})", "movieId": "", "youtubeId": "-" * 11}
        for number, (title, year) in enumerate(zip(named.fillna(""), years))
    ]
    met, _ = titles.meet(films[["imdb_id", "title", "year"]].to_dict("records"), rows)
    of_row = {row["row"]: imdb_id for imdb_id, (row, _) in zip(films.imdb_id, met) if row}
    return pd.Series([of_row.get(number, np.nan) for number in range(len(rows))], dtype=object)
