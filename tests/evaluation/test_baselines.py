"""Baselines: each learns from its own columns and from no test film; the genre model as numbers; metadata by id."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import KNeighborsRegressor

from trailer_lib.dataset import Dataset
from trailer_lib.errors import TrailerError
from trailer_lib.evaluation import baselines, evidence, metrics, results
from trailer_lib.evaluation.baselines import FoldPredictions
from trailer_lib.project import Project

TEXTS = {"content_rating": "PG", "country": "USA", "language": "English", "colour": "Color"}
OTHERS = {**TEXTS, **dict.fromkeys(baselines.PEOPLE, ""), "budget": np.nan, "aspect_ratio": 1.85, "poster_faces": 0.0}
HEAD = "movie_imdb_link,color,director_name,country,budget,aspect_ratio,num_voted_users"
LINK = "http://www.imdb.com/title/{}/?ref_=x"


@pytest.fixture(autouse=True)
def ridge_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Boosting takes a second a test, and has a test of its own."""
    monkeypatch.setattr(baselines, "BOOSTING_FILMS", 1000)


def films(count: int = 120, seed: int = 0, **columns: object) -> pd.DataFrame:
    """Films whose scores are chance, with every column that a baseline may use."""
    random = np.random.default_rng(seed)
    table = pd.DataFrame({"score": random.normal(6.5, 1.0, count).clip(1, 10), **OTHERS})
    table["genres"] = random.choice(["Drama", "Horror", "Drama|Comedy"], count)
    table["runtime_minutes"] = pd.array(random.integers(80, 150, count), "Int64")
    table["year"] = random.integers(1980, 2016, count)
    return table.assign(**columns)


def nmse(train: pd.DataFrame, test: pd.DataFrame, name: str) -> float:
    predicted = baselines.fit_baselines(train, test, [name])[name].outer
    return float(metrics.nmse(test.score.to_numpy(), predicted))


@pytest.mark.parametrize(
    "column, good, bad, first",
    [("genres", "Drama", "Horror", 1), ("year", 1990, 2010, 2), ("country", "Oz", "USA", 3), ("budget", 8.0, 6.0, 3)],
)  # fmt: skip
def test_a_baseline_learns_from_its_own_columns_alone(column: str, good: object, bad: object, first: int) -> None:
    def told_by_column(seed: int) -> pd.DataFrame:
        random = np.random.default_rng(seed)
        high = random.random(120) < 0.5
        score = np.where(high, 7.5, 5.5) + random.normal(0, 0.2, 120)
        return films(120, seed, score=score, **{column: pd.Series(np.where(high, good, bad))})

    train, test = told_by_column(1), told_by_column(2)
    low = [name for name in baselines.BASELINES if nmse(train, test, name) < 0.9]
    assert low == list(baselines.BASELINES)[first:] and nmse(train, test, low[0]) < 0.2


def test_boosting_is_chosen_where_it_is_the_better(monkeypatch: pytest.MonkeyPatch) -> None:
    def either_or(seed: int) -> pd.DataFrame:  # what no sum of columns could say
        long, old = np.random.default_rng(seed).random((2, 200)) < 0.5
        runtime = pd.array(np.where(long, 140, 90), "Int64")
        year = np.where(old, 1980, 2010)
        return films(200, seed, score=np.where(long ^ old, 7.5, 5.5), year=year, runtime_minutes=runtime)

    train, test = either_or(1), either_or(2)
    assert nmse(train, test, "genre + runtime + year") > 0.9
    monkeypatch.setattr(baselines, "BOOSTING_FILMS", 60)
    assert nmse(train, test, "genre + runtime + year") < 0.2


@pytest.mark.parametrize(
    "unknown",
    [{"genres": "Drama|Western"}, {"genres": "", "content_rating": "", "aspect_ratio": np.nan},
     {"runtime_minutes": pd.array([None] * 3, "Int64")}],
)  # fmt: skip
def test_a_film_with_unknown_cells_gets_a_prediction(unknown: dict) -> None:
    predictions = baselines.fit_baselines(films(2), films(3, **unknown))
    assert list(predictions) == list(baselines.BASELINES)
    assert all(np.isfinite(predicted.outer).all() for predicted in predictions.values())


