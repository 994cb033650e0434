"""A trailer and a model give a score: the same each time, the network's own, never without what speaks against it."""

import hashlib
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import fictional_film, pictures
from PIL import Image

import trailer_lib
from trailer_lib import evaluation
from trailer_lib.errors import TrailerError
from trailer_lib.networks import read_model
from trailer_lib.predict.prediction import Prediction
from trailer_lib.predict.predictor import Predictor
from trailer_lib.settings import ScrapeSettings
from trailer_lib.video import sample_informative


@pytest.fixture(scope="module")
def predictor(best: Path) -> Predictor:
    return Predictor.load(best)


@pytest.fixture(scope="module")
def prediction(trailer: Path, predictor: Predictor) -> Prediction:
    return predictor.predict(trailer)


@pytest.fixture
def changed(best: Path, tmp_path: Path) -> Callable[..., Path]:
    """A function that writes the model with other facts; those that are None are left out."""

    def write(**facts: object) -> Path:
        model = read_model(best)
        model.facts = {name: value for name, value in (model.facts | facts).items() if value is not None}
        model.save(tmp_path / "changed.pt")
        return tmp_path / "changed.pt"

    return write


def results(low: float, high: float, films: int = 40) -> dict:
    metric = {"MAE": {"value": 0.9, "low": 0.8, "high": 1.1}}
    gain = {"row": "frames", "than": "mean baseline", "value": (low + high) / 2, "low": low, "high": high}
    result = {"films": films, "metrics": {"frames": metric, "mean baseline": metric}, "nMSE minus": [gain]}
    result |= {"collapsed": False, "sd of predictions / sd of scores": 0.5, "split": "test", "row": "frames"}
    return result | {"cases": {}, "verdict": evaluation.verdict(result)}


def test_a_prediction_is_the_same_each_time(trailer: Path, best: Path, prediction: Prediction) -> None:
    steps: list[tuple[float, str]] = []
    again = Predictor.load(best).predict(trailer, progress=lambda share, step: steps.append((share, step)))
    assert [step for _, step in steps] == ["frames", "network"] and steps == sorted(steps)
    assert again.to_dict() == prediction.to_dict() and again.score == prediction.score
    assert np.array_equal(again.frames, prediction.frames) and np.array_equal(again.heat, prediction.heat)
    assert json.loads(json.dumps(prediction.to_dict())) == prediction.to_dict()


def test_score_and_contributions_are_the_networks_in_imdb_points(best: Path, prediction: Prediction) -> None:
    model = read_model(best)
    small = [Image.fromarray(frame).resize((32, 32), Image.Resampling.BOX) for frame in prediction.frames]
    frames = model.network.normalise(torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2)[None])
    without = frames.clone()
    without[0, 1] = (frames[0, 0] + frames[0, 2]) / 2
    with torch.inference_mode():
        standardised = model.network.score(torch.cat([frames, without]))
    score, score_without = standardised * model.facts["score_sd"] + model.facts["score_mean"]
    assert prediction.score == pytest.approx(score.item(), abs=1e-5)
    assert prediction.contributions[1] == pytest.approx((score - score_without).item(), abs=1e-4)
    assert prediction.strongest[0] == np.abs(prediction.contributions).argmax()


def test_a_model_of_several_test_time_views_predicts_with_several(changed: Callable, best: Path, trailer: Path) -> None:
    predictor = Predictor.load(changed(settings=read_model(best).facts["settings"] | {"views": 4}))
    prediction = predictor.predict(trailer)
    assert 3 < len(prediction.frames) <= 12 and len(prediction.contributions) == len(prediction.frames)
    assert (np.diff(prediction.seconds) > 0).all()
    assert predictor.predict(trailer).to_dict() == prediction.to_dict()


def test_the_frames_are_the_trailers_at_their_seconds_and_none_is_black(trailer: Path, prediction: Prediction) -> None:
    every = sample_informative(trailer, "every frame", ScrapeSettings(count=400, filter="none"), 0).frames
    for frame, second in zip(prediction.frames, prediction.seconds):
        assert np.array_equal(frame, every.pixels[np.abs(every.seconds - second).argmin()])
    assert len(prediction.frames) == 3 and (np.diff(prediction.seconds) > 0).all()
    assert prediction.heat.shape == (3, *prediction.frames.shape[1:3])
    assert prediction.sampled_frames == 20 and 3 <= prediction.kept_frames < 20
    assert prediction.seconds.min() >= 1.9 and prediction.frames.mean((1, 2, 3)).min() > 50


def test_heat_is_cold_outside_of_the_middle_that_was_cut_out(changed: Callable, best: Path, trailer: Path) -> None:
    facts = read_model(best).facts["dataset"] | {"fit": "crop"}
    heat = Predictor.load(changed(dataset=facts)).predict(trailer).heat
    assert heat.shape[1:] == (36, 64) and not heat[..., :14].any() and not heat[..., 50:].any()
    assert heat.max() == pytest.approx(1)


@pytest.mark.parametrize(("result", "warning"), [
    (results(-0.1, 0.1), "Not shown to be better than the "), (results(-0.3, -0.1, films=9), "Too few to tell"),
])  # fmt: skip
def test_a_model_no_better_than_the_mean_says_so_first(
    changed: Callable, trailer: Path, result: dict, warning: str
) -> None:
    prediction = Predictor.load(changed(results=result)).predict(trailer)
    assert prediction.warnings[0].startswith(warning) and str(prediction).startswith(warning)
    assert "Always predicting 5.9 may do as well" in prediction.warnings[0]
    better = Predictor.load(changed(results=results(-0.3, -0.1))).predict(trailer)
    assert better.warnings == [] and better.verdict in str(better)


