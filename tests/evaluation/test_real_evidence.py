"""What the real spreadsheets and trailer features of ../shared tell: the figures of benchmarks/EVIDENCE.md in short."""

import numpy as np
import pandas as pd
import pytest
from conftest import SHARED
from sklearn.model_selection import ShuffleSplit

from trailer_lib import Project, table_heads
from trailer_lib.catalog import catalog
from trailer_lib.evaluation import baselines, evidence, metrics

REAL = SHARED / "real"
pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason=f"the real films are not there ({REAL})")


@pytest.fixture(scope="module")
def films() -> pd.DataFrame:
    return evidence.evidence_films(Project.open(REAL))


def test_ridge_on_metadata_scores_what_was_measured_before(
    films: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0.814 for the genres alone; the record of earlier films makes all metadata better than the 0.695 without it."""
    monkeypatch.setattr(baselines, "ENOUGH", len(films) + 1)
    joined = films[films.imdb_id.isin(catalog.load(Project.open(REAL)).films.imdb_id)].reset_index(drop=True)
    errors = []
    for train, test in ShuffleSplit(4, test_size=0.15, random_state=0).split(joined):
        found = baselines.baseline_predictions(joined.iloc[train], joined.iloc[test])
        truth = joined.score.to_numpy()[test]
        errors.append([metrics.nmse(truth, found[name]) for name in ("genre only", "all metadata")])
    genre, everything = np.mean(errors, 0)
    assert genre == pytest.approx(0.814, abs=0.03)
    assert everything < 0.695


@pytest.mark.parametrize(
    ("file", "least", "below"),
    [("trailer_embeddings.npz", 1124, 0.92), ("trailer_features/train_features.tsv", 1500, 0.98)],
)
def test_features_of_real_trailers_beat_the_constant(films: pd.DataFrame, file: str, least: int, below: float) -> None:
    features = evidence.read_features(REAL / file, films)
    assert len(features) >= least
    known = films.set_index("imdb_id").loc[features.index]
    ridge = table_heads.table_heads(features.shape[1], len(features))["ridge on roots"]
    answers = baselines.fold_predictions(
        ridge, features.to_numpy(), known.score.to_numpy(), features[:1].to_numpy()
    ).inner
    truth = known.score.to_numpy()
    assert metrics.nmse(truth, answers) < below
    assert metrics.paired_difference(truth, answers, np.full(len(truth), truth.mean())).high < 0
