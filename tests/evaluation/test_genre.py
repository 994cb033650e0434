"""The genre baseline: what it learns, travels as plain numbers, and is silent on genres that it does not know."""

import json

import numpy as np
import pandas as pd
import pytest

from trailer_lib.evaluation import baselines

RNG = np.random.default_rng(0)
DRAMA, COMEDY = RNG.random(300) < 0.5, RNG.random(300) < 0.5
FILMS = pd.DataFrame(
    {
        "genres": [
            "|".join(["Action"] + ["Drama"] * d + ["Comedy"] * c) for d, c in zip(DRAMA.tolist(), COMEDY.tolist())
        ],
        "score": 5.0 + 2.0 * DRAMA - 1.0 * COMEDY + RNG.normal(0, 0.05, 300),
    }
)
FITTED = json.loads(json.dumps(baselines.fit_genres(FILMS)))


@pytest.mark.parametrize(
    ("genres", "score"),
    [("Action|Drama", 7.0), ("Drama|Action|Comedy", 6.0), (["Action", "Comedy"], 4.0), ("Action", 5.0)],
)
def test_the_answer_is_the_films_mean_by_genre(genres: str | list, score: float) -> None:
    assert baselines.genre_prediction(FITTED, genres) == pytest.approx(score, abs=0.05)


def test_genres_of_which_some_are_unknown_are_answered_by_the_others() -> None:
    assert baselines.genre_prediction(FITTED, "Action|Drama|Opera") == baselines.genre_prediction(
        FITTED, "Action|Drama"
    )


@pytest.mark.parametrize("genres", ["", "Opera", [], "|"])
def test_unknown_genres_have_no_answer(genres: str | list) -> None:
    assert baselines.genre_prediction(FITTED, genres) is None


def test_films_without_genres_fit_nothing() -> None:
    assert baselines.genre_prediction(baselines.fit_genres(FILMS.assign(genres="")), "Drama") is None


def test_an_answer_stays_on_the_scale() -> None:
    assert baselines.genre_prediction({"genres": ["Drama"], "coef": [20.0], "intercept": 5.0}, "Drama") == 10.0
