"""Several schemes of training on the same folds of the same films, in one table; and fewer films to train on."""

import json
import shutil
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from trailer_lib import evaluation, files
from trailer_lib.catalog import trailer_keys
from trailer_lib.dataset import Dataset, assign_folds, fold_split
from trailer_lib.errors import Stopped, TrailerError
from trailer_lib.networks import read_model
from trailer_lib.progress import bar
from trailer_lib.project import Project
from trailer_lib.settings import TrainSettings
from trailer_lib.training.checkpoints import BEST, FEATURES, LAST, LOG, RESULTS
from trailer_lib.training.frozen import RIDGE_FILMS, film_features, fit_ridge
from trailer_lib.training.run import fit, new_module, refuse_contradictions
from trailer_lib.training.scoring import Parts, count_test, film_parts, fit_sound

FINAL = (
    "The test films are among these, and have been scored {} times since the split was made: a scheme chosen by this"
    " table has no untouched films left to be tested on."
)
FOLD = "fold.json"  # what a fold is trained by and, once it is finished, its predictions


class Fold(NamedTuple):
    repeat: int  # its number
    name: str  # of its folder
    data: Dataset  # with its split
    levels: dict[str, Parts]  # of metadata, fitted on the train films: their predictions of the "val" and "test" films


def find_schemes(name: str) -> Path:
    """The file of that path, else the library's own of that name: schemes.toml or original.toml."""
    own = Path(__file__).with_name(Path(name).name)
    return own if not Path(name).exists() and name == own.name and own.exists() else Path(name)


def read_schemes(path: Path) -> dict[str, dict[str, Any]]:
    """Scheme name -> the train settings in which it differs; a table of a TOML file each."""
    schemes = files.read_toml(path)
    if not schemes or not all(isinstance(scheme, dict) for scheme in schemes.values()):
        raise TrailerError(f"{path}: expected a table for each scheme, like [five-frames] with frames = 5 below")
    return schemes


def compare(
    project: Project, schemes: dict[str, dict[str, Any]], folds: int = 5, repeats: int = 1,
    data: Dataset | None = None, final: bool = False,
) -> dict:  # fmt: skip
    """Train each scheme on each fold and evaluate its predictions for the films it had not seen; as plain numbers.

    The test films are left out, so that a scheme can be chosen by the table and still be tested; `final` takes them in,
    and counts it. Each film is predicted once a repeat, by a model that trained on the other folds but one, which chose
    the epoch. A fold that was finished with the same settings, films and split is not trained again, and one that was
    stopped is resumed; the folds' models are not kept. The result, also in models/schemes/results.json: metrics of
    each scheme's sources and of the baselines, paired differences of their nMSE, seconds (None if any fold was
    resumed).
    """
    folders = {name: files.safe_name(name, 80) for name in schemes}
    for name, folder in folders.items():
        taken = [*folders.values()].count(folder) > 1
        if taken or name in (*evaluation.BASELINES, "metadata") or ": " in name:
            raise TrailerError(f"scheme {name!r}: the name is that of another row of the table: rename it")
    data = Dataset.open(project) if data is None else data
    warnings = [FINAL.format(count_test(project, data))] if final else []
    data = data if final else data.without("test")
    if np.ptp(data.films.score) == 0:
        raise TrailerError(f"all {len(data.films)} films have the same score: there is nothing to compare")
    data = replace(data, films=evaluation.add_metadata(project, data.films))
    settings = {name: project.settings("train", **scheme) for name, scheme in schemes.items()}
    for scheme in settings.values():
        scheme.refuse_idle()
        refuse_contradictions(scheme)
    rounds, rows, seconds = _folds(data, folds, repeats), {}, {}
    with bar(total=len(rounds) * len(settings), desc="schemes", unit="fold") as progress:
        for name, chosen in settings.items():
            done = []
            for fold in rounds:
                progress.set_postfix_str(f"{name}, {fold.name}")
                done.append(_train_fold(project, chosen, fold, folders[name]))
                progress.update()
            rows |= _named(name, _out_of_fold(rounds, [found["predicted"] for found in done]))
            costs = [found["seconds"] for found in done]
            seconds[name] = None if None in costs else round(sum(costs), 1)
    scores = [fold.data.split("train").score for fold in rounds]
    constants = [{"mean baseline": train.mean(), "median": train.median()} for train in scores]
    baselines = _out_of_fold(rounds, [same | fold.levels["test"] for same, fold in zip(constants, rounds)])
    result = evaluation.compare_schemes(data.films, list(settings), rows, baselines)
    result |= {"folds": folds, "repeats": repeats, "warnings": warnings, "seconds": seconds}
    files.write_json(project.models / "schemes" / RESULTS, result)
    return result


