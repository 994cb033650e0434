"""What a table of trailer features says of the scores, alone and on top of the baselines, out of fold."""

import csv
import zipfile
from collections import Counter, defaultdict
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

from trailer_lib.catalog import IMDB_ID, METADATA, load, match_titles, scored_films, trailer_keys
from trailer_lib.dataset import assign_folds
from trailer_lib.errors import TrailerError
from trailer_lib.evaluation import baselines
from trailer_lib.evaluation.metrics import evaluate_all, metric_table, paired_difference
from trailer_lib.progress import bar
from trailer_lib.project import Project

MAX_BYTES = 4_000_000_000  # 25,000 films of 40,000 columns
IDS = ["imdb_id", "tconst", "imdbid", "const"]
NO_FEATURES = {*IDS, "title", "year", "movieid", "ytid", "youtubeid", "youtube_id", "tag"}
SEPARATORS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}


def read_features(path: Path, films: pd.DataFrame) -> pd.DataFrame:
    """The features of those `films` (imdb_id, title, year) that a file has: float32, a row a film, by imdb_id.

    .npz: `imdb_id`, text [n], beside one or more arrays of numbers [n, columns] or [n]. .csv or .tsv: a row a film, by
    a column imdb_id (or tconst), else by title and year; every other column of numbers is a feature. An unknown or
    infinite number is nan. Raises TrailerError for another file, for none of the films, and for two rows of one film.
    """
    if path.suffix not in (".npz", *SEPARATORS) or not path.is_file():
        raise TrailerError(f"{path}: no such table of features: expected a .npz, .csv or .tsv file")
    try:
        table = _read_arrays(path) if path.suffix == ".npz" else _read_text(path, films)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, csv.Error) as error:
        raise TrailerError(f"{path}: not a readable table ({' '.join(str(error).split())[:150]})") from error
    table = table[table.index.isin(films.imdb_id)]
    if not len(table):
        raise TrailerError(f"{path}: none of its films is among the {len(films)} with a score: are the ids IMDb's?")
    if table.index.has_duplicates:
        repeated = table.index[table.index.duplicated()][0]
        raise TrailerError(f"{path}: several rows of {repeated}: expected a row a film: average or remove them")
    table = table.replace([np.inf, -np.inf], np.nan).dropna(axis=1, how="all")
    if not table.shape[1]:
        raise TrailerError(f"{path}: no column of numbers beside the films' ids")
    return table


def _read_arrays(path: Path) -> pd.DataFrame:
    """ValueError or such for an archive that is no table."""
    with zipfile.ZipFile(path) as packed:
        if sum(entry.file_size for entry in packed.infolist()) > MAX_BYTES:  # before a small file fills the memory
            raise ValueError(f"over {MAX_BYTES:,} bytes unpacked: a row a film was expected")
    with np.load(path, allow_pickle=False) as archive:
        arrays = dict(archive)
    ids = arrays.pop("imdb_id", np.empty(0))
    if ids.ndim != 1 or ids.dtype.kind != "U":
        raise ValueError(f"no array imdb_id of text [n]; it has {', '.join(arrays) or 'nothing else'}")
    columns = {}
    for name, array in arrays.items():
        if array.dtype.kind in "fiu" and array.ndim in (1, 2):
            if len(array) != len(ids):
                raise ValueError(f"{name} has {len(array)} rows and imdb_id {len(ids)}: expected a row a film")
            columns |= {f"{name} {number}": column for number, column in enumerate(array.reshape(len(ids), -1).T)}
    return pd.DataFrame(columns, index=pd.Index(ids, name="imdb_id"), dtype=np.float32)


def _read_text(path: Path, films: pd.DataFrame) -> pd.DataFrame:
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"over {MAX_BYTES:,} bytes: a row a film was expected, averaged over its frames")
    table = pd.read_csv(path, sep=SEPARATORS[path.suffix], dtype={"title": str}, encoding_errors="replace")
    table.columns = table.columns.str.strip().str.casefold()
    ids = [name for name in IDS if name in table]
    if ids:
        keys = table[ids[0]].astype(str).str.extract(f"({IMDB_ID.pattern})")[0]
    elif {"title", "year"} <= {*table}:
        keys = _match_titles(table, films)
    else:
        raise ValueError(f"no column imdb_id, nor title and year; it has {', '.join(table.columns[:8])}")
    numbers = table[table.columns.difference(NO_FEATURES, sort=False)].select_dtypes("number")
    return numbers.astype(np.float32).set_index(pd.Index(keys, name="imdb_id"))[keys.notna().to_numpy()]


def _match_titles(table: pd.DataFrame, films: pd.DataFrame) -> pd.Series:
    """The imdb_id of the film of each row, matched as the catalogue matches trailers; None where that is not clear."""
    years = pd.to_numeric(table.year, errors="coerce").fillna(0).astype(int)
    rows = [
        {"row": number, "title": f"{title} ({year})", "movieId": "", "youtubeId": "-" * 11}
        for number, (title, year) in enumerate(zip(table.title.fillna(""), years))
    ]
    matches, _ = match_titles(films[["imdb_id", "title", "year"]].to_dict("records"), rows)
    by_row = {row["row"]: imdb_id for imdb_id, (row, _) in zip(films.imdb_id, matches) if row}
    return pd.Series([by_row.get(number) for number in range(len(rows))], dtype=object)


def evidence_films(project: Project) -> pd.DataFrame:
    """Every film with a score in excels/, with or without a trailer, with its metadata.

    Columns imdb_id, title, year, score, genres, runtime_minutes, key and those of `baselines.COLUMNS` that are there.
    """
    if (project.excels / METADATA).is_file():
        table = pd.DataFrame(scored_films(project.excels)).astype({"runtime_minutes": "Int64"})
        table["key"] = table.imdb_id
    else:
        table = load(project).films
        table["key"] = trailer_keys(table)
    columns = ["imdb_id", "title", "year", "score", "genres", "runtime_minutes", "key"]
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
        predictions, head = fold_rows(films, matrix, assigned == fold)
        heads.update([head] if head else [])
        for row, predicted in predictions.items():
            rows[row][repeat, assigned == fold] = predicted
    facts = {"folds": folds, "repeats": repeats, "left out": baselines.missing_baselines(films), "chosen": dict(heads)}
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
        table.loc[row, "nMSE minus"] = f"{gain['value']:+.3f} [{gain['low']:+.3f}, {gain['high']:+.3f}]"
        table.loc[row, "that of"] = gain["than"]
    return table.fillna("")
