"""A model card (Mitchell et al. 2019) of a training run, in Markdown."""

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
import pandas as pd

from trailer_lib.dataset import Dataset
from trailer_lib.errors import TrailerError
from trailer_lib.evaluation import baseline_losses, metric_table
from trailer_lib.project import Project
from trailer_lib.scrape import LEDGER, latest_entries
from trailer_lib.settings import STAGES
from trailer_lib.training import HISTORY, PREDICTED, PREDICTIONS, RESULTS, comparison_table

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


def read_run(project: Project) -> RunFacts:
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
        constants=baseline_losses(data, chosen["loss"]),
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
    newest = latest_entries(path).values()
    films = Counter(OUTCOMES.get(entry.status, entry.status) + entry.reason for entry in newest)
    frames: Counter = Counter()
    for entry in newest:
        dropped = {f"dropped: {reason}": count for reason, count in entry.dropped_frames.items()}
        frames += Counter({"kept": entry.kept_frames} | dropped)
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


USE = """\
To study how much of a film's IMDb score shows in its trailer, and to try such models out. It answers with the score
that a film with such a trailer would have among films like those it learnt from.

Not for decisions on people, on money, or on which films get made or shown; not for videos other than film trailers."""
ETHICS = """\
- A score is the mean of the votes of those who chose to vote on a site. Their taste, and what they do not watch, is
  what the model learns. Its answers will be less right for countries, languages and years that it saw little of.
- Frames show people. The model is not made to recognise anyone, and its answer is no statement on anyone in them.
- Trailers belong to their owners: the frames are for research, and are not part of the model file but for one small
  frame of each training film, shown with similar films."""


def model_card_text(facts: RunFacts) -> str:
    """The card. What comes from files is escaped, so that a name can't become a link or markup."""
    results, chosen = facts.results, facts.results["settings"]
    parts = [
        "# Model card: film scores from trailers",
        f"**{escape(results['verdict'])}**",
        "## Model details",
        "A network that sees frames of a trailer and answers with an IMDb score from 1 to 10:"
        f" {escape(chosen['backbone'])},"
        f" {chosen['frames']} frames a film, join {escape(chosen['join'])}, head {escape(chosen['head'])}."
        f" {escape(results['weights'])}. File: `best_model.pt`.",
        "## Intended use",
        USE,
        "## Data",
        *_data(facts),
        "## Training",
        f"{_epochs(facts)} The loss is {escape(chosen['loss'])} of standardised scores.",
        _table_model_card(("setting", "value", "meaning"), facts.settings["train"]),
        "## Results",
        f"On {results['films']} test films that neither the training nor the choice of the epoch saw; brackets are 95 %"
        " intervals over films. Baselines see no trailer.",
        _frame_table(metric_table(results)),
        *_schemes(facts),
        "## Limits",
        "\n".join(f"- {escape(line)}" for line in [*results["warnings"], *limits(facts)]),
        "## Ethical notes",
        ETHICS,
    ]
    return "\n\n".join(parts) + "\n"


def limits(facts: RunFacts) -> list[str]:
    """What the numbers mean and do not, a sentence or two each."""
    results, splits = facts.results, facts.data.card["splits"]
    lines = [
        "nMSE is the mean squared error over the variance of the test films' scores: 0 is perfect, 1 is what their own"
        " mean would get. The constant is the train films' mean; what does not beat it is worth no more than that.",
        f"Brackets are 95 % intervals over films, by bootstrap of the {results['films']} test films. They do not cover"
        " another seed, another split, or films of another kind.",
        f"The {splits['val']} validation films chose the saved epoch, so its val loss is a little too good; the test"
        " films were scored once, at the end.",
        "A score is what a site's voters gave a whole film; a trailer is a few minutes chosen to sell it. Much of a"
        " score cannot be seen in it.",
        f"Of the network: {results['weights']}.",
    ]
    return lines + [f"Not compared with {who}: {why}." for who, why in results["left out"].items()]


def _data(facts: RunFacts) -> list[str]:
    card, films = facts.data.card, facts.data.films
    rows = [
        (split, number, f"{films.score[films.split == split].mean():.2f}") for split, number in card["splits"].items()
    ]
    sections = [
        f"{card['films']} films of {films.year.min()} to {films.year.max()}, {card['frames']} frames of"
        f" {card['shape'][1]} x {card['shape'][2]} pixels from {escape(card['source'])}; scores from"
        f" {escape(card['scores_from'])}. Films that share a trailer are in one split.",
        _table_model_card(("split", "films", "mean score"), rows),
    ]
    if card["left_out"]:
        sections.append(_table_model_card(("left out because", "films"), card["left_out"].items()))
    if facts.scrape["films"]:
        sections.append(_table_model_card(("scrape: last try", "films"), facts.scrape["films"].items()))
        sections.append(_table_model_card(("scrape: frames", "number"), facts.scrape["frames"].items()))
    return sections


def _epochs(facts: RunFacts) -> str:
    best = facts.history.loc[facts.history.val_loss.idxmin()]
    if facts.history.epoch.max() == 0:
        return f"The head was fitted on frozen features; its val loss is {best.val_loss:.3f}."
    return (
        f"{facts.history.epoch.max():.0f} epochs; epoch {best.epoch:.0f} had the lowest val loss, {best.val_loss:.3f}."
    )


def _schemes(facts: RunFacts) -> list[str]:
    if not facts.schemes:
        return []
    found = facts.schemes
    said = f"Other schemes on {found['films']} films, {found['folds']} folds, each film tested once a repeat:"
    return [said, _frame_table(comparison_table(found))]


def _frame_table(table: pd.DataFrame) -> str:
    return _table_model_card(
        ("answers of", *table.columns), [(who, *cells) for who, cells in zip(table.index, table.to_numpy())]
    )


def _table_model_card(names: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    names = list(names)
    lines = [names, ["---"] * len(names), *([escape(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def escape(value: object) -> str:
    """`value` as plain text within a line of Markdown, in a table too."""
    return re.sub(r"([\\`*_{}\[\]<>|#!~&])", r"\\\1", " ".join(str(value).split()))
