"""What the benchmarks of training share: a scheme trained once and remembered, weights, intervals, a table, a plot."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from trailer_lib import files
from trailer_lib.dataset import Dataset, split_hash
from trailer_lib.networks import read_model
from trailer_lib.project import Project
from trailer_lib.training import BEST, HISTORY
from trailer_lib.training.run import fit
from trailer_lib.training.scoring import predict_points

HERE = Path(__file__).resolve().parent
BUILD = HERE.parent / "build"
SHARED = HERE.parent.parent / "shared"
TRUNK = SHARED / "weights" / "mobilenet_v2_features-tonylins-imagenet1k-fp16.pth"
PACKAGES = "torch torchvision lightning scikit-learn numpy pillow".split()
RESAMPLES = 2000
Statistic = Callable[[list[np.ndarray]], float]


def weights() -> str:
    """The ImageNet weights of MobileNetV2: the file of ../shared where it is, else torchvision's, downloaded."""
    return str(TRUNK) if TRUNK.exists() else "DEFAULT"


def trial(project: Project, data: Dataset, name: str, chosen: dict[str, Any]) -> dict[str, Any]:
    """Train `chosen` on `data`: predictions for its test films, seconds of wall and processor, weights and history.

    Stored in the project's models/<name>/trial.json: the same settings on the same split are not trained again.
    """
    settings = project.settings("train", **chosen)
    path = project.models / name / "trial.json"
    key = json.loads(json.dumps([settings.as_dict(), split_hash(data.films), data.card["settings"]]))
    done = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if done.get("key") == key:
        return done
    wall, processor = time.perf_counter(), time.process_time()
    fit(project, settings, data, path.parent, None, resume=False)
    model = read_model(path.parent / BEST)
    points = predict_points(model, data, "test", project.models / "features")
    result = {
        "key": key,
        "seconds": round(time.perf_counter() - wall, 1),
        "processor_seconds": round(time.process_time() - processor, 1),
        "weights": model.facts["weights"],
        "predicted": dict(zip(data.split("test").imdb_id, points.astype(float))),
        "history": pd.read_csv(path.parent / HISTORY).to_dict("records"),
    }
    files.write_json(path, result)
    print(f"{project.root.name} {name}: {result['seconds']:.0f} s", flush=True)
    return result


def interval(counts: list[int], statistic: Statistic) -> dict[str, float]:
    """`statistic` of the films of every group, and its 95 % bootstrap interval: films resampled within each group.

    `counts`: films of each group. `statistic` takes the indices of each group's films.
    """
    rng = np.random.default_rng(0)
    value = statistic([np.arange(count) for count in counts])
    resampled = [statistic([rng.integers(0, count, count) for count in counts]) for _ in range(RESAMPLES)]
    low, high = np.percentile(resampled, (2.5, 97.5))
    return {"value": float(value), "low": float(low), "high": float(high)}


def versions(machine: dict[str, Any]) -> str:
    return ", ".join(f"{name} {version}" for name, version in machine["versions"].items())


def text(metric: dict[str, float], digits: int = 3) -> str:
    return f"{metric['value']:.{digits}f} [{metric['low']:.{digits}f}, {metric['high']:.{digits}f}]"


def markdown(rows: list[list[str]]) -> str:
    """A table; its first row is the head."""
    head, *rest = rows
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rest])


def plot(path: Path, metrics: dict[str, dict[str, float]], lines: dict[str, float], title: str) -> None:
    """A dot with its interval for every scheme, the best on top, and named vertical lines."""
    names = sorted(metrics, key=lambda name: -metrics[name]["value"])
    figure, axis = plt.subplots(figsize=(8, 1.2 + 0.32 * len(names)))
    for place, name in enumerate(names):
        metric = metrics[name]
        axis.plot([metric["low"], metric["high"]], [place, place], color="0.6")
        axis.plot(metric["value"], place, "o", color="C3" if name in ("finetune", "frozen") else "C0")
    for number, (label, value) in enumerate(lines.items()):
        axis.axvline(value, color=f"C{number + 1}", linestyle=":", label=label)
    axis.set(yticks=range(len(names)), yticklabels=names, xlabel="nMSE (lower is better)", title=title)
    axis.legend(fontsize=8)
    axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)
