"""What the tests of training share: a training in a line, stops in its midst, and equality to the bit."""

import gc
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor

from trailer_lib.dataset import Dataset
from trailer_lib.evaluation import metrics
from trailer_lib.project import Project
from trailer_lib.training import run
from trailer_lib.training.scoring import Run

gc.freeze()  # every training ends with gc.collect(), which need not search what was imported: half a second each
Copy = Callable[[Path], Project]
# Batch normalisation, dropout and all that is random: what a resumed run could get wrong.
RANDOM_PARTS = {
    "backbone": "mobilenet_v3_small", "epochs": 4, "lr": 1e-2, "reorder_frames": True, "noise": 0.1, "crop": 0.6,
}  # fmt: skip


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "RESAMPLES", 50)


def trained(
    project: Project,
    models: Path | None = None,
    on_epoch: Callable | None = None,
    resume: bool = False,
    data: Dataset | None = None,
    **chosen: object,
) -> Run:
    settings = project.settings("train", **chosen)
    return run.train(project, settings, on_epoch or (lambda history: None), models, data, resume)


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
    """Every tensor (network, average and optimiser) and the history are equal, to the bit."""
    one, other = content(first), content(second)
    first_tensors, second_tensors = dict(tensors(one)), dict(tensors(other))
    assert first_tensors.keys() == second_tensors.keys()
    assert len(first_tensors) > 20
    differing = [name for name, tensor in first_tensors.items() if not torch.equal(tensor, second_tensors[name])]
    assert differing == [], differing
    assert one["trailer_lib"]["history"] == other["trailer_lib"]["history"]
