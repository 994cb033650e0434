"""Train on posters, real pictures whose scores show: a frame a film, five folds, every scheme on the same ones.

    python benchmarks/posters.py [NAME ...] [--folds 5] [--original-epochs 50]

Wants ../shared/real/posters and the spreadsheet beside it. A scheme trained on a fold is stored in build/posters:
a stopped run continues, and schemes that are not named keep their figures. Writes posters.json, POSTERS.md and
posters.png, in which no poster is shown. About three hours on two idle cores.
"""

import argparse
import csv
import json
import re
import sys
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import machine
import numpy as np
import trials

from trailer_lib import files
from trailer_lib.dataset import Dataset, assign_folds, build
from trailer_lib.evaluation import Stack, fit_metadata, metadata_levels, paired_difference
from trailer_lib.evaluation.metrics import evaluate
from trailer_lib.networks import read_model
from trailer_lib.project import Project
from trailer_lib.training import BEST
from trailer_lib.training.run import fit
from trailer_lib.training.scoring import film_parts

HERE = Path(__file__).resolve().parent
POSTERS, TABLE = trials.SHARED / "real" / "posters", trials.SHARED / "real" / "excels" / "movie_metadata.csv"
HEAD = "title year score url imdb_id genres runtime_minutes".split()
FOLDS, TENTHS = 5, 10
OTHERS = ("original", "frozen, 128 pixels", "frozen, last layer only")
STACKED = "with metadata"
KNOWN = ("genre only", "genre + runtime + year")
CASES = {f"{level} + poster": ("frames", level) for level in KNOWN}
ONE = {"frames": 1, "backbone": "mobilenet_v2", "views": 1}
SCHEMES: dict[str, tuple[int, dict[str, Any]]] = {
    "original": (128, {"scheme": "original"}),
    "finetune, 128 pixels": (128, {}),
    "frozen, 128 pixels": (128, {"scheme": "frozen"}),
    "frozen": (224, {"scheme": "frozen"}),
    "frozen, last layer only": (224, {"scheme": "frozen", "depth": "last"}),
}
TEXT = """# Real pictures with real scores: posters

Made by `posters.py` from `posters.json`; do not edit.

```
{command}
```

{films} posters, a frame a film, through the ordinary dataset and training: {folds} folds by the films' hash, each
tested by networks that were trained on seven tenths of the films and chosen on one tenth. Backbone: MobileNetV2,
weights: {weights}.
A poster is no trailer: this shows that training from pixels finds a signal where there is one, not what a trailer says.
That all stages' features are used was decided looking at these same posters and at the first seed of
the [made films](RECIPES.md); the other two seeds had no part in it.

{table}

![nMSE of each scheme](posters.png)

"nMSE" is of all films' predictions, each from the fold that tests it, with its 95 % bootstrap interval over films; a
constant scores 1. "minus ..." is the paired difference on the same films. "processor" is the mean of a
fold's time, "measured" the day.
{epochs}

## What a poster adds to what is known of a film

The same folds; the frozen scheme at 224 pixels, genres alone or with running time and year, and both, stacked with
weights that are not negative, fitted on each fold's validation films ({stacked_films} films with all of these).

{stacked}

Measured on {date}: {processor}, Python {python}, load {load}; {versions}.
"""


