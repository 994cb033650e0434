"""A trailer and a model give a score: the same each time, the network's own, never without the model's error."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import pictures
from PIL import Image

from trailer_lib import video
from trailer_lib.errors import TrailerError
from trailer_lib.modelfile import ModelFile, read_model_file
from trailer_lib.predict import Prediction, predict
from trailer_lib.train import BEST, LAST

BLACK = [np.zeros((36, 64, 3), np.uint8)] * 24


@pytest.fixture(scope="module")
def trailer(make_video: Callable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds, of which the first two are black."""
    return make_video(tmp_path_factory.mktemp("video") / "trailer.mp4", [*BLACK, *pictures(7.0, 48, seed=1)])


@pytest.fixture(scope="module")
def model(trained_root: Path) -> ModelFile:
    return read_model_file(trained_root / "models" / BEST)


@pytest.fixture(scope="module")
def prediction(trailer: Path, model: ModelFile) -> Prediction:
    return predict(trailer, model)


def test_a_prediction_is_the_same_each_time(trailer: Path, trained_root: Path, prediction: Prediction) -> None:
    again = predict(trailer, read_model_file(trained_root / "models" / BEST))
    assert again.to_dict() == prediction.to_dict()
    assert again.score == prediction.score
    assert np.array_equal(again.frames, prediction.frames)


def test_another_trailer_gets_another_score(
    make_video: Callable, tmp_path: Path, model: ModelFile, prediction: Prediction
) -> None:
    other = predict(make_video(tmp_path / "other.mp4", list(pictures(2.0, 48, seed=2))), model)
    assert other.score != prediction.score


def test_the_score_is_the_networks_answer_on_the_frames(model: ModelFile, prediction: Prediction) -> None:
    small = [Image.fromarray(frame).resize((32, 32), Image.Resampling.BOX) for frame in prediction.frames]
    frames = torch.from_numpy(np.stack([np.asarray(picture) for picture in small])).permute(0, 3, 1, 2)[None]
    with torch.inference_mode():
        standardised = model.network(frames).item()
    expected = standardised * model.facts["score_sd"] + model.facts["score_mean"]
    assert prediction.score == pytest.approx(expected, abs=1e-6)


def test_the_frames_are_the_trailers_at_their_seconds(trailer: Path, prediction: Prediction) -> None:
    every = video.sample_frames(trailer, 400, 0, "every frame")
    for frame, second in zip(prediction.frames, prediction.seconds):
        assert np.array_equal(frame, every.pixels[np.abs(every.seconds - second).argmin()])
    assert len(prediction.frames) == 3
    assert (np.diff(prediction.seconds) > 0).all()


def test_no_black_frame_is_shown_to_the_network(prediction: Prediction) -> None:
    assert prediction.sampled == 20
    assert 3 <= prediction.kept < 20
    assert prediction.seconds.min() >= 1.9
    assert prediction.frames.mean((1, 2, 3)).min() > 50


def test_a_short_trailer_repeats_frames(make_video: Callable, tmp_path: Path, model: ModelFile) -> None:
    short = predict(make_video(tmp_path / "short.mp4", list(pictures(7.0, 2, seed=3))), model)
    assert len(short.frames) == 3 and np.isfinite(short.score)


def test_a_model_that_was_never_tested_is_refused(trailer: Path, trained_root: Path) -> None:
    with pytest.raises(TrailerError, match="never tested"):
        predict(trailer, read_model_file(trained_root / "models" / LAST))


def test_an_all_black_trailer_is_refused(make_video: Callable, tmp_path: Path, model: ModelFile) -> None:
    with pytest.raises(TrailerError, match=r"black\.mp4: the filter kept none of 60 frames"):
        predict(make_video(tmp_path / "black.mp4", BLACK), model)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x00\x00\x00\x18ftypisom" + bytes(100)])
def test_a_file_that_is_no_video_is_refused(tmp_path: Path, model: ModelFile, content: bytes) -> None:
    (tmp_path / "no.mp4").write_bytes(content)
    with pytest.raises(TrailerError, match=r"no\.mp4"):
        predict(tmp_path / "no.mp4", model)


def test_a_missing_trailer_is_refused(tmp_path: Path, model: ModelFile) -> None:
    with pytest.raises(TrailerError, match=r"none\.mp4: No such file"):
        predict(tmp_path / "none.mp4", model)


def test_everything_but_the_pictures_survives_json(prediction: Prediction) -> None:
    found = json.loads(json.dumps(prediction.to_dict()))
    assert found == prediction.to_dict()
    assert found["trailer"] == "trailer.mp4"
    assert found["score"] == pytest.approx(prediction.score, abs=0.001)
    assert found["seconds"] == pytest.approx(prediction.seconds.tolist(), abs=0.001)
    assert (found["test_films"], found["sampled"], found["kept"]) == (7, 20, prediction.kept)


def test_the_error_beside_the_score_is_the_models_own(trained_root: Path, prediction: Prediction) -> None:
    metrics = json.loads((trained_root / "models" / "results.json").read_text())["metrics"]
    assert prediction.test_mae == metrics["trailer"]["MAE"]["value"]
    assert prediction.constant_mae == metrics["constant"]["MAE"]["value"]
    assert prediction.test_mae != prediction.constant_mae


def test_the_text_has_the_test_error_beside_the_score(prediction: Prediction) -> None:
    text = str(prediction)
    found = re.match(
        r"trailer\.mp4: (\S+) of 10 IMDb points; on its 7 test films .* (\S+) on average, .* by (\S+)\n", text
    )
    assert found.groups() == (
        f"{prediction.score:.1f}",
        f"{prediction.test_mae:.2f}",
        f"{prediction.constant_mae:.2f}",
    )
    assert prediction.verdict in text
    assert f"({prediction.kept} kept of 20 sampled)" in text
