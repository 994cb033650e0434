"""The histories of the last runs, in models/runs/: so that the curve of a rerun can be seen beside theirs."""

import time
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from trailer_lib import files
from trailer_lib.dataset import Dataset, split_hash
from trailer_lib.settings import TrainSettings
from trailer_lib.training.checkpoints import OnEpoch, read_json

RUNS = "runs"
NAMELESS = ("precision", "loader_workers")  # of speed alone: they do not name a run


class EarlierRun(NamedTuple):
    name: str  # what differs from the defaults: "finetune, noise=0.3"
    history: pd.DataFrame  # epoch, train_loss, val_loss, lr


def run_name(settings: TrainSettings) -> str:
    """The scheme, and the settings that the user chose beside it."""
    chosen = {name: value for name, value in settings.changed().items() if _is_chosen(settings, name)}
    return ", ".join([settings.scheme, *(f"{name}={value}" for name, value in chosen.items())])


def _is_chosen(settings: TrainSettings, name: str) -> bool:
    own = name in ("scheme", *NAMELESS)
    return not own and settings.origins.get(name) not in (None, "settings.toml", f"scheme {settings.scheme!r}")


def recording(runs: Path, settings: TrainSettings, data: Dataset, on_epoch: OnEpoch) -> OnEpoch:
    """`on_epoch`, after the history so far is written to a file of this run in the folder `runs`."""
    path = runs / f"{time.strftime('%Y-%m-%d %H-%M-%S')}.json"
    facts = {"name": run_name(settings), "loss": settings.loss, "split_hash": split_hash(data.films)}

    def write(history: pd.DataFrame) -> None:
        files.write_json(path, facts | {"history": history.to_dict("list")})
        on_epoch(history)

    return write


def earlier_runs(models: Path, settings: TrainSettings, data: Dataset, count: int = 3) -> list[EarlierRun]:
    """The last `count` runs in `models` on this split with this loss, the latest last; damaged files are left out."""
    wanted = {"loss": settings.loss, "split_hash": split_hash(data.films)}
    runs = []
    for path in sorted((models / RUNS).glob("*.json")):
        content = read_json(path)
        if wanted.items() <= content.items() and {"name", "history"} <= content.keys():
            runs.append(EarlierRun(str(content["name"]), pd.DataFrame(content["history"])))
    return runs[-count:]
