"""Train on made films whose best possible error is known for each subset of the sources, and tabulate the distances.

    python benchmarks/sources.py [NAME ...] [--seeds 1] [--films 4000] [--rendered]

Three sets of made films, each of `seeds` seeds: with something in every source; with a sound in which there is nothing;
and with other shares, on other seeds. Trained runs are stored in build/sources: a stopped run continues, and sets that
are not named keep their figures. Writes sources.json and SOURCES.md. About 40 minutes on one idle core.
"""

import argparse
import json
import shutil
import time
from pathlib import Path
from typing import Any

import machine
import made_films
import numpy as np
import trials

from trailer_lib import files
from trailer_lib.dataset import SPLITS, Dataset, build, split_hash
from trailer_lib.project import Project
from trailer_lib.training import train

HERE = Path(__file__).resolve().parent
SIZE, FRAMES, CLIPS = 96, 12, 4
ROWS = ("frames", "sound", "frames + sound", "metadata", "all")
OTHER_SEEDS = 100  # the first seed of the set with other shares
SETS: dict[str, dict[str, float]] = {
    "something in every source": {"frames": 0.22, "sound": 0.22, "metadata": 0.18},
    "nothing in the sound": {"frames": 0.22, "metadata": 0.18},
    "other shares": {"frames": 0.3, "sound": 0.1, "metadata": 0.25},
}
NEAR, NEAR_ALONE = 0.08, 0.10  # wanted: the distances of "all" and of a source alone
NOTHING = 0.01  # wanted: the harm of a useless source
TEXT = """# What each source adds, on films whose best possible error is known

Made by `sources.py` from `sources.json`; do not edit.

```
{command}
```

Made films (`made_films.py`): {films} films a seed, with {frames} frames of {size} pixels and {clips} clips of sound
each: {train} to train on, {val} for validation and {test} to test. A film's score is the sum of a part in its frames, a
part in its sound, a part in its genres, and noise; so for each subset of the sources the best possible nMSE is known.
Scenes: {scenes}. Scheme: frozen; backbone: MobileNetV2, weights: {weights}.

{tables}

"nMSE" is the mean of the seeds', with its 95 % bootstrap interval over films; "best possible" is of the same test
films, with perfect sight of that subset's parts; "distance" is their difference; "minus metadata" the paired difference
on the same films.

{verdict}

Measured on {date}: {processor}, Python {python}, load {load}; {versions}.
"""


def project(name: str, seed: int, count: int, real: list[Path]) -> Project:
    """A root with the made films of a set and seed and their dataset; written once."""
    folder = f"{files.safe_name(name, 80)}-{'real' if real else 'rendered'}-{count}-{seed}"
    opened = Project(trials.BUILD / "sources" / folder)
    if not (opened.dataset / "dataset.json").exists():
        shutil.rmtree(opened.root, ignore_errors=True)
        made = made_films.invent(count, seed, SETS[name])
        made_films.write(opened.root, made, seed, FRAMES, SIZE, CLIPS, real)
        build(opened, opened.settings("dataset", size=SIZE, min_frames=FRAMES, val=0.12, test=0.3))
    return opened


def predict(opened: Project, sources: tuple[str, ...], seed: int) -> dict[str, Any]:
    """Train on `sources`: {"weights", "seconds" of processor, "films", "score", and a list of predictions a row}."""
    chosen = {"scheme": "frozen", "backbone": "mobilenet_v2", "weights": trials.weights(), "seed": seed}
    settings = opened.settings("train", sources=sources, **chosen)
    path = opened.root / f"{'-'.join(sources)}.json"
    key = json.loads(json.dumps([settings.as_dict(), split_hash(Dataset.open(opened).films)]))
    done = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if done.get("key") == key:
        return done
    seconds = time.process_time()
    test = train(opened, settings).test()
    films = test.predictions
    rows = {row: films[row].round(4).tolist() for row in ROWS if row in films}
    done = {"key": key, "weights": test.results["weights"], "seconds": round(time.process_time() - seconds, 1)}
    done |= {"films": films.imdb_id.tolist(), "score": films.score.tolist(), "predicted": rows}
    files.write_json(path, done)
    print(f"{opened.root.name}, {', '.join(sources)}: {done['seconds']:.0f} s", flush=True)
    return done


def train_seed(name: str, seed: int, count: int, real: list[Path]) -> dict[str, Any]:
    """Scores, predictions and the best possible ones, a list a row, of the test films of a set and seed."""
    opened = project(name, seed, count, real)
    run = predict(opened, made_films.SOURCES, seed)
    made = made_films.invent(count, seed, SETS[name])
    place = [int(film.removeprefix("tt98")) for film in run["films"]]
    best = {row: made.best(*parts_of(row))[place].round(4).tolist() for row in ROWS}
    data = Dataset.open(opened)
    mean = float(data.split("train").score.mean())
    predicted = run["predicted"] | {"mean baseline": [mean] * len(place)}
    if "sound" not in SETS[name]:
        predicted["all without sound"] = predict(opened, ("frames", "metadata"), seed)["predicted"]["all"]
    splits = {split: len(data.split(split)) for split in SPLITS}
    return {key: run[key] for key in ("weights", "seconds", "score")} | {
        "splits": splits, "predicted": predicted, "best": best
    }  # fmt: skip


def parts_of(row: str) -> list[str]:
    return list(made_films.SOURCES) if row == "all" else row.split(" + ")


