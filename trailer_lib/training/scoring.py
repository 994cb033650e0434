"""What each source of a model predicts of a split's films, the scores of that, and the index of similar films."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from PIL import Image
from sklearn.neighbors import NearestNeighbors

from trailer_lib import evaluation, files
from trailer_lib.dataset import Dataset, split_hash
from trailer_lib.errors import TrailerError
from trailer_lib.networks import ModelFile, read_model
from trailer_lib.project import Project
from trailer_lib.training.batches import film_views, process_place
from trailer_lib.training.checkpoints import BEST, FEATURES, HISTORY, LOG, PREDICTIONS, RESULTS, write_csv
from trailer_lib.training.frozen import RIDGE_FILMS, fit_ridge, head_inputs, sound_features
from trailer_lib.video import encoded

Parts = dict[str, np.ndarray]

TESTS = "tests.json"  # a hash of the test films -> how many times they have been scored
PREDICTED = ["imdb_id", "title", "year", "score", "predicted"]  # of predictions.csv; then each row of the result
INDEX_FILMS = 2000  # at most: 16 MB of 4096 features
PICTURE = (160, 90)  # width, height; about 5 kB
FAR = 0.99  # share of the training films whose own nearest is nearer


class Scores(NamedTuple):
    """`results`: metrics of a split's films beside the baselines'; `predictions`: a row a film."""

    results: dict[str, Any]
    predictions: pd.DataFrame


@dataclass(frozen=True)
class Run:
    """A finished training: the scores of its best epoch on the validation films; the test films when asked for."""

    project: Project
    models: Path
    data: Dataset
    validation: Scores

    @property
    def history(self) -> pd.DataFrame:
        """A row an epoch: epoch, train_loss, val_loss, lr; epoch 0 is the head fitted on frozen features."""
        return pd.read_csv(self.models / HISTORY)

    def test(self) -> Scores:
        """Score the test films with the best epoch's model, and count it: see score_test_films."""
        return score_test_films(self.project, self.data, self.models)

    def __repr__(self) -> str:
        history = self.history
        best, last = history.loc[history.val_loss.idxmin()], history.epoch.max()
        losses = f"train loss {best.train_loss:.2f}, validation loss {best.val_loss:.2f}"
        return f"best epoch {best.epoch:.0f} of {last:.0f}: {losses}" if last else f"head on frozen features: {losses}"


def view_inputs(model: ModelFile, data: Dataset, rows: Sequence[int], count: int, cache: Path) -> np.ndarray:
    """What the head gets of `count` views of the films in `rows` of data.films: float32 [films, views, n]."""
    untrained = model.settings.freeze == "backbone" or model.facts["history"][-1]["epoch"] == 0
    views = film_views(data, model.settings, rows, count)
    return np.stack([*head_inputs(model.network, data, views, cache if untrained else None)])


def predict_points(model: ModelFile, data: Dataset, split: str, cache: Path) -> np.ndarray:
    """The network's predictions in IMDb points, float32 [films], of a split's films: means over their `views`."""
    inputs = view_inputs(model, data, data.split(split).index, model.settings.views, cache)
    with torch.inference_mode():
        return model.points(model.network.head.cpu()(torch.from_numpy(inputs)).mean(1).squeeze(1).numpy())


def fit_sound(model: ModelFile, data: Dataset, cache: Path) -> None:
    """Put a head fitted on the sound of the train films into the model's facts, or the reason why there is none.

    `sound`: its weight, float32 [n], and bias; `no_sound`: the reason.
    """
    if "sound" not in model.settings.sources:
        return
    train = data.split("train")
    films = train[train.sound_count > 0]
    if len(films) < RIDGE_FILMS:
        model.facts["no_sound"] = f"{len(films)} of {len(train)} train films have sound, too few to learn from"
        return
    target = (films.score.to_numpy(np.float64) - model.facts["score_mean"]) / model.facts["score_sd"]
    head = fit_ridge(sound_features(model.network, data, films.index, cache), target, model.network.blocks)
    model.facts["sound"] = {"weight": head.weight.detach()[0], "bias": head.bias.item()}


def film_parts(model: ModelFile, data: Dataset, split: str, cache: Path, levels: Parts) -> Parts:
    """The parts of a split's films, each source's prediction in IMDb points: float64 [films], nan where it is unknown.

    `levels`: those of metadata. TrailerError without any part.
    """
    sources, parts = model.settings.sources, {}
    if "frames" in sources:
        parts["frames"] = predict_points(model, data, split, cache).astype(np.float64)
    if sound := model.facts.get("sound"):
        features = sound_features(model.network, data, data.split(split).index, cache).astype(np.float64)
        parts["sound"] = model.points(features @ sound["weight"].double().numpy() + sound["bias"])
    parts |= levels if "metadata" in sources else {}
    if not parts:
        reason = model.facts.get("no_sound", "the train films have no genres")
        raise TrailerError(f"nothing to predict from by sources = {', '.join(sources)} ({reason}): add 'frames'")
    return parts


def score_validation_films(project: Project, data: Dataset, models: Path) -> Scores:
    """Finish best_model.pt: its predictions on the validation films, their metrics, the index of similar films.

    The errors on the validation films give the intervals of a prediction. They chose the epoch, so that their metrics
    are a little too good; they stand in the model file and in results.json until the test films are scored.
    """
    model, cache = read_model(models / BEST), project.models / FEATURES
    data = replace(data, films=evaluation.add_metadata(project, data.films))
    fit_sound(model, data, cache)
    films, model.facts["metadata"] = data.split("val"), evaluation.fit_metadata(data.split("train"))
    levels = evaluation.metadata_levels(model.facts["metadata"], films)
    parts = {name: points.tolist() for name, points in film_parts(model, data, "val", cache, levels).items()}
    model.facts["validation"] = films[["imdb_id", "score"]].to_dict("list") | {"parts": parts}
    if "frames" in parts:
        model.facts["index"] = build_index(model, data, cache)
    return _write_scores(project, data, models, model, "val", levels, None)