@pytest.mark.parametrize(
    "gone, left",
    [(["genres"], 1), (["runtime_minutes"], 2), (baselines.COLUMNS, 3), (["country", "budget"], 4), ([], 4)],
)
@pytest.mark.parametrize("blank", [False, True])
def test_a_baseline_without_its_columns_is_left_out_with_the_reason(gone: list[str], left: int, blank: bool) -> None:
    empty = {column: np.nan if column in ("runtime_minutes", *baselines.NUMBERS) else "" for column in gone}
    train, test = (films(count).assign(**empty) if blank else films(count).drop(columns=gone) for count in (30, 5))
    reasons = baselines.missing_baselines(train)
    assert list(baselines.fit_baselines(train, test)) == list(baselines.BASELINES)[:left]
    assert list(reasons) == list(baselines.BASELINES)[left:]
    assert all(gone[0] in reason for reason in reasons.values())


BY_GENRE = pd.DataFrame(
    [("Action", 5.0), ("Action|Drama", 7.0), ("Action|Comedy", 4.0), ("Action|Comedy|Drama", 7.5)] * 75,
    columns=["genres", "score"],
)


def level_of(genres: str, name: str = "genre only", train: pd.DataFrame = BY_GENRE, **known: float) -> float:
    """What a level of metadata says of one film, by models fitted again on what a model file holds."""
    fitted = json.loads(json.dumps(baselines.fit_metadata(train)))
    columns = {key: [np.nan] for key in train.columns} | {"score": [0.0], "genres": [genres]}
    film = pd.DataFrame(columns | {name: [value] for name, value in known.items()})
    return float(baselines.metadata_levels(fitted, film)[name][0])


@pytest.mark.parametrize(
    "genres, score",
    [("Action|Drama", 7.0), ("Drama|Action| Comedy", 7.5), ("Action|Comedy", 4.0), ("Action|Opera", 5.0)],
)
def test_the_genre_model_predicts_the_films_mean_by_genres_and_pairs(genres: str, score: float) -> None:
    assert level_of(genres) == pytest.approx(score, abs=0.05)


def test_a_level_says_nothing_of_a_film_that_lacks_what_it_needs() -> None:
    assert np.isnan(level_of("")) and np.isnan(level_of("Opera")) and np.isnan(level_of("|"))
    assert baselines.fit_metadata(BY_GENRE.assign(genres=""))["kinds"] == {}
    train = films(80)
    assert list(baselines.fit_metadata(train)["kinds"]) == list(baselines.BASELINES)[1:]
    known = {"runtime_minutes": 100.0, "year": 2000.0}
    richer = partial(level_of, train.genres[0], "genre + runtime + year", train)
    assert richer(**known) > 1 and np.isnan(richer(year=2000.0)) and np.isnan(richer(runtime_minutes=100.0))
    everything = partial(level_of, train.genres[0], "all metadata", train)
    assert np.isnan(everything(**known, budget=np.nan, director="", country="", content_rating="", language=""))


def test_a_track_record_is_of_strictly_earlier_train_films() -> None:
    train = films(3, director=["Ann", "Ann", "Bob"], year=[1990, 2000, 1990], score=[4.0, 8.0, 9.0])
    asked = films(5, director=["Ann", "Ann", "Bob", "Ann", ""], year=[1995, 2005, 1995, 1990, 2005])
    mean, columns = 7.0, ["director", "year"]
    expected = [[(4 + 2 * mean) / 3, 1], [(12 + 2 * mean) / 4, 2], [(9 + 2 * mean) / 3, 1], [mean, 0], [mean, 0]]
    fitted = baselines.TrackRecord().fit(train[columns], train.score.to_numpy())
    assert fitted.transform(asked[columns]) == pytest.approx(np.array(expected))
    assert fitted.transform(train[columns])[:, 1].tolist() == [0, 1, 0]  # never the film itself


