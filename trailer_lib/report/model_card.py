"""The model card (Mitchell et al. 2019) of a training: models/README.md and its figures."""

import json
import re
from pathlib import Path, PureWindowsPath
from typing import Any

import pandas as pd

from trailer_lib import files
from trailer_lib.dataset import Dataset
from trailer_lib.errors import TrailerError
from trailer_lib.evaluation import baseline_losses, comparison_table, difference_table, metric_table
from trailer_lib.project import Project
from trailer_lib.report import plots
from trailer_lib.training import HISTORY, PREDICTIONS, RESULTS

TEMPLATE = Path(__file__).with_suffix(".md")
SOURCES = {
    "frames": "{frames} frames of the trailer through {backbone}, aggregate {aggregate}, head {head}",
    "sound": "ridge regression on features of {backbone}, of the log-mel spectrogram in clips of 4.1 seconds",
    "metadata": "ridge regression or boosting on genres, running time, year and more, as far as the tables have them",
}
STACKING = """\
A prediction is the train films' mean plus a weighted sum of the sources' deviations from it. The weights are fitted on
the validation films by non-negative least squares (Breiman 1996, stacked regressions), shrunk towards the mean of the
sources as by 3 films' worth. A film without a source is predicted from those that it has, by weights for that case."""
SPLITS = {
    "test": "test films, used for nothing else",
    "validation": "validation films, each by weights fitted without it; the test films have not been scored",
}


def write_card(project: Project) -> Path:
    """Write models/README.md of the last training, with its figures, and the schemes' where they were compared.

    TrailerError when a file of the training is missing, damaged, or of another dataset.
    """
    models, compared, data = project.models, project.models / "schemes" / RESULTS, Dataset.open(project, verify=False)
    try:
        results, history = json.loads((models / RESULTS).read_text("utf-8")), pd.read_csv(models / HISTORY, dtype=float)
        if results["split_hash"] != data.card["split_hash"] or results["dataset"] != data.card["settings"]:
            raise ValueError(f"{RESULTS} is of another dataset than {project.dataset}")
        schemes = json.loads(compared.read_text("utf-8")) if compared.exists() else None
        loss, epochs = results["settings"]["loss"], int(history.epoch.max())
        figures = {
            "learning_curve": plots.learning_curve(history, baseline_losses(data, loss), epochs, loss),
            "results": plots.scheme_table(results),
            "predicted_against_true": plots.predicted_against_true(pd.read_csv(models / PREDICTIONS), results),
        }
        if schemes:
            figures["schemes"] = plots.scheme_table(schemes)
        text = card_text(data, results, history, schemes)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise TrailerError(f"{models}: no model card ({reason}): train again (train --root {project.root})") from error
    for name, figure in figures.items():
        with files.atomic_path(models / f"{name}.png") as temporary:
            figure.savefig(temporary, format="png", dpi=110)
    files.write_text(models / "README.md", text)
    return models / "README.md"


def card_text(data: Dataset, results: dict[str, Any], history: pd.DataFrame, schemes: dict[str, Any] | None) -> str:
    """The card in Markdown. What comes from files is escaped, so that a name cannot become a link or markup."""
    chosen, card, years = results["settings"], data.card, data.films.year
    best, last = history.loc[history.val_loss.idxmin()], history.epoch.max()
    sources = [escape(f"- {source}: {SOURCES[source].format(**chosen)}.") for source in chosen["sources"]]
    cases = [(case, n["films"], f"{n['MAE']:.2f}", f"{n['mean baseline']:.2f}") for case, n in results["cases"].items()]
    splits = [(split, count, f"{data.split(split).score.mean():.2f}") for split, count in card["splits"].items()]
    remarks = [*results["warnings"], *(f"Not compared with {row}: {why}." for row, why in results["left out"].items())]
    training, compared = "", ""
    if "frames" in chosen["sources"]:
        training = (
            f"Epoch {best.epoch:.0f} of {last:.0f} of the frames' network was saved (0: a head fitted on frozen"
            f" features), val loss {best.val_loss:.3f}, {escape(chosen['loss'])} of standardised scores.\n\n"
            "![Loss](learning_curve.png)"
        )
    if schemes:
        table = _table(comparison_table(schemes).rename_axis("scheme").reset_index())
        compared = f"Schemes on {schemes['films']} films, {schemes['folds']} folds, each film tested once a repeat:"
        compared = f"{compared}\n\n{table}\n\n![nMSE](schemes.png)"
    text = TEMPLATE.read_text(encoding="utf-8").format(
        verdict=escape(results["verdict"]),
        weights=escape(results["weights"]),
        sources="\n".join(sources),
        stacking=STACKING if len(sources) > 1 else "",
        data=f"{card['films']} films of {years.min()} to {years.max()}, {card['frames']} frames of"
        f" {data.frames.shape[1]} x {data.frames.shape[2]} pixels, {card['clips']} clips of sound of"
        f" {card['films_with_sound']} films, from {escape(card['source'])}; scores from {escape(card['scores_from'])}.",
        splits=_table(pd.DataFrame(splits, columns=["split", "films", "mean score"])),
        left_out=_table(pd.DataFrame(card["left_out"].items(), columns=["left out because", "films"])),
        training=training,
        settings=_table(pd.DataFrame({"setting": [*chosen], "value": map(without_folders, chosen.values())})),
        films=f"{results['films']} {SPLITS[results['split']]}",
        metrics=_table(metric_table(results).rename_axis("predictions of").reset_index()),
        differences=_table(difference_table(results).reset_index()),
        cases=_table(pd.DataFrame(cases, columns=["predicted from", "films", "MAE", "the mean baseline's"])),
        schemes=compared,
        remarks="\n".join(f"- {escape(line)}" for line in remarks),
    )
    return re.sub(r"\n{3,}", "\n\n", text)  # what has nothing to say leaves no gap


def without_folders(value: Any) -> Any:
    """A setting that names a place outside the root, cut to its last name: the rest is the machine's business."""
    kind = "folder:" if str(value).startswith("folder:") else ""
    place = PureWindowsPath(str(value).removeprefix(kind))  # it knows both separators
    outside = place.root or place.drive or {"..", "~"} & set(place.parts)
    return kind + place.name if outside else value


def _table(frame: pd.DataFrame) -> str:
    rows = [frame.columns, ["---"] * frame.shape[1], *frame.astype(object).to_numpy()]
    return "\n".join(f"| {' | '.join(escape(cell) for cell in row)} |" for row in rows) if len(frame) else ""


def escape(value: object) -> str:
    """`value` as plain text within a line of Markdown, in a table too."""
    return re.sub(r"([\\`*_{}\[\]<>|#!~&])", r"\\\1", " ".join(str(value).split()))