def nmse(seeds: list[dict], column: str, row: str, films: list[np.ndarray]) -> float:
    """Mean over the seeds of MSE / variance, of row `row` of "predicted" or "best", on `films` of each seed."""
    values = []
    for seed, chosen in zip(seeds, films):
        truth, predicted = np.array(seed["score"])[chosen], np.array(seed[column][row])[chosen]
        values.append(((truth - predicted) ** 2).mean() / truth.var())
    return float(np.mean(values))


def summary(seeds: list[dict]) -> dict[str, dict[str, Any]]:
    """Row -> nMSE, best possible, distance and paired differences, with intervals."""
    counts = [len(seed["score"]) for seed in seeds]

    def difference(row: str, other: str, column: str = "predicted") -> dict[str, float]:
        def statistic(films: list[np.ndarray]) -> float:
            return nmse(seeds, "predicted", row, films) - nmse(seeds, column, other, films)

        return trials.interval(counts, statistic)

    def value(column: str, row: str) -> dict[str, float]:
        return trials.interval(counts, lambda films: nmse(seeds, column, row, films))

    rows: dict[str, dict[str, Any]] = {}
    for row in seeds[0]["predicted"]:
        rows[row] = {"nMSE": value("predicted", row)}
        if row in ROWS:
            rows[row] |= {"best possible": value("best", row), "distance": difference(row, row, "best")}
        if row not in ("metadata", "mean baseline"):
            rows[row]["minus metadata"] = difference(row, "metadata")
        if row == "all" and "all without sound" in seeds[0]["predicted"]:
            rows[row]["minus all without sound"] = difference(row, "all without sound")
    return rows


def write(results: dict[str, Any]) -> None:
    """SOURCES.md out of the figures of sources.json."""
    run = next(iter(results["sets"].values()))["seeds"][0]
    facts = {
        **results, **results["machine"], **run["splits"], "versions": trials.versions(results["machine"]),
        "frames": FRAMES, "size": SIZE, "clips": CLIPS, "weights": run["weights"].split(":")[0],
        "tables": "\n\n".join(_table(name, made) for name, made in results["sets"].items()),
        "verdict": "\n".join(line for name, made in results["sets"].items() for line in _verdict(name, made)),
    }  # fmt: skip
    files.write_text(HERE / "SOURCES.md", TEXT.format(**facts))


def _table(name: str, made: dict[str, Any]) -> str:
    shares = ", ".join(f"{source} {share:.0%}" for source, share in SETS[name].items())
    seconds = np.mean([seed["seconds"] for seed in made["seeds"]])
    columns = ("nMSE", "best possible", "distance", "minus metadata")
    rows = [["row", *columns]]
    for row, metrics in made["summary"].items():
        label = f"**{row}**" if row == "all" else row
        rows.append([label, *(trials.text(metrics[column]) if column in metrics else "" for column in columns)])
    noise = f"noise {1 - sum(SETS[name].values()):.0%}"
    head = f"## {name[0].upper()}{name[1:]}\n\nShares of the scores' variance: {shares}, {noise}."
    measured = f"Measured on {made['date']}: {len(made['seeds'])} seeds, {seconds:.0f} s of processor time each."
    return f"{head} {measured}\n\n{trials.markdown(rows)}"


def _verdict(name: str, made: dict[str, Any]) -> list[str]:
    """A line for each bound that is wanted of a set, with the figure and whether it holds."""
    rows, lines = made["summary"], []
    for row in ("all", *SETS[name]):
        bound, distance = NEAR if row == "all" else NEAR_ALONE, rows[row]["distance"]
        holds = "within" if distance["value"] <= bound else "not within"
        lines.append(f"- {name}: {row} is {holds} {bound:.2f} of the best possible: {trials.text(distance)}.")
    if useless := rows["all"].get("minus all without sound"):
        holds = useless["low"] <= 0 <= useless["high"] and abs(useless["value"]) < NOTHING
        text = "changes nothing" if holds else "changes the prediction"
        lines.append(f"- {name}: that sound {text}; all minus all without sound: {trials.text(useless, 4)}.")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", default=list(SETS), metavar="NAME", help=" | ".join(SETS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--films", type=int, default=4000)
    parser.add_argument("--rendered", action="store_true", help="rendered scenes, also where there are real ones")
    args = parser.parse_args()
    real = [] if args.rendered else sorted((trials.SHARED / "real" / "trailer_frames").glob("*.jpg"))
    path, facts = HERE / "sources.json", machine.facts(trials.PACKAGES)
    made = json.loads(path.read_text(encoding="utf-8"))["sets"] if path.exists() else {}
    for name in args.sets:
        first = OTHER_SEEDS * (name == "other shares")
        seeds = [train_seed(name, first + seed, args.films, real) for seed in range(args.seeds)]
        made[name] = {"date": facts["date"], "seeds": seeds, "summary": summary(seeds)}
    results = {
        "machine": facts,
        "command": f"python benchmarks/sources.py --seeds {args.seeds} --films {args.films}"
        + " --rendered" * args.rendered,
        "films": args.films,
        "scenes": f"random cuts of {len(real)} real trailer frames" if real else "rendered",
        "sets": {name: made[name] for name in SETS if name in made},
    }
    files.write_json(path, results)
    write(results)
    print((HERE / "SOURCES.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
