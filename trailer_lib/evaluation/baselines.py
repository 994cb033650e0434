"""Baselines, which see no trailer: the mean score, and models of genres, running time, year and other metadata."""

from collections.abc import Iterable
from functools import partial
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn import compose, dummy, ensemble, impute, linear_model, model_selection, preprocessing
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.pipeline import make_pipeline

from trailer_lib.catalog import IMDB_ID, METADATA, parse_number, read_rows
from trailer_lib.dataset import Dataset
from trailer_lib.evaluation.stacking import METADATA_PARTS
from trailer_lib.project import Project

CATEGORIES = ["content_rating", "country", "language", "colour"]
PEOPLE = ["director", "actor_1", "actor_2", "actor_3"]
NUMBERS = ["budget", "aspect_ratio", "poster_faces"]
COLUMNS = [*CATEGORIES, *PEOPLE, *NUMBERS]
IN_TABLE = {"colour": "color", "poster_faces": "facenumber_in_poster"} | {name: f"{name}_name" for name in PEOPLE}
FACTS = ["genres", "runtime_minutes", "year"]
BASELINES = {"mean baseline": []} | dict(zip(METADATA_PARTS, [FACTS[:1], FACTS, [*FACTS, *COLUMNS]]))  # their columns
ALPHAS = np.logspace(-1, 4, 16)
FOLDS = 5
BOOSTING_FILMS = 60  # train films from which boosting is tried beside ridge
PRIOR = 2  # films of the mean score that every track record starts with


def add_metadata(project: Project, films: pd.DataFrame) -> pd.DataFrame:
    """`films` (column imdb_id) with those of COLUMNS that they lack and excels/movie_metadata.csv has.

    A text is "" and a number nan where unknown; `budget` is the log10 of the sum in the country's own currency.
    """
    path = project.excels / METADATA
    if not path.is_file():
        return films
    names = {IN_TABLE.get(name, name): name for name in COLUMNS if name not in films}
    table = read_rows(path, ["movie_imdb_link"], list(names))
    added = pd.DataFrame(table.rows, columns=table.columns).rename(columns=names)
    ids = added.pop("movie_imdb_link").str.extract(f"({IMDB_ID.pattern})")[0]
    for name in added.columns.intersection(NUMBERS):
        added[name] = added[name].map(parse_number).astype(np.float64)
    if "budget" in added:
        added["budget"] = np.log10(added.budget.where(added.budget > 0))
    added = added.set_index(ids)[(ids.notna() & ~ids.duplicated()).to_numpy()].reindex(films.imdb_id)
    texts = added.columns.difference(NUMBERS)
    return films.join(added.fillna(dict.fromkeys(texts, "")).set_axis(films.index))


class FoldPredictions(NamedTuple):
    model: str  # its name
    inner: np.ndarray  # float [train films], each by a fit without it
    outer: np.ndarray  # float [test films]


def best_predictions(models: dict[str, BaseEstimator], train: Any, scores: np.ndarray, test: Any) -> FoldPredictions:
    """Those of the scikit-learn regressor with the least squared error in cross-validation within `train`."""
    folds = model_selection.KFold(min(FOLDS, len(scores)), shuffle=True, random_state=0)
    inner = {name: model_selection.cross_val_predict(model, train, scores, cv=folds) for name, model in models.items()}
    best = min(inner, key=lambda name: ((inner[name] - scores) ** 2).mean())
    outer = clone(models[best]).fit(train, scores).predict(test) if len(test) else np.empty(0)
    return FoldPredictions(best, inner[best], outer)


def genre_terms(genres: str, pairs: bool = True) -> list[str]:
    """Of "Drama|Comedy": Comedy, Drama and Comedy|Drama."""
    single = sorted({name.strip() for name in genres.split("|")} - {""})
    return single + ["|".join(pair) for pair in combinations(single, 2) if pairs]


