"""Predictions on a split: means over views, the same every time, from cached features of an untrained backbone."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from training_runs import Copy, few_resamples, trained  # noqa: F401

from trailer_lib.dataset.dataset import Dataset
from trailer_lib.errors import TrailerError
from trailer_lib.networks.model_file import ModelFile, read_model
from trailer_lib.networks.regressor import build
from trailer_lib.project import Project
from trailer_lib.settings import TrainSettings
from trailer_lib.training import run as run_file
from trailer_lib.training import scoring
from trailer_lib.training.batches import film_views
from trailer_lib.training.checkpoints import BEST, RESULTS


def model_of(epoch: int = 3, depth: str = "last", **chosen: object) -> ModelFile:
    """An untrained model that says it is of `epoch`, whose points are its standardised predictions."""
    torch.manual_seed(0)
    settings = TrainSettings(**{"backbone": "squeezenet1_1", "batch": 4, "depth": depth} | chosen)
    network = build("squeezenet1_1", settings.frames, settings.aggregate, "none", depth=depth).eval()
    facts = {"settings": settings.as_dict(), "history": [{"epoch": epoch}], "score_sd": 1.0, "score_mean": 5.0}
    return ModelFile(network, facts)


@pytest.mark.parametrize("freeze, aggregate", [("none", "channels"), ("backbone", "mean"), ("backbone", "attention")])
def test_a_prediction_is_the_mean_over_the_views(data: Dataset, tmp_path: Path, freeze: str, aggregate: str) -> None:
    model = model_of(frames=3, views=5, freeze=freeze, aggregate=aggregate, depth="stages")
    points = scoring.predict_points(model, data, "test", tmp_path)
    views = film_views(data, model.settings, data.split("test").index, 5)
    with torch.inference_mode():
        frames = [torch.from_numpy(data.frames[film]).permute(0, 1, 4, 2, 3) for film in views]
        expected = [model.network.cpu()(film) for film in frames]
    torch.testing.assert_close(torch.from_numpy(points), torch.stack(expected).mean(1) + 5)
    assert all(film.std() > 1e-4 for film in expected)
    np.testing.assert_array_equal(points, scoring.predict_points(model, data, "test", tmp_path))


@pytest.mark.parametrize("chosen", [{"freeze": "backbone"}, {"freeze": "none", "epoch": 0}], ids=str)
def test_what_an_untrained_backbone_sees_is_computed_once(data: Dataset, tmp_path: Path, chosen: dict) -> None:
    model = model_of(frames=3, views=2, **chosen)
    first = scoring.predict_points(model, data, "test", tmp_path)
    model.network.unpooled = None  # to run the backbone again would be an error
    assert np.array_equal(scoring.predict_points(model, data, "test", tmp_path), first)
    with pytest.raises(TypeError):
        scoring.predict_points(model, data, "test", tmp_path / "elsewhere")
    scoring.predict_points(model_of(frames=3, freeze="none"), data, "test", tmp_path / "trained")
    assert not (tmp_path / "trained").exists()


@pytest.mark.parametrize("chosen", [{"freeze": "backbone"}, {"freeze": "none"}], ids=str)
def test_the_index_has_the_features_of_evenly_spaced_frames(data: Dataset, tmp_path: Path, chosen: dict) -> None:
    model = model_of(frames=3, **chosen)
    index, films = scoring.build_index(model, data, tmp_path), data.split("train")
    frames = np.stack([data.film_frames(row, 3) for row in films.index])
    with torch.inference_mode():
        features = model.network.features(model.network.normalise(torch.from_numpy(frames).permute(0, 1, 4, 2, 3)))
    assert index["imdb_id"] == films.imdb_id.tolist()
    assert index["mean"].numpy() == pytest.approx(features.numpy().mean(0), abs=1e-5)


def test_a_frozen_training_passes_no_frame_through_the_network_twice(
    dataset_root: Path, copy_of: Copy, computed: list[int]
) -> None:
    """The fit, both losses, the test, the validation and the index all use the cached features."""
    project = copy_of(dataset_root)
    chosen = {"freeze": "backbone", "head": "ridge", "aggregate": "mean", "views": 2}
    trained(project, **chosen)
    assert sum(computed) == len(Dataset.open(project).frames)
    assert len(read_model(project.models / BEST).facts["index"]["imdb_id"]) == 18


def test_the_test_films_are_scored_when_asked_and_counted(dataset_root: Path, copy_of: Copy) -> None:
    project = copy_of(dataset_root)
    run = trained(project, epochs=1)
    assert run.validation.results["split"] == "validation" and not (project.models / scoring.TESTS).exists()
    assert set(run.validation.predictions.split) == {"val"}
    first, second = run.test().results, run.test().results
    assert (first["split"], first["times_scored"], second["times_scored"]) == ("test", 1, 2)
    seen = "have been scored 2 times since the split was made"
    assert not any(seen in line for line in first["warnings"]) and any(seen in line for line in second["warnings"])
    assert json.loads((project.models / RESULTS).read_text())["metrics"] == second["metrics"]
    assert read_model(project.models / BEST).facts["results"]["times_scored"] == 2


def test_a_model_of_another_split_or_of_no_finished_training_is_not_tested(dataset_root: Path, copy_of: Copy) -> None:
    project, data = copy_of(dataset_root), Dataset.open(Project(dataset_root))
    run_file.fit(project, project.settings("train", epochs=1), data, project.models, lambda history: None)
    with pytest.raises(TrailerError, match="its training has not finished: resume it"):
        scoring.score_test_films(project, data, project.models)
    scoring.score_validation_films(project, data, project.models)
    other = data.with_split([*data.films.split[1:], data.films.split[0]])
    with pytest.raises(TrailerError, match="was trained on another dataset or split"):
        scoring.score_test_films(project, other, project.models)
    assert not (project.models / scoring.TESTS).exists()
