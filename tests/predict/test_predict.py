"""A trailer and a model give a score: the same each time, the network's own, never without what speaks against it."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import amount, pictures
from PIL import Image
from test_modelfile import Bomb

from trailer_lib.errors import TrailerError
from trailer_lib.networks.model_file import ModelFile, read_model
from trailer_lib.predict.prediction import Prediction
from trailer_lib.predict.predictor import Predictor
from trailer_lib.training.callbacks import BEST, LAST
from trailer_lib.video import sampling

BLACK = [np.zeros((36, 64, 3), np.uint8)] * 24


@pytest.fixture(scope="module")
def trailer(make_video: Callable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve seconds, of which the first two are black."""
    return make_video(tmp_path_factory.mktemp("video") / "trailer.mp4", [*BLACK, *pictures(7.0, 120, seed=1)])


@pytest.fixture(scope="module")
def best(trained_root: Path) -> Path:
    return trained_root / "models" / BEST


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


def told(prediction: Prediction) -> dict:
    return {name: value for name, value in prediction.to_dict().items() if name != "timings"}


def results(low: float, high: float, films: int = 40, collapsed: bool = False) -> dict:
    metric = {name: {"value": 0.9, "low": 0.8, "high": 1.1} for name in ("nMSE", "MAE", "R2", "Spearman")}
    gain = {"mean baseline": {"value": (low + high) / 2, "low": low, "high": high}}
    return {
        "films": films,
        "metrics": {"trailer": metric, "mean baseline": metric},
        "nMSE minus": gain,
        "collapsed": collapsed,
    }


def test_a_prediction_is_the_same_each_time(trailer: Path, best: Path, prediction: Prediction) -> None:
    again = Predictor.load(best).predict(trailer)
    assert told(again) == told(prediction) and again.score == prediction.score
    assert np.array_equal(again.frames, prediction.frames) and np.array_equal(again.heat, prediction.heat)


def test_the_number_of_threads_changes_nothing(trailer: Path, predictor: Predictor) -> None:
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            found.append(predictor.predict(trailer))
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert other.score == pytest.approx(found[0].score, abs=1e-4)
        assert other.pulls == pytest.approx(found[0].pulls, abs=1e-4)
        assert np.array_equal(other.frames, found[0].frames)


def test_another_trailer_gets_another_score(
    make_video: Callable, tmp_path: Path, predictor: Predictor, prediction: Prediction
) -> None:
    other = predictor.predict(make_video(tmp_path / "other.mp4", list(pictures(2.0, 48, seed=2))))
    assert other.score != prediction.score


def answer_of(model: ModelFile, frames: np.ndarray) -> float:
    small = [np.asarray(Image.fromarray(frame).resize((32, 32), Image.Resampling.BOX)) for frame in frames]
    with torch.inference_mode():
        standardised = model.network(torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2)[None]).item()
    return standardised * model.facts["score_sd"] + model.facts["score_mean"]


def test_the_score_is_the_networks_answer_on_the_frames(best: Path, prediction: Prediction) -> None:
    assert prediction.score == pytest.approx(answer_of(read_model(best), prediction.frames), abs=1e-5)


def test_a_pull_is_in_imdb_points(best: Path, prediction: Prediction) -> None:
    model = read_model(best)
    pictures = [
        np.asarray(Image.fromarray(frame).resize((32, 32), Image.Resampling.BOX)) for frame in prediction.frames
    ]
    frames = model.network.normalise(torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)[None])
    frames[0, 1] = (frames[0, 0] + frames[0, 2]) / 2
    with torch.inference_mode():
        without = model.network.score(frames).item() * model.facts["score_sd"] + model.facts["score_mean"]
    assert prediction.pulls[1] == pytest.approx(prediction.score - without, abs=1e-4)
    assert prediction.strongest[0] == np.abs(prediction.pulls).argmax()


def test_a_test_with_several_draws_is_answered_with_several(changed: Callable, best: Path, trailer: Path) -> None:
    model = read_model(best)
    predictor = Predictor.load(changed(settings=model.facts["settings"] | {"views": 4}))
    found = predictor.predict(trailer)
    assert 3 < len(found.frames) <= 12 and len(found.pulls) == len(found.seconds) == len(found.frames)
    assert (np.diff(found.seconds) > 0).all()
    assert told(predictor.predict(trailer)) == told(found)


def test_the_frames_are_the_trailers_at_their_seconds(trailer: Path, prediction: Prediction) -> None:
    every = sampling.sample_frames(trailer, 400, 0, "every frame")
    for frame, second in zip(prediction.frames, prediction.seconds):
        assert np.array_equal(frame, every.pixels[np.abs(every.seconds - second).argmin()])
    assert len(prediction.frames) == 3
    assert (np.diff(prediction.seconds) > 0).all()
    assert prediction.heat.shape == (3, *prediction.frames.shape[1:3])


