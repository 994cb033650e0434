"""Whether a training may go on from the files in its folder; what does not fit is an error, never a fresh start."""

from pathlib import Path
from typing import Any

import torch

from trailer_lib.checkpoints import BEST, LAST
from trailer_lib.errors import TrailerError
from trailer_lib.modelfile import ModelFile, read_model_file
from trailer_lib.settings import TrainSettings

# What may differ when a training goes on: how long it takes, what reads its batches, how it is tested.
FREE_TO_CHANGE = ("epochs", "patience", "loader_workers", "draws")
# What Lightning writes, and needs to go on where it was.
PARTS = ("state_dict", "optimizer_states", "lr_schedulers", "callbacks", "loops", "epoch", "global_step")
AVERAGE_PARTS = ("current_model_state", "averaging_state")


def last_model(models: Path, settings: TrainSettings, facts: dict[str, Any]) -> ModelFile:
    """`models`/last_model.pt, if it is of these settings and this dataset, whole, and best_model.pt is of its run."""
    last, best = read_model_file(models / LAST), read_model_file(models / BEST)
    _require_same_settings(last.facts["settings"], settings)
    if (last.facts["split_hash"], last.facts["dataset"]) != (facts["split_hash"], facts["dataset"]):
        raise TrailerError(
            f"{LAST} was trained on another dataset or split ({last.facts['split_hash']}): set resume=False"
        )
    _require_whole(models / LAST, settings)
    if any(one != other for one, other in zip(last.facts["history"], best.facts["history"])):
        raise TrailerError(f"{BEST} and {LAST} in {models} are of two runs: set resume=False")
    return last


def _require_same_settings(saved: dict[str, Any], settings: TrainSettings) -> None:
    for name, value in settings.as_dict().items():
        before = saved.get(name)
        if name not in FREE_TO_CHANGE and (tuple(before) if isinstance(before, list) else before) != value:
            raise TrailerError(
                f"{LAST} was trained with {name}={before!r}, not {value!r}: set it back, or resume=False"
            )


def _require_whole(path: Path, settings: TrainSettings) -> None:
    content = torch.load(path, map_location="cpu", weights_only=True)
    wanted = PARTS + AVERAGE_PARTS if settings.ema_decay else PARTS
    if missing := [name for name in wanted if name not in content]:
        raise TrailerError(f"{path}: no {missing[0]} in it, so no training can go on from it: set resume=False")
