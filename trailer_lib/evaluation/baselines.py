"""What needs no trailer: the constant, and what genres, running time, year and other metadata tell of a score."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, RidgeCV
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from trailer_lib.catalog import IMDB_ID, METADATA, parse_number, read_rows
from trailer_lib.dataset import Dataset
from trailer_lib.project import Project

TEXTS = {
    "content_rating": "content_rating", "country": "country", "language": "language", "colour": "color",
    "director": "director_name", "actor_1": "actor_1_name", "actor_2": "actor_2_name", "actor_3": "actor_3_name",
}  # fmt: skip
NUMBERS = {"budget": "budget", "aspect_ratio": "aspect_ratio", "poster_faces": "facenumber_in_poster"}
COLUMNS = [*TEXTS, *NUMBERS]


def read_metadata(project: Project) -> pd.DataFrame:
    """A row a film of excels/movie_metadata.csv, by imdb_id, columns COLUMNS: text ("" where unknown), float (nan).

    `budget` is the log10 of the sum in the country's own currency. Of what the file lacks, there is no column.
    """
    path = project.excels / METADATA
    if not path.is_file():
        return pd.DataFrame(index=pd.Index([], name="imdb_id", dtype=str))
    table = read_rows(path, ["movie_imdb_link"], [*TEXTS.values(), *NUMBERS.values()])
    ids = [match[0] if (match := IMDB_ID.search(row["movie_imdb_link"])) else "" for row in table.rows]
    columns = {name: [row[there] for row in table.rows] for name, there in TEXTS.items() if there in table.columns}
    for name, there in NUMBERS.items():
        if there in table.columns:
            columns[name] = np.array([parse_number(row[there]) for row in table.rows], np.float64)
    films = pd.DataFrame(columns, index=pd.Index(ids, name="imdb_id", dtype=str))
    if "budget" in films:
        films["budget"] = np.log10(films.budget.where(films.budget > 0))
    return films[(films.index != "") & ~films.index.duplicated()]


def add_metadata(project: Project, films: pd.DataFrame) -> pd.DataFrame:
    """`films` (column imdb_id) with the columns of `read` that they lack; unknown where the table has not the film."""
    known = read_metadata(project).reindex(films.imdb_id).set_axis(films.index)
    known = known.fillna({name: "" for name in TEXTS if name in known})
    return films.join(known[known.columns.difference(films.columns, sort=False)])


FOLDS = 5


class FoldPredictions(NamedTuple):
    """`inner` float [train films]: each film's score by a model that had not seen it. `outer` float [test films]."""

    inner: np.ndarray
    outer: np.ndarray


def fold_predictions(model: BaseEstimator, train: Any, scores: np.ndarray, test: Any, seed: int = 0) -> FoldPredictions:
    """Of a scikit-learn regressor over the rows of `train` and `test` (tables or arrays)."""
    folds = KFold(min(FOLDS, len(scores)), shuffle=True, random_state=seed)
    inner = cross_val_predict(model, train, scores, cv=folds)
    return FoldPredictions(np.ravel(inner), np.ravel(clone(model).fit(train, scores).predict(test)))


def best_of(found: dict[str, FoldPredictions], scores: np.ndarray) -> str:
    """The name whose answers out of fold have the least squared error."""
    return min(found, key=lambda name: ((found[name].inner - scores) ** 2).mean())


def predictions_of_best(models: dict[str, BaseEstimator], train: Any, scores: np.ndarray, test: Any) -> np.ndarray:
    """The answers for `test` of the model that cross-validation in `train` prefers, float [test films]."""
    if len(models) == 1:
        (model,) = models.values()
        return np.ravel(clone(model).fit(train, scores).predict(test))
    found = {name: fold_predictions(model, train, scores, test) for name, model in models.items()}
    return found[best_of(found, scores)].outer


def stack(found: Sequence[FoldPredictions], scores: np.ndarray) -> FoldPredictions:
    """Several models' answers under weights that are not negative (Breiman 1996, stacked regressions)."""
    inner, outer = (np.column_stack(columns) for columns in zip(*found))
    model = LinearRegression(positive=True).fit(inner, scores)
    return FoldPredictions(model.predict(inner), model.predict(outer))