def test_heat_is_cold_outside_of_the_middle_that_was_cut_out(changed: Callable, best: Path, trailer: Path) -> None:
    facts = read_model(best).facts["dataset"] | {"fit": "crop"}
    heat = Predictor.load(changed(dataset=facts)).predict(trailer).heat
    assert heat.shape[1:] == (36, 64) and not heat[..., :14].any() and not heat[..., 50:].any()
    assert heat.max() == pytest.approx(1)


def test_no_black_frame_is_shown_to_the_network(prediction: Prediction) -> None:
    assert prediction.sampled == 20
    assert 3 <= prediction.kept < 20
    assert prediction.seconds.min() >= 1.9
    assert prediction.frames.mean((1, 2, 3)).min() > 50


def test_a_trailer_of_two_frames_is_answered_with_a_doubt(
    make_video: Callable, tmp_path: Path, predictor: Predictor
) -> None:
    short = predictor.predict(make_video(tmp_path / "short.mp4", list(pictures(7.0, 2, seed=3))))
    assert np.isfinite(short.score) and 1 <= len(short.frames) <= 3
    assert any("too short for a trailer" in doubt for doubt in short.warnings)


def test_a_model_that_was_never_tested_is_refused(trained_root: Path) -> None:
    with pytest.raises(TrailerError, match="never tested"):
        Predictor.load(trained_root / "models" / LAST)


def test_an_all_black_trailer_is_refused(make_video: Callable, tmp_path: Path, predictor: Predictor) -> None:
    with pytest.raises(TrailerError, match=r"black\.mp4: the filter kept none of 60 frames"):
        predictor.predict(make_video(tmp_path / "black.mp4", BLACK))


@pytest.mark.parametrize("content", [b"", b"hello", b"\x00\x00\x00\x18ftypisom" + bytes(100)])
def test_a_file_that_is_no_video_is_refused(tmp_path: Path, predictor: Predictor, content: bytes) -> None:
    (tmp_path / "no.mp4").write_bytes(content)
    with pytest.raises(TrailerError, match=r"no\.mp4"):
        predictor.predict(tmp_path / "no.mp4")


def test_a_missing_trailer_is_refused(tmp_path: Path, predictor: Predictor) -> None:
    with pytest.raises(TrailerError, match=r"none\.mp4: No such file"):
        predictor.predict(tmp_path / "none.mp4")


def test_a_private_link_is_refused(predictor: Predictor) -> None:
    with pytest.raises(TrailerError, match="private address"):
        predictor.predict("https://127.0.0.1:1/trailer.mp4")


def test_the_steps_are_told_and_timed(trailer: Path, predictor: Predictor) -> None:
    steps: list[tuple[float, str]] = []
    found = predictor.predict(trailer, progress=lambda share, step: steps.append((share, step)))
    assert [step for _, step in steps] == list(found.timings) == ["frames", "network", "similar"]
    assert [share for share, _ in steps] == sorted(share for share, _ in steps)
    assert min(found.timings.values()) > 0


# What speaks against an answer


@pytest.mark.parametrize(
    ("result", "says"),
    [
        (results(-0.1, 0.1), "Not shown to be better than the constant"),
        (results(0.1, 0.3), "Not shown to be better than the constant"),
        (results(-0.3, -0.1, collapsed=True), "Collapsed"),
        (results(-0.3, -0.1, films=9), "Too few test films"),
    ],
)
def test_a_model_that_is_no_better_than_the_constant_says_so_first(
    changed: Callable, trailer: Path, result: dict, says: str
) -> None:
    found = Predictor.load(changed(results=result)).predict(trailer)
    assert found.warnings[0].startswith(says) and "Always saying 5.9 may do as well" in found.warnings[0]
    assert str(found).startswith(says)


def test_a_model_that_is_better_has_no_such_doubt(changed: Callable, trailer: Path) -> None:
    found = Predictor.load(changed(results=results(-0.3, -0.1))).predict(trailer)
    assert found.warnings == [] and found.verdict.startswith("Better than the constant")


def test_a_trailer_like_no_training_film_is_told(
    make_video: Callable, tmp_path: Path, predictor: Predictor, prediction: Prediction
) -> None:
    noise = list(np.random.default_rng(0).integers(0, 255, (150, 36, 64, 3), dtype=np.uint8))
    found = predictor.predict(make_video(tmp_path / "noise.mp4", noise))
    assert re.match(r"Nothing like the training films: \d+\.\d times as far", found.warnings[-1])
    assert not any("Nothing like" in doubt for doubt in prediction.warnings)


