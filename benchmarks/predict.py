"""Measure the wait for a prediction: a fresh process from a file to the score, beside the sampling of the frames.

    python benchmarks/predict.py [--rounds 7] [--clips DIR] [--backbone vgg16]

A round runs, one after another, fresh processes: the frame sampler on a made trailer (imports not counted), the
command `predict` on the same trailer (all counted) with a made model of 5 frames, `import trailer_lib`, and `--help`;
and in one process a second prediction of the library. Processor seconds stand beside seconds: they are to be trusted on
a machine that others use. Writes benchmarks/predict.json.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import clips
import machine
import numpy as np
import torch

from trailer_lib import files
from trailer_lib.networks import FORMAT, ModelFile, build
from trailer_lib.settings import DatasetSettings, ScrapeSettings, TrainSettings

HERE = Path(__file__).resolve().parent
FRAMES, HEIGHT, SECONDS, FILMS = 5, 360, 120, 500
PACKAGES = ["torch", "torchvision", "numpy", "av"]
TIMED = """
start, busy = time.perf_counter(), time.process_time()
{}
print(time.perf_counter() - start, time.process_time() - busy)
"""
SAMPLER = """
import sys, time
from pathlib import Path
from trailer_lib.settings import ScrapeSettings
from trailer_lib.video import sample_informative
""" + TIMED.format("sample_informative(Path(sys.argv[1]), 'predict', ScrapeSettings(), ScrapeSettings().height)")
SECOND = """
import sys, time
from trailer_lib.predict import Predictor
predictor = Predictor.load(sys.argv[2])
predictor.predict(sys.argv[1])
""" + TIMED.format("predictor.predict(sys.argv[1])")


def made_model(path: Path, backbone: str) -> Path:
    """A model with random weights and all the facts that a trained one has."""
    choices = {"aggregate": "channels", "weights": "none", "depth": "last", "views": 1}
    settings = TrainSettings(backbone=backbone, frames=FRAMES, **choices)
    network = build(backbone, FRAMES, "channels", "none")
    error = {"MAE": {"value": 1.0, "low": 0.9, "high": 1.1}}
    results = {
        "films": FILMS, "metrics": {"trailer": error, "mean baseline": error}, "verdict": "Made.", "collapsed": False,
        "nMSE minus": {"mean baseline": {"value": -0.2, "low": -0.3, "high": -0.1}},
    }  # fmt: skip
    rng, width = np.random.default_rng(0), network.width
    scores = rng.uniform(3, 9, FILMS)
    facts = {
        "format": FORMAT, "settings": settings.as_dict(), "dataset": DatasetSettings().as_dict(),
        "scrape": ScrapeSettings().as_dict(), "score_mean": 6.0, "score_sd": 1.0, "weights": "none", "results": results,
        "splits": {"train": FILMS, "val": FILMS, "test": FILMS},
        "validation": {"score": scores.tolist(), "predicted": (scores + rng.normal(0, 1, FILMS)).tolist()},
        "index": {
            "imdb_id": [f"tt{n:07d}" for n in range(FILMS)], "title": ["Made"] * FILMS, "year": [2000] * FILMS,
            "score": scores.tolist(), "features": torch.randn(FILMS, width).half(), "mean": torch.zeros(width),
            "sd": torch.ones(width), "far": 1.0, "pictures": torch.zeros(FILMS, dtype=torch.uint8),
            "ends": torch.arange(1, FILMS + 1),
        },
    }  # fmt: skip
    ModelFile(network, facts).save(path)
    return path


def process(*arguments: object) -> tuple[float, float]:
    """Seconds and processor seconds of a fresh process."""
    start, before = time.perf_counter(), os.times()
    subprocess.run([sys.executable, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    busy = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - start, busy


def inside(code: str, *arguments: object) -> tuple[float, float]:
    """The seconds and processor seconds that a fresh process prints."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    wall, busy = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(wall), float(busy)


def measure(trailer: Path, model: Path, rounds: int) -> dict[str, list[tuple[float, float]]]:
    figures: dict[str, list[tuple[float, float]]] = {}
    runs = {
        "sampler": lambda: inside(SAMPLER, trailer),
        "predict": lambda: process("-m", "trailer_lib", "predict", trailer, "--model", model, "--json"),
        "second prediction": lambda: inside(SECOND, trailer, model),
        "import trailer_lib": lambda: process("-c", "import trailer_lib"),
        "--help": lambda: process("-m", "trailer_lib", "--help"),
        "python": lambda: process("-c", ""),
    }
    for turn in range(rounds + 1):
        times = {name: run() for name, run in runs.items()}
        print(turn, {name: np.round(pair, 2).tolist() for name, pair in times.items()}, flush=True)
        for name, pair in times.items():
            figures.setdefault(name, []).extend([pair] * (turn > 0))  # the first round fills the disk's cache
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7, help="how often each is run, in turn with the others")
    parser.add_argument("--clips", type=Path, default=HERE.parent / "build" / "benchmarks", help="of the made trailer")
    parser.add_argument("--backbone", default="vgg16")
    args = parser.parse_args()
    trailer = clips.clip(args.clips, HEIGHT, SECONDS)
    results = {"machine": machine.facts(PACKAGES), "backbone": args.backbone, "trailer": trailer.name}
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(trailer, made_model(Path(folder) / "model.pt", args.backbone), args.rounds)
    medians = {name: [round(median(column), 3) for column in zip(*pairs)] for name, pairs in figures.items()}
    print(medians)
    files.write_json(HERE / "predict.json", results | {"seconds and processor seconds": figures, "medians": medians})


if __name__ == "__main__":
    main()
