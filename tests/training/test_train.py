"""Training: it learns, its files are whole, its results are those of its best model."""

import gc
import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import amount
from training_runs import Copy, Stop, assert_same_checkpoint, content, few_resamples, trained  # noqa: F401

from trailer_lib.dataset import builder
from trailer_lib.dataset.dataset import Dataset
from trailer_lib.errors import Stopped, TrailerError
from trailer_lib.evaluation import baselines
from trailer_lib.networks import regressor
from trailer_lib.networks.model_file import read_model
from trailer_lib.project import Project
from trailer_lib.settings import TrainSettings
from trailer_lib.training import batches, module, scoring
from trailer_lib.training import run as run_file
from trailer_lib.training.batches import film_loader
from trailer_lib.training.checkpoints import BEST, FEATURES, HISTORY, LAST, PREDICTIONS, RESULTS, RUNS, SETTINGS
from trailer_lib.training.scoring import TESTS


def split_loss(path: Path, data: Dataset, split: str) -> float:
    """The mean squared error of a model file on the films of a split, computed anew."""
    model = read_model(path)
    settings = Project(Path("/")).settings("train", frames=model.facts["settings"]["frames"])
    with torch.inference_mode():
        predicted = torch.cat(
            [model.network(frames) for frames, *_ in film_loader(data, settings, data.split(split).index)]
        ).numpy()
    truth = (data.split(split).score - model.facts["score_mean"]) / model.facts["score_sd"]
    return float(np.mean((predicted - truth) ** 2))


def test_a_finished_training_holds_no_memory(dataset_root: Path, tmp_path: Path) -> None:
    """Network, optimiser and trainer refer to each other: left to Python, several VGGs would lie around."""
    gc.collect()
    gc.disable()
    try:
        run = trained(Project(dataset_root), tmp_path, epochs=1)
        assert len(run.history) == 1
        assert not [thing for thing in gc.get_objects() if isinstance(thing, module.TrailerModule)]
    finally:
        gc.enable()


def test_it_learns_films_whose_score_shows(dataset_root: Path, tmp_path: Path) -> None:
    project, seen = Project(dataset_root), []
    history = trained(project, tmp_path, on_epoch=lambda history: seen.append(len(history)), epochs=8).history
    constants = baselines.baseline_losses(Dataset.open(project), "mse")
    assert history.train_loss.iloc[-3:].max() < 0.8 * constants["train"]
    assert history.val_loss.min() < 0.8 * constants["val"]
    assert history.epoch.tolist() == seen == list(range(1, 9))
    assert list(history.columns) == ["epoch", "train_loss", "val_loss", "lr"]
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / HISTORY), history)
    assert trained(project, tmp_path, lr=0.0, epochs=2).history.val_loss.nunique() == 1


def test_mixed_precision_and_workers_train(dataset_root: Path, tmp_path: Path) -> None:
    run = trained(Project(dataset_root), tmp_path, epochs=2, precision="bf16-mixed", loader_workers=1)
    assert np.isfinite(run.history.to_numpy()).all() and run.history.train_loss.nunique() == 2
    assert np.isfinite(run.validation.predictions.predicted).all()


@pytest.mark.parametrize("ema_decay", [0.0, 0.5])
def test_the_best_model_is_that_of_the_lowest_val_loss(dataset_root: Path, tmp_path: Path, ema_decay: float) -> None:
    project = Project(dataset_root)
    run = trained(project, tmp_path, backbone="mobilenet_v3_small", epochs=4, lr=1e-2, ema_decay=ema_decay)
    data, best = Dataset.open(project), run.history.val_loss.idxmin()
    assert best < 3 or ema_decay, "the test needs a run whose best epoch is not its last"
    assert len(read_model(tmp_path / BEST).facts["history"]) == best + 1
    assert split_loss(tmp_path / BEST, data, "val") == pytest.approx(run.history.val_loss.min(), rel=1e-4)
    assert split_loss(tmp_path / LAST, data, "val") == pytest.approx(run.history.val_loss.iloc[-1], rel=1e-4)


def test_a_new_model_removes_the_results_and_predictions_of_the_last_one(dataset_root: Path, tmp_path: Path) -> None:
    for name in (PREDICTIONS, RESULTS):
        (tmp_path / name).write_text("another model's")
    with pytest.raises(Stopped):
        trained(Project(dataset_root), tmp_path, Stop(1))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([BEST, LAST, HISTORY, SETTINGS, RUNS])


