"""What each source says of a split's films: the network of their frames, a head on their sound, their metadata."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch

from trailer_lib.dataset import Dataset
from trailer_lib.errors import TrailerError
from trailer_lib.evaluation import Stack
from trailer_lib.networks import FilmRegressor, ModelFile
from trailer_lib.settings import TrainSettings
from trailer_lib.training.batches import evaluation_films, film_loader
from trailer_lib.training.frozen import MIN_FILMS, Features, fit_ridge, frozen_features
from trailer_lib.training.module import TrailerModule

Parts = dict[str, np.ndarray]


def predict_points(model: ModelFile, data: Dataset, split: str, cache: Path) -> np.ndarray:
    """The network's predictions in IMDb points, float32 [films], of a split's films: means over their `views`."""
    views = [None] if model.settings.views == 1 else range(model.settings.views)
    rows = data.split(split).index
    return model.points(look(model.network, data, model.settings, rows, views, cached(model, cache)).mean(0))


def mean_loss(module: TrailerModule, data: Dataset, split: str, cache: Path) -> float:
    """The loss of a just fitted head on a split's films, with evenly spaced frames and no augmentation."""
    films, cache = data.split(split), None if module.settings.aggregate == "channels" else cache
    (predicted,) = look(module.network, data, module.settings, films.index, [None], cache)
    scores = module.standardised(torch.tensor(films.score.to_numpy(np.float32)))
    return float(module.loss(torch.from_numpy(predicted), scores))


def look(
    network: FilmRegressor, data: Dataset, settings: TrainSettings, rows: Sequence[int], views: Iterable,
    cache: Path | None, head: bool = True,
) -> np.ndarray:  # fmt: skip
    """Standardised predictions of the films in `rows`: float32 [views, films]; without `head` what it gets: [..., n].

    `views`: see evaluation_films. `cache`: the folder of cached features, None where there can be none.
    """
    with torch.inference_mode():
        if cache:
            films = {view or 0: evaluation_films(data, settings, view) for view in views}
            features = frozen_features(network, data, rows, films, cache)
            return (network.head(features).squeeze(-1) if head else features).cpu().numpy()
        network.to("cuda" if torch.cuda.is_available() else "cpu").eval()
        output, found = network.score if head else network.features, []
        for view in views:
            batches = (frames.to(network.mean.device) for frames, *_ in film_loader(data, settings, rows, view))
            found.append(torch.cat([output(network.normalise(frames)) for frames in batches]))
        return torch.stack(found).float().cpu().numpy()


def cached(model: ModelFile, cache: Path) -> Path | None:
    """`cache` if single frames' features are in it: the backbone is frozen, or the best epoch is the fitted head."""
    untrained = model.settings.freeze == "backbone" or model.facts["history"][-1]["epoch"] == 0
    return cache if untrained and model.settings.aggregate != "channels" else None


def fit_sound(model: ModelFile, data: Dataset, cache: Path) -> None:
    """Put a head fitted on the sound of the train films into the model's facts, or the reason why there is none.

    `sound`: its weight, float32 [n], and bias, the number of films, facts of the fit; `no_sound`: the reason.
    """
    if "sound" not in model.settings.sources:
        return
    train = data.split("train")
    rows = train.index[[len(data.film_sound(row)) > 0 for row in train.index]]
    if len(rows) < MIN_FILMS:
        model.facts["no_sound"] = f"{len(rows)} of {len(train)} train films have sound, too few to learn from"
        return
    target = (train.score[rows].to_numpy(np.float64) - model.facts["score_mean"]) / model.facts["score_sd"]
    head, facts = fit_ridge(sound_features(model.network, data, rows, cache), target, model.network.blocks)
    model.network.to("cpu")
    model.facts["sound"] = {"weight": head.weight.detach()[0], "bias": head.bias.item(), "films": len(rows), **facts}


def sound_features(network: FilmRegressor, data: Dataset, rows: Sequence[int], cache: Path) -> np.ndarray:
    """The backbone's features of the sound of films, means over their clips: float32 [films, n]; nan without sound."""
    stacked = network.frames if network.aggregate == "channels" else 1  # a clip stands for a frame, or for all of them
    features = Features(network, data.sound, np.repeat(np.arange(len(data.sound))[:, None], stacked, 1), cache)
    films = np.full((len(rows), network.width), np.nan, np.float32)
    for number, row in enumerate(rows):
        if count := len(data.film_sound(row)):
            films[number] = features[data.films.sound_first[row] + np.arange(count)].mean(0)
    return films


def film_parts(model: ModelFile, data: Dataset, split: str, cache: Path, levels: Parts) -> Parts:
    """The parts of a split's films, each source's prediction in IMDb points: float64 [films], nan where it is unknown.

    `levels`: those of metadata. TrailerError without any part.
    """
    sources, rows, parts = model.settings.sources, data.split(split).index, {}
    if "frames" in sources:
        parts["frames"] = predict_points(model, data, split, cache).astype(np.float64)
    if "sound" in model.facts:
        features = sound_features(model.network, data, rows, cache).astype(np.float64)
        sound = model.facts["sound"]
        parts["sound"] = model.points(features @ sound["weight"].double().numpy() + sound["bias"])
    parts |= levels if "metadata" in sources else {}
    if not parts:
        reason = model.facts.get("no_sound", "the train films have no genres")
        raise TrailerError(f"nothing to predict from by sources = {', '.join(sources)} ({reason}): add 'frames'")
    return parts


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
