"""What metadata and features of real trailers say of a film's score: figures of real films, with intervals.

    python benchmarks/evidence.py [metadata splits embedding visual audio both] [--real ../shared/real]

Each part rewrites its own figures in benchmarks/evidence.json; EVIDENCE.md and evidence.png are then made anew from
all. The folder of real data holds excels/, trailer_embeddings.npz and trailer_features/train_features.tsv.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import machine
import matplotlib
import numpy as np
import pandas as pd
from sklearn.model_selection import ShuffleSplit

from trailer_lib import Project, files
from trailer_lib.catalog import load
from trailer_lib.evaluation import BASELINES, evaluate_features, evidence_films, evidence_table, read_features
from trailer_lib.evaluation.baselines import candidates
from trailer_lib.evaluation.metrics import nmse
from trailer_lib.report import scheme_table

HERE = Path(__file__).resolve().parent
PACKAGES = "scikit-learn scipy numpy pandas".split()
SPLITS, TEST = 20, 0.15  # random splits as the original's, 15 % of the films each


def joined_by_title(excels: Path) -> set[str]:
    """The IMDb ids of the original's join: "title (year)" of the score table found letter by letter in the list."""
    scored = pd.read_csv(excels / "movie_metadata.csv")
    named = scored.movie_title.str[:-1] + " (" + scored.title_year.astype("Int64").astype(str) + ")"
    found = scored[named.isin(pd.read_csv(excels / "ml-youtube.csv").title)]
    return set(found.movie_imdb_link.str.extract(r"(tt\d{7,10})")[0])


def splits(project: Project) -> dict:
    """Mean and sd over random splits of nMSE, by each baseline's candidates, on the films of the original's join."""
    films = evidence_films(project)
    films = films[films.imdb_id.isin(joined_by_title(project.excels))].reset_index(drop=True)
    errors: dict[str, list[float]] = {}
    for train, test in ShuffleSplit(SPLITS, test_size=TEST, random_state=0).split(films):
        sides, truth = (films.iloc[train], films.iloc[test]), films.score.to_numpy()[test]
        for name in list(BASELINES)[1:]:
            for kind, model in candidates(sides[0], name).items():
                predicted = model.fit(sides[0], sides[0].score).predict(sides[1])
                errors.setdefault(f"{name}, {kind}", []).append(float(nmse(truth, predicted)))
    figures = {name: {"mean": float(np.mean(of)), "sd": float(np.std(of))} for name, of in errors.items()}
    return {"films": len(films), "splits": SPLITS, "figures": figures}


def of_catalogue(project: Project) -> dict:
    """The baselines on all films of our join, out of fold."""
    films = evidence_films(project)
    return evaluate_features(films[films.imdb_id.isin(load(project).films.imdb_id)].reset_index(drop=True), repeats=1)


def of_trailers(file: str, **columns: str) -> Callable[[Project], dict]:
    """What sources, the columns of a table of trailer features whose names begin so, say of its films with a score."""

    def evaluate(project: Project) -> dict:
        films = evidence_films(project)
        table = read_features(project.root / file, films)
        sources = {name: table.loc[:, table.columns.str.startswith(start)] for name, start in columns.items()}
        return evaluate_features(films, sources)

    return evaluate