def test_a_training_film_is_recognised(trained_root: Path, best: Path) -> None:
    known = Predictor.load(best, trained_root)
    film_id = known.learned.index.films[0][0]
    folder = next((trained_root / "images").glob(f"*{film_id}*"))
    found = known.predict(folder)
    assert "The film is one of those that the model learnt from" in found.warnings[-1]
    assert found.similar[0].imdb_id == film_id and found.genre is not None


def test_a_film_is_looked_up_only_where_its_id_is_known(trained_root: Path, best: Path, trailer: Path) -> None:
    assert Predictor.load(best, trained_root).predict(trailer).genre is None
    assert Predictor.load(best).predict(trailer, {"genres": "Horror"}).genre < 5


def test_tables_that_can_not_be_read_do_not_cost_the_answer(best: Path, tmp_path: Path, make_video: Callable) -> None:
    (tmp_path / "excels").mkdir()
    video = make_video(tmp_path / "tt8800001.mp4", list(pictures(7.0, 48, seed=1)))
    found = Predictor.load(best, tmp_path).predict(video)
    assert "The film could not be looked up" in found.warnings[-1]


def test_the_intervals_are_of_the_validation_films(changed: Callable, trailer: Path) -> None:
    kept = {"imdb_id": ["tt1"] * 100, "score": [5.0] * 100, "predicted": [5.0 + n / 100 for n in range(100)]}
    found = Predictor.load(changed(validation=kept)).predict(trailer)
    assert found.intervals[80] == pytest.approx((found.score - 0.80, found.score + 0.80))
    assert found.intervals[95] == pytest.approx((found.score - 0.95, found.score + 0.95))


def test_a_file_of_before_says_what_it_lacks(changed: Callable, trailer: Path) -> None:
    found = Predictor.load(changed(validation=None, index=None, genre_ridge=None)).predict(trailer, {"genres": "Drama"})
    assert found.intervals == {} and "holds 0 validation films" in found.no_interval
    assert found.similar == [] and any("no index of its training films" in doubt for doubt in found.warnings)
    assert found.genre is None and "holds 0 validation films" in str(found)


# Other people's files


def assert_refused(path: Path) -> None:
    with pytest.raises(TrailerError) as caught:
        Predictor.load(path)
    assert path.name in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_is_cut_short_is_refused(best: Path, tmp_path: Path) -> None:
    whole = best.read_bytes()
    for share in np.linspace(0, 0.9999, amount(50, 10)):
        (tmp_path / "cut.pt").write_bytes(whole[: int(share * len(whole))])
        assert_refused(tmp_path / "cut.pt")


@pytest.mark.parametrize("place", ["index", "validation", "results"])
def test_a_pickle_bomb_is_refused_and_runs_nothing(changed: Callable, tmp_path: Path, place: str) -> None:
    assert_refused(changed(**{place: Bomb(tmp_path / "canary")}))
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize(
    "facts",
    [
        {"results": {}},
        {"results": 7},
        {"results": results(0, 1) | {"films": "many"}},
        {"results": results(0, 1) | {"metrics": {"trailer": {}}}},
        {"validation": {"score": [1.0]}},
        {"validation": {"score": [1.0], "predicted": []}},
        {"validation": {"score": [float("nan")], "predicted": [1.0]}},
        {"validation": {"score": "high", "predicted": "low"}},
        {"index": {}},
        {"index": [1, 2]},
        {"genre_ridge": {"genres": ["Drama"], "coef": ["much"], "intercept": 0.0}},
        {"splits": {}},
        {"score_sd": 0.0},
        {"score_mean": "six"},
        {"dataset": {"size": "large"}},
        {"scrape": {"count": 10**9}},
        {"scrape": {"unheard_of": 1}},
    ],
    ids=str,
)
def test_damaged_facts_are_refused(changed: Callable, facts: dict) -> None:
    assert_refused(changed(**facts))


def test_everything_but_the_pictures_survives_json(prediction: Prediction) -> None:
    found = json.loads(json.dumps(prediction.to_dict()))
    assert found == prediction.to_dict()
    assert (found["test_films"], found["films"], found["sampled"]) == (7, 18, 20)


def test_the_error_beside_the_score_is_the_models_own(trained_root: Path, prediction: Prediction) -> None:
    metrics = json.loads((trained_root / "models" / "results.json").read_text())["metrics"]
    assert prediction.test_mae == metrics["trailer"]["MAE"]["value"]
    assert prediction.mean_baseline_mae == metrics["mean baseline"]["MAE"]["value"]
    assert prediction.test_mae != prediction.mean_baseline_mae