@cache
def project(size: int) -> Project:
    """A root with the posters' dataset at `size` pixels; built once."""
    root = trials.BUILD / "posters" / str(size)
    root.mkdir(parents=True, exist_ok=True)
    opened = Project.open(root)
    if not (opened.dataset / "dataset.json").exists():
        rows = _rows()
        for row in rows:
            folder = opened.images / f"Poster [{row[4]}]"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "0.jpg").write_bytes((POSTERS / f"{row[4]}.jpg").read_bytes())
        opened.excels.mkdir(exist_ok=True)
        with open(opened.excels / "films.csv", "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([HEAD, *rows])
        build(opened, opened.settings("dataset", size=size, min_frames=1))
    return opened


def _rows() -> list[list[str]]:
    """The columns HEAD of every film that has a poster here."""
    found = {}
    with open(TABLE, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            film = re.search(r"tt\d{7,10}", row["movie_imdb_link"])
            if film and row["title_year"] and (POSTERS / f"{film[0]}.jpg").exists():
                title, year = row["movie_title"].strip(), row["title_year"]
                link = f"https://example.com/{film[0]}"
                found[film[0]] = [title, year, row["imdb_score"], link, film[0], row["genres"], row["duration"]]
    return list(found.values())


def train_folds(name: str, count: int, original_epochs: int) -> dict[str, Any]:
    """The predictions of a scheme for the test films of `count` folds, their scores, seconds and weights."""
    size, scheme = SCHEMES[name]
    opened = project(size)
    data = Dataset.open(opened)
    scheme = scheme | ({"epochs": original_epochs} if name == "original" else {})
    predicted, runs = {}, []
    for fold, split in enumerate(folds(data, count)):
        chosen = ONE | {"weights": trials.weights(), "seed": fold} | scheme
        runs.append(trials.trial(opened, split, f"{files.safe_name(name, 80)}-{fold}", chosen))
        predicted |= runs[-1]["predicted"]
    score = dict(zip(data.films.imdb_id, data.films.score.astype(float)))
    means = {key: float(np.mean([run[key] for run in runs])) for key in ("seconds", "processor_seconds")}
    points = {film: [score[film], round(value, 4)] for film, value in sorted(predicted.items())}
    return {"weights": runs[0]["weights"], "predicted": points} | means


def folds(data: Dataset, count: int) -> list[Dataset]:
    """The dataset with the split of each of the first `count` of five folds."""
    tenth = assign_folds(data.films.imdb_id, TENTHS)
    splits = []
    for fold in range(count):
        named = {2 * fold: "test", 2 * fold + 1: "test", (2 * fold + 2) % TENTHS: "val"}
        splits.append(data.with_split([named.get(int(number), "train") for number in tenth]))
    return splits


def stack_folds(count: int) -> dict[str, Any]:
    """Predictions from the poster, from what is known of the film, and from both, on the folds of the schemes."""
    opened, cache = project(224), trials.BUILD / "posters" / "224" / "models" / "features"
    data = Dataset.open(opened)
    chosen = ONE | {"weights": trials.weights(), "scheme": "frozen"}
    rows = {name: np.full(len(data.films), np.nan) for name in [*KNOWN, *CASES, "frames"]}
    for fold, split in enumerate(folds(data, count)):
        models = opened.models / f"stacked-{fold}"
        fit(opened, opened.settings("train", **chosen, seed=fold), split, models)
        model, fitted = read_model(models / BEST), fit_metadata(split.split("train"))
        parts = {}
        for name in ("val", "test"):
            levels = metadata_levels(fitted, split.split(name))
            parts[name] = film_parts(model, split, name, cache, levels)
        test, mean = split.split("test"), float(split.split("train").score.mean())
        stack = Stack(split.split("val").score, parts["val"], mean)
        for name, case in CASES.items():
            films, points = stack.predict_case(parts["test"], case)
            rows[name][test.index[films]] = points
        for name in [*KNOWN, "frames"]:
            rows[name][test.index] = parts["test"][name]
        print(
            f"fold {fold}: weights {[stack.fit(case).weights.round(2).tolist() for case in CASES.values()]}", flush=True
        )
    known = np.isfinite(list(rows.values())).all(0)
    truth, rows = data.films.score.to_numpy()[known], {name: points[known] for name, points in rows.items()}
    pairs = [(name, case[-1]) for name, case in CASES.items()]
    return {
        "films": len(truth),
        "nMSE": {name: asdict(evaluate(truth, points)["nMSE"]) for name, points in rows.items()},
        "minus": {name: asdict(paired_difference(truth, rows[name], rows[than])) for name, than in pairs},
    }


def summary(schemes: dict[str, dict]) -> dict[str, dict[str, Any]]:
    """nMSE of every scheme, and minus the original's, with intervals; on the films that all schemes predicted."""
    films = sorted(set.intersection(*(set(scheme["predicted"]) for scheme in schemes.values())))
    truth = np.array([next(iter(schemes.values()))["predicted"][film][0] for film in films])
    predictions = {name: np.array([scheme["predicted"][film][1] for film in films]) for name, scheme in schemes.items()}

    def nmse(name: str, rows: np.ndarray) -> float:
        return ((truth[rows] - predictions[name][rows]) ** 2).mean() / truth[rows].var()

    metrics = {}
    for name in schemes:
        metrics[name] = {"nMSE": trials.interval([len(films)], lambda rows, name=name: nmse(name, rows[0]))}
        for other in OTHERS:
            if other in predictions and name != other:
                metrics[name][f"minus {other}"] = trials.interval(
                    [len(films)], lambda rows, name=name, other=other: nmse(name, rows[0]) - nmse(other, rows[0])
                )
    return metrics


def write(results: dict[str, Any]) -> None:
    """POSTERS.md and posters.png out of the figures of posters.json."""
    figures = results["summary"]
    metrics = {name: scheme["nMSE"] for name, scheme in figures.items()}
    films = len(next(iter(results["schemes"].values()))["predicted"])
    trials.plot(HERE / "posters.png", metrics, {"mean baseline": 1.0}, f"{films} posters")
    rows = [["scheme", "pixels", "nMSE", *(f"minus {other}" for other in OTHERS), "processor", "measured"]]
    for name in sorted(metrics, key=lambda name: metrics[name]["value"]):
        differences = [figures[name].get(f"minus {other}") for other in OTHERS]
        cells = [trials.text(metric) if metric else "" for metric in (metrics[name], *differences)]
        seconds = f"{results['schemes'][name]['processor_seconds']:.0f} s"
        label = f"**{name}**" if name.startswith("finetune") else name
        rows.append([label, str(SCHEMES[name][0]), *cells, seconds, results["schemes"][name]["date"]])
    trained = results["original epochs"]
    short = "" if trained == 50 else f"The original is trained for {trained} of its 50 epochs here."
    facts = {
        **results, **results["machine"], "versions": trials.versions(results["machine"]), "films": films,
        "weights": next(iter(results["schemes"].values()))["weights"].split(":")[0],
        "table": trials.markdown(rows), "epochs": short, "stacked": stacked_table(results["stacked"]),
        "stacked_films": results["stacked"]["films"],
    }  # fmt: skip
    files.write_text(HERE / "POSTERS.md", TEXT.format(**facts))


def stacked_table(stacked: dict[str, Any]) -> str:
    rows = [["from", "nMSE", "minus without the poster"]]
    for name, metric in stacked["nMSE"].items():
        minus = stacked["minus"].get(name)
        rows.append([name.replace("frames", "poster"), trials.text(metric), trials.text(minus) if minus else ""])
    return trials.markdown(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [*SCHEMES, STACKED]
    parser.add_argument("schemes", nargs="*", default=names, metavar="NAME", help=" | ".join(names))
    parser.add_argument("--folds", type=int, default=FOLDS, help="how many of the five are tested")
    parser.add_argument("--original-epochs", type=int, default=50)
    args = parser.parse_args()
    if not POSTERS.is_dir():
        sys.exit(f"{POSTERS}: not here, and nothing else has posters with scores")
    before, facts = json.loads((HERE / "posters.json").read_text(encoding="utf-8")), machine.facts(trials.PACKAGES)
    epochs = args.original_epochs if "original" in args.schemes else before["original epochs"]
    results = {
        "machine": facts,
        "command": f"python benchmarks/posters.py --folds {args.folds} --original-epochs {epochs}",
        "folds": args.folds,
        "original epochs": epochs,
        "schemes": before["schemes"],
        "stacked": stack_folds(args.folds) if STACKED in args.schemes else before["stacked"],
    }
    for name in [name for name in args.schemes if name != STACKED]:
        results["schemes"][name] = train_folds(name, args.folds, epochs) | {"date": facts["date"]}
    results["summary"] = summary(results["schemes"])
    files.write_json(HERE / "posters.json", results)
    write(results)
    print((HERE / "POSTERS.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
