"""What the tests of training share: a training in a line, stops in its midst, and equality to the bit."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor

from trailer_lib.evaluation import metrics
from trailer_lib.project import Project
from trailer_lib.training import run
from trailer_lib.training.run import Run

Copy = Callable[[Path], Project]
# Batch normalisation, dropout and every draw: all that a resumed run could get wrong.
RANDOM_PARTS = {
    "backbone": "mobilenet_v3_small", "epochs": 4, "lr": 1e-2, "reorder_frames": True, "drop_frames": 0.3, "noise": 0.1,
    "crop": 0.6, "colour": 0.2, "mixup": 0.4,
}  # fmt: skip


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "RESAMPLES", 50)


def trained(project: Project, models: Path | None = None, on_epoch: Callable | None = None, **chosen: object) -> Run:
    return run.train(project, project.settings("train", **chosen), on_epoch or (lambda history: None), models)


class Stop:
    """An on_epoch that presses Ctrl-C after an epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def __call__(self, history: pd.DataFrame) -> None:
        if history.epoch.iloc[-1] == self.epoch:
            raise KeyboardInterrupt


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
    """Every tensor (network, average and optimiser), the schedule and the history are equal, to the bit."""
    one, other = content(first), content(second)
    found, expected = dict(tensors(one)), dict(tensors(other))
    assert found.keys() == expected.keys()
    assert len(found) > 20
    differing = [name for name in found if not torch.equal(found[name], expected[name])]
    assert differing == [], differing
    assert one.get("lr_schedulers") == other.get("lr_schedulers")
    assert one["trailer_lib"]["history"] == other["trailer_lib"]["history"]
