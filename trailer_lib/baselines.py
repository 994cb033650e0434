"""What needs no trailer: the constant, and what genres, running time, year and other metadata tell of a score."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from trailer_lib import stacking
from trailer_lib.metadata import COLUMNS, NUMBERS

NEEDED: dict[str, list[str]] = {
    "constant": [],
    "genre only": ["genres"],
    "genre + runtime + year": ["genres", "runtime_minutes", "year"],
    "all metadata": ["genres", "runtime_minutes", "year", *COLUMNS],
}
BASELINES = tuple(NEEDED)
NUMERIC = ["runtime_minutes", "year", *NUMBERS]
CATEGORIES = ["content_rating", "country", "language", "colour"]
PEOPLE = {"director": ["director"], "actors": ["actor_1", "actor_2", "actor_3"]}
ENOUGH = 60  # train films from which boosting is tried beside ridge
PRIOR = 2  # films of the mean score that everyone's record begins with


class TrackRecord(TransformerMixin, BaseEstimator):
    """Of each film the mean score of its people's earlier train films, and their number: float [films, 2].

    Strictly earlier, by year: what they made later, and the film itself, were not known at its release.
    """

    def fit(self, films: pd.DataFrame, scores: np.ndarray) -> "TrackRecord":
        self.mean_ = float(np.mean(scores))
        yearly = self._by_person(films.assign(score=scores)).groupby(["name", "year"]).score.agg(["sum", "count"])
        self.record_ = yearly.groupby("name").cumsum().reset_index().sort_values("year")
        return self

    def transform(self, films: pd.DataFrame) -> np.ndarray:
        asked = self._by_person(films.assign(row=np.arange(len(films)))).sort_values("year")
        found = pd.merge_asof(asked, self.record_, on="year", by="name", allow_exact_matches=False)
        total = found.groupby("row")[["sum", "count"]].sum().reindex(range(len(films)), fill_value=0)
        return np.column_stack([(total["sum"] + PRIOR * self.mean_) / (total["count"] + PRIOR), total["count"]])

    @staticmethod
    def _by_person(films: pd.DataFrame) -> pd.DataFrame:
        """A row for each named person of each film."""
        kept = [name for name in ("year", "score", "row") if name in films]
        people = films.melt(kept, films.columns.difference(kept), value_name="name").drop(columns="variable")
        return people[people.name != ""].astype({"year": "int64"})


def baselines(train: pd.DataFrame, test: pd.DataFrame, names: Sequence[str] = BASELINES) -> dict[str, np.ndarray]:
    """Those of `names` whose columns are there, fitted on `train` and answered for `test`, in IMDb points.

    "constant" is the train mean. The others are ridge or boosting, whichever cross-validation in `train` prefers.
    """
    missing = left_out(train)
    return {name: _answers(train, test, name) for name in names if name not in missing}


def _answers(train: pd.DataFrame, test: pd.DataFrame, name: str) -> np.ndarray:
    if name == "constant":
        return np.full(len(test), train.score.mean())
    return stacking.best(candidates(train, name), train, train.score, test)


def median(train: pd.DataFrame, test: pd.DataFrame) -> np.ndarray:
    """The constant of the least absolute error."""
    return np.full(len(test), train.score.median())


def left_out(train: pd.DataFrame) -> dict[str, str]:
    """Why a baseline has no answer: what `train` does not tell of its films."""
    reasons = {name: [column for column in needed if _unknown(train, column)] for name, needed in NEEDED.items()}
    extra = [column for column in COLUMNS if not _unknown(train, column)]
    # All metadata is whatever is there, beyond the baseline above it.
    reasons["all metadata"] = reasons["genre + runtime + year"] or ([] if extra else COLUMNS)
    return {name: f"no {', '.join(missing)} of the train films" for name, missing in reasons.items() if missing}


def _unknown(films: pd.DataFrame, column: str) -> bool:
    return column not in films or films[column].isin(["", np.nan]).all() or films[column].isna().all()


def candidates(train: pd.DataFrame, name: str) -> dict[str, Pipeline]:
    """Ways to learn the score from the baseline's columns, by their names; few train films allow ridge alone."""
    columns = [column for column in NEEDED[name] if not _unknown(train, column)]
    genres = sorted({genre for text in train.genres for genre in text.split("|") if genre})
    models = {"ridge": ridge(), **({"boosting": boosting()} if len(train) >= ENOUGH else {})}
    return {kind: _pipeline(columns, genres, model) for kind, model in models.items()}


def ridge() -> RidgeCV:
    return RidgeCV(alphas=np.logspace(-1, 4, 16))


def boosting() -> GradientBoostingRegressor:
    """Small random steps, for hundreds to thousands of films (Friedman 2002, stochastic gradient boosting)."""
    return GradientBoostingRegressor(
        n_estimators=300, learning_rate=0.04, max_depth=4, subsample=0.5, max_features=0.3, min_samples_leaf=10,
        random_state=0,
    )  # fmt: skip


def _pipeline(columns: list[str], genres: list[str], model: Any) -> Pipeline:
    """From the table of films to scores. Columns are scaled, so that one ridge penalty fits all."""
    listed = CountVectorizer(token_pattern=r"[^|]+", lowercase=False, binary=True, vocabulary=genres)
    filled = make_pipeline(_Floats(), SimpleImputer(add_indicator=True, keep_empty_features=True))
    known = OneHotEncoder(min_frequency=20, handle_unknown="infrequent_if_exist")
    people = {role: [name for name in names if name in columns] for role, names in PEOPLE.items()}
    steps = [
        ("genres", listed, "genres"),
        ("numbers", filled, [name for name in columns if name in NUMERIC]),
        ("categories", known, [name for name in columns if name in CATEGORIES]),
        *((role, TrackRecord(), [*names, "year"]) for role, names in people.items() if names),
    ]
    return make_pipeline(ColumnTransformer(steps, sparse_threshold=0), StandardScaler(), model)


class _Floats(TransformerMixin, BaseEstimator):
    """Nullable integers, as the catalogue has them, to float with nan."""

    def fit(self, *_: Any) -> "_Floats":
        return self

    def transform(self, films: pd.DataFrame) -> np.ndarray:
        return films.to_numpy(np.float64, na_value=np.nan)
