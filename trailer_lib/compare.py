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
    settings = {name: project.settings("train", **scheme) for name, scheme in schemes.items()}
    results = {name: _result(project, name, chosen) for name, chosen in settings.items()}
    metrics = {name: result["metrics"]["trailer"] for name, result in results.items()}
    ranked = sorted(metrics, key=lambda name: metrics[name]["nMSE"]["value"])
    first = next(iter(results.values()))["metrics"]
    rows = {name: metrics[name] for name in ranked} | {who: first[who] for who in first if who != "trailer"}
    table = evaluate.table({"metrics": rows})
    table["seconds"] = [results[name]["seconds"] if name in results else "" for name in table.index]
    return table


def _result(project: Project, name: str, settings: TrainSettings) -> dict:
    folder = project.models / "schemes" / files.safe_name(name, 80)
    path = folder / train.RESULTS
    if path.exists():
        result = json.loads(path.read_text(encoding="utf-8"))
        same_settings = result["settings"] == json.loads(json.dumps(settings.as_dict()))
        if same_settings and "seconds" in result and result["split_hash"] == split_hash(Dataset.open(project).films):
            return result
    start = time.monotonic()
    print(f"training scheme {name}", file=sys.stderr)
    result = train.train(project, settings, models=folder).results | {"seconds": round(time.monotonic() - start, 1)}
    files.write_json(path, result)
    return result
