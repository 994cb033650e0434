"""Training: it learns, it goes on bit for bit where it was stopped, its files are whole, its results are honest."""

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import FILMS, fictional_film, write_tables
from torch import Tensor

from trailer_lib import dataset, evaluate, module, train
from trailer_lib.batches import test_loader, train_loader
from trailer_lib.dataset import Dataset
from trailer_lib.errors import TrailerError
from trailer_lib.modelfile import read_model_file
from trailer_lib.project import Project
from trailer_lib.train import BEST, HISTORY, LAST, RESULTS, Run

Copy = Callable[[Path], Project]
# Batch normalisation, dropout, noise and redrawn frames: everything that a resumed run could get wrong.
RANDOM_PARTS = {"backbone": "mobilenet_v3_small", "noise": 0.1, "reorder_frames": True, "epochs": 4}


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "RESAMPLES", 50)


def trained(project: Project, models: Path | None = None, on_epoch: Callable | None = None, **chosen: object) -> Run:
    return train.train(project, project.settings("train", **chosen), on_epoch or (lambda history: None), models)


def tensors(value: object, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """Every tensor in nested dicts and lists, with the way to it."""
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, (dict, list, tuple)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in items:
            yield from tensors(inner, f"{name}/{key}")


def content(path: Path) -> dict:
    return torch.load(path, weights_only=True)


def assert_same_checkpoint(first: Path, second: Path) -> None:
    """Every tensor (network and optimiser), the schedule and the history are equal, to the bit."""
    one, other = content(first), content(second)
    found, expected = dict(tensors(one)), dict(tensors(other))
    assert found.keys() == expected.keys() and len(found) > 100
    assert [name for name in found if not torch.equal(found[name], expected[name])] == []
    assert one["lr_schedulers"] == other["lr_schedulers"]
    assert one["trailer_lib"]["history"] == other["trailer_lib"]["history"]


def val_loss(path: Path, data: Dataset) -> float:
    """The loss of a model file on the val films, computed anew."""
    model = read_model_file(path)
    settings = Project(Path("/")).settings("train", frames=model.facts["settings"]["frames"])
    predicted = train.predict(model.network, data, settings, "val")
    truth = (data.split("val").score - model.facts["score_mean"]) / model.facts["score_sd"]
    return float(np.mean((predicted - truth) ** 2))


# Learning.


def test_it_learns_films_whose_score_shows(dataset_root: Path, tmp_path: Path) -> None:
    project = Project(dataset_root)
    history = trained(project, tmp_path, epochs=10).history
    constants = train.constant_losses(Dataset.open(project), "mse")
    assert history.train_loss.iloc[-3:].max() < 0.8 * constants["train"]
    assert history.val_loss.min() < 0.8 * constants["val"]


def test_it_learns_nothing_at_a_rate_of_zero(dataset_root: Path, tmp_path: Path) -> None:
    history = trained(Project(dataset_root), tmp_path, lr=0.0).history
    assert history.val_loss.nunique() == 1


def test_the_history_has_a_row_an_epoch(dataset_root: Path, tmp_path: Path) -> None:
    seen = []
    run = trained(Project(dataset_root), tmp_path, on_epoch=lambda history: seen.append(len(history)))
    assert seen == [1, 2, 3]
    assert run.history.epoch.tolist() == [1, 2, 3]
    assert list(run.history.columns) == ["epoch", "train_loss", "val_loss", "lr"]
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / HISTORY), run.history)


def test_the_scores_are_standardised_by_the_train_films_alone(dataset_root: Path) -> None:
    project = Project(dataset_root)
    data = Dataset.open(project)
    facts = train.new_module(project, data, project.settings("train")).facts
    scores = data.films.score[data.films.split == "train"]
    assert facts["score_mean"] == pytest.approx(scores.mean())
    assert facts["score_sd"] == pytest.approx(np.std(scores))
    assert facts["score_mean"] != pytest.approx(data.films.score.mean())


