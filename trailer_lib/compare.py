"""Several schemes of training on the same films, in one table."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd

from trailer_lib import evaluate, files, train
from trailer_lib.dataset import Dataset, split_hash
from trailer_lib.errors import TrailerError
from trailer_lib.project import Project
from trailer_lib.settings import TrainSettings

SCHEMES = Path(__file__).with_name("schemes.toml")


def read_schemes(path: Path) -> dict[str, dict[str, Any]]:
    """Scheme name -> the train settings in which it differs; a table of a TOML file each."""
    schemes = files.read_toml(path)
    if not schemes or not all(isinstance(scheme, dict) for scheme in schemes.values()):
        raise TrailerError(f"{path}: expected a table for each scheme, like [five-frames] with frames = 5 below")
    return schemes


def compare(project: Project, schemes: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """Train each scheme into models/schemes/<name>/ and tabulate the test results, best nMSE first, baselines below.

    A scheme that was trained with the same settings on the same dataset is not trained again.
    """
    _check_names(list(schemes))
    data = Dataset.open(project)
    settings = {name: project.settings("train", **scheme) for name, scheme in schemes.items()}
    results = {name: _result(project, data, name, chosen) for name, chosen in settings.items()}
    metrics = {name: result["metrics"]["trailer"] for name, result in results.items()}
    ranked = sorted(metrics, key=lambda name: metrics[name]["nMSE"]["value"])
    first = next(iter(results.values()))["metrics"]
    rows = {name: metrics[name] for name in ranked} | {who: first[who] for who in first if who != "trailer"}
    table = evaluate.table({"metrics": rows})
    table["seconds"] = [results[name]["seconds"] if name in results else "" for name in table.index]
    return table


def _check_names(names: list[str]) -> None:
    """Scheme names must differ as folders, and from the baselines' rows."""
    folders = [files.safe_name(name, 80) for name in names]
    for name, folder in zip(names, folders):
        if folders.count(folder) > 1 or name in evaluate.BASELINES:
            raise TrailerError(f"scheme {name!r}: the name is taken by a baseline or another scheme: rename it")


def _result(project: Project, data: Dataset, name: str, settings: TrainSettings) -> dict:
    folder = project.models / "schemes" / files.safe_name(name, 80)
    path = folder / train.RESULTS
    wanted = {"settings": settings.as_dict(), "dataset": data.card["settings"], "split_hash": split_hash(data.films)}
    done = _finished(path)
    if done and all(done.get(key) == value for key, value in json.loads(json.dumps(wanted)).items()):
        return done
    start = time.monotonic()
    print(f"training scheme {name}", file=sys.stderr)
    result = train.train(project, settings, models=folder).results | {"seconds": round(time.monotonic() - start, 1)}
    files.write_json(path, result)
    return result


def _finished(path: Path) -> dict:
    """The results of a scheme that was trained to its end, {} of one that was not or whose file is damaged."""
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return result if isinstance(result, dict) and {"seconds", "metrics"} <= result.keys() else {}