if TYPE_CHECKING:
    import pandas as pd

ALPHAS = np.logspace(-1, 4, 16)


def fit_genres(films: "pd.DataFrame") -> dict[str, Any]:
    """Ridge on the list of genres of train films (columns genres, score), its strength by leave-one-out.

    {"genres": names, "coef": IMDb points each adds, "intercept"}; no genres where the films have none.
    """
    from sklearn.linear_model import RidgeCV
    from sklearn.preprocessing import MultiLabelBinarizer

    listed = [split_genres(text) for text in films.genres]
    names = MultiLabelBinarizer()
    columns = names.fit_transform(listed)
    if not len(names.classes_):
        return {"genres": [], "coef": [], "intercept": float(films.score.mean())}
    ridge = RidgeCV(alphas=ALPHAS).fit(columns, films.score)
    return {"genres": names.classes_.tolist(), "coef": ridge.coef_.tolist(), "intercept": float(ridge.intercept_)}


def genre_prediction(fitted: dict[str, Any], genres: str | Sequence[str]) -> float | None:
    """The score in IMDb points of a film of `genres` ("Drama|Comedy" or a list), None when none of them is known."""
    points = dict(zip(fitted["genres"], fitted["coef"]))
    known = {name for name in (split_genres(genres) if isinstance(genres, str) else genres) if name in points}
    if not known:
        return None
    return float(np.clip(fitted["intercept"] + sum(points[name] for name in known), 1.0, 10.0))


def split_genres(text: str) -> list[str]:
    """The genres of a catalogue's cell."""
    return [name.strip() for name in text.split("|") if name.strip()]


NEEDED: dict[str, list[str]] = {
    "mean baseline": [],
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


def baseline_predictions(
    train: pd.DataFrame, test: pd.DataFrame, names: Sequence[str] = BASELINES
) -> dict[str, np.ndarray]:
    """Those of `names` whose columns are there, fitted on `train` and answered for `test`, in IMDb points.

    "mean baseline" is the train mean. The others are ridge or boosting, whichever cross-validation in `train` prefers.
    """
    missing = missing_baselines(train)
    return {name: _answers(train, test, name) for name in names if name not in missing}


def _answers(train: pd.DataFrame, test: pd.DataFrame, name: str) -> np.ndarray:
    if name == "mean baseline":
        return np.full(len(test), train.score.mean())
    return predictions_of_best(candidates(train, name), train, train.score, test)


def median_prediction(train: pd.DataFrame, test: pd.DataFrame) -> np.ndarray:
    """The constant of the least absolute error."""
    return np.full(len(test), train.score.median())


def missing_baselines(train: pd.DataFrame) -> dict[str, str]:
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


ERRORS = {"mse": np.square, "l1": np.abs}  # of standardised scores; the loss is their mean


def baseline_losses(data: Dataset, loss: str) -> dict[str, float]:
    """The train and val loss of the constant that is best on the train films: their mean for "mse", median for "l1"."""
    train, val = (_standardised(data, data.split(name).score) for name in ("train", "val"))
    best = {"mse": np.mean, "l1": np.median}[loss](train)
    return {name: float(ERRORS[loss](best - scores).mean()) for name, scores in (("train", train), ("val", val))}


def genre_loss(data: Dataset, loss: str) -> float | None:
    """The val loss of the baseline that knows the genres alone; None where the train films have none."""
    films = data.split("val")
    points = baseline_predictions(data.split("train"), films, ["genre only"]).get("genre only")
    if points is None:
        return None
    return float(ERRORS[loss](_standardised(data, points) - _standardised(data, films.score)).mean())


def _standardised(data: Dataset, points: np.ndarray | pd.Series) -> np.ndarray:
    """IMDb points in sd of the train films' scores from their mean: float64 [films]."""
    scores = data.split("train").score
    return (np.asarray(points, np.float64) - scores.mean()) / (scores.std(ddof=0) or 1.0)