def test_the_seed_decides_the_model(dataset_root: Path, tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        trained(Project(dataset_root), tmp_path / name, seed=seed, epochs=1, noise=0.1)
    assert_same_checkpoint(tmp_path / "a" / LAST, tmp_path / "b" / LAST)
    with pytest.raises(AssertionError):
        assert_same_checkpoint(tmp_path / "a" / LAST, tmp_path / "c" / LAST)


@pytest.mark.parametrize(
    "chosen",
    [
        {"optimizer": "sgd", "lr": 1e-3},
        {"optimizer": "adam"},
        {"loss": "l1"},
        {"join": "mean"},
        {"join": "attention"},
        {"frames": 1},
        {"schedule": "constant"},
        {"precision": "bf16-mixed"},
        {"batch": 64},
        {"other_frames": False, "flip": False},
    ],
    ids=str,
)
def test_every_choice_trains(dataset_root: Path, tmp_path: Path, chosen: dict) -> None:
    run = trained(Project(dataset_root), tmp_path, **{"epochs": 2} | chosen)
    assert np.isfinite(run.history.to_numpy()).all()
    assert run.history.train_loss[0] != run.history.train_loss[1]
    assert np.isfinite(run.predictions.predicted).all()


@pytest.mark.parametrize(
    "schedule, rates",
    [
        ("constant", [1, 1, 1, 1]),
        ("cosine", [1, 0.8535534, 0.5, 0.1464466]),
        ("step", [1, 1, 0.5, 0.5]),
    ],
)
def test_the_rate_follows_the_schedule(dataset_root: Path, tmp_path: Path, schedule: str, rates: list) -> None:
    chosen = {"schedule": schedule, "epochs": 4, "step_size": 2, "gamma": 0.5, "lr": 1e-4}
    history = trained(Project(dataset_root), tmp_path, **chosen).history
    assert history.lr.tolist() == pytest.approx([1e-4 * rate for rate in rates])


def test_the_rate_falls_once_the_val_loss_does_not(dataset_root: Path, tmp_path: Path) -> None:
    chosen = {"schedule": "plateau", "epochs": 4, "step_size": 1, "gamma": 0.5, "lr": 3e-8}  # too low to get anywhere
    history = trained(Project(dataset_root), tmp_path, **chosen).history
    assert history.lr.tolist() == pytest.approx([3e-8, 3e-8, 3e-8, 1.5e-8], abs=1e-12)


# What is written.


def test_the_best_model_is_that_of_the_lowest_val_loss(dataset_root: Path, tmp_path: Path) -> None:
    project = Project(dataset_root)
    run = trained(project, tmp_path, backbone="mobilenet_v3_small", epochs=4)
    data, best = Dataset.open(project), run.history.val_loss.idxmin()
    assert best < 3, "the test needs a run whose best epoch is not its last"
    assert len(read_model_file(tmp_path / BEST).facts["history"]) == best + 1
    assert val_loss(tmp_path / BEST, data) == pytest.approx(run.history.val_loss.min(), rel=1e-4)
    assert val_loss(tmp_path / LAST, data) == pytest.approx(run.history.val_loss.iloc[-1], rel=1e-4)


def test_training_writes_four_files_and_nothing_else(trained_root: Path) -> None:
    names = sorted(path.name for path in (trained_root / "models").iterdir())
    assert names == sorted([BEST, LAST, HISTORY, RESULTS])


@pytest.mark.parametrize("name", [BEST, LAST])
def test_the_model_files_hold_nothing_but_tensors_and_plain_values(trained_root: Path, name: str) -> None:
    facts = content(trained_root / "models" / name)["trailer_lib"]
    assert facts["settings"] == Project(trained_root).settings("train").as_dict()
    assert {"dataset", "scrape", "score_mean", "score_sd", "split_hash", "weights", "history"} <= facts.keys()


def test_the_results_hold_the_baselines_and_intervals(trained_root: Path) -> None:
    results = json.loads((trained_root / "models" / RESULTS).read_text())
    data = Dataset.open(Project(trained_root))
    assert list(results["metrics"]) == ["trailer", "constant", "genre only"]
    assert list(results["nMSE minus"]) == ["constant", "genre only"]
    assert results["films"] == len(data.split("test"))
    assert results["split_hash"] == data.card["split_hash"]
    for metrics in results["metrics"].values():
        assert set(metrics) == {"nMSE", "MAE", "R2", "Spearman"}
        assert all(metric["low"] <= metric["value"] <= metric["high"] for metric in metrics.values())


def test_the_model_file_holds_its_own_results(trained_root: Path) -> None:
    results = json.loads((trained_root / "models" / RESULTS).read_text())
    facts = read_model_file(trained_root / "models" / BEST).facts
    assert json.loads(json.dumps(facts["results"])) == results


def test_the_test_result_is_that_of_the_best_model_on_the_test_films(trained_root: Path, copy_of: Copy) -> None:
    project = copy_of(trained_root)
    data = Dataset.open(project)
    run = train.test(project.models, data)
    assert set(run.predictions.index) == set(data.split("test").index)
    for row, film in run.predictions.iterrows():
        model = read_model_file(project.models / BEST)
        pictures = torch.from_numpy(data.film_frames(row, 3)).permute(0, 3, 1, 2)[None]
        points = model.network(pictures).item() * model.facts["score_sd"] + model.facts["score_mean"]
        assert film.predicted == pytest.approx(points, abs=1e-4)
        assert film.error == pytest.approx(points - film.score, abs=1e-4)


def test_the_metrics_are_those_of_the_predictions(trained_root: Path, copy_of: Copy) -> None:
    project = copy_of(trained_root)
    run = train.test(project.models, Dataset.open(project))
    found = run.results["metrics"]["trailer"]
    assert found["MAE"]["value"] == pytest.approx(run.predictions.error.abs().mean())
    assert found["nMSE"]["value"] == pytest.approx(
        (run.predictions.error**2).mean() / run.predictions.score.var(ddof=0)
    )


@pytest.mark.parametrize("loss", ["mse", "l1"])
def test_constant_losses_equal_their_formula(dataset_root: Path, loss: str) -> None:
    data = Dataset.open(Project(dataset_root))
    known, unseen = (data.split(name).score.to_numpy() for name in ("train", "val"))
    if loss == "mse":
        expected = [1.0, ((unseen - known.mean()) ** 2).mean() / known.var()]
    else:
        expected = [np.abs(scores - np.median(known)).mean() / known.std() for scores in (known, unseen)]
    assert list(train.constant_losses(data, loss).values()) == pytest.approx(expected)


def test_one_film_alone_can_be_the_test(dataset_root: Path, copy_of: Copy) -> None:
    project = copy_of(dataset_root)
    table = pd.read_csv(project.dataset / dataset.FILMS)
    table.loc[table.index[table.split == "test"][1:], "split"] = "train"
    table.to_csv(project.dataset / dataset.FILMS, index=False)
    run = trained(project, epochs=1)
    assert run.results["films"] == 1


# Stopping and going on.


class Stop:
    """An on_epoch that presses Ctrl-C after an epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def __call__(self, history: pd.DataFrame) -> None:
        if len(history) == self.epoch:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    "schedule, stop", [("cosine", 1), ("cosine", 3), ("step", 2), ("plateau", 2), ("plateau", 3), ("constant", 1)]
)
def test_a_resumed_run_equals_an_unbroken_one_to_the_bit(
    dataset_root: Path, tmp_path: Path, schedule: str, stop: int
) -> None:
    project = Project(dataset_root)
    chosen = RANDOM_PARTS | {"schedule": schedule, "step_size": 1, "gamma": 0.3}
    unbroken = trained(project, tmp_path / "unbroken", **chosen)
    with pytest.raises(KeyboardInterrupt):
        trained(project, tmp_path / "broken", Stop(stop), **chosen)
    assert len(content(tmp_path / "broken" / LAST)["trailer_lib"]["history"]) == stop
    resumed = trained(project, tmp_path / "broken", resume=True, **chosen)
    assert_same_checkpoint(tmp_path / "broken" / LAST, tmp_path / "unbroken" / LAST)
    pd.testing.assert_frame_equal(resumed.history, unbroken.history, check_exact=True)
    pd.testing.assert_frame_equal(resumed.predictions, unbroken.predictions, check_exact=True)
    assert schedule == "constant" or unbroken.history.lr.nunique() > 1


def test_a_run_stopped_within_an_epoch_repeats_that_epoch(
    dataset_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, whole, calls = Project(dataset_root), module.augment, []
    trained(project, tmp_path / "unbroken", **RANDOM_PARTS)

    def stop_in_second_epoch(*arguments: object) -> Tensor:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return whole(*arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module, "augment", stop_in_second_epoch)
        trained(project, tmp_path / "broken", **RANDOM_PARTS)
    trained(project, tmp_path / "broken", resume=True, **RANDOM_PARTS)
    assert_same_checkpoint(tmp_path / "broken" / LAST, tmp_path / "unbroken" / LAST)


def test_a_run_stopped_between_its_two_files_goes_on(
    dataset_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, whole, written = Project(dataset_root), train.save_checkpoint, []
    trained(project, tmp_path / "unbroken", **RANDOM_PARTS)

    def stop_before_the_second_last(trainer: object, path: Path, **options: bool) -> None:
        written.append(path.name)
        if written.count(LAST) == 2:
            raise KeyboardInterrupt
        whole(trainer, path, **options)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(train, "save_checkpoint", stop_before_the_second_last)
        trained(project, tmp_path / "broken", **RANDOM_PARTS)
    trained(project, tmp_path / "broken", resume=True, **RANDOM_PARTS)
    assert_same_checkpoint(tmp_path / "broken" / LAST, tmp_path / "unbroken" / LAST)


def test_resuming_a_finished_run_changes_nothing(trained_root: Path, copy_of: Copy) -> None:
    project = copy_of(trained_root)
    run = trained(project, resume=True)
    assert_same_checkpoint(project.models / LAST, trained_root / "models" / LAST)
    pd.testing.assert_frame_equal(run.history, pd.read_csv(trained_root / "models" / HISTORY))


def test_a_finished_run_goes_on_to_more_epochs(trained_root: Path, copy_of: Copy) -> None:
    project = copy_of(trained_root)
    run = trained(project, resume=True, epochs=5)
    before = pd.read_csv(trained_root / "models" / HISTORY)
    assert run.history.epoch.tolist() == [1, 2, 3, 4, 5]
    pd.testing.assert_frame_equal(run.history.head(3), before)


def test_the_rate_does_not_rise_again_in_the_added_epochs(trained_root: Path, copy_of: Copy) -> None:
    project = copy_of(trained_root)
    assert project.settings("train").schedule == "cosine"
    rates = trained(project, resume=True, epochs=6).history.lr
    assert rates[3:].is_monotonic_decreasing


def test_without_resume_a_run_starts_anew(trained_root: Path, copy_of: Copy) -> None:
    project = copy_of(trained_root)
    assert trained(project, epochs=1).history.epoch.tolist() == [1]


@pytest.mark.parametrize(
    "chosen, name",
    [
        ({"backbone": "resnet18"}, "backbone"),
        ({"frames": 4}, "frames"),
        ({"lr": 1e-5}, "lr"),
        ({"betas": (0.8, 0.99)}, "betas"),
        ({"seed": 9}, "seed"),
        ({"schedule": "step"}, "schedule"),
    ],
)
def test_resuming_with_another_setting_is_an_error_that_names_it(
    trained_root: Path, copy_of: Copy, chosen: dict, name: str
) -> None:
    project = copy_of(trained_root)
    before = (project.models / LAST).read_bytes()
    with pytest.raises(TrailerError, match=rf"trained with {name}=.*resume=False"):
        trained(project, resume=True, **chosen)
    assert (project.models / LAST).read_bytes() == before


def other_split(project: Project) -> None:
    dataset.build(project, project.settings("dataset", salt="another"))


def other_films(project: Project) -> None:
    write_tables(project.root, [fictional_film(number) for number in range(FILMS - 2)])
    dataset.build(project, project.settings("dataset"))


def other_size(project: Project) -> None:
    dataset.build(project, project.settings("dataset", size=40))


@pytest.mark.parametrize("change", [other_split, other_films, other_size])
def test_resuming_on_another_dataset_is_an_error(
    trained_root: Path, copy_of: Copy, change: Callable[[Project], None]
) -> None:
    project = copy_of(trained_root)
    change(project)
    with pytest.raises(TrailerError, match="another dataset or split"):
        trained(project, resume=True, epochs=5)


def test_resuming_without_a_model_is_an_error(dataset_root: Path, tmp_path: Path) -> None:
    with pytest.raises(TrailerError, match=r"last_model\.pt: no such model"):
        trained(Project(dataset_root), tmp_path, resume=True)


def test_ctrl_c_works_as_before_after_training(dataset_root: Path, tmp_path: Path) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.raises(KeyboardInterrupt):
        trained(Project(dataset_root), tmp_path, Stop(1))
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler


# What goes wrong.


@pytest.mark.parametrize(
    "chosen",
    [
        {"optimizer": "sgd", "lr": 1e9},
        {"optimizer": "sgd", "lr": float("inf")},
        {"optimizer": "sgd", "lr": 1e30, "batch": 64, "epochs": 1},  # one step an epoch: only the val loss tells
    ],
    ids=str,
)
def test_a_loss_that_explodes_is_an_error_that_names_lr(dataset_root: Path, tmp_path: Path, chosen: dict) -> None:
    with pytest.raises(TrailerError, match="lower lr") as caught:
        trained(Project(dataset_root), tmp_path, **chosen)
    assert "\n" not in str(caught.value)


def test_a_loss_that_explodes_leaves_the_last_good_model(
    trained_root: Path, copy_of: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = copy_of(trained_root)
    monkeypatch.setattr(module, "augment", lambda frames, *_: frames * float("nan"))
    with pytest.raises(TrailerError, match="lower lr"):
        trained(project, resume=True, epochs=5)
    assert_same_checkpoint(project.models / LAST, trained_root / "models" / LAST)


@pytest.mark.parametrize("name", [BEST, LAST])
def test_a_checkpoint_that_fails_midway_leaves_the_previous_one(
    trained_root: Path, copy_of: Copy, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    project = copy_of(trained_root)

    def full_disk(trainer: object, path: Path, **_: object) -> None:
        Path(path).write_bytes(b"half a check")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lightning.pytorch.Trainer.save_checkpoint", full_disk)
    with pytest.raises(OSError, match="No space left"):
        trained(project, epochs=1)
    assert (project.models / name).read_bytes() == (trained_root / "models" / name).read_bytes()
    assert not list(project.models.glob(".tmp-*"))


def test_training_without_a_dataset_is_an_error(frames_root: Path) -> None:
    with pytest.raises(TrailerError, match="no dataset"):
        trained(Project(frames_root))


@pytest.mark.parametrize("backbone", ["vit_b_16", "alexnet"])
def test_pictures_of_a_size_that_a_backbone_does_not_take_are_an_error(
    dataset_root: Path, tmp_path: Path, backbone: str
) -> None:
    with pytest.raises(TrailerError, match="32"):
        trained(Project(dataset_root), tmp_path, backbone=backbone, join="mean", frames=1, epochs=1)


@pytest.mark.parametrize(
    "chosen",
    [{"betas": (0.9,)}, {"betas": (2.0, 0.9)}, {"betas": ("a", "b")}, {"betas": (), "optimizer": "sgd"}],
    ids=str,
)
def test_betas_that_no_optimiser_takes_are_an_error(dataset_root: Path, tmp_path: Path, chosen: dict) -> None:
    with pytest.raises(TrailerError, match="betas"):
        trained(Project(dataset_root), tmp_path, epochs=1, **chosen)


def test_weights_are_looked_for_from_the_root(dataset_root: Path, copy_of: Copy) -> None:
    project = copy_of(dataset_root)
    with pytest.raises(TrailerError, match=r"mine\.pth"):
        trained(project, weights="mine.pth")
    network = train.build("squeezenet1_1", 1, "mean", "none").backbone.state_dict()
    filler = {"classifier.1.weight": torch.zeros(1000, 512, 1, 1), "classifier.1.bias": torch.zeros(1000)}
    torch.save(network | filler, project.root / "mine.pth")
    assert trained(project, weights="mine.pth", epochs=1).results["weights"].startswith("mine.pth: 50 tensors")


# Batches.


def order(data: Dataset, split: str, epoch: int, seed: int = 0) -> list[int]:
    """The rows of a split's films in the order in which an epoch shows them."""
    settings = Project(Path("/")).settings("train", seed=seed, batch=5, frames=2)
    batches = train_loader(data, settings) if split == "train" else test_loader(data, settings, split)
    batches.sampler.set_epoch(epoch)
    return torch.cat([rows for _, _, rows, _ in batches]).tolist()


def test_training_films_come_in_another_order_each_epoch(dataset_root: Path) -> None:
    data = Dataset.open(Project(dataset_root))
    first, again, other, seeded = (order(data, "train", *key) for key in ((0, 0), (0, 0), (1, 0), (0, 1)))
    assert first == again
    assert first != other and first != seeded
    assert len(set(first)) == len(first) and set(first) <= set(data.split("train").index)


@pytest.mark.parametrize("split", ["val", "test"])
def test_every_film_that_measures_comes_once_in_the_same_order(dataset_root: Path, split: str) -> None:
    data = Dataset.open(Project(dataset_root))
    assert order(data, split, 0) == order(data, split, 1) == data.split(split).index.tolist()


@pytest.mark.parametrize("batch", [17, 18, 64])
def test_no_training_batch_is_a_single_film(dataset_root: Path, batch: int) -> None:
    data = Dataset.open(Project(dataset_root))
    assert len(data.split("train")) == 18
    settings = Project(Path("/")).settings("train", batch=batch, frames=2)
    assert [len(scores) for _, scores, *_ in train_loader(data, settings)] == [min(batch, 18)]
