"""A model card (Mitchell et al. 2019) of a training run, in Markdown."""

import re
from collections.abc import Iterable

import pandas as pd

from trailer_lib import compare, evaluate
from trailer_lib.run_facts import RunFacts

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


def text(facts: RunFacts) -> str:
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
        _table(("setting", "value", "meaning"), facts.settings["train"]),
        "## Results",
        f"On {results['films']} test films that neither the training nor the choice of the epoch saw; brackets are 95 %"
        " intervals over films. Baselines see no trailer.",
        _frame_table(evaluate.table(results)),
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
        _table(("split", "films", "mean score"), rows),
    ]
    if card["left_out"]:
        sections.append(_table(("left out because", "films"), card["left_out"].items()))
    if facts.scrape["films"]:
        sections.append(_table(("scrape: last try", "films"), facts.scrape["films"].items()))
        sections.append(_table(("scrape: frames", "number"), facts.scrape["frames"].items()))
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
    return [said, _frame_table(compare.table(found))]


def _frame_table(table: pd.DataFrame) -> str:
    return _table(("answers of", *table.columns), [(who, *cells) for who, cells in zip(table.index, table.to_numpy())])


def _table(names: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    names = list(names)
    lines = [names, ["---"] * len(names), *([escape(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def escape(value: object) -> str:
    """`value` as plain text within a line of Markdown, in a table too."""
    return re.sub(r"([\\`*_{}\[\]<>|#!~&])", r"\\\1", " ".join(str(value).split()))
