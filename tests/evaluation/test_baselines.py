"""What is known without a trailer: each baseline learns from its own columns, and from nothing it may not know."""

import numpy as np
import pandas as pd
import pytest

from trailer_lib.evaluation import baselines, metrics

PEOPLE = dict.fromkeys(["director", "actor_1", "actor_2", "actor_3"], "")
TEXTS = {"content_rating": "PG", "country": "USA", "language": "English", "colour": "Color"}
KNOWN = {**TEXTS, **PEOPLE, "budget": np.nan, "aspect_ratio": 1.85, "poster_faces": 0.0}


@pytest.fixture(autouse=True)
def ridge_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Boosting takes a second a test, and has one of its own."""
    monkeypatch.setattr(baselines, "ENOUGH", 1000)


def films(count: int = 120, seed: int = 0, **columns: object) -> pd.DataFrame:
    """Films whose scores are chance, with every column that a baseline may use."""
    random = np.random.default_rng(seed)
    table = pd.DataFrame({"score": random.normal(6.5, 1.0, count).clip(1, 10), **KNOWN})
    table["genres"] = random.choice(["Drama", "Horror", "Drama|Comedy"], count)
    table["runtime_minutes"] = pd.array(random.integers(80, 150, count), "Int64")
    table["year"] = random.integers(1980, 2016, count)
    return table.assign(**columns)


def nmse(train: pd.DataFrame, test: pd.DataFrame, name: str) -> float:
    return float(metrics.nmse(test.score.to_numpy(), baselines.baseline_predictions(train, test)[name]))


def test_nmse_of_the_train_mean_equals_its_formula() -> None:
    train, test = films(seed=2).assign(score=lambda table: table.score + 0.4), films(seed=3)
    expected = 1 + (train.score.mean() - test.score.mean()) ** 2 / test.score.var(ddof=0)
    assert nmse(train, test, "mean baseline") == pytest.approx(expected, abs=1e-6)


def test_only_the_baselines_asked_for_answer() -> None:
    train, test = films(), films(5, seed=1)
    everyone = baselines.baseline_predictions(train, test)
    found = baselines.baseline_predictions(train, test, ["genre only"])
    assert list(found) == ["genre only"]
    assert np.array_equal(found["genre only"], everyone["genre only"])
    assert baselines.baseline_predictions(train.assign(genres=""), test, ["genre only"]) == {}


def test_the_median_is_the_train_films() -> None:
    train = films(31)
    assert list(baselines.median_prediction(train, films(3))) == [train.score.median()] * 3


@pytest.mark.parametrize("name", baselines.BASELINES[1:])
def test_a_baseline_learns_nothing_where_there_is_nothing(name: str) -> None:
    assert nmse(films(seed=1), films(seed=2), name) > 0.9


@pytest.mark.parametrize(
    ("column", "knows"),
    [
        ("genres", ["genre only", "genre + runtime + year", "all metadata"]),
        ("runtime_minutes", ["genre + runtime + year", "all metadata"]),
        ("year", ["genre + runtime + year", "all metadata"]),
        ("country", ["all metadata"]),
        ("budget", ["all metadata"]),
    ],
)
def test_a_baseline_learns_from_its_own_columns_alone(column: str, knows: list[str]) -> None:
    def told(seed: int) -> pd.DataFrame:
        good = np.random.default_rng(seed).random(200) < 0.5
        says = {"genres": ("Drama", "Horror"), "country": ("France", "USA")}.get(column, (140, 90))
        if column == "year":
            says = (1990, 2010)
        value = pd.Series(np.where(good, *says))
        value = value.astype("Int64") if column == "runtime_minutes" else value
        score = np.where(good, 7.5, 5.5) + np.random.default_rng(seed).normal(0, 0.2, 200)
        return films(200, seed, score=score, **{column: value})

    errors = {name: nmse(told(1), told(2), name) for name in baselines.BASELINES}
    assert [name for name, error in errors.items() if error < 0.2] == knows


def test_boosting_is_chosen_where_it_is_the_better(monkeypatch: pytest.MonkeyPatch) -> None:
    def told(seed: int) -> pd.DataFrame:
        long, old = np.random.default_rng(seed).random((2, 200)) < 0.5
        score = np.where(long ^ old, 7.5, 5.5)  # nothing that a sum of columns could say
        runtime = pd.array(np.where(long, 140, 90), "Int64")
        return films(200, seed, score=score, year=np.where(old, 1980, 2010), runtime_minutes=runtime)

    train, test = told(1), told(2)
    assert nmse(train, test, "genre + runtime + year") > 0.9
    monkeypatch.setattr(baselines, "ENOUGH", 60)
    assert nmse(train, test, "genre + runtime + year") < 0.2


@pytest.mark.parametrize("genres", ["Western", "", "Drama|Western"])
def test_the_genre_baseline_answers_for_genres_it_never_saw(genres: str) -> None:
    answers = baselines.baseline_predictions(films(20), films(1, genres=genres))
    assert all(np.isfinite(answer).all() for answer in answers.values())


def test_the_train_films_decide_the_genres() -> None:
    train = films(80, genres=["Drama", "Horror"] * 40, score=[8.0, 4.0] * 40)
    answer = baselines.baseline_predictions(train, films(2, genres=["Western|Horror", "Drama"]))["genre only"]
    assert answer == pytest.approx([4.0, 8.0], abs=0.2)


def test_a_film_with_unknown_cells_is_answered_for() -> None:
    blank = films(3).assign(runtime_minutes=pd.array([None] * 3, "Int64"), content_rating="", aspect_ratio=np.nan)
    assert all(np.isfinite(answer).all() for answer in baselines.baseline_predictions(films(), blank).values())


def test_a_few_train_films_are_enough_for_an_answer() -> None:
    assert set(baselines.baseline_predictions(films(2), films(3))) == set(baselines.BASELINES)


@pytest.mark.parametrize(
    ("gone", "left"),
    [
        (["genres"], ["mean baseline"]),
        (["runtime_minutes"], ["mean baseline", "genre only"]),
        (baselines.COLUMNS, ["mean baseline", "genre only", "genre + runtime + year"]),
        (["country", "budget"], list(baselines.BASELINES)),
        ([], list(baselines.BASELINES)),
    ],
)
def test_a_baseline_without_its_columns_is_left_out_with_the_reason(gone: list[str], left: list[str]) -> None:
    train, test = films(30).drop(columns=gone), films(5).drop(columns=gone)
    reasons = baselines.missing_baselines(train)
    assert list(baselines.baseline_predictions(train, test)) == left
    assert list(reasons) == [name for name in baselines.BASELINES if name not in left]
    assert all(gone[0] in reason for reason in reasons.values())


def test_a_column_of_blanks_is_no_column() -> None:
    assert "genre only" in baselines.missing_baselines(films(30, genres=""))


def record(train: pd.DataFrame, asked: pd.DataFrame) -> np.ndarray:
    columns = ["director", "year"]
    return baselines.TrackRecord().fit(train[columns], train.score.to_numpy()).transform(asked[columns])


def test_a_track_record_is_of_earlier_train_films() -> None:
    train = films(3, director=["Ann", "Ann", "Bob"], year=[1990, 2000, 1990], score=[4.0, 8.0, 9.0])
    asked = films(4, director=["Ann", "Ann", "Bob", "Ann"], year=[1995, 2005, 1995, 1990])
    mean = 7.0
    expected = [[(4 + 2 * mean) / 3, 1], [(12 + 2 * mean) / 4, 2], [(9 + 2 * mean) / 3, 1], [mean, 0]]
    assert record(train, asked) == pytest.approx(np.array(expected))


def test_a_track_record_does_not_hold_the_film_itself_or_a_later_one() -> None:
    train = films(2, director=["Ann", "Ann"], year=[1990, 2000], score=[4.0, 8.0])
    assert record(train, train)[:, 1].tolist() == [0, 1]
    changed = train.assign(score=[4.0, 1.0])
    assert record(changed, changed)[1, 0] - record(train, train)[1, 0] == pytest.approx(-7 / 2 * 2 / 3)  # by the mean


def test_a_film_of_nobody_has_no_record() -> None:
    train = films(3, director="", year=1990)
    assert record(train, train)[:, 1].tolist() == [0, 0, 0]