def features(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rows = np.random.default_rng(seed).normal(0, 1, (100, 3))
    return rows, rows @ [1.0, -1.0, 0.5] + 6


def test_no_inner_prediction_is_of_a_model_that_saw_the_film() -> None:
    rows, truth = features()
    found = baselines.best_predictions({"nearest film": KNeighborsRegressor(1)}, rows, truth, rows)
    assert found.outer == pytest.approx(truth) and (found.inner != truth).all()


def test_cross_validation_in_train_chooses_the_model_and_the_test_films_do_not() -> None:
    (rows, truth), (unseen, expected) = features(), features(1)
    models = {"mean": DummyRegressor(), "line": LinearRegression()}
    found = baselines.best_predictions(models, rows, truth, unseen)
    assert found.model == "line" and found.outer == pytest.approx(expected)
    chance = np.random.default_rng(3).permutation(truth)
    found = baselines.best_predictions(models, rows, chance, rows)
    assert found.model == "mean" and found.outer == pytest.approx(np.full(100, chance.mean()))


def test_a_stack_weighs_its_models_and_none_below_zero() -> None:
    one, other = np.random.default_rng(0).normal(0, 1, (2, 200))
    truth = 2 * one + 0.5 * other + 6
    pair = [FoldPredictions("", part[:150], part[150:]) for part in (one, other)]
    assert evidence.stack(pair, truth[:150]) == pytest.approx(truth[150:])
    assert evidence.stack([FoldPredictions("", -one, -one)], one) == pytest.approx(np.full(200, one.mean()))


@pytest.mark.parametrize("loss, constant, error", [("mse", np.mean, np.square), ("l1", np.median, np.abs)])
def test_the_baselines_losses_are_of_standardised_scores(loss: str, constant: object, error: object) -> None:
    table = films(40, genres=["Drama", "Horror"] * 20, score=[8.0, 4.0, 7.0, 5.0] * 10, split=["train", "val"] * 20)
    table.loc[1::4, "split"], table.loc[2::4, "split"] = "train", "val"
    train, val = table[table.split == "train"], table[table.split == "val"]
    data, without = (Dataset(np.empty(0), side, {}) for side in (table, table.assign(genres="")))
    expected = [error((constant(train.score) - side.score) / train.score.std(ddof=0)).mean() for side in (train, val)]
    assert list(baselines.baseline_losses(data, loss).values()) == pytest.approx(expected)
    assert baselines.genre_loss(data, loss) < baselines.baseline_losses(data, loss)["val"]
    assert baselines.genre_loss(without, loss) is None


NO_BUDGETS = ["", "0", "-5", "much", "nan", "inf"]


def project(root: Path, *rows: str, head: str = HEAD) -> Project:
    (root / "excels").mkdir()
    (root / "excels" / "movie_metadata.csv").write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return Project(root)


def test_films_get_the_columns_that_they_lack_and_the_table_has(tmp_path: Path) -> None:
    rows = [f"{LINK.format('tt0000001')},{colour},Ann,USA,1000000,2.35,9" for colour in ("Color", "second row")]
    rows += [f"{LINK.format(f'tt000001{place}')},,,,{none},," for place, none in enumerate(NO_BUDGETS)]
    ids = ["tt0000009", "tt0000001", *(f"tt000001{place}" for place in range(len(NO_BUDGETS)))]
    there = pd.DataFrame({"imdb_id": ids, "country": "own"}, index=[4, 7, *range(10, 10 + len(NO_BUDGETS))])
    joined = baselines.add_metadata(project(tmp_path, *rows, "no link,,,France,,,"), there)
    assert joined.loc[7].to_dict() == {"imdb_id": "tt0000001", "country": "own", "colour": "Color", "director": "Ann",
                                       "budget": 6.0, "aspect_ratio": 2.35}  # fmt: skip
    assert joined.loc[4, ["colour", "director"]].tolist() == ["", ""] and joined.budget.drop(7).isna().all()


def test_without_a_score_table_films_stay_as_they_are_and_one_without_links_is_refused(tmp_path: Path) -> None:
    films = pd.DataFrame({"imdb_id": ["tt0000001"]})
    pd.testing.assert_frame_equal(baselines.add_metadata(Project(tmp_path), films), films)
    with pytest.raises(TrailerError, match=r"movie_metadata\.csv: no column 'movie_imdb_link'"):
        baselines.add_metadata(project(tmp_path, "USA", head="country"), films)


def test_what_comes_after_the_release_is_not_read() -> None:
    after = {"num_voted_users", "gross", "num_user_for_reviews", "num_critic_for_reviews", "plot_keywords"}
    used = {baselines.IN_TABLE.get(name, name) for name in baselines.COLUMNS}
    assert not used & after and not any("facebook" in name for name in used)


def test_errors_by_genre_and_decade_are_counted_and_small_groups_left_out() -> None:
    genres, years = ["Drama|Comedy", "Drama", "Drama", "", "Comedy"], [1989, 1990, 1995, 1999, 2001]
    films = pd.DataFrame({"genres": genres, "year": years, "error": [1.0, -1.0, 3.0, 0.0, 2.0]})
    table = results.error_table(films)
    assert table.index.tolist() == ["1990s", "Drama"]
    assert table.loc["Drama"].tolist() == [3, 1.67, 1.0] and table.loc["1990s"].tolist() == [3, 1.33, 0.67]
    assert set(results.error_table(films, fewest=2).index) == {"1990s", "Drama", "Comedy"}
