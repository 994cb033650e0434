"""What features add to metadata: found where there is something, not where there is nothing, never by a test film."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import FILMS

from trailer_lib import table_heads
from trailer_lib.errors import TrailerError
from trailer_lib.evaluation import baselines, evidence, metrics
from trailer_lib.project import Project


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ridge alone, but for the test of all heads."""
    monkeypatch.setattr(metrics, "RESAMPLES", 300)
    monkeypatch.setattr(baselines, "ENOUGH", 1000)
    every = table_heads.table_heads
    monkeypatch.setattr(
        table_heads, "table_heads", lambda *of: {n: h for n, h in every(*of).items() if n.startswith("ridge")}
    )


def films(count: int = 150) -> pd.DataFrame:
    """Films whose score is half genre, half something that only features show."""
    random = np.random.default_rng(0)
    drama, hidden = random.random(count) < 0.5, random.normal(0, 1, count)
    table = pd.DataFrame({"imdb_id": [f"tt{number:07d}" for number in range(count)], "year": 2000})
    table["score"] = 6 + drama + 0.5 * hidden
    table["genres"] = np.where(drama, "Drama", "Horror")
    return table.assign(title="", runtime_minutes=100, key=table.imdb_id, hidden=hidden)


def features(table: pd.DataFrame, told: np.ndarray) -> pd.DataFrame:
    noise = np.random.default_rng(1).normal(0, 1, (len(table), 5))
    return pd.DataFrame(np.column_stack([told, noise]), table.imdb_id, dtype=np.float32)


def test_features_that_tell_more_add_to_the_genres() -> None:
    table = films()
    found = evidence.evaluate_features(table, features(table, table.hidden), folds=4, repeats=2)
    gain = found["nMSE minus"]["genre only + trailer"]
    assert gain["than"] == "genre only" and gain["high"] < -0.3
    assert found["metrics"]["genre only + trailer"]["nMSE"]["value"] < 0.1
    assert found["nMSE minus"]["trailer"]["than"] == "mean baseline"
    assert sum(found["chosen"].values()) == 8


def test_features_of_chance_add_nothing() -> None:
    table = films()
    found = evidence.evaluate_features(
        table, features(table, np.random.default_rng(2).normal(0, 1, len(table))), folds=4, repeats=1
    )
    gain = found["nMSE minus"]["genre only + trailer"]
    assert abs(gain["value"]) < 0.05 and gain["high"] > 0
    assert found["metrics"]["trailer"]["nMSE"]["value"] > 0.9


def test_the_scores_of_test_films_reach_no_answer() -> None:
    table, rows = films(60), evidence.Found()
    told = features(table, table.hidden).to_numpy()
    test = np.arange(60) % 4 == 0
    for scores in (table.score, table.score.where(~test, 1.0)):
        side = table.assign(score=scores)
        fold = evidence.Fold(side[~test], side[test], told[~test], told[test])
        rows.put((2, 60), (int((scores != table.score).any()), test), evidence._answers(fold, rows.chosen))
    assert len(rows.rows) > 8
    assert all((answers[0, test] == answers[1, test]).all() for answers in rows.rows.values())


def test_only_films_with_features_take_part() -> None:
    table = films(60)
    found = evidence.evaluate_features(table, features(table, table.hidden)[:50], folds=3, repeats=1)
    assert found["films"] == 50


@pytest.mark.parametrize("known", [1, 5, 12])
def test_too_few_films_with_features_are_an_error(known: int) -> None:
    table = films(60)
    with pytest.raises(TrailerError, match=f"^{known} films are too few for 10 folds"):
        evidence.evaluate_features(table, features(table, table.hidden)[:known], folds=10)


def test_without_features_the_baselines_are_measured() -> None:
    found = evidence.evaluate_features(films(60), folds=3, repeats=1)
    assert list(found["metrics"]) == ["mean baseline", "genre only", "genre + runtime + year"]
    assert "all metadata" in found["left out"]
    assert json.loads(json.dumps(found)) == found


def test_the_table_names_what_each_difference_is_from() -> None:
    table = films(60)
    shown = evidence.evidence_table(
        evidence.evaluate_features(table, features(table, table.hidden), folds=3, repeats=1)
    )
    assert shown["that of"]["mean baseline"] == "" and shown["that of"]["genre only"] == "mean baseline"
    assert shown["that of"]["genre + runtime + year + trailer"] == "genre + runtime + year"


def test_every_head_learns_and_takes_unknown_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    random = np.random.default_rng(0)
    seen = random.normal(0, 1, (200, 8))
    scores = seen[:, 0] + seen[:, 1] + 6
    seen[random.random(seen.shape) < 0.02] = np.nan
    for name, head in table_heads.table_heads(8, 150).items():
        answer = np.ravel(head.fit(seen[:150], scores[:150]).predict(seen[150:]))
        assert metrics.nmse(scores[150:], answer) < 0.85, name


@pytest.mark.parametrize("columns, count", [(1, 10), (3, 10), (200, 4)])
def test_the_heads_take_few_columns_and_few_films(columns: int, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    seen = np.random.default_rng(0).normal(0, 1, (count, columns))
    for head in table_heads.table_heads(columns, count).values():
        assert np.isfinite(head.fit(seen, seen[:, 0]).predict(seen)).all()


def test_films_without_a_trailer_are_films_too(frames_root: Path, tmp_path: Path) -> None:
    (tmp_path / "excels").mkdir()
    text = (frames_root / "excels" / "movie_metadata.csv").read_text()
    (tmp_path / "excels" / "movie_metadata.csv").write_text(text)
    found = evidence.evidence_films(Project(tmp_path))
    assert len(found) == FILMS and found.score.notna().all() and (found.key == found.imdb_id).all()