class TrackRecord(TransformerMixin, BaseEstimator):
    """Mean score and number of the train films that each film's people made in earlier years: float [films, 2]."""

    def fit(self, films: pd.DataFrame, scores: np.ndarray) -> "TrackRecord":
        self.mean_ = float(np.mean(scores))
        yearly = self._by_person(films.assign(score=scores)).groupby(["name", "year"]).score.agg(["sum", "count"])
        self.record_ = yearly.groupby("name").cumsum().reset_index().sort_values("year")
        return self

    def transform(self, films: pd.DataFrame) -> np.ndarray:
        people = self._by_person(films.assign(row=np.arange(len(films)))).sort_values("year")
        earlier = pd.merge_asof(people, self.record_, on="year", by="name", allow_exact_matches=False)
        total = earlier.groupby("row")[["sum", "count"]].sum().reindex(range(len(films)), fill_value=0)
        return np.column_stack([(total["sum"] + PRIOR * self.mean_) / (total["count"] + PRIOR), total["count"]])

    @staticmethod
    def _by_person(films: pd.DataFrame) -> pd.DataFrame:
        """A row for each named person of each film."""
        shared = [name for name in ("year", "score", "row") if name in films]
        people = films.melt(shared, films.columns.difference(shared), value_name="name").drop(columns="variable")
        return people[people.name != ""].astype({"year": "int64"})


def fit_baselines(
    train: pd.DataFrame, test: pd.DataFrame, names: Iterable[str] = BASELINES
) -> dict[str, FoldPredictions]:
    """Those of `names` whose columns `train` has, fitted on `train`: predictions in IMDb points."""
    present = [name for name in names if name not in missing_baselines(train)]
    scores = train.score.to_numpy()
    return {name: best_predictions(candidates(train, name), train, scores, test) for name in present}


def missing_baselines(train: pd.DataFrame) -> dict[str, str]:
    """The baselines that cannot be fitted on `train`, and why: the columns that are not there, or empty."""
    present = {column for column in train if not (train[column].isna() | (train[column] == "")).all()}
    reasons = {name: [column for column in needed if column not in present] for name, needed in BASELINES.items()}
    any_of_them = [] if present & {*COLUMNS} else COLUMNS
    reasons["all metadata"] = reasons["genre + runtime + year"] or any_of_them
    return {name: f"no {', '.join(columns)} of the train films" for name, columns in reasons.items() if columns}


def candidates(train: pd.DataFrame, name: str) -> dict[str, BaseEstimator]:
    """The models to choose from for a baseline: ridge, and boosting where there are enough train films."""
    if name == "mean baseline":
        return {"mean": dummy.DummyRegressor()}
    columns, ridge = _columns(train, name), linear_model.RidgeCV(alphas=ALPHAS)
    if name == "genre only":  # pairs of genres do for ridge what boosting would: nMSE 0.80, without them 0.81
        return {"ridge": make_pipeline(columns, ridge)}
    # Small random steps, for hundreds to thousands of films (Friedman 2002, stochastic gradient boosting).
    boosting = ensemble.GradientBoostingRegressor(
        n_estimators=300, learning_rate=0.04, max_depth=4, subsample=0.5, max_features=0.3, min_samples_leaf=10,
        random_state=0,
    )  # fmt: skip
    models = {"ridge": ridge} | ({"boosting": boosting} if len(train) >= BOOSTING_FILMS else {})
    return {kind: make_pipeline(columns, preprocessing.StandardScaler(), model) for kind, model in models.items()}