def test_a_trailer_like_no_other_is_doubted(
    make_video: Callable, tmp_path: Path, predictor: Predictor, prediction: Prediction
) -> None:
    noise = list(np.random.default_rng(0).integers(0, 255, (150, 36, 64, 3), dtype=np.uint8))
    doubtful = predictor.predict(make_video(tmp_path / "noise.mp4", noise))
    assert re.match(r"Nothing like the training films: \d+\.\d times as far", doubtful.warnings[-1])
    assert not any("Nothing like" in warning for warning in prediction.warnings)


@pytest.mark.parametrize("name", ["X [{youtube_id}].mp4", "X ({imdb_id}).mp4"])
def test_a_training_film_is_recognised_by_its_name_and_its_genres_are_looked_up(
    trained_root: Path, best: Path, predictor: Predictor, trailer: Path, tmp_path: Path, name: str
) -> None:
    film = fictional_film(int(predictor.info.index.films[0][0][2:]) - 8800000)
    video = shutil.copy(trailer, tmp_path / name.format(**film))
    with_tables = Predictor.load(best, trained_root)
    assert with_tables.predict(trailer).genre is None and with_tables.predict(video).genre is not None
    given = with_tables.predict(video, {"genres": "Horror"})
    assert "one of those that the model learnt from" in given.warnings[-1] and given.genre < 5
    by_id_alone = any("learnt from" in warning for warning in predictor.predict(video).warnings)
    assert by_id_alone == ("imdb_id" in name)


def test_unreadable_tables_do_not_cost_the_prediction(best: Path, tmp_path: Path, make_video: Callable) -> None:
    (tmp_path / "excels").mkdir()
    video = make_video(tmp_path / "tt8800001.mp4", list(pictures(7.0, 48, seed=1)))
    assert "The film could not be looked up" in Predictor.load(best, tmp_path).predict(video).warnings[-1]


def validation(best: Path, count: int) -> dict:
    """A table of that many films, of which the metadata are unknown."""
    unknown = dict.fromkeys(read_model(best).facts["validation"]["parts"], [np.nan] * count)
    return {"score": [5.0] * count, "parts": unknown | {"frames": [5.0 + n / 100 for n in range(count)]}}


def test_the_intervals_are_of_the_validation_films(changed: Callable, best: Path, trailer: Path) -> None:
    found, without = (Predictor.load(changed(validation=validation(best, n))).predict(trailer) for n in (100, 0))
    assert [*found.intervals] == [80, 95]
    for level, (low, high) in found.intervals.items():
        assert (low, high) == pytest.approx((found.score - level / 100, found.score + level / 100))
    assert without.intervals == {} and "holds 0 validation films" in str(without)


def test_a_prediction_has_its_models_error_name_and_version(
    trained_root: Path, best: Path, changed: Callable, prediction: Prediction
) -> None:
    metrics = json.loads((trained_root / "models" / "results.json").read_text())["metrics"]
    assert prediction.mae == metrics["frames"]["MAE"]["value"]
    assert prediction.mean_baseline_mae == metrics["mean baseline"]["MAE"]["value"] != prediction.mae
    assert (prediction.split, prediction.scored_films, prediction.train_films) == ("test", 7, 18)
    assert prediction.model == hashlib.sha256(best.read_bytes()).hexdigest()[:16]
    assert prediction.to_dict()["version"] == trailer_lib.__version__
    assert Predictor.load(changed(score_mean=5.0)).model_hash != prediction.model


def test_one_prediction_needs_no_slow_package(best: Path, trailer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("trailer_lib")]:
        monkeypatch.delitem(sys.modules, name)  # to import it afresh
    for name in "pandas scipy sklearn matplotlib lightning gradio".split():
        monkeypatch.setitem(sys.modules, name, None)  # an import of it fails
    from trailer_lib.predict import Predictor as Fresh

    assert Fresh is not Predictor and Fresh.load(best).predict(trailer).score > 1


# Other people's files

ONE_FILM = {"frames": [6.0], "genre only": [6.0], "genre + runtime + year": [6.0]}


def test_a_model_that_was_never_tested_is_refused(trained_root: Path) -> None:
    with pytest.raises(TrailerError, match=r"last_model\.pt: .*not finished"):
        Predictor.load(trained_root / "models" / "last_model.pt")


@pytest.mark.parametrize(
    "facts",
    [
        {"results": {}}, {"results": results(0, 1) | {"cases": {"frames": {}}}}, {"index": {}}, {"index": None},
        {"validation": {"score": [1.0], "parts": {}}}, {"validation": {"score": [np.nan], "parts": ONE_FILM}},
        {"validation": {"score": [1.0], "parts": ONE_FILM | {"frames": [1.0, 2.0]}}}, {"score_sd": 0.0},
        {"validation": {"score": [1.0], "parts": ONE_FILM | {"genre only": ["good"]}}}, {"metadata": {"kinds": {}}},
        {"sound": {"weight": torch.zeros(3), "bias": 0.0}}, {"metadata": {"films": {"score": ["good"]}, "kinds": {}}},
        {"splits": {}}, {"metadata": {"films": {"score": [5.0], "genres": []}, "kinds": {}}},
        {"dataset": {"size": "large"}}, {"scrape": {"count": 10**9}}, {"scrape": {"unheard_of": 1}},
    ],
    ids=str,
)  # fmt: skip
def test_damaged_facts_are_refused(changed: Callable, facts: dict) -> None:
    with pytest.raises(TrailerError, match=r"changed\.pt") as caught:
        Predictor.load(changed(**facts))
    assert "\n" not in str(caught.value)