def test_the_files_of_a_training_and_what_its_models_hold(trained_root: Path, tmp_path: Path) -> None:
    names = [path.name for path in (trained_root / "models").iterdir()]
    assert set(names) - {FEATURES} == {BEST, LAST, HISTORY, PREDICTIONS, RESULTS, SETTINGS, TESTS, RUNS}
    for name in (BEST, LAST):
        facts = content(trained_root / "models" / name)["trailer_lib"]  # nothing but tensors and plain values
        assert facts["settings"] == Project(trained_root).settings("train").as_dict()
        assert {"dataset", "scrape", "score_mean", "score_sd", "split_hash", "weights", "history"} <= facts.keys()
    data, model = Dataset.open(Project(trained_root)), read_model(trained_root / "models" / BEST)
    films, validation = data.split("val"), model.facts["validation"]
    assert validation["imdb_id"] == films.imdb_id.tolist() and validation["score"] == films.score.tolist()
    points = scoring.predict_points(model, data, "val", tmp_path)
    assert validation["parts"]["frames"] == pytest.approx(points)
    results = json.loads((trained_root / "models" / RESULTS).read_text())
    assert list(results["metrics"]) == ["frames", "metadata", "all", "mean baseline", "genre only"]
    assert (results["nMSE minus"][-1]["row"], results["nMSE minus"][-1]["than"]) == ("all", "metadata")
    assert results["films"] == len(data.split("test")) and results["split_hash"] == data.card["split_hash"]
    assert json.loads(json.dumps(model.facts["results"])) == results


def test_the_test_result_is_that_of_the_best_model_on_the_test_films(trained_root: Path, copy_of: Copy) -> None:
    project = copy_of(trained_root)
    data, model = Dataset.open(project), read_model(project.models / BEST)
    run = scoring.score_test_films(project, data, project.models)
    assert set(run.predictions.index) == set(data.split("test").index)
    for row, film in run.predictions.iterrows():
        pictures = torch.from_numpy(data.film_frames(row, 3)).permute(0, 3, 1, 2)[None]
        points = model.network(pictures).item() * model.facts["score_sd"] + model.facts["score_mean"]
        assert film.frames == pytest.approx(points, abs=1e-4)
        assert film.predicted == film["all"] and film.error == pytest.approx(film["all"] - film.score, abs=1e-4)
    metrics = run.results["metrics"]["all"]
    assert metrics["MAE"]["value"] == pytest.approx(run.predictions.error.abs().mean())
    nmse = (run.predictions.error**2).mean() / run.predictions.score.var(ddof=0)
    assert metrics["nMSE"]["value"] == pytest.approx(nmse)


def test_a_val_loss_that_explodes_is_an_error_that_names_lr(dataset_root: Path, tmp_path: Path) -> None:
    with pytest.raises(TrailerError, match="lower lr"):  # with one step an epoch only the val loss is affected
        trained(Project(dataset_root), tmp_path, optimizer="sgd", lr=1e30, batch=64, epochs=1)


