"""What a table of trailer features tells of the scores, alone and beside what is known without a trailer."""

from collections import Counter
from dataclasses import asdict, dataclass, field

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from trailer_lib import baselines, catalog, evaluate, joins, metadata, splits, stacking
from trailer_lib.errors import TrailerError
from trailer_lib.progress import bar
from trailer_lib.project import Project
from trailer_lib.stacking import Answers

Rows = dict[str, np.ndarray]  # a row of the result: its answers for the test films
TRAILER = "trailer"
COMPONENTS = 40


def films(project: Project) -> pd.DataFrame:
    """Every film with a score in excels/, whether or not a trailer of it is known, with its metadata.

    Columns imdb_id, title, year, score, genres, runtime_minutes, key and those of `metadata.COLUMNS` that are there.
    """
    if (project.excels / catalog.METADATA).is_file():
        table = pd.DataFrame(joins.scored(project.excels)).astype({"runtime_minutes": "Int64"})
        table["key"] = table.imdb_id
    else:
        table = catalog.load(project).films
        table["key"] = catalog.trailer_keys(table)
    columns = ["imdb_id", "title", "year", "score", "genres", "runtime_minutes", "key"]
    return metadata.join(project, table[columns].reset_index(drop=True))


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


def measure(films: pd.DataFrame, features: pd.DataFrame | None = None, folds: int = 5, repeats: int = 3) -> dict:
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
            dealt = splits.folds(films.key, folds, repeat)
            if np.bincount(dealt, minlength=folds).min() < 2:
                raise TrailerError(f"{len(films)} films are too few for {folds} folds of 2 or more: name fewer folds")
            for number in range(folds):
                test = dealt == number
                fold = Fold(films[~test], films[test], matrix[~test], matrix[test])
                found.put((repeats, len(films)), (repeat, test), _answers(fold, found.chosen))
                progress.update()
    facts = {"folds": folds, "repeats": repeats, "left out": baselines.left_out(films)}
    return _measured(films.score.to_numpy(), found) | facts


def _answers(fold: Fold, chosen: Counter) -> Rows:
    """Every row's answers for the test films."""
    known = _metadata(fold)
    rows = {"constant": np.full(len(fold.test), fold.scores.mean()), "median": baselines.median(fold.train, fold.test)}
    rows |= {name: answers.outer for name, answers in known.items()}
    if not fold.train_features.shape[1]:
        return rows
    by_head = {
        name: stacking.answers(head, fold.train_features, fold.scores, fold.test_features)
        for name, head in feature_heads(fold.train_features.shape[1], len(fold.train)).items()
    }
    head = stacking.choose(by_head, fold.scores)
    chosen[head] += 1
    rows[TRAILER] = by_head[head].outer
    for name, answers in known.items():
        rows[f"{name} + trailer"] = stacking.stack([answers, by_head[head]], fold.scores).outer
    return rows | {f"head: {name}": answers.outer for name, answers in by_head.items()}


def _metadata(fold: Fold) -> dict[str, Answers]:
    """Of each baseline but the constant, the answers of the model that cross-validation in train prefers."""
    known = {}
    for name in baselines.BASELINES[1:]:
        if name not in baselines.left_out(fold.train):
            models = baselines.candidates(fold.train, name)
            kinds = {k: stacking.answers(model, fold.train, fold.scores, fold.test) for k, model in models.items()}
            known[name] = kinds[stacking.choose(kinds, fold.scores)]
    return known


def _measured(truth: np.ndarray, found: Found) -> dict:
    """Metrics of every row, and its nMSE minus that of the baseline it begins with, else of the constant."""
    rows = {name: answers for name, answers in found.rows.items() if np.isfinite(answers).all()}
    median = rows.pop("median")
    metrics = evaluate.measure_all(truth, rows, median)
    differences = {}
    for name, answers in rows.items():
        without = [other for other in baselines.BASELINES if name.startswith(f"{other} ") and name != other]
        than = max(without, key=len, default="constant")
        if name != than:
            differences[name] = {"than": than} | asdict(evaluate.paired(truth, answers, rows[than]))
    return {"films": len(truth), "metrics": metrics, "nMSE minus": differences, "chosen": dict(found.chosen)}


def table(results: dict) -> pd.DataFrame:
    """`measure` as a table: a row each, "value [low, high]" in the cells, the difference beside what it is from."""
    rows = evaluate.table(results)
    minus = {who: f"{m['value']:+.3f} [{m['low']:+.3f}, {m['high']:+.3f}]" for who, m in results["nMSE minus"].items()}
    rows["nMSE minus"] = pd.Series(minus)
    rows["that of"] = pd.Series({who: m["than"] for who, m in results["nMSE minus"].items()})
    return rows.fillna("")


def feature_heads(columns: int, train_films: int) -> dict[str, BaseEstimator]:
    """Ways to learn the score from rows of features, float [films, columns] with nan where unknown."""
    count = min(COMPONENTS, columns, train_films // 2)
    models = {
        "ridge": [RidgeCV(alphas=np.logspace(0, 6, 19))],
        "principal components + boosting": [PCA(count, random_state=0), baselines.boosting()],
    }
    filled = SimpleImputer(strategy="median", keep_empty_features=True)
    return {name: make_pipeline(filled, StandardScaler(), *steps) for name, steps in models.items()}
