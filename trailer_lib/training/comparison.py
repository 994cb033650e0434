"""Several schemes of training on the same folds of the same films, in one table."""

import json
import logging
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trailer_lib import files
from trailer_lib.catalog import trailer_keys
from trailer_lib.dataset import Dataset, assign_folds, fold_split, require_splits, split_hash
from trailer_lib.errors import TrailerError
from trailer_lib.evaluation import (
    BASELINES,
    Metric,
    add_metadata,
    baseline_predictions,
    collapsed,
    evaluate_all,
    median_prediction,
    metric_table,
    missing_baselines,
    paired_difference,
)
from trailer_lib.progress import bar
from trailer_lib.project import Project
from trailer_lib.settings import TrainSettings
from trailer_lib.training.callbacks import BEST, LAST, RESULTS
from trailer_lib.training.run import LOG, train

STARTED, DONE = "started.json", "done.json"


@dataclass(frozen=True)
class Round:
    """One fold of one repeat: `data` with its split, `name` as a folder."""

    name: str
    repeat: int
    data: Dataset


def find_schemes(name: str) -> Path:
    """The file of that path, else the library's own of that name: schemes.toml or original.toml."""
    own = Path(__file__).with_name(Path(name).name)
    return own if not Path(name).exists() and name == own.name and own.exists() else Path(name)


def read_schemes(path: Path) -> dict[str, dict[str, Any]]:
    """Scheme name -> the train settings in which it differs; a table of a TOML file each."""
    schemes = files.read_toml(path)
    if not schemes or not all(isinstance(scheme, dict) for scheme in schemes.values()):
        raise TrailerError(f"{path}: expected a table for each scheme, like [five-frames] with frames = 5 below")
    return schemes


def compare(project: Project, schemes: dict[str, dict[str, Any]], folds: int = 5, repeats: int = 1) -> dict:
    """Train each scheme on each fold and measure its answers for the films it had not seen; as plain numbers.

    Each film is tested once a repeat, by a model that trained on the other folds but one, which chose the epoch. A fold
    that was finished with the same settings, films and split is not trained again, and one that was broken off goes on; the folds' models are not
    kept. The result, also in models/schemes/results.json: metrics of schemes and baselines, nMSE minus that of the
    constant and of the best scheme, seconds.
    """
    _check_names(list(schemes))
    opened = Dataset.open(project)
    data = Dataset(opened.frames, add_metadata(project, opened.films), opened.card)
    chosen = {name: project.settings("train", **scheme) for name, scheme in schemes.items()}
    rounds = _rounds(data, folds, repeats)
    answers = {name: np.full((repeats, len(data.films)), np.nan) for name in chosen}
    seconds = {name: [] for name in chosen}
    with bar(total=len(rounds) * len(chosen), desc="schemes", unit="fold") as progress:
        for name, scheme in chosen.items():
            for turn in rounds:
                progress.set_postfix_str(f"{name}, {turn.name}")
                folder = project.models / "schemes" / files.safe_name(name, 80) / turn.name
                done = _trained(project, scheme, turn.data, folder)
                rows = pd.Series(turn.data.films.index, turn.data.films.imdb_id)[list(done["predicted"])]
                answers[name][turn.repeat, rows] = list(done["predicted"].values())
                seconds[name].append(done["seconds"])
                progress.update()
    result = _measured(data.films, answers, rounds) | {"folds": folds, "repeats": repeats}
    result["seconds"] = {name: _total(costs) for name, costs in seconds.items()}
    files.write_json(project.models / "schemes" / RESULTS, result)
    return result


def _check_names(names: list[str]) -> None:
    """Scheme names must differ as folders, and from the baselines' rows."""
    folders = [files.safe_name(name, 80) for name in names]
    for name, folder in zip(names, folders):
        if folders.count(folder) > 1 or name in BASELINES:
            raise TrailerError(f"scheme {name!r}: the name is taken by a baseline or another scheme: rename it")


def _rounds(data: Dataset, folds: int, repeats: int) -> list[Round]:
    keys = trailer_keys(data.films)
    keys, salt = keys.where(keys != "", data.films.imdb_id), data.card["settings"]["salt"]
    rounds = []
    for repeat in range(repeats):
        dealt = assign_folds(keys, folds, repeat, salt)
        for fold in range(folds):
            column = fold_split(dealt, folds, fold)
            require_splits(pd.Series(column))
            rounds.append(Round(f"repeat {repeat} fold {fold}", repeat, data.with_split(column)))
    return rounds


