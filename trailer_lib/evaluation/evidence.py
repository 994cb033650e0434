"""What a table of trailer features says of the scores, alone and on top of the baselines, out of fold."""

import re
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from trailer_lib import catalog
from trailer_lib.dataset import assign_folds
from trailer_lib.errors import TrailerError
from trailer_lib.evaluation import baselines
from trailer_lib.evaluation.metrics import Metric, evaluate_all, metric_table, paired_difference
from trailer_lib.progress import bar
from trailer_lib.project import Project

MAX_BYTES = 4_000_000_000  # 25,000 films of 40,000 columns
IDS = ["imdb_id", "tconst", "imdbid", "const", "youtube_id", "youtubeid", "ytid"]
NO_FEATURES = {*IDS, "title", "year", "movieid", "tag"}
MISSING = {"", "?", "-", "na", "n/a", "#n/a", "nan", "none", "null"}
LOGICAL = {"true": 1.0, "false": 0.0}


def read_features(path: Path, films: pd.DataFrame) -> pd.DataFrame:
    """The features of those `films` (imdb_id, youtube_id, title, year) that a file has: float32, by imdb_id.

    .npz: `imdb_id` or `youtube_id`, text [n], and arrays of numbers [n, columns] or [n]. .csv, .tsv or .txt: a row a
    film, by one of IDS, or title and year; a column of which most cells are numbers, or true and false, is a feature.
    Any other cell of it, or an infinite number, is nan. `attrs["remarks"]`: lines on what is used, missing and left
    out. TrailerError for another file, none of the films, or two rows of one film.
    """
    kind = path.suffix.casefold()
    if kind not in (".npz", ".csv", ".tsv", ".txt") or not path.is_file():
        raise TrailerError(f"{path}: no such table of features: expected a .npz, .csv or .tsv file")
    try:
        ids, table, remarks = _read_arrays(path) if kind == ".npz" else _read_text(path)
        table = table.set_index(pd.Index(_film_ids(ids, films), name="imdb_id"))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise TrailerError(f"{path}: not a readable table ({' '.join(str(error).split())[:150]})") from error
    rows, table = len(table), table[table.index.isin(films.imdb_id)]
    if not len(table):
        raise TrailerError(f"{path}: none of its films is among the {len(films)} with a score: are the ids IMDb's?")
    if table.index.has_duplicates:
        repeated = table.index[table.index.duplicated()][0]
        raise TrailerError(f"{path}: several rows of {repeated}: expected a row a film: average or remove them")
    table = table.replace([np.inf, -np.inf], np.nan).dropna(axis=1, how="all")
    if not table.shape[1]:
        raise TrailerError(f"{path}: no column of numbers beside the films' ids")
    missing = [f"{count} in {name}" for name, count in table.isna().sum().items() if count]
    remarks.append(f"{len(table)} of {rows} rows are of films with a score; features: {_first(table.columns)}")
    table.attrs["remarks"] = remarks + [f"missing values: {_first(missing)}"] * bool(missing)
    return table


