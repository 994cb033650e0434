"""Train every scheme on made films whose best possible error is known, several times over, and tabulate.

    python benchmarks/recipes.py [--seeds 3] [--films 700] [--original-epochs 50] [--rendered]

A seed is another set of films and another training. Trained schemes are stored in build/recipes, so that a stopped
run continues. Scenes are real trailer frames where ../shared has them, unless --rendered; the weights are ../shared's
or torchvision's: recipes.json, RECIPES.md and recipes.png say which.
"""

import argparse
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import machine
import made_films
import numpy as np
import trials

from trailer_lib import files
from trailer_lib.dataset import SPLITS, Dataset, build
from trailer_lib.project import Project

HERE = Path(__file__).resolve().parent
SIZE, FRAMES = 96, 12
SCHEMES: dict[str, dict[str, Any]] = {
    "original": {"scheme": "original"},
    "frozen": {"scheme": "frozen"},
    "finetune": {},
    "finetune, noise 0.2": {"noise": 0.2},
    "finetune, crops of at least 0.6": {"crop": 0.6},
    "finetune, not mirrored": {"flip": False},
    "finetune, same frames each epoch": {"other_frames": False},
    "finetune, stacked frames": {"aggregate": "channels"},
    "finetune, stacked frames, reordered": {"aggregate": "channels", "reorder_frames": True},
    "frozen, last layer only": {"scheme": "frozen", "depth": "last"},
    "frozen, tested on 1 view": {"scheme": "frozen", "views": 1},
}
REFERENCES = {"frozen": "minus frozen", "finetune": "minus finetune"}
TEXT = """# Which scheme learns from few films

Made by `recipes.py` from `recipes.json`; do not edit.

```
{command}
```

Made films (`made_films.py`): {films} films a seed, {frames} frames of {size} pixels each, {train} to train on, {val} to
choose the epoch by and {test} to test. A film's score is the sum of what its frames show, evenly spread over colour,
texture and content, and of noise, {hidden:.1%} of the variance. So the best possible nMSE is known; on these test
films it is {best}.
Scenes: {scenes}. Backbone: MobileNetV2, weights: {weights}.

{table}

![nMSE of each scheme](recipes.png)

"nMSE" is the mean of the seeds', with its 95 % bootstrap interval over films; "each seed" has them one by one.
"minus ..." is the paired difference on the same films, "of the original's" the ratio of the distances to the best
possible.
"processor" is the mean of the training's processor time, which other work on the machine changes less than the clock.
Features of an untrained network are computed by the first scheme that needs them, and cost the next one nothing.
{epochs}

{verdict}

Measured on {date}: {processor}, Python {python}, load {load}; {versions}.
"""


def project(seed: int, films: int, real: list[Path]) -> Project:
    """A root with the made films of `seed` and their dataset; written once."""
    opened = Project(trials.BUILD / "recipes" / f"{'real' if real else 'rendered'}-{films}-{seed}")
    if not (opened.dataset / "dataset.json").exists():
        shutil.rmtree(opened.root, ignore_errors=True)
        made_films.write(opened.root, made_films.invent(films, seed), seed, FRAMES, SIZE, real=real)
        build(opened, opened.settings("dataset", size=SIZE, min_frames=FRAMES, val=0.12, test=0.3))
    return opened


def train_all(seed: int, films: int, real: list[Path], names: list[str], original_epochs: int) -> dict[str, Any]:
    """{"score", "visible", "splits", "trials": {scheme: trial}} of the made films of a seed."""
    opened = project(seed, films, real)
    data = Dataset.open(opened)
    test = data.split("test")
    visible = dict(zip(map(made_films.imdb_id, range(films)), made_films.invent(films, seed).best("frames")))
    results = {}
    for name in names:
        chosen = {"backbone": "mobilenet_v2", "weights": trials.weights(), "seed": seed} | SCHEMES[name]
        chosen |= {"epochs": original_epochs} if name == "original" else {}
        trial = trials.trial(opened, data, files.safe_name(name, 80), chosen)
        results[name] = {key: trial[key] for key in ("seconds", "processor_seconds", "weights")}
        results[name]["predicted"] = [round(trial["predicted"][film], 4) for film in test.imdb_id]
    return {
        "score": test.score.tolist(),
        "visible": [visible[film] for film in test.imdb_id],
        "splits": {split: len(data.split(split)) for split in SPLITS},
        "trials": results,
    }


def nmse(seeds: list[dict], predictions: list[np.ndarray], rows: list[np.ndarray]) -> float:
    """Mean over the seeds of MSE / variance, on the films `rows` of each."""
    truths = [np.array(seed["score"])[row] for seed, row in zip(seeds, rows)]
    return float(np.mean([((t - p[row]) ** 2).mean() / t.var() for t, p, row in zip(truths, predictions, rows)]))