def _named(scheme: str, rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The rows that every fold has. The metadata's is the same for all schemes; a single row has the scheme's name."""
    rows = {row: points for row, points in rows.items() if np.isfinite(points).all()}
    return {row if row == "metadata" else f"{scheme}: {row}" if len(rows) > 1 else scheme: rows[row] for row in rows}


def _folds(data: Dataset, folds: int, repeats: int) -> list[Fold]:
    keys = trailer_keys(data.films)
    keys, salt = keys.where(keys != "", data.films.imdb_id), data.card["settings"]["salt"]
    rounds = []
    for repeat in range(repeats):
        assigned = assign_folds(keys, folds, repeat, salt)
        if (fewest := np.bincount(assigned, minlength=folds).min()) < 2:
            few = f"one of {folds} folds of {len(keys)} films has {fewest}, and 2 are needed"
            raise TrailerError(f"{few}: take fewer folds, or more films")
        for fold in range(folds):
            split = data.with_split(fold_split(assigned, folds, fold))
            fitted = evaluation.fit_metadata(split.split("train"))
            levels = {name: evaluation.metadata_levels(fitted, split.split(name)) for name in ("val", "test")}
            rounds.append(Fold(repeat, f"repeat {repeat} fold {fold}", split, levels))
    return rounds


def _train_fold(project: Project, settings: TrainSettings, fold: Fold, scheme: str) -> dict:
    """What a training left, after training it if need be: `predicted`, by row of its sources, and `seconds`."""
    data, folder = fold.data, project.models / "schemes" / scheme / fold.name
    films = int(pd.util.hash_pandas_object(data.films).sum())  # with their split and metadata
    wanted = {"settings": settings.as_dict(), "films": films}
    wanted |= {"dataset": data.card["settings"], "hashes": data.card["hashes"]}
    wanted, found = json.loads(json.dumps(wanted)), files.read_json(folder / FOLD)
    if found.get("wanted") != wanted:
        if found and fold.name == "repeat 0 fold 0":  # one line a scheme, whose first fold this is
            LOG.warning(f"scheme {scheme!r} is trained anew: {_difference(found.get('wanted', {}), wanted)}")
        shutil.rmtree(folder, ignore_errors=True)
        files.write_json(folder / FOLD, {"wanted": wanted})
    elif {"predicted", "seconds"} <= found.keys():
        return found
    resume, start = (folder / LAST).exists(), time.monotonic()
    try:
        fit(project, settings, data, folder, resume=resume)
    except Stopped:
        raise Stopped("stopped; what is finished is kept, and the same comparison resumes the rest") from None
    predicted = _predict_fold(folder, fold, project.models / FEATURES)
    seconds = None if resume else round(time.monotonic() - start, 1)
    found = {"wanted": wanted, "predicted": predicted, "seconds": seconds}
    files.write_json(folder / FOLD, found)
    for name in (BEST, LAST):  # a table of schemes would fill the disk with them
        (folder / name).unlink(missing_ok=True)
    return found


def _predict_fold(folder: Path, fold: Fold, cache: Path) -> dict[str, list[float]]:
    """The predictions of the test films by each row of the sources, whose weights the val films decide."""
    model = read_model(folder / BEST)
    fit_sound(model, fold.data, cache)
    val, test = (film_parts(model, fold.data, split, cache, fold.levels[split]) for split in ("val", "test"))
    stack = evaluation.Stack(fold.data.split("val").score, val, model.facts["score_mean"])
    rows = stack.rows(test, model.settings.sources)
    return {name: points.tolist() for name, points in rows.items()}


def _difference(before: dict, wanted: dict) -> str:
    before, now = before.get("settings", {}), wanted["settings"]
    changed = [f"{name}={now[name]!r}, not {before.get(name)!r}" for name in now if now[name] != before.get(name)]
    return ", ".join(changed) or "other films or folds than it was started with"


def _out_of_fold(rounds: list[Fold], predictions: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Each fold's predictions of its test films together, by name: float [repeats, films], nan where there are none."""
    shape = rounds[-1].repeat + 1, len(rounds[0].data.films)
    rows: dict[str, np.ndarray] = defaultdict(lambda: np.full(shape, np.nan))
    for fold, predicted in zip(rounds, predictions):
        for name, points in predicted.items():
            rows[name][fold.repeat, fold.data.split("test").index] = points
    return dict(rows)


def fewer_films(project: Project, settings: TrainSettings, data: Dataset, draws: int = 5) -> pd.DataFrame:
    """Would more films help? The val error of heads fitted on an eighth, a quarter, half and all of the train films.

    A row a draw of films: films, draw, val_loss (mean squared error of standardised scores). The backbone is frozen.
    """
    torch.manual_seed(settings.seed)  # for random first weights
    network = new_module(project, data, settings).network
    train, val = data.split("train"), data.split("val")
    features = film_features(network, data, project.models / FEATURES)[[*train.index, *val.index]]
    scores = np.concatenate([train.score, val.score])
    target = (scores - train.score.mean()) / train.score.std(ddof=0)
    rng, rows = np.random.default_rng(settings.seed), []
    for share in (1 / 8, 1 / 4, 1 / 2, 1):
        count = round(share * len(train))
        for draw in range(draws if share < 1 else 1) if count >= RIDGE_FILMS else ():
            chosen = rng.choice(len(train), count, replace=False)
            head = fit_ridge(features[chosen], target[chosen], network.blocks)
            with torch.inference_mode():
                predicted = head(torch.from_numpy(features[len(train) :])).squeeze(1).numpy()
            rows.append((count, draw, float(((predicted - target[len(train) :]) ** 2).mean())))
    table = pd.DataFrame(rows, columns=["films", "draw", "val_loss"])
    table.attrs["val_films"] = len(val)
    return table


def films_sentence(table: pd.DataFrame) -> str:
    """Whether more films would help, from `fewer_films`: what the last doubling of the train films changed."""
    groups = table.groupby("films").val_loss
    if (count := table.attrs["val_films"]) < RIDGE_FILMS:
        return f"{count} validation films are too few to tell whether more films would help."
    if len(groups) < 2:
        return f"{table.films.max()} train films are too few to leave some out."
    (half, before), (films, after) = groups.mean().iloc[-2:].items()
    spread = groups.std()[half]
    text = f"From {half} to {films} train films the validation loss went from {before:.2f} to {after:.2f}"
    verdict = "more films would help" if before - after > spread else "no more than other draws of films change it"
    return f"{text}: {verdict}."
