"""What a table of trailer features tells of the scores, alone and beside what is known without a trailer."""

import csv
import zipfile
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from trailer_lib.catalog import IMDB_ID, METADATA, load, match_titles, scored_films, trailer_keys
from trailer_lib.dataset import assign_folds
from trailer_lib.errors import TrailerError
from trailer_lib.evaluation.baselines import (
    BASELINES,
    FoldPredictions,
    add_metadata,
    best_of,
    boosting,
    candidates,
    fold_predictions,
    median_prediction,
    missing_baselines,
    stack,
)
from trailer_lib.evaluation.metrics import evaluate_all, metric_table, paired_difference
from trailer_lib.progress import bar
from trailer_lib.project import Project

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


def read_features(path: Path, films: pd.DataFrame) -> pd.DataFrame:
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
    met, _ = match_titles(films[["imdb_id", "title", "year"]].to_dict("records"), rows)
    of_row = {row["row"]: imdb_id for imdb_id, (row, _) in zip(films.imdb_id, met) if row}
    return pd.Series([of_row.get(number, np.nan) for number in range(len(rows))], dtype=object)


Rows = dict[str, np.ndarray]  # a row of the result: its answers for the test films
TRAILER = "trailer"
COMPONENTS = 40


def evidence_films(project: Project) -> pd.DataFrame:
    """Every film with a score in excels/, whether or not a trailer of it is known, with its metadata.

    Columns imdb_id, title, year, score, genres, runtime_minutes, key and those of `metadata.COLUMNS` that are there.
    """
    if (project.excels / METADATA).is_file():
        table = pd.DataFrame(scored_films(project.excels)).astype({"runtime_minutes": "Int64"})
        table["key"] = table.imdb_id
    else:
        table = load(project).films
        table["key"] = trailer_keys(table)
    columns = ["imdb_id", "title", "year", "score", "genres", "runtime_minutes", "key"]
    return add_metadata(project, table[columns].reset_index(drop=True))


@dataclass(frozen=True)
class Fold:
    """The films of one fold and those of the others, with their features, float [films, columns]."""

    train: pd.DataFrame
    test: pd.DataFrame
    train_features: np.ndarray
    test_features: np.ndarray

    @property
    def scores(self) -> np.ndarray:
        return self.train.score.to_numpy()


@dataclass
class Found:
    """Answers out of fold, float [repeats, films] a row of the result, and how often a head was chosen."""

    rows: Rows = field(default_factory=dict)
    chosen: Counter = field(default_factory=Counter)

    def put(self, shape: tuple[int, int], place: tuple[int, np.ndarray], answers: Rows) -> None:
        for name, answer in answers.items():
            self.rows.setdefault(name, np.full(shape, np.nan))[place] = answer


def evaluate_features(
    films: pd.DataFrame, features: pd.DataFrame | None = None, folds: int = 5, repeats: int = 3
) -> dict:
    """Metrics of predictions out of fold, and what the features add to each baseline, as plain numbers.

    `films` as from `films`, `features` by imdb_id as from `feature_tables.read`, or None for the baselines alone. Only
    films with features take part. Heads and weights are chosen within the train films of each fold.
    """
    if features is not None:
        films = films[films.imdb_id.isin(features.index)].reset_index(drop=True)
    matrix = np.empty((len(films), 0)) if features is None else features.loc[films.imdb_id].to_numpy()
    found = Found()
    with bar(total=folds * repeats, desc="evidence", unit="fold") as progress:
        for repeat in range(repeats):
            dealt = assign_folds(films.key, folds, repeat)
            if np.bincount(dealt, minlength=folds).min() < 2:
                raise TrailerError(f"{len(films)} films are too few for {folds} folds of 2 or more: name fewer folds")
            for number in range(folds):
                test = dealt == number
                fold = Fold(films[~test], films[test], matrix[~test], matrix[test])
                found.put((repeats, len(films)), (repeat, test), _answers(fold, found.chosen))
                progress.update()
    facts = {"folds": folds, "repeats": repeats, "left out": missing_baselines(films)}
    return _measured(films.score.to_numpy(), found) | facts


def _answers(fold: Fold, chosen: Counter) -> Rows:
    """Every row's answers for the test films."""
    known = _metadata(fold)
    rows = {
        "mean baseline": np.full(len(fold.test), fold.scores.mean()),
        "median": median_prediction(fold.train, fold.test),
    }
    rows |= {name: answers.outer for name, answers in known.items()}
    if not fold.train_features.shape[1]:
        return rows
    by_head = {
        name: fold_predictions(head, fold.train_features, fold.scores, fold.test_features)
        for name, head in feature_heads(fold.train_features.shape[1], len(fold.train)).items()
    }
    head = best_of(by_head, fold.scores)
    chosen[head] += 1
    rows[TRAILER] = by_head[head].outer
    for name, answers in known.items():
        rows[f"{name} + trailer"] = stack([answers, by_head[head]], fold.scores).outer
    return rows | {f"head: {name}": answers.outer for name, answers in by_head.items()}


def _metadata(fold: Fold) -> dict[str, FoldPredictions]:
    """Of each baseline but the constant, the answers of the model that cross-validation in train prefers."""
    known = {}
    for name in BASELINES[1:]:
        if name not in missing_baselines(fold.train):
            models = candidates(fold.train, name)
            kinds = {k: fold_predictions(model, fold.train, fold.scores, fold.test) for k, model in models.items()}
            known[name] = kinds[best_of(kinds, fold.scores)]
    return known


def _measured(truth: np.ndarray, found: Found) -> dict:
    """Metrics of every row, and its nMSE minus that of the baseline it begins with, else of the constant."""
    rows = {name: answers for name, answers in found.rows.items() if np.isfinite(answers).all()}
    median = rows.pop("median")
    metrics = evaluate_all(truth, rows, median)
    differences = {}
    for name, answers in rows.items():
        without = [other for other in BASELINES if name.startswith(f"{other} ") and name != other]
        than = max(without, key=len, default="mean baseline")
        if name != than:
            differences[name] = {"than": than} | asdict(paired_difference(truth, answers, rows[than]))
    return {"films": len(truth), "metrics": metrics, "nMSE minus": differences, "chosen": dict(found.chosen)}


def evidence_table(results: dict) -> pd.DataFrame:
    """`measure` as a table: a row each, "value [low, high]" in the cells, the difference beside what it is from."""
    rows = metric_table(results)
    minus = {who: f"{m['value']:+.3f} [{m['low']:+.3f}, {m['high']:+.3f}]" for who, m in results["nMSE minus"].items()}
    rows["nMSE minus"] = pd.Series(minus)
    rows["that of"] = pd.Series({who: m["than"] for who, m in results["nMSE minus"].items()})
    return rows.fillna("")


def feature_heads(columns: int, train_films: int) -> dict[str, BaseEstimator]:
    """Ways to learn the score from rows of features, float [films, columns] with nan where unknown."""
    count = min(COMPONENTS, columns, train_films // 2)
    models = {
        "ridge": [RidgeCV(alphas=np.logspace(0, 6, 19))],
        "principal components + boosting": [PCA(count, random_state=0), boosting()],
    }
    filled = SimpleImputer(strategy="median", keep_empty_features=True)
    return {name: make_pipeline(filled, StandardScaler(), *steps) for name, steps in models.items()}