def _first(names: Iterable[str], most: int = 10) -> str:
    names = list(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _read_arrays(path: Path) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """The rows' ids, their features, and remarks; ValueError or such for an archive that is no table."""
    with zipfile.ZipFile(path) as packed:
        if sum(entry.file_size for entry in packed.infolist()) > MAX_BYTES:  # before a small file fills the memory
            raise ValueError(f"over {MAX_BYTES:,} bytes unpacked: a row a film was expected")
    with np.load(path, allow_pickle=False) as archive:
        arrays = dict(archive)
    ids = {name: arrays.pop(name) for name in ("imdb_id", "youtube_id") if name in arrays}
    if not ids or any(array.ndim != 1 or array.dtype.kind not in "US" for array in ids.values()):
        raise ValueError(f"no array imdb_id or youtube_id of text [n]; it has {_first(arrays) or 'nothing else'}")
    texts = pd.DataFrame({name: array.astype(str) for name, array in ids.items()})
    columns = {}
    for name, array in arrays.items():
        if array.dtype.kind in "fiub" and array.ndim in (1, 2):
            if len(array) != len(texts):
                raise ValueError(f"{name} has {len(array)} rows and the ids {len(texts)}: expected a row a film")
            columns |= {f"{name} {number}": column for number, column in enumerate(array.reshape(len(texts), -1).T)}
    return texts, pd.DataFrame(columns, texts.index, dtype=np.float32), []


def _read_text(path: Path) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """The same of a table as the catalogue reads them."""
    table = catalog.read_rows(path, [], None)
    texts = pd.DataFrame(table.rows, columns=table.columns, dtype=str)
    cells = texts[texts.columns.difference(NO_FEATURES, sort=False)]
    numbers = cells.map(_number).astype(np.float32)
    mostly = numbers.notna().sum() > 0.5 * (~cells.map(str.casefold).isin(MISSING)).sum()
    remarks = [table.remark] * bool(table.remark)
    if table.dropped:
        remarks.append(f"{len(table.dropped)} damaged rows are left out, the first is row {table.dropped[0][1]}")
    if not mostly.all():
        remarks.append(f"left out, as most of their cells are no numbers: {_first(cells.columns[~mostly])}")
    return texts, numbers.loc[:, mostly], remarks


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return LOGICAL.get(text.casefold(), catalog.parse_number(text))


def _film_ids(rows: pd.DataFrame, films: pd.DataFrame) -> pd.Series:
    """The imdb_id of the film of each row, by IMDb id, else YouTube id, else title and year; None where not clear."""
    by_video = dict(zip(films.youtube_id, films.imdb_id.where(~films.youtube_id.duplicated(keep=False)))) | {"": None}
    ids, titled = pd.Series(None, rows.index, dtype=object), {"title", "year"} <= {*rows}
    columns = [name for name in IDS if name in rows]
    if not columns and not titled:
        raise ValueError(f"no column imdb_id or youtube_id, nor title and year; it has {_first(rows)}")
    for name in columns:
        videos = rows[name].map(catalog.video_id)
        films_of_videos = videos.map(by_video).mask(videos.duplicated(keep=False))
        ids = ids.fillna(rows[name].map(_imdb_id)).fillna(films_of_videos)
    return ids.fillna(_match_titles(rows[ids.isna()], films[~films.imdb_id.isin(ids)])) if titled else ids


def _imdb_id(text: str) -> str | None:
    """Of "tt0114709", a link that has it, or MovieLens' 114709."""
    digits = re.fullmatch(r"(?:tt)?([0-9]{1,10})(?:\.0)?", text)
    found = catalog.FILM_ID.search(text)
    return f"tt{digits[1]:0>7}" if digits else found[0] if found else None


def _match_titles(rows: pd.DataFrame, films: pd.DataFrame) -> pd.Series:
    """The imdb_id of the film of each row, as the catalogue matches trailers."""
    listed = [
        {
            "row": number,
            "title": f"{title} ({catalog.parse_number(year) or 0:.0f})",
            "movieId": "",
            "youtubeId": "-" * 11,
        }
        for number, title, year in zip(rows.index, rows.title, rows.year)
    ]
    matches, _ = catalog.match_titles(films[["imdb_id", "title", "year"]].to_dict("records"), listed)
    by_row = {row["row"]: imdb_id for imdb_id, (row, _) in zip(films.imdb_id, matches) if row}
    return pd.Series(by_row, dtype=object).reindex(rows.index)


def evidence_films(project: Project) -> pd.DataFrame:
    """Every film with a score in excels/, with or without a trailer, with its metadata.

    Columns imdb_id, youtube_id ("" where none is known), title, year, score, genres, runtime_minutes, key and those of
    `baselines.COLUMNS` that are there.
    """
    if (project.excels / catalog.METADATA).is_file():
        table = pd.DataFrame(catalog.scored_films(project.excels)).astype({"runtime_minutes": "Int64"})
        table["key"], table["youtube_id"] = table.imdb_id, ""
        with suppress(TrailerError):  # no list of trailers
            listed = catalog.load(project).films.set_index("imdb_id").youtube_id
            table["youtube_id"] = table.imdb_id.map(listed).fillna("")
    else:
        table = catalog.load(project).films
        table["key"] = catalog.trailer_keys(table)
    columns = ["imdb_id", "youtube_id", "title", "year", "score", "genres", "runtime_minutes", "key"]
    return baselines.add_metadata(project, table[columns].reset_index(drop=True))


def evaluate_features(
    films: pd.DataFrame, features: pd.DataFrame | None = None, folds: int = 5, repeats: int = 3
) -> dict:
    """Metrics of predictions out of fold, and what the features add to each baseline, as plain numbers.

    `films` from `evidence_films`, `features` from `read_features`, or None for the baselines alone. Only films with
    features take part. The head of the features and the weights are chosen within the train films of each fold.
    """
    if features is not None:
        films = films[films.imdb_id.isin(features.index)].reset_index(drop=True)
    matrix = None if features is None else features.loc[films.imdb_id].to_numpy()
    rows, heads = defaultdict(lambda: np.full((repeats, len(films)), np.nan)), Counter()
    for repeat, fold in bar(list(product(range(repeats), range(folds))), desc="evidence", unit="fold"):
        assigned = assign_folds(films.key, folds, repeat)
        if np.bincount(assigned, minlength=folds).min() < 2:
            raise TrailerError(f"{len(films)} films are too few for {folds} folds of 2 or more: name fewer folds")
        if np.ptp(films.score) == 0:
            raise TrailerError(f"all {len(films)} films have the score {films.score[0]}: without a variance no nMSE")
        predictions, head = fold_rows(films, matrix, assigned == fold)
        heads.update([head] if head else [])
        for row, predicted in predictions.items():
            rows[row][repeat, assigned == fold] = predicted
    facts = {"folds": folds, "repeats": repeats, "left out": baselines.missing_baselines(films), "chosen": dict(heads)}
    facts["remarks"] = [] if features is None else features.attrs.get("remarks", [])
    return _evaluate_rows(films.score.to_numpy(), rows) | facts


def fold_rows(films: pd.DataFrame, features: np.ndarray | None, test: np.ndarray) -> tuple[dict[str, np.ndarray], str]:
    """Each row's predictions for the films where `test`, bool [films], fitted on the others; the head chosen, or ""."""
    train, tested, scores = films[~test], films[test], films.score.to_numpy()[~test]
    fitted = baselines.fit_baselines(train, tested, baselines.BASELINES)
    rows = {name: baseline.outer for name, baseline in fitted.items()}
    rows["median"] = baselines.median_prediction(train, tested)
    if features is None:
        return rows, ""
    trailer = baselines.best_predictions(feature_heads(), features[~test], scores, features[test])
    stacked = {f"{name} + trailer": baselines.stack([fitted[name], trailer], scores) for name in list(fitted)[1:]}
    return rows | {"trailer": trailer.outer} | stacked, trailer.model


def feature_heads() -> dict[str, BaseEstimator]:
    """Ways to predict the score from rows of features, float [films, columns] with nan where unknown."""
    steps = SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler(), RidgeCV(np.logspace(0, 6, 19))
    # Features of a ReLU network are many small values and a few large ones: their roots are nearer to normal.
    roots = FunctionTransformer(lambda values: np.sign(values) * np.sqrt(np.abs(values)))
    return {"ridge": make_pipeline(*steps), "ridge on roots": make_pipeline(steps[0], roots, *steps[1:])}


def _evaluate_rows(truth: np.ndarray, rows: dict[str, np.ndarray]) -> dict:
    """Metrics of every row, and its nMSE minus that of the baseline it extends, else of the mean baseline."""
    rows = {row: predicted for row, predicted in rows.items() if np.isfinite(predicted).all()}
    median, differences = rows.pop("median"), {}
    for row in list(rows)[1:]:
        extended = row.removesuffix(" + trailer")
        than = extended if row != extended else "mean baseline"
        differences[row] = {"than": than} | asdict(paired_difference(truth, rows[row], rows[than]))
    return {"films": len(truth), "metrics": evaluate_all(truth, rows, median), "nMSE minus": differences}


def evidence_table(results: dict) -> pd.DataFrame:
    """`evaluate_features` as a table: "value [low, high]" in the cells, the nMSE minus that of another row."""
    table = metric_table(results)
    for row, gain in results["nMSE minus"].items():
        table.loc[row, "nMSE minus"] = f"{Metric(gain['value'], gain['low'], gain['high']):+.3f}"
        table.loc[row, "that of"] = gain["than"]
    return table.fillna("")