def _columns(train: pd.DataFrame, name: str) -> compose.ColumnTransformer:
    """The baseline's columns of a table of films as numbers, float [films, n]."""
    present = [column for column in BASELINES[name] if column in train]
    terms = partial(genre_terms, pairs=name == "genre only")
    genres = CountVectorizer(lowercase=False, analyzer=terms, vocabulary=sorted(set().union(*map(terms, train.genres))))
    numbers = impute.SimpleImputer(add_indicator=True, keep_empty_features=True)
    categories = preprocessing.OneHotEncoder(min_frequency=20, handle_unknown="infrequent_if_exist")
    people = {role: [column for column in present if column.startswith(role)] for role in ("director", "actor")}
    steps = [
        ("genres", genres, "genres"),
        ("numbers", numbers, [column for column in present if column in ("runtime_minutes", "year", *NUMBERS)]),
        ("categories", categories, [column for column in present if column in CATEGORIES]),
        *((role, TrackRecord(), [*names, "year"]) for role, names in people.items() if names),
    ]
    return compose.ColumnTransformer(steps, sparse_threshold=0, verbose_feature_names_out=False)


def metadata_table(films: pd.DataFrame) -> pd.DataFrame:
    """The columns of `films` that the baselines use, as a model file can hold them: texts, floats (nan: unknown)."""
    films = films.reset_index(drop=True)
    texts = films[films.columns.intersection(["genres", *CATEGORIES, *PEOPLE])].astype(object).fillna("")
    numbers = films[films.columns.intersection(["score", "year", "runtime_minutes", *NUMBERS])]
    return texts.join(numbers.apply(pd.to_numeric, errors="coerce").astype(np.float64))


def has_metadata(train: pd.DataFrame, films: pd.DataFrame, name: str) -> np.ndarray:
    """bool [films]: whether a film has what a level of metadata needs, a genre among those of the train films first."""
    genres = set().union(*(genre_terms(text, pairs=False) for text in train.genres))
    complete = films.genres.map(lambda text: not genres.isdisjoint(genre_terms(text))).astype(bool)
    complete &= films.reindex(columns=BASELINES[name][1:3]).notna().all(axis=1)
    if name == "all metadata":
        complete &= films.reindex(columns=COLUMNS).replace("", np.nan).notna().any(axis=1)
    return complete.to_numpy()


def fit_metadata(train: pd.DataFrame) -> dict[str, Any]:
    """The train films' table, to which each prediction fits the models of metadata again, and their `kinds` by level.

    So a model file holds no program. The kinds are chosen by cross-validation within `train`.
    """
    table = metadata_table(train)
    fitted = fit_baselines(table, table[:0], METADATA_PARTS)
    return {"films": table.to_dict("list"), "kinds": {name: chosen.model for name, chosen in fitted.items()}}


def metadata_levels(fitted: dict[str, Any], films: pd.DataFrame) -> dict[str, np.ndarray]:
    """What each level of what fit_metadata returned predicts of `films`: float [films], nan where a film lacks it."""
    train, films, levels = pd.DataFrame(fitted["films"]), metadata_table(films), {}
    for name, kind in fitted["kinds"].items():
        complete, model = has_metadata(train, films, name), candidates(train, name)[kind]
        levels[name] = np.full(len(films), np.nan)
        if complete.any():
            levels[name][complete] = model.fit(train, train.score.to_numpy()).predict(films[complete])
    return levels


def baseline_losses(data: Dataset, loss: str) -> dict[str, float]:
    """The train and val loss of the best constant on the train films: their mean for "mse", their median for "l1"."""
    constant = data.split("train").score.agg("median" if loss == "l1" else "mean")
    return {split: _loss(data, split, constant, loss) for split in ("train", "val")}


def genre_loss(data: Dataset, loss: str) -> float | None:
    """The val loss of the "genre only" baseline; None where the train films have no genres."""
    fitted = fit_baselines(data.split("train"), data.split("val"), ["genre only"])
    return _loss(data, "val", fitted["genre only"].outer, loss) if fitted else None


def _loss(data: Dataset, split: str, predicted: np.ndarray | float, loss: str) -> float:
    """The loss of predictions in IMDb points, both they and the scores standardised by the train films' sd."""
    sd = data.split("train").score.std(ddof=0)
    errors = (predicted - data.split(split).score) / (sd if sd > 1e-9 else 1.0)
    return float((errors.abs() if loss == "l1" else errors**2).mean())
