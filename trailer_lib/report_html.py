"""A training run as one page that needs nothing else: no network, readable on a phone and in the dark."""

import base64
import hashlib
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from trailer_lib import answer_html, baselines, compare, evaluate, report_charts
from trailer_lib.dataset import SPLITS
from trailer_lib.evaluate import Metric
from trailer_lib.run_facts import RunFacts
from trailer_lib.strip import small

HERE = Path(__file__).parent
FILMS, FRAMES, LINES = 4, 5, 96  # best and worst films shown, frames of each, lines of a frame
MOST = 2000  # test films drawn and listed; more would make the page too large for a phone


def page(facts: RunFacts) -> str:
    """The page. What stands in it is escaped, and its policy lets it load nothing and run its own script alone."""
    style, script = ((HERE / f"report.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    hashed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template("report.jinja").render(
        style=Markup(style), script=Markup(script), hashed=hashed, **_context(facts)
    )


def _context(facts: RunFacts) -> dict[str, Any]:
    results, predictions = facts.results, facts.predictions
    listed = predictions.sort_values("score", ascending=False).iloc[:: -(-len(predictions) // MOST)]
    scores = facts.data.split("train").score
    return {
        "card": facts.data.card, "results": results, "settings": facts.settings, "scrape": facts.scrape,
        "splits": [(split, len(films), films.score) for split in SPLITS for films in [facts.data.split(split)]],
        "tiles": tiles(facts), "warnings": results["warnings"], "limits": limits(facts),
        "histogram": report_charts.histogram(facts.data.films, float(scores.mean())),
        "curves": report_charts.curves(facts.history, facts.constants, results["settings"]["loss"]),
        "history": facts.history, "constants": facts.constants, "cut": _cut(facts),
        "own": _table(results, evaluate.table(results)),
        "compared": _table(facts.schemes, compare.table(facts.schemes)) if facts.schemes else None,
        "schemes": facts.schemes, "scatter": report_charts.scatter(listed, results["train_mean"]),
        "listed": list(listed.itertuples()), "best": _films(facts, best=True), "worst": _films(facts, best=False),
        "film_line": report_charts.film_line,
    }  # fmt: skip


def tiles(facts: RunFacts) -> list[tuple[str, str, str]]:
    """The run in a few numbers: (what, value, its interval or unit)."""
    metrics, missed = facts.results["metrics"], facts.predictions.error.abs()
    return [
        ("test films", str(facts.results["films"]), f"of {facts.data.card['films']}"),
        ("nMSE, lower is better", *_value(metrics["trailer"]["nMSE"])),
        ("nMSE of the constant", *_value(metrics["constant"]["nMSE"])),
        ("mean error in points", *_value(metrics["trailer"]["MAE"])),
        ("half are off by less than", f"{missed.median():.2f}", "points"),
    ]


def _value(metric: dict[str, float]) -> list[str]:
    return str(Metric(**metric)).split(" ", 1)


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


def _cut(facts: RunFacts) -> int:
    losses = facts.history[["train_loss", "val_loss"]]
    return int((losses > report_charts.loss_limit(facts.constants)).any(axis=1).sum())


def _table(results: dict[str, Any], rows: pd.DataFrame) -> dict[str, Any]:
    """Names of columns, and rows of (name, is it a baseline, interval of nMSE, cells)."""
    rows = rows.loc[:, (rows != "").any()]  # no column of remarks when there are none
    metrics = {who: Metric(**found["nMSE"]) for who, found in results["metrics"].items()}
    ends = report_charts.interval_ends(metrics.values())
    lines = []
    for who, cells in rows.iterrows():
        known = who in baselines.BASELINES
        picture = report_charts.interval(metrics[who], ends, "constant" if known else "film")
        lines.append((who, known, picture, list(cells)))
    return {"columns": list(rows.columns), "rows": lines}


def _films(facts: RunFacts, best: bool) -> list[dict[str, Any]]:
    """The test films that were answered best or worst, with frames of each."""
    order = facts.predictions.error.abs().sort_values(ascending=best, kind="stable").index
    shown = facts.predictions.loc[order[: min(FILMS, max(1, len(order) // 2))]]
    return [
        {
            "line": report_charts.film_line(film),
            "frames": [
                answer_html.data_uri(small(picture, LINES)) for picture in facts.data.film_frames(film.Index, FRAMES)
            ],
        }
        for film in shown.itertuples()
    ]
