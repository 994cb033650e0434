"""Several schemes of training on the same folds of the same films, in one table; and fewer films to train on."""

import itertools
import json
import shutil
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from trailer_lib import evaluation, files
from trailer_lib.catalog import trailer_keys
from trailer_lib.dataset import Dataset, assign_folds, fold_split, split_hash
from trailer_lib.errors import Stopped, TrailerError
from trailer_lib.networks import read_model
from trailer_lib.progress import bar
from trailer_lib.project import Project
from trailer_lib.settings import TrainSettings
from trailer_lib.training.checkpoints import BEST, FEATURES, LAST, LOG, RESULTS, read_json
from trailer_lib.training.frozen import MIN_FILMS, film_features, fit_ridge
from trailer_lib.training.run import fit, new_module, refuse_contradictions
from trailer_lib.training.scoring import count_test, predict_points

FINAL = (
    "The test films are among these, and have been scored {} times since the split was made: a scheme chosen by this"
    " table has no untouched films left to be tested on."
)
SHARES = (1 / 8, 1 / 4, 1 / 2, 1)  # of the train films
STARTED, DONE = "started.json", "done.json"
Fold = tuple[int, int, Dataset]  # number of the repeat, of the fold, and the dataset with its split


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
    schemes and baselines, nMSE minus that of the mean baseline and of the best scheme, seconds (None if any fold was
    resumed).
    """
    _check_names(list(schemes))
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
    rounds = _folds(data, folds, repeats)
    predictions = {name: np.full((repeats, len(data.films)), np.nan) for name in settings}
    seconds = {name: [] for name in settings}
    with bar(total=len(rounds) * len(settings), desc="schemes", unit="fold") as progress:
        for name, (repeat, fold, split) in itertools.product(settings, rounds):
            progress.set_postfix_str(f"{name}, repeat {repeat} fold {fold}")
            folder = project.models / "schemes" / files.safe_name(name, 80) / f"repeat {repeat} fold {fold}"
            done = _train_fold(project, settings[name], split, folder)
            rows = pd.Series(data.films.index, data.films.imdb_id)[list(done["predicted"])]
            predictions[name][repeat, rows] = list(done["predicted"].values())
            seconds[name].append(done["seconds"])
            progress.update()
    result = _evaluate(data.films, predictions, rounds) | {"folds": folds, "repeats": repeats, "warnings": warnings}
    result["seconds"] = {name: None if None in costs else round(sum(costs), 1) for name, costs in seconds.items()}
    files.write_json(project.models / "schemes" / RESULTS, result)
    return result


def _check_names(names: list[str]) -> None:
    """Scheme names must differ as folders, and from the baselines' rows."""
    folders = [files.safe_name(name, 80) for name in names]
    for name, folder in zip(names, folders):
        if folders.count(folder) > 1 or name in evaluation.BASELINES:
            raise TrailerError(f"scheme {name!r}: the name is taken by a baseline or another scheme: rename it")


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
            rounds.append((repeat, fold, data.with_split(fold_split(assigned, folds, fold))))
    return rounds


def _train_fold(project: Project, settings: TrainSettings, data: Dataset, folder: Path) -> dict:
    """What a training left, after training it if that is not done: `predicted`, by imdb_id, and `seconds`."""
    facts = {"settings": settings.as_dict(), "dataset": data.card["settings"], "split_hash": split_hash(data.films)}
    wanted = json.loads(json.dumps(facts))
    done, started = read_json(folder / DONE), read_json(folder / STARTED)
    if {"predicted", "seconds"} <= done.keys() and done.get("wanted") == wanted:
        return done
    if started != wanted:
        if started and folder.name == "repeat 0 fold 0":  # one line a scheme, whose first fold this is
            LOG.warning(f"scheme {folder.parent.name!r} is trained anew: {_difference(started, wanted)}")
        shutil.rmtree(folder, ignore_errors=True)
        files.write_json(folder / STARTED, wanted)
    resume, start = (folder / LAST).exists(), time.monotonic()
    try:
        fit(project, settings, data, folder, resume=resume)
    except Stopped:
        raise Stopped("stopped; what is finished is kept, and the same comparison resumes the rest") from None
    points = predict_points(read_model(folder / BEST), data, "test", project.models / FEATURES).astype(float)
    seconds = None if resume else round(time.monotonic() - start, 1)
    done = {"wanted": wanted, "predicted": dict(zip(data.split("test").imdb_id, points)), "seconds": seconds}
    files.write_json(folder / DONE, done)
    for name in (BEST, LAST):  # a table of schemes would fill the disk with them
        (folder / name).unlink(missing_ok=True)
    return done