EMBEDDING, HAND_MADE = "trailer_embeddings.npz", "trailer_features/train_features.tsv"
PARTS = {
    "splits": splits,
    "metadata": of_catalogue,
    "embedding": of_trailers(EMBEDDING, trailer=""),
    "both": of_trailers(HAND_MADE, visual="avf", audio="ivec"),
    "visual": of_trailers(HAND_MADE, trailer="avf"),
    "audio": of_trailers(HAND_MADE, trailer="ivec"),
}
TITLES = {
    "metadata": "Metadata known before release",
    "embedding": "Embedding of the whole trailer by an audio-visual network trained on genres (MMX-Trailer-20)",
    "both": "Hand-made features of the trailer: visual and audio, two sources stacked (MMTF-14K)",
    "visual": "Hand-made visual features alone (MMTF-14K)",
    "audio": "Audio i-vectors alone (MMTF-14K)",
}
TEXT = """# What trailers and metadata say of a score

Made by `evidence.py` from `evidence.json`; do not edit. Real films: IMDb scores of the IMDB 5000 spreadsheet.

```
python benchmarks/evidence.py --real FOLDER      # or parts of it: {parts}
python -m trailer_lib evidence --features FILE   # the same on tables of features, a row a film, by IMDb id
```

nMSE is the squared error / the variance of the scores: 1 is the mean score, lower is better. Brackets are 95 %
bootstrap intervals (BCa) over films, of predictions out of fold; the films that a model learnt from are not drawn anew,
so they do not cover another training set. Heads, models and weights are chosen within the train films of
each fold. "All metadata" is genres, running time, year, content rating, country, language, colour, budget, aspect
ratio, faces on the poster, and the mean score of the director's and the actors' earlier train films. Votes, reviews,
gross and keywords come after the release; Facebook's likes were counted in 2016, after the success that brought them:
they are left out.

"trailer" is the table's prediction, of several tables all of theirs stacked: weighted, each weight 0 or more, fitted on
predictions that no model made of films it saw. "trailer minus" is its nMSE minus that of the table in the row: what the
other tables add. "+ trailer" stacks the baseline with every table.

![nMSE with intervals](evidence.png)

## Metadata, in random splits as the original's

{splits}

{sections}

## Measured on

{machines}
"""


def write(results: dict) -> None:
    measured = {part: results[part]["figures"] for part in TITLES if part in results}
    sections = [f"## {TITLES[part]}\n\n{_facts(figures)}\n\n{_markdown(evidence_table(figures))}"
                for part, figures in measured.items()]  # fmt: skip
    text = TEXT.format(
        parts=" ".join(PARTS),
        splits=_splits(results["splits"]["figures"]) if "splits" in results else "Not measured.",
        sections="\n\n".join(sections),
        machines="\n".join(machine.line(part, result["machine"]) for part, result in results.items()),
    )
    files.write_text(HERE / "EVIDENCE.md", text)
    _plot(measured)


def _facts(figures: dict) -> str:
    repeats = f"{figures['repeats']} times" if figures["repeats"] > 1 else "once"
    chosen = ", ".join(f"{head} in {count}" for head, count in figures["chosen"].items())
    folds = f"{figures['films']:,} films, {figures['folds']} folds, assigned {repeats}."
    return f"{folds} Heads, by fold: {chosen}." if chosen else folds


def _splits(figures: dict) -> str:
    rows = pd.DataFrame(figures["figures"]).T
    table = pd.DataFrame({"nMSE": rows["mean"].map("{:.3f}".format), "sd over splits": rows["sd"].map("{:.3f}".format)})
    return f"{figures['films']:,} films, {figures['splits']} random splits.\n\n{_markdown(table)}"


def _markdown(table: pd.DataFrame) -> str:
    lines = [
        ["", *table.columns],
        ["---"] * (1 + len(table.columns)),
        *([name, *row] for name, *row in table.itertuples()),
    ]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def _plot(measured: dict[str, dict]) -> None:
    """One picture: the rows that answer the question, of every part."""
    rows = {}
    for part, figures in measured.items():
        for who, metrics in figures["metrics"].items():
            if who != "mean baseline":
                rows[f"{part}: {who}"] = metrics
    if rows:
        scheme_table({"metrics": rows}).savefig(HERE / "evidence.png", dpi=110)


def main() -> None:
    matplotlib.use("agg")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=list(PARTS), metavar="PART", help=" | ".join(PARTS))
    parser.add_argument("--real", type=Path, default=HERE.parent.parent / "shared" / "real", help="the real data")
    args = parser.parse_args()
    path = HERE / "evidence.json"
    project = Project.open(args.real)
    for part in args.parts:
        result = {"machine": machine.facts(PACKAGES), "figures": PARTS[part](project)}
        results = json.loads(path.read_text()) if path.exists() else {}
        results = {name: (results | {part: result})[name] for name in PARTS if name in results or name == part}
        files.write_json(path, results)
        write(results)
        print(f"{part} is in {HERE / 'EVIDENCE.md'}")


if __name__ == "__main__":
    main()
