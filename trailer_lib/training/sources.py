"""What each source says of films: the network of their frames, a head on the features of their sound, their metadata."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trailer_lib.dataset import Dataset
from trailer_lib.errors import TrailerError
from trailer_lib.evaluation import Stack, metadata_parts, metadata_table, rows_of
from trailer_lib.networks import FilmRegressor, ModelFile
from trailer_lib.training.frozen import Features, fit_ridge

Parts = dict[str, np.ndarray]


def fit_sound(model: ModelFile, data: Dataset, cache: Path) -> None:
    """Put a head fitted on the sound of the train films into the model's facts, or the reason why there is none.

    `sound`: its weight, float32 [n], and bias, the number of films, facts of the fit; `no_sound`: the reason.
    """
    if "sound" not in model.facts["settings"]["sources"]:
        return
    train = data.split("train")
    rows = train.index[[len(data.film_sound(row)) > 0 for row in train.index]]
    target = (train.score[rows].to_numpy(np.float64) - model.facts["score_mean"]) / model.facts["score_sd"]
    try:
        head, facts = fit_ridge(sound_features(model.network, data, rows, cache), target, model.network.blocks)
    except TrailerError:
        model.facts["no_sound"] = f"{len(rows)} of {len(train)} train films have sound, too few for a head"
        return
    model.network.to("cpu")
    model.facts["sound"] = {"weight": head.weight.detach()[0], "bias": float(head.bias), "films": len(rows), **facts}


def sound_features(network: FilmRegressor, data: Dataset, rows: np.ndarray, cache: Path) -> np.ndarray:
    """The backbone's features of the sound of films, means over their clips: float32 [films, n]; nan without sound.

    A clip is a grey picture in the place of a frame, or of all stacked frames.
    """
    stacked = network.frames if network.aggregate == "channels" else 1
    features = Features(network, data.sound, np.repeat(np.arange(len(data.sound))[:, None], stacked, 1), cache)
    films = np.full((len(rows), network.width), np.nan, np.float32)
    for number, row in enumerate(rows):
        if count := len(data.film_sound(row)):
            films[number] = features[data.films.sound_first[row] + np.arange(count)].mean(0)
    return films


def sound_scores(sound: dict[str, Any], features: np.ndarray) -> np.ndarray:
    """Standardised predictions, float64 [films], of the head in a model's facts from features, float32 [films, n]."""
    return features.astype(np.float64) @ sound["weight"].double().numpy() + sound["bias"]


def film_parts(
    model: ModelFile, data: Dataset, split: str, cache: Path, frames: np.ndarray | None, levels: Parts
) -> Parts:
    """The parts of a split's films, each source's prediction in IMDb points: float64 [films], nan where it is unknown.

    `frames`: the network's predictions; `levels`: those of metadata (metadata_parts).
    """
    sources, rows = model.facts["settings"]["sources"], data.split(split).index.to_numpy()
    parts = {} if frames is None else {"frames": frames.astype(np.float64)}
    if "sound" in model.facts:
        features = sound_features(model.network, data, rows, cache)
        parts["sound"] = model.points(sound_scores(model.facts["sound"], features))
    return parts | (levels if "metadata" in sources else {})


def fit_metadata(data: Dataset) -> dict[str, Any]:
    """The train films' table, of which each prediction fits the models of metadata again: a model file executes nothing.

    `kinds`: which model, by level.
    """
    table = metadata_table(data.split("train"))
    return {"films": table.to_dict("list"), "kinds": metadata_parts(table, table[:0])[1]}


def metadata_levels(fitted: dict[str, Any], films: pd.DataFrame) -> Parts:
    """What each level of metadata says of `films`, by what fit_metadata returned."""
    return metadata_parts(pd.DataFrame(fitted["films"]), metadata_table(films), fitted["kinds"])[0]


def result_rows(stack: Stack, sources: tuple[str, ...], parts: Parts) -> Parts:
    """The predictions of each row of a result (frames, sound, frames + sound, metadata, all), float64 [films]."""
    return {name: stack.predict(parts, chosen) for name, chosen in rows_of(sources, stack.parts).items()}


def case_errors(stack: Stack, parts: Parts, truth: np.ndarray, median: float) -> dict[str, dict[str, float]]:
    """For each case that a film can be of: the films that have at least its parts, the MAE of its predictions of them,
    and that of `median`, the best constant on the train films, in IMDb points.
    """
    errors = {}
    for case in stack.possible_cases():
        films, points = stack.predict_case(parts, case)
        if len(films):
            error, constant = np.abs(points - truth[films]).mean(), np.abs(median - truth[films]).mean()
            errors[" + ".join(case)] = {"films": len(films), "MAE": float(error), "mean baseline": float(constant)}
    return errors
