"""What is known of a training run: its dataset, scrape, settings, history, results and answers, read from the root."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
import pandas as pd

from trailer_lib import ledger
from trailer_lib.checkpoints import HISTORY, PREDICTIONS, RESULTS
from trailer_lib.dataset import Dataset
from trailer_lib.errors import TrailerError
from trailer_lib.losses import constant_losses
from trailer_lib.project import Project
from trailer_lib.scrape import LEDGER
from trailer_lib.settings import STAGES
from trailer_lib.train import PREDICTED

NEEDED = ["films", "train_mean", "metrics", "left out", "weights", "settings", "dataset", "split_hash", "verdict"]
SCHEMES = ["films", "metrics", "seconds", "collapsed", "folds", "repeats", "nMSE minus the best scheme's"]
OUTCOMES = {"ok": "frames kept", "failed": "failed: ", "later": "to be tried again: "}  # before the reason
LOSSES = ["epoch", "train_loss", "val_loss"]


@dataclass(frozen=True)
class RunFacts:
    """A training run. `predictions`: a row a test film, with its row in the dataset as index and its `error`.

    `scrape`: films by outcome, frames by what became of them, both empty without a ledger. `settings`: stage -> rows
    of (name, value, meaning). `constants`: the train and val loss of the best constant. `schemes`: what
    `compare.compare` left, {} if it was not run.
    """

    data: Dataset
    scrape: dict[str, dict[str, int]]
    settings: dict[str, list[tuple[str, str, str]]]
    history: pd.DataFrame
    constants: dict[str, float]
    results: dict[str, Any]
    predictions: pd.DataFrame
    schemes: dict[str, Any]


def read(project: Project) -> RunFacts:
    """Read a finished run; TrailerError when a piece of it is missing, damaged, or of another run."""
    again = f"run notebook 3 or `python -m trailer_lib train --root {project.root}`"
    data = Dataset.open(project)
    results = _json(project.models / RESULTS, NEEDED, again)
    if results["split_hash"] != data.card["split_hash"] or results["dataset"] != data.card["settings"]:
        raise TrailerError(f"{project.models / RESULTS}: of another dataset than {project.dataset}: {again}")
    chosen = results["settings"]
    stages = {"scrape": data.card["scrape"], "dataset": data.card["settings"], "train": chosen}
    compared = project.models / "schemes" / RESULTS
    return RunFacts(
        data=data,
        scrape=_scrape(project.images / LEDGER),
        settings={stage: _rows(stage, values) for stage, values in stages.items() if values},
        history=_table(project.models / HISTORY, LOSSES, LOSSES, again),
        constants=constant_losses(data, chosen["loss"]),
        results=results,
        predictions=_predictions(project.models / PREDICTIONS, data, again),
        schemes=_json(compared, SCHEMES, "run compare again, or remove it") if compared.exists() else {},
    )


def _json(path: Path, needed: list[str], remedy: str) -> dict[str, Any]:
    if not path.exists():
        raise TrailerError(f"{path}: no such file, no training has ended here: {remedy}")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrailerError(f"{path}: damaged ({error}): {remedy}") from error
    missing = [name for name in needed if not isinstance(found, dict) or name not in found]
    if missing:
        raise TrailerError(f"{path}: has no {missing[0]!r}: {remedy}")
    return found


def _table(path: Path, columns: list[str], numbers: list[str], remedy: str) -> pd.DataFrame:
    """A CSV file with `columns`, of which `numbers` are finite."""
    if not path.exists():
        raise TrailerError(f"{path}: no such file: {remedy}")
    texts = dict.fromkeys(set(columns) - set(numbers), str)
    try:
        table = pd.read_csv(path, dtype=texts, keep_default_na=False)[columns]
        table[numbers] = table[numbers].astype(float)
    except (OSError, ValueError, KeyError) as error:
        raise TrailerError(f"{path}: damaged ({' '.join(str(error).split())[:100]}): {remedy}") from error
    if table.empty or not np.isfinite(table[numbers]).all(axis=None):
        raise TrailerError(f"{path}: no rows, or a cell that is no number: {remedy}")
    return table


def _predictions(path: Path, data: Dataset, remedy: str) -> pd.DataFrame:
    table = _table(path, PREDICTED, ["year", "score", "predicted"], remedy)
    rows = pd.Series(data.films.index, data.films.imdb_id)
    if set(table.imdb_id) != set(data.split("test").imdb_id):
        raise TrailerError(f"{path}: not the test films of the dataset: {remedy}")
    return table.assign(error=table.predicted - table.score).set_index(rows[table.imdb_id].to_numpy())


def _scrape(path: Path) -> dict[str, dict[str, int]]:
    newest = ledger.last(path).values()
    films = Counter(OUTCOMES.get(entry.status, entry.status) + entry.reason for entry in newest)
    frames: Counter = Counter()
    for entry in newest:
        frames += Counter({"kept": entry.kept, **{f"dropped: {why}": count for why, count in entry.dropped.items()}})
    return {"films": dict(films.most_common()), "frames": dict(frames.most_common())}


def _rows(stage: str, values: dict[str, Any]) -> list[tuple[str, str, str]]:
    shown = {name: without_folders(value) for name, value in values.items()}
    rows = STAGES[stage].layered({"the run": shown}).rows()
    return [(name, value, meaning) for name, value, _, meaning in rows if name in values]


def without_folders(value: Any) -> Any:
    """A setting that names a place outside the root, cut to its last name: the rest is the machine's business."""
    if not isinstance(value, str):
        return value
    kind = "folder:" if value.startswith("folder:") else ""
    place = PureWindowsPath(value.removeprefix(kind))  # it knows both separators
    outside = place.root or place.drive or {"..", "~"} & set(place.parts)
    return kind + place.name if outside else value