def _trained(project: Project, settings: TrainSettings, data: Dataset, folder: Path) -> dict:
    """What a training left, after it was done if it was not: `predicted`, by imdb_id, and `seconds`."""
    facts = {"settings": settings.as_dict(), "dataset": data.card["settings"]}
    wanted = json.loads(json.dumps(facts | {"split_hash": split_hash(data.films)}))
    done = _read(folder / DONE)
    if {"predicted", "seconds"} <= done.keys() and done.get("wanted") == wanted:
        return done
    if _read(folder / STARTED) != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        files.write_json(folder / STARTED, wanted)
    resume, start = (folder / LAST).exists(), time.monotonic()
    with _unlogged():
        run = train(project, settings, models=folder, data=data, resume=resume, index=False)
    predicted = dict(zip(run.predictions.imdb_id, run.predictions.predicted.astype(float)))
    cost = None if resume else round(time.monotonic() - start, 1)
    done = {"wanted": wanted, "predicted": predicted, "seconds": cost}
    files.write_json(folder / DONE, done)
    for name in (BEST, LAST):  # a table of schemes would fill the disk with them
        (folder / name).unlink(missing_ok=True)
    return done


@contextmanager
def _unlogged() -> Iterator[None]:
    """What there is to warn of in a fold of few films is said of all films together, in the table's remarks."""
    level = LOG.level
    LOG.setLevel(logging.ERROR)
    try:
        yield
    finally:
        LOG.setLevel(level)


def _read(path: Path) -> dict:
    """A JSON object, {} of a file that is missing or damaged: its training is done again."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _measured(films: pd.DataFrame, answers: dict[str, np.ndarray], rounds: list[Round]) -> dict:
    truth, schemes = films.score.to_numpy(), list(answers)
    everyone = answers | _without_trailer(rounds, next(iter(answers.values())).shape)
    median = everyone.pop("median")
    metrics = evaluate_all(truth, everyone, median)
    ranked = sorted(schemes, key=lambda name: metrics[name]["nMSE"]["value"])
    order = [*ranked, *(who for who in everyone if who not in schemes)]
    return {
        "films": len(films),
        "best": ranked[0],
        "metrics": {who: metrics[who] for who in order},
        "nMSE minus the mean baseline's": _differences(truth, everyone, order, "mean baseline"),
        "nMSE minus the best scheme's": _differences(truth, everyone, order, ranked[0]),
        "collapsed": [name for name in ranked if collapsed(answers[name], truth)],
        "left out": missing_baselines(films),
    }


def _without_trailer(rounds: list[Round], shape: tuple[int, int]) -> dict[str, np.ndarray]:
    """The baselines' answers on the same folds, float [repeats, films]; "median" is the constant of MAE."""
    found: dict[str, np.ndarray] = {}
    for turn in rounds:
        sides = turn.data.split("train"), turn.data.split("test")
        for name, answer in (baseline_predictions(*sides) | {"median": median_prediction(*sides)}).items():
            found.setdefault(name, np.full(shape, np.nan))[turn.repeat, sides[1].index] = answer
    return {name: answer for name, answer in found.items() if np.isfinite(answer).all()}


def _differences(truth: np.ndarray, answers: dict[str, np.ndarray], order: list[str], than: str) -> dict[str, dict]:
    return {who: asdict(paired_difference(truth, answers[who], answers[than])) for who in order if who != than}


def _total(costs: list[float | None]) -> float | None:
    """Seconds of all folds; those that were broken off cost what the others did on average."""
    known = [cost for cost in costs if cost is not None]
    return round(len(costs) * sum(known) / len(known), 1) if known else None


def comparison_table(results: dict) -> pd.DataFrame:
    """`compare`'s result: a row a scheme, best nMSE first, and a baseline; "value [low, high]" in the cells."""
    rows = metric_table(results)
    minus = results["nMSE minus the best scheme's"]
    rows["nMSE minus the best's"] = [str(Metric(**minus[who])) if who in minus else "" for who in rows.index]
    rows["seconds"] = [results["seconds"].get(who, "") for who in rows.index]
    rows["remark"] = [_remark(results, who) if who in results["seconds"] else "" for who in rows.index]
    return rows


def _remark(results: dict, who: str) -> str:
    if who in results["collapsed"]:
        return "collapsed: nearly one answer for all"
    better = results["nMSE minus the mean baseline's"][who]["high"] < 0
    return "" if better else "not shown to be better than the constant"