@pytest.mark.parametrize("step, value", [(1, float("nan")), (amount(50, 5), float("inf"))])
def test_a_loss_that_is_not_finite_stops_at_its_step_and_keeps_the_last_good_models(
    dataset_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, value: float
) -> None:
    project, factors = Project(dataset_root), iter([1.0] * (step - 1) + [value])
    chosen = {"epochs": max(2, -(-step // 2)), "schedule": "constant", "patience": 0}  # two steps an epoch
    with monkeypatch.context() as patch, pytest.raises(TrailerError) as caught:
        patch.setattr(module, "add_noise", lambda pictures, *_: pictures * next(factors))
        trained(project, tmp_path / "spoilt", **chosen)
    assert f"at step {step}, in epoch {-(-step // 2)}: lower lr (0.001); the models" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "spoilt" / LAST).exists() == (step > 2)
    if step > 2:
        trained(project, tmp_path / "good", **chosen | {"epochs": chosen["epochs"] - 1})
        for name in (LAST, BEST):
            left, good = content(tmp_path / "spoilt" / name), content(tmp_path / "good" / name)
            assert all(torch.equal(left["state_dict"][key], tensor) for key, tensor in good["state_dict"].items())
            assert left["trailer_lib"]["history"] == good["trailer_lib"]["history"]


def test_a_dead_network_is_warned_of_in_the_log_and_the_results(
    dataset_root: Path, copy_of: Copy, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    project, whole = copy_of(dataset_root), regressor.build
    builder.build(project, project.settings("dataset", test=0.5))

    def dead(*arguments: object, **options: object) -> torch.nn.Module:
        network = whole(*arguments, **options)
        for tensor in network.parameters():
            torch.nn.init.zeros_(tensor)
        return network

    monkeypatch.setattr(run_file, "build", dead)
    with caplog.at_level(logging.WARNING):
        scores = trained(project, lr=0.0, epochs=1).test()
    assert scores.predictions.frames.nunique() == 1 and scores.results["collapsed"]
    warning = scores.results["warnings"][0]  # another: no sound
    assert warning.startswith("Collapsed: the sd of the predictions is 0.0% of the scores'")
    assert warning in caplog.messages
    assert json.loads((project.models / RESULTS).read_text())["warnings"] == scores.results["warnings"]


def test_another_split_column_trains_and_tests_on_its_films(dataset_root: Path, copy_of: Copy, tmp_path: Path) -> None:
    project, data = copy_of(dataset_root), Dataset.open(Project(dataset_root))
    splits = ["test", "val", "train"] * (len(data.films) // 3)
    other = replace(data, films=data.films.assign(split=splits))
    run = run_file.train(project, project.settings("train", epochs=1), lambda history: None, tmp_path, other)
    assert run.validation.predictions.index.tolist() == list(range(1, len(splits), 3))
    assert run.test().predictions.index.tolist() == list(range(0, len(splits), 3))
    facts = read_model(tmp_path / BEST).facts
    assert facts["splits"] == dict.fromkeys(("train", "val", "test"), len(splits) // 3)
    assert facts["split_hash"] != data.card["split_hash"]
    assert facts["score_mean"] == pytest.approx(data.films.score[2::3].mean())
    assert facts["score_sd"] == pytest.approx(np.std(data.films.score[2::3]))


@pytest.mark.parametrize("backbone", ["inception_v3", "alexnet"])
def test_a_size_that_a_backbone_does_not_take_is_an_error(dataset_root: Path, tmp_path: Path, backbone: str) -> None:
    with pytest.raises(TrailerError, match="32"):
        trained(Project(dataset_root), tmp_path, backbone=backbone, aggregate="mean", frames=1, epochs=1)


@pytest.mark.parametrize("chosen, processes, text", [
    ({"epochs": 0, "head": "linear"}, 1, "epochs = 0 leaves head"),
    ({"scheme": "frozen", "noise": 0.1}, 1, "noise = 0.1 has no effect here: it counts only where weights are trained"),
    ({"epochs": 0, "crop": 0.5, "noise": 1.0}, 1, "noise = 1.0, crop = 0.5 has no effect"),
    ({"batch": 5}, 2, "set a multiple of 2"),
    ({"scheme": "frozen"}, 2, "without torchrun, or set scheme = 'finetune'"),
])  # fmt: skip
def test_a_contradiction_is_refused_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chosen: dict, processes: int, text: str
) -> None:
    monkeypatch.setattr(run_file, "process_place", lambda: batches.Place(0, processes))
    with pytest.raises(TrailerError) as caught:
        run_file.train(Project(tmp_path), TrainSettings(**chosen))
    assert text in str(caught.value) and "\n" not in str(caught.value)


def test_films_of_one_score_are_an_error_that_says_why_there_is_no_nmse(dataset_root: Path, tmp_path: Path) -> None:
    project, data = Project(dataset_root), Dataset.open(Project(dataset_root))
    equal = replace(data, films=data.films.assign(score=6.5))
    with pytest.raises(TrailerError, match=r"all 18 train films have the score 6\.5: .*no nMSE") as caught:
        run_file.train(project, project.settings("train"), lambda history: None, tmp_path, equal)
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


def test_a_batch_of_one_film_is_refused_but_for_a_fitted_head(dataset_root: Path, tmp_path: Path) -> None:
    """Batch normalisation can't be trained with it where the last map is a single cell."""
    project, chosen = Project(dataset_root), {"backbone": "shufflenet_v2_x0_5", "epochs": 1}
    with pytest.raises(TrailerError, match=r"32 x 32 pictures .*: set a larger batch") as caught:
        trained(project, tmp_path, batch=1, **chosen)
    assert "\n" not in str(caught.value) and not (tmp_path / LAST).exists()
    assert len(trained(project, tmp_path, batch=1, head="ridge", **chosen).history) == 2
