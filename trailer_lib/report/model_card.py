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

FRONT_MATTER = """\
---
library_name: trailer_lib
tags: [movie-trailers, imdb, regression, video, audio]
metrics: [mse, mae, r_squared, spearmanr]
# license: your choice, say mit
---"""
SOURCES = {
    "frames": "{frames} frames of the trailer through {backbone}, aggregate {aggregate}, head {head}",
    "sound": "ridge regression on features of {backbone}, of the log-mel spectrogram in clips of 4.1 seconds",
    "metadata": "ridge regression or boosting on genres, running time, year and more, as far as the tables have them",
}
STACKING = """\
A prediction is the train films' mean plus a weighted sum of the sources' deviations from it. The weights are fitted on
the validation films by non-negative least squares (Breiman 1996, stacked regressions), shrunk towards the mean of the
sources as by 3 films' worth. A film without a source is predicted from those that it has, by weights for that case."""
USE = """\
To study how much of a film's IMDb score shows in its trailer, among films like those the model was trained on.
Not for decisions on people, on money, or on which films get made or shown; not for videos other than film trailers."""
LIMITS = """\
- nMSE is the mean squared error over the variance of the films' scores: 0 is perfect, 1 is their own mean's.
- The mean baseline always predicts the train films' mean; a model that does not beat it is worth no more.
- Brackets are 95 % bootstrap intervals over the films; another seed, split or kind of film is not covered.
- The validation films chose the saved epoch and the weights of the sources, so its val loss is a little too good.
- Of a film that has none of a row's sources the row predicts the train films' mean.
- A score is for a whole film; a trailer is a few minutes chosen to sell it: much of a score is not in it."""
SPLITS = {
    "test": "test films, used for nothing else",
    "validation": "validation films, which chose the saved epoch, each by weights fitted without it; the test films"
    " have not been scored",
}
ETHICS = """\
- Votes come from one site. The model learns its voters' taste, and is less right for kinds of which it saw few films.
- Frames show people. The model does not recognise anyone, and its prediction is no statement on anyone in them.
- The model file has each train film's score and metadata, for at most 2,000 of them the title and one small frame too,
  and the validation films' scores. Trailers belong to their owners."""


def write_card(project: Project) -> Path:
    """Write models/README.md of the last training, with its figures, and the schemes' where they were compared.

    TrailerError when a file of the training is missing, damaged, or of another dataset.
    """
    models, compared, data = project.models, project.models / "schemes" / RESULTS, Dataset.open(project, verify=False)
    try:
        results, history = _read(models / RESULTS), _read(models / HISTORY).astype(float)
        if results["split_hash"] != data.card["split_hash"] or results["dataset"] != data.card["settings"]:
            raise ValueError(f"{RESULTS} is of another dataset than {project.dataset}")
        schemes = _read(compared) if compared.exists() else None
        loss, epochs = results["settings"]["loss"], int(history.epoch.max())
        figures = {
            "learning_curve": plots.learning_curve(history, baseline_losses(data, loss), epochs, loss),
            "results": plots.scheme_table(results),
            "predicted_against_true": plots.predicted_against_true(_read(models / PREDICTIONS), results),
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


def _read(path: Path) -> Any:
    """The value of a JSON file, or the table of a CSV file."""
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.suffix == ".json" else pd.read_csv(path)
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error


def card_text(data: Dataset, results: dict[str, Any], history: pd.DataFrame, schemes: dict[str, Any] | None) -> str:
    """The card in Markdown. What comes from files is escaped, so that a name cannot become a link or markup."""
    chosen, card, films = results["settings"], data.card, data.films
    best, last = history.loc[history.val_loss.idxmin()], history.epoch.max()
    sources = [escape(f"- {source}: {SOURCES[source].format(**chosen)}.") for source in chosen["sources"]]
    cases = [(case, n["films"], f"{n['MAE']:.2f}", f"{n['mean baseline']:.2f}") for case, n in results["cases"].items()]
    splits = [(split, count, f"{data.split(split).score.mean():.2f}") for split, count in card["splits"].items()]
    remarks = [*results["warnings"], *(f"Not compared with {row}: {why}." for row, why in results["left out"].items())]
    parts = [
        f"{FRONT_MATTER}\n\n# Model card: film scores from trailers\n\n**{escape(results['verdict'])}**",
        "## Model details",
        f"It predicts a film's IMDb score, from 1 to 10. File: `best_model.pt`. {escape(results['weights'])}.",
        "\n".join(sources),
        STACKING if len(sources) > 1 else "",
        f"## Intended use\n\n{USE}",
        "## Data",
        f"{card['films']} films of {films.year.min()} to {films.year.max()}, {card['frames']} frames of"
        f" {data.frames.shape[1]} x {data.frames.shape[2]} pixels, {card['clips']} clips of sound of"
        f" {card['films_with_sound']} films, from {escape(card['source'])}; scores from {escape(card['scores_from'])}."
        " Films that share a trailer are in one split.",
        _table(pd.DataFrame(splits, columns=["split", "films", "mean score"])),
        _table(pd.DataFrame(card["left_out"].items(), columns=["left out because", "films"])),
        "## Training",
        f"Epoch {best.epoch:.0f} of {last:.0f} of the frames' network was saved (0: a head fitted on frozen features),"
        f" val loss {best.val_loss:.3f}, {escape(chosen['loss'])} of standardised scores."
        "\n\n![Loss](learning_curve.png)"
        if "frames" in chosen["sources"]
        else "",
        _table(pd.DataFrame({"setting": [*chosen], "value": [without_folders(value) for value in chosen.values()]})),
        f"## Results\n\nOn {results['films']} {SPLITS[results['split']]}. Metadata and the baselines see no trailer.",
        _table(metric_table(results).rename_axis("predictions of").reset_index()),
        "Differences on the same films: below 0 the first is better, which an interval with 0 in it leaves open.",
        _table(difference_table(results).reset_index()),
        "Errors by what a film has, in IMDb points; a film that has more counts too:",
        _table(pd.DataFrame(cases, columns=["predicted from", "films", "MAE", "the mean baseline's"])),
        "![nMSE of each row](results.png)\n![Predicted against true scores](predicted_against_true.png)",
    ]
    if schemes:
        parts.append(f"Schemes on {schemes['films']} films, {schemes['folds']} folds, each film tested once a repeat:")
        parts += [_table(comparison_table(schemes).rename_axis("scheme").reset_index()), "![nMSE](schemes.png)"]
    parts += ["## Limits", "\n".join([*(f"- {escape(line)}" for line in remarks), LIMITS]), "## Ethical notes", ETHICS]
    return "\n\n".join(part for part in parts if part) + "\n"


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