def _difference(started: dict, wanted: dict) -> str:
    before, now = started.get("settings", {}), wanted["settings"]
    changed = [f"{name}={now[name]!r}, not {before.get(name)!r}" for name in now if now[name] != before.get(name)]
    return ", ".join(changed) or "other films or folds than it was started with"


def _evaluate(films: pd.DataFrame, schemes: dict[str, np.ndarray], rounds: list[Fold]) -> dict:
    truth, shape = films.score.to_numpy(), next(iter(schemes.values())).shape
    everyone = schemes | _baselines(rounds, shape)
    metrics = evaluation.evaluate_all(truth, everyone, everyone.pop("median"))
    ranked = sorted(schemes, key=lambda name: metrics[name]["nMSE"]["value"])
    order = [*ranked, *(name for name in everyone if name not in schemes)]

    def minus(other: str) -> dict[str, dict]:
        pairs = {name: (everyone[name], everyone[other]) for name in order if name != other}
        return {name: asdict(evaluation.paired_difference(truth, *pair)) for name, pair in pairs.items()}

    return {
        "films": len(films),
        "best": ranked[0],
        "metrics": {name: metrics[name] for name in order},
        "nMSE minus the mean baseline's": minus("mean baseline"),
        "nMSE minus the best scheme's": minus(ranked[0]),
        "collapsed": [name for name in ranked if evaluation.collapsed(schemes[name], truth)],
        "left out": evaluation.missing_baselines(films),
    }


def _baselines(rounds: list[Fold], shape: tuple[int, int]) -> dict[str, np.ndarray]:
    """The baselines' predictions on the same folds, float [repeats, films]; "median" is the constant of least MAE."""
    predictions: dict[str, np.ndarray] = {}
    for repeat, _, data in rounds:
        train, test = data.split("train"), data.split("test")
        points = evaluation.baseline_predictions(train, test) | {"median": evaluation.median_prediction(train, test)}
        for name in points:
            predictions.setdefault(name, np.full(shape, np.nan))[repeat, test.index] = points[name]
    return {name: points for name, points in predictions.items() if np.isfinite(points).all()}


def comparison_table(results: dict) -> pd.DataFrame:
    """`compare`'s result: a row a scheme, best nMSE first, and a baseline; "value [low, high]" in the cells."""
    rows = evaluation.metric_table(results)
    minus = results["nMSE minus the best scheme's"]
    rows["nMSE minus the best's"] = [str(evaluation.Metric(**minus[who])) if who in minus else "" for who in rows.index]
    rows["seconds"] = [results["seconds"].get(who) or "" for who in rows.index]
    rows["remark"] = [_remark(results, who) if who in results["seconds"] else "" for who in rows.index]
    return rows


def _remark(results: dict, scheme: str) -> str:
    if scheme in results["collapsed"]:
        return "collapsed: nearly the same prediction for all films"
    better = results["nMSE minus the mean baseline's"][scheme]["high"] < 0
    return "" if better else "not shown to be better than the mean baseline"


def fewer_films(project: Project, settings: TrainSettings, data: Dataset, draws: int = 5) -> pd.DataFrame:
    """Would more films help? The val error of heads fitted on an eighth, a quarter, half and all of the train films.

    A row a draw of films: films, draw, val_loss (mean squared error of standardised scores). The backbone is frozen.
    """
    torch.manual_seed(settings.seed)  # of first weights, where there are no others
    network = new_module(project, data, settings).network
    train, val = data.split("train"), data.split("val")
    features = film_features(network, data, [*train.index, *val.index], project.models / FEATURES)
    scores = np.concatenate([train.score, val.score])
    target = (scores - train.score.mean()) / train.score.std(ddof=0)
    rng, rows = np.random.default_rng(settings.seed), []
    for share in SHARES:
        count = round(share * len(train))
        for draw in range(draws if share < 1 else 1) if count >= MIN_FILMS else ():
            chosen = rng.choice(len(train), count, replace=False)
            head, _ = fit_ridge(features[chosen], target[chosen], network.blocks)
            with torch.inference_mode():
                predicted = head(torch.from_numpy(features[len(train) :])).squeeze(1).numpy()
            rows.append((count, draw, float(((predicted - target[len(train) :]) ** 2).mean())))
    return pd.DataFrame(rows, columns=["films", "draw", "val_loss"])


def films_sentence(table: pd.DataFrame) -> str:
    """Whether more films would help, from `fewer_films`: what the last doubling of the train films changed."""
    groups = table.groupby("films").val_loss
    if len(groups) < 2:
        return f"{table.films.max()} train films are too few to leave some out."
    (half, before), (films, after) = groups.mean().iloc[-2:].items()
    spread = groups.std()[half]
    text = f"From {half} to {films} train films the validation loss went from {before:.2f} to {after:.2f}"
    verdict = "more films would help" if before - after > spread else "no more than other draws of films change it"
    return f"{text}: {verdict}."