def summary(seeds: list[dict]) -> dict[str, Any]:
    """The best possible and every scheme: nMSE, seed by seed, distance, distance over the original's, seconds."""
    counts = [len(seed["score"]) for seed in seeds]
    names = list(seeds[0]["trials"])
    predictions = {name: [np.array(seed["trials"][name]["predicted"]) for seed in seeds] for name in names}
    best = [np.array(seed["visible"]) for seed in seeds]

    def interval(statistic: Callable, name: str) -> dict[str, float]:
        return trials.interval(counts, lambda rows: statistic(name, rows))

    def distance(name: str, rows: list[np.ndarray]) -> float:
        return nmse(seeds, predictions[name], rows) - nmse(seeds, best, rows)

    def minus(name: str, rows: list[np.ndarray], other: str) -> float:
        return nmse(seeds, predictions[name], rows) - nmse(seeds, predictions[other], rows)

    def ratio(name: str, rows: list[np.ndarray]) -> float:
        return distance(name, rows) / distance("original", rows)

    schemes = {}
    for name, points in predictions.items():
        runs = [seed["trials"][name] for seed in seeds]
        each = [nmse([seed], [one], [np.arange(count)]) for seed, one, count in zip(seeds, points, counts)]
        schemes[name] = {
            "nMSE": interval(lambda name, rows: nmse(seeds, predictions[name], rows), name),
            "each seed": each,
            **{column: interval(partial(minus, other=other), name) for other, column in REFERENCES.items()},
            "of the original's": interval(ratio, name),
            **{key: float(np.mean([run[key] for run in runs])) for key in ("seconds", "processor_seconds")},
        }
    return {"best possible": trials.interval(counts, lambda rows: nmse(seeds, best, rows)), "schemes": schemes}


def write(results: dict[str, Any]) -> None:
    """RECIPES.md and recipes.png out of the figures of recipes.json."""
    figures, seed = results["summary"], results["seeds"][0]
    schemes = figures["schemes"]
    best = figures["best possible"]
    lines = {"best possible": best["value"], "mean baseline": 1.0}
    metrics = {name: scheme["nMSE"] for name, scheme in schemes.items()}
    trials.plot(HERE / "recipes.png", metrics, lines, f"{len(results['seeds'])} seeds of {results['films']} made films")
    trained = results["original epochs"]
    facts = {
        **results, **results["machine"], **seed["splits"], "versions": trials.versions(results["machine"]),
        "frames": FRAMES, "size": SIZE, "hidden": made_films.HIDDEN, "best": trials.text(best),
        "table": _table(schemes), "verdict": _verdict(schemes),
        "epochs": "" if trained == 50 else f"The original is trained for {trained} of its 50 epochs here.",
    }  # fmt: skip
    files.write_text(HERE / "RECIPES.md", TEXT.format(**facts))


def _table(schemes: dict[str, dict]) -> str:
    rows = [["scheme", "nMSE", "each seed", *REFERENCES.values(), "of the original's", "processor"]]
    for name in sorted(schemes, key=lambda name: schemes[name]["nMSE"]["value"]):
        scheme = schemes[name]
        ratio = scheme["of the original's"]
        rows.append(
            [
                f"**{name}**" if name == "finetune" else name,
                trials.text(scheme["nMSE"]),
                ", ".join(f"{value:.3f}" for value in scheme["each seed"]),
                *("" if name == other else trials.text(scheme[column]) for other, column in REFERENCES.items()),
                trials.text(ratio, 2),
                f"{scheme['processor_seconds']:.0f} s",
            ]
        )
    return trials.markdown(rows)


def _verdict(schemes: dict[str, dict]) -> str:
    ratio, times = schemes["finetune"]["of the original's"], "processor_seconds"
    share = schemes["finetune"][times] / schemes["original"][times]
    better = "at most half" if ratio["high"] <= 0.5 else "not shown to be at most half"
    return (
        f"The distance of finetune, the default scheme, to the best possible is {better} of the original's:"
        f" {trials.text(ratio, 2)}, at {share:.2f} of its training time."
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--films", type=int, default=700)
    parser.add_argument("--original-epochs", type=int, default=50)
    parser.add_argument("--rendered", action="store_true", help="rendered scenes, also where there are real ones")
    args = parser.parse_args()
    real = [] if args.rendered else sorted((trials.SHARED / "real" / "trailer_frames").glob("*.jpg"))
    common = (args.films, real, list(SCHEMES), args.original_epochs)
    seeds = [train_all(seed, *common) for seed in range(args.seeds)]
    results = {
        "seeds": seeds,
        "machine": machine.facts(trials.PACKAGES),
        "command": f"python benchmarks/recipes.py --seeds {args.seeds} --films {args.films}"
        f" --original-epochs {args.original_epochs}{' --rendered' * args.rendered}",
        "films": args.films,
        "original epochs": args.original_epochs,
        "scenes": f"random cuts of {len(real)} real trailer frames" if real else "rendered",
        "weights": seeds[0]["trials"]["frozen"]["weights"].split(":")[0],
        "summary": summary(seeds),
    }
    files.write_json(HERE / "recipes.json", results)
    write(results)
    print((HERE / "RECIPES.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