def score_test_films(project: Project, data: Dataset, models: Path) -> Scores:
    """Score the test films with best_model.pt, into the model file, results.json and predictions.csv, and count it."""
    model = read_model(models / BEST)
    if "validation" not in model.facts:
        raise TrailerError(f"{models / BEST}: its training has not finished: resume it (--resume), or train anew")
    if model.facts["split_hash"] != split_hash(data.films):
        raise TrailerError(f"{models / BEST} was trained on another dataset or split: train again")
    data = replace(data, films=evaluation.add_metadata(project, data.films))
    levels = evaluation.metadata_levels(model.facts["metadata"], data.split("test"))
    parts = film_parts(model, data, "test", project.models / FEATURES, levels)
    return _write_scores(project, data, models, model, "test", levels, parts)


def _write_scores(
    project: Project, data: Dataset, models: Path, model: ModelFile, split: str, levels: Parts, parts: Parts | None
) -> Scores:
    """`parts` None: those in the model file, each validation film by weights that were fitted without it."""
    train, films, validation = data.split("train"), data.split(split), model.facts["validation"]
    stack = evaluation.Stack(validation["score"], validation["parts"], model.facts["score_mean"])
    parts = stack.parts if parts is None else parts
    rows = stack.rows(parts, model.settings.sources)
    results = evaluation.compare_with_baselines(train, films, rows, levels, {"val": "validation"}.get(split, split))
    results["cases"] = case_errors(stack, parts, films, train.score.median())
    results |= {name: model.facts[name] for name in ("weights", "settings", "dataset", "split_hash")}
    reason = model.facts.get("no_sound")
    missing = [f"Predictions are without sound: {reason} (`scrape --sound` fetches it)."] if reason else []
    results |= {"warnings": evaluation.result_warnings(results) + missing, "verdict": evaluation.verdict(results)}
    if split == "test" and process_place().rank == 0:
        results["times_scored"] = times = count_test(project, data)
        seen = f"These test films have been scored {times} times since the split was made"
        results["warnings"] += [f"{seen}: a model that was chosen by them looks better than it is."] * (times > 1)
    model.facts["results"] = results
    points = rows[results["row"]]
    predictions = films.assign(predicted=points, error=points - films.score, **rows)
    if process_place().rank == 0:
        model.save(models / BEST)
        write_csv(models / PREDICTIONS, predictions[[*PREDICTED, *rows]])
        files.write_json(models / RESULTS, results)
        for line in results["warnings"]:
            LOG.warning(line)
    return Scores(results, predictions)


def case_errors(stack: evaluation.Stack, parts: Parts, films: pd.DataFrame, median: float) -> dict[str, dict]:
    """For each case that a film can be of: the films that have at least its parts, the MAE of its predictions of them,
    and that of `median`, the best constant on the train films, in IMDb points.
    """
    errors, truth = {}, films.score.to_numpy()
    for case in stack.possible_cases():
        rows, points = stack.predict_case(parts, case)
        if len(rows):
            error, constant = np.abs(points - truth[rows]).mean(), np.abs(median - truth[rows]).mean()
            errors[" + ".join(case)] = {"films": len(rows), "MAE": float(error), "mean baseline": float(constant)}
    return errors


def count_test(project: Project, data: Dataset) -> int:
    """Count one more scoring of these test films in models/tests.json; how many there have been by now."""
    ids = " ".join(sorted(data.split("test").imdb_id))
    films, counts = hashlib.sha256(ids.encode()).hexdigest()[:12], files.read_json(project.models / TESTS)
    counts[films] = counts.get(films, 0) + 1
    files.write_json(project.models / TESTS, counts)
    return counts[films]


def build_index(model: ModelFile, data: Dataset, cache: Path) -> dict[str, Any]:
    """An index of the train films, at most INDEX_FILMS, by what the head sees of evenly spaced frames of each."""
    films = data.split("train")
    films = films.iloc[np.unique(np.linspace(0, len(films) - 1, INDEX_FILMS).astype(int))]
    features = view_inputs(model, data, films.index, 1, cache)[:, 0]
    mean, sd = features.mean(0), features.std(0)
    sd[sd < 1e-6] = 1.0
    standardised = ((features - mean) / sd).astype(np.float16)
    near, exact = NearestNeighbors(n_neighbors=min(2, len(films))), standardised.astype(np.float32)
    far = np.quantile(near.fit(exact).kneighbors(exact)[0][:, -1], FAR) / np.sqrt(features.shape[1])
    middle = [Image.fromarray(data.film_frames(row, 3)[1]) for row in films.index]
    small = [picture.resize(PICTURE, Image.Resampling.BICUBIC) for picture in middle]
    jpegs = [encoded(np.asarray(picture), "JPEG", quality=80) for picture in small]
    return films[["imdb_id", "title", "year", "score"]].to_dict("list") | {
        "features": torch.from_numpy(standardised), "mean": torch.from_numpy(mean), "sd": torch.from_numpy(sd),
        "far": float(far), "pictures": torch.from_numpy(np.frombuffer(b"".join(jpegs), np.uint8).copy()),
        "ends": torch.from_numpy(np.cumsum([len(jpeg) for jpeg in jpegs])),
    }  # fmt: skip
