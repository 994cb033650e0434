"""A result: predictions of a split's films, row by row, beside the baselines; what it says in words; its tables."""

import json

import numpy as np
import pandas as pd

from trailer_lib.evaluation import metrics
from trailer_lib.evaluation.baselines import missing_baselines
from trailer_lib.evaluation.metrics import GAINS, Metric, difference, is_better, trailer_row

Rows = dict[str, np.ndarray]


def compare_with_baselines(
    train: pd.DataFrame, test: pd.DataFrame, rows: Rows, levels: Rows, split: str = "test"
) -> dict:
    """The `rows` of a result (Stack.rows) on the films of `split` as plain numbers, beside the baselines.

    `levels`: the baselines' predictions, of `metadata_levels`. None in the result is what is undefined.
    """
    truth, mean, trailer = test.score.to_numpy(), train.score.mean(), trailer_row(rows)
    baselines = {"mean baseline": np.full(len(test), mean)}
    for name in [*levels][: -1 if "metadata" in rows else None]:  # the richest level is the row "metadata"
        baselines[name] = np.where(np.isnan(levels[name]), mean, levels[name])
    everyone, median = rows | baselines, np.full(len(test), train.score.median())
    pairs = [(row, "mean baseline") for row in rows] + [(trailer, name) for name in [*baselines][1:]]
    pairs += [pair for pair in GAINS if {*pair} <= rows.keys()]
    results = {
        "split": split,
        "films": len(test),
        "train_mean": float(mean),
        "row": [*rows][-1],
        "metrics": metrics.evaluate_all(truth, everyone, median),
        "nMSE minus": metrics.paired_differences(truth, everyone, pairs),
        "left out": missing_baselines(train),
        "sd of predictions / sd of scores": float(np.std(rows[trailer]) / max(train.score.std(ddof=0), 1e-9)),
        "collapsed": metrics.collapsed(rows[trailer], train.score.to_numpy()),
    }
    return json.loads(json.dumps(results), parse_constant=lambda nan: None)  # NaN is no JSON


def verdict(results: dict) -> str:
    """Whether the trailer tells more than the mean score, and adds to what is known, with the numbers."""
    row = trailer_row(results["metrics"])
    gain, films = difference(results, row), f"{results['films']} {results['split']} films"
    if str(gain) == "undefined":
        return f"Nothing to compare: all {films} have the same score, so their nMSE is undefined."
    if results["films"] < metrics.MIN_FILMS:
        return f"Too few to tell: {films}, at least {metrics.MIN_FILMS} are needed."
    films = f"on {films} (nMSE of {row} minus the mean baseline's: {gain:+.2f})"
    if results["collapsed"]:
        share = f"{results['sd of predictions / sd of scores']:.1%} of the scores'"
        remedy = "try another scheme, a lower lr, or freeze the backbone."
        return f"Collapsed: the sd of the predictions is {share} {films}: {remedy}"
    text = f"{'Better' if is_better(results, row) else 'Not shown to be better'} than the mean baseline {films}."
    if added := difference(results, "all", "metadata"):
        adds = "adds" if is_better(results, "all", "metadata") else "is not shown to add"
        text += f" The trailer {adds} to the metadata (nMSE of all minus metadata's: {added:+.2f})."
    return text


def result_warnings(results: dict) -> list[str]:
    """What must not be overlooked in a result, a line each."""
    row = trailer_row(results["metrics"])
    worth = f"Its predictions from {row} alone are worth no more than the mean score."
    return [] if is_better(results, row) else [f"{verdict(results)} {worth}"]


