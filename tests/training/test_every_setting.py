"""No setting is silent: under every scheme, changing it alone changes the training, or is refused in a line."""

import hashlib
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import amount
from torchvision import models
from training_runs import content, few_resamples  # noqa: F401

from trailer_lib.dataset import Dataset
from trailer_lib.errors import TrailerError
from trailer_lib.networks import read_model
from trailer_lib.project import Project
from trailer_lib.settings import SCHEMES, TrainSettings
from trailer_lib.training import module, run, scoring
from trailer_lib.training.checkpoints import BEST, FEATURES, HISTORY

SPEED = ("precision", "loader_workers")  # of speed alone: they may leave the result as it is
# Another value than any scheme's; where the scheme has it already, the one behind it.
OTHER: dict[str, tuple] = {
    "backbone": ("squeezenet1_0",), "frames": (3,), "aggregate": ("channels", "mean"), "noise": (0.5,),
    "other_frames": (False, True), "flip": (False, True), "crop": (0.5,), "lr": (2e-3,), "epochs": (3,), "batch": (3,),
    "seed": (1,), "reorder_frames": (True, False), "first_conv": ("random", "repeat"), "weights": ("mine.pth",),
    "pixels": ("raw", "imagenet"), "freeze": ("2",), "depth": ("last", "stages"), "head": ("linear", "ridge"),
    "views": (3,), "optimizer": ("sgd",), "head_lr": (0.1,), "betas": ((0.5, 0.5),), "eps": (0.1,), "momentum": (0.1,),
    "l2": (0.5,), "schedule": ("constant",), "step_size": (1, 2), "gamma": (0.5,), "loss": ("l1", "mse"),
    "patience": (1,), "ema_decay": (0.5,), "sources": (("metadata",),),  # see test_several_sources
}  # fmt: skip
FEATURES_ALONE = ("backbone", "frames", "weights", "pixels", "depth", "views", "sources")
QUICK: dict[str, dict[str, Any]] = {
    "finetune": {"epochs": 2, "batch": 5, "frames": 2}, "frozen": {"frames": 2},
    "original": {"epochs": 2, "batch": 5, "frames": 2, "step_size": 1},
}  # fmt: skip


@pytest.fixture(scope="module")
def project(dataset_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project of the made films with nothing set but what makes it quick, and a file of weights."""
    root = tmp_path_factory.mktemp("settings") / "root"
    root.mkdir()
    for name in ("dataset", "excels", "images"):
        (root / name).symlink_to(dataset_root / name)
    (root / "settings.toml").write_text("[train]\nbackbone = 'squeezenet1_1'\nweights = 'none'\n")
    made = Project(root)
    torch.save(models.squeezenet1_1().state_dict(), root / "mine.pth")
    return made


@pytest.fixture(scope="module")
def data(project: Project) -> Dataset:
    opened = Dataset.open(project)
    return opened.with_split((["train"] * 10 + ["val"] * 3 + ["test"] * len(opened.films))[: len(opened.films)])


def outcome(project: Project, data: Dataset, folder: Path, **chosen: Any) -> str:
    """A hash of the trained weights, the history and the predictions; "refused: ..." where a line says why."""
    settings = project.settings("train", **chosen)
    try:
        settings.refuse_idle()
        run.refuse_contradictions(settings)
    except TrailerError as error:
        return f"refused: {error}"
    run.fit(project, settings, data, folder, lambda history: None)
    digest = hashlib.sha256((folder / HISTORY).read_bytes())
    for tensor in content(folder / BEST)["state_dict"].values():
        digest.update(tensor.numpy().tobytes())
    digest.update(scoring.predict_points(read_model(folder / BEST), data, "val", project.models / FEATURES).tobytes())
    return digest.hexdigest()


def silent_settings(project: Project, data: Dataset, folder: Path, names: list[str], **beside: Any) -> list[str]:
    """Those of `names` whose other value changes nothing and is not refused."""
    base = QUICK[beside["scheme"]] | beside
    before, silent = outcome(project, data, folder / "before", **base), []
    assert not before.startswith("refused"), before
    settings = project.settings("train", **base)
    for name in names:
        value = next(value for value in OTHER[name] if value != getattr(settings, name))
        after = outcome(project, data, folder / name, **base | {name: value})
        silent += [name] if after == before else []
        assert not after.startswith("refused") or any(f"{word} = " in after for word in {name, *base})
    return silent


def test_every_setting_has_another_value_to_be_tried() -> None:
    assert {*OTHER, *SPEED, "scheme"} == {item.name for item in fields(TrainSettings)}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_setting_counts_or_is_refused(project: Project, data: Dataset, tmp_path: Path, scheme: str) -> None:
    few = {
        "frozen": list(OTHER),
        "finetune": [name for name in OTHER if name not in FEATURES_ALONE],  # they count as in "frozen"
        "original": ["reorder_frames", "first_conv", "step_size", "gamma", "betas", "head_lr", "aggregate"],
    }[scheme]
    assert silent_settings(project, data, tmp_path, amount(list(OTHER), few), scheme=scheme) == []


def test_a_silent_setting_is_found(
    project: Project, data: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "augment", lambda frames, *_: frames)
    assert silent_settings(project, data, tmp_path, ["crop"], scheme="finetune") == ["crop"]


def test_a_new_linear_head_learns_at_its_own_rate(project: Project, data: Dataset, tmp_path: Path) -> None:
    def last_loss(**chosen: Any) -> float:
        settings = project.settings("train", head="linear", depth="last", batch=5, **chosen)
        run.fit(project, settings, data, tmp_path, lambda history: None)
        return read_model(tmp_path / BEST).facts["history"][-1]["train_loss"]

    assert last_loss() < 0.9 * last_loss(head_lr=0.0)  # 0: at the rate of the backbone