def error_table(predictions: pd.DataFrame, fewest: int = 3) -> pd.DataFrame:
    """By genre and by decade: films, at least `fewest`, and the mean of |`error`| and of `error`, in IMDb points."""
    genres = predictions.assign(group=predictions.genres.str.split("|")).explode("group")
    decades = predictions.assign(group=(predictions.year // 10 * 10).astype(str) + "s")
    groups = pd.concat([genres[genres.group != ""], decades]).groupby("group").error
    size = groups.apply(lambda errors: errors.abs().mean())
    table = pd.DataFrame({"films": groups.size(), "MAE": size, "mean error": groups.mean()})
    return table[table.films >= fewest].round(2)


def metric_table(results: dict) -> pd.DataFrame:
    """The metrics of a result as a table: a row each, "value [low, high]" in the cells."""
    return pd.DataFrame(results["metrics"]).map(lambda metric: str(Metric(**metric))).T


def difference_table(results: dict) -> pd.DataFrame:
    """The nMSE of a result's rows minus that of others on the same films, with 95 % intervals."""
    pairs = [(pair["row"], pair["than"]) for pair in results["nMSE minus"]]
    rows = [(*pair, f"{difference(results, *pair):+.2f}") for pair in pairs]
    return pd.DataFrame(rows, columns=["nMSE of", "minus that of", "difference"]).set_index("nMSE of")


def compare_schemes(films: pd.DataFrame, schemes: list[str], rows: Rows, baselines: Rows) -> dict:
    """The result of training.compare as plain numbers: its schemes' rows, the best scheme first, and the baselines.

    `rows` and `baselines`: float [repeats, films]; "median" is the constant of the least absolute error.
    """
    truth, median = films.score.to_numpy(), baselines.pop("median")
    if "metadata" in rows and len(baselines) > 1:  # the row of the richest level
        baselines.popitem()
    everyone = rows | {name: points for name, points in baselines.items() if np.isfinite(points).all()}
    found = metrics.evaluate_all(truth, everyone, median)
    own = {scheme: [row for row in rows if row.split(": ")[0] == scheme] or ["metadata"] for scheme in schemes}
    ranked = sorted(schemes, key=lambda scheme: found[own[scheme][-1]]["nMSE"]["value"])
    order = list(dict.fromkeys(row for scheme in ranked for row in own[scheme]))
    pairs = _scheme_pairs(order, ranked[0]) + [(row, "mean baseline") for row in everyone if row != "mean baseline"]
    return {
        "films": len(films),
        "best": ranked[0],
        "metrics": {row: found[row] for row in dict.fromkeys([*order, *everyone])},
        "nMSE minus": metrics.paired_differences(truth, everyone, pairs),
        "collapsed": [row for row in order if metrics.collapsed(rows[row], truth)],
        "left out": missing_baselines(films),
    }


def _scheme_pairs(rows: list[str], best: str) -> list[tuple[str, str]]:
    """Each row and that of the best scheme with the same sources, and each row and the one that it adds a source to."""
    pairs = []
    for row in rows:
        scheme, colon, sources = row.partition(": ")
        pairs += [(row, f"{best}{colon}{sources}")]
        pairs += [(row, than if than == "metadata" else f"{scheme}: {than}") for name, than in GAINS if name == sources]
    return [(row, than) for row, than in pairs if row != than and (than in rows or than == "metadata")]


def comparison_table(results: dict) -> pd.DataFrame:
    """`compare`'s result: a scheme's rows, the best scheme first, and the baselines; "value [low, high]" in the cells.

    The last columns: nMSE minus that of the best scheme with the same sources, what a source adds to frames or to
    metadata, seconds, a remark.
    """
    table = metric_table(results)
    last = {row.split(": ")[0]: row for row in table.index}  # of each scheme's rows

    def minus(row: str, than: str) -> str:
        gain = difference(results, row, than)
        return f"{gain:+.2f}" if gain else ""

    def beside(row: str) -> dict[str, str | float]:
        scheme = row.split(": ")[0]
        return {
            "nMSE minus the best's": minus(row, row.replace(scheme, results["best"], 1)),
            "minus frames' or metadata's": minus(row, "metadata") or minus(row, f"{scheme}: frames"),
            "seconds": (row == last[scheme] and results["seconds"].get(scheme)) or "",
            "remark": remark(row) if scheme in results["seconds"] else "",
        }

    def remark(row: str) -> str:
        if row in results["collapsed"]:
            return "collapsed: nearly the same prediction for all films"
        return "" if difference(results, row).high < 0 else "not shown to be better than the mean baseline"

    return table.join(pd.DataFrame([beside(row) for row in table.index], table.index))
