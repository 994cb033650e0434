"""A model file and a trailer -> a score in IMDb points, with what it comes from and how good the model is."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trailer_lib import __version__
from trailer_lib.errors import TrailerError
from trailer_lib.evaluation import conformal_intervals, genre_prediction, is_better
from trailer_lib.networks import ModelFile, fingerprint, read_model
from trailer_lib.predict.explanation import Index, Neighbour, attribute
from trailer_lib.predict.prediction import Prediction
from trailer_lib.predict.trailer_input import choose_views, film_id, one_line, read_trailer, resize_frames
from trailer_lib.settings import DatasetSettings, ScrapeSettings, TrainSettings

NO_INDEX = "The model file has no index of its training films: whether the trailer is like them is unknown."
STRONGEST = 3  # frames with a heat map
Progress = Callable[[float, str], object]  # called with the share done, from 0 to 1, and the step that begins
STEPS = {"fetch": 0.0, "frames": 0.1, "network": 0.7, "similar": 0.95}  # the progress at which each begins


@dataclass(frozen=True)
class ModelInfo:
    """A model's settings, its `result`, and what it stores of its films.

    `result`: the fields of a Prediction that are the model's own, like mae. `truth` and `predicted`: scores of the
    validation films, float64 [films], empty in a file without them. `genres`: what genre_prediction takes. `warnings`
    belong before each prediction.
    """

    scrape: ScrapeSettings
    dataset: DatasetSettings
    settings: TrainSettings
    result: dict[str, Any]
    truth: np.ndarray
    predicted: np.ndarray
    genres: dict[str, Any]
    index: Index | None
    warnings: list[str]

    @classmethod
    def read(cls, model: ModelFile) -> "ModelInfo":
        """TrailerError for an unfinished training; KeyError, TypeError, ValueError, ... for damaged facts."""
        facts = model.facts
        if "results" not in facts:
            raise TrailerError(
                "its training has not finished, its error is unknown: use best_model.pt of a finished one"
            )
        stages = ((ScrapeSettings, "scrape"), (DatasetSettings, "dataset"), (TrainSettings, "settings"))
        settings = [stage.layered({"the model file": facts[name]}) for stage, name in stages]
        result = _result(facts)
        genres = facts.get("genre_ridge", {"genres": [], "coef": [], "intercept": 0.0})
        genre_prediction(genres, genres["genres"])
        index = Index.read(facts["index"]) if "index" in facts else None
        if index and len(index.mean) != model.network.width:
            raise ValueError("the index of similar films is another network's")
        doubt = f"{result['verdict']} Always predicting {result['mean_baseline']:.1f} may do as well."
        warnings = [] if is_better(facts["results"]) else [doubt]
        warnings += [] if index else [NO_INDEX]
        return cls(*settings, result, *_validation_scores(facts), genres, index, warnings)


def _result(facts: dict[str, Any]) -> dict[str, Any]:
    results, mean, sd = facts["results"], float(facts["score_mean"]), float(facts["score_sd"])
    if not (np.isfinite([mean, sd]).all() and sd > 0):
        raise ValueError(f"scores of mean {mean} and sd {sd}")
    model_mae, baseline_mae = (float(results["metrics"][row]["MAE"]["value"]) for row in ("trailer", "mean baseline"))
    return {
        "verdict": str(results["verdict"]), "split": str(results.get("split", "test")),
        "scored_films": int(results["films"]), "mae": model_mae,
        "mean_baseline_mae": baseline_mae, "train_films": int(facts["splits"]["train"]), "mean_baseline": mean,
    }  # fmt: skip


def _validation_scores(facts: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    validation = facts.get("validation", {"score": [], "predicted": []})
    truth, predicted = (np.array(validation[name], np.float64) for name in ("score", "predicted"))
    if truth.shape != predicted.shape or truth.ndim != 1 or not np.isfinite([truth, predicted]).all():
        raise ValueError("the validation films' scores are damaged")
    return truth, predicted


@dataclass
class Predictor:
    """A model ready to predict. `root`: the project whose spreadsheets describe films, None for none."""

    model: ModelFile
    root: Path | None
    model_hash: str  # of the file

    def __post_init__(self) -> None:
        self.info = ModelInfo.read(self.model)
        self.model.network.eval().requires_grad_(False)

    @classmethod
    def load(cls, path: str | Path, root: str | Path | None = None) -> "Predictor":
        """The model in best_model.pt; TrailerError when it is missing, damaged, hostile, or was never tested."""
        path = Path(path)
        model = read_model(path)
        try:
            return cls(model, root and Path(root), fingerprint(path))
        except TrailerError as error:
            raise TrailerError(f"{path}: {error}") from error
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError) as error:
            raise TrailerError(f"{path}: damaged facts ({one_line(error)[:99]}): train the model again") from error

    def predict(
        self, trailer: str | Path, film: dict[str, Any] | None = None, progress: Progress = lambda share, step: None
    ) -> Prediction:
        """The prediction for a video file, a folder of pictures, or a link (YouTube's, or https to a public address).

        `film`: the film's genres ("Drama|Comedy" or a list) and imdb_id; what it lacks is looked up in the spreadsheets
        by the trailer's link or name. TrailerError when there is no trailer, or no frame of it passes the filter.
        """
        frames = read_trailer(trailer, self.info.scrape, lambda step: progress(STEPS[step], step))
        frames = choose_views(frames, self.info.settings)
        progress(STEPS["network"], "network")
        pictures = torch.from_numpy(resize_frames(frames.pixels, self.info.dataset)).permute(0, 3, 1, 2)
        explained = attribute(self.model.network, pictures, frames.views)
        progress(STEPS["similar"], "similar")
        film, failure = self._film(str(trailer), film)
        similar = self.info.index.nearest(explained.features) if self.info.index else []
        score, intervals, no_interval = self.points(explained.prediction)
        strongest = np.argsort(-np.abs(explained.contributions), kind="stable")[:STRONGEST]
        return Prediction(
            trailer=frames.name, score=score, intervals=intervals, no_interval=no_interval,
            genre=genre_prediction(self.info.genres, film.get("genres") or ""),
            frames=frames.pixels, seconds=frames.seconds,
            contributions=explained.contributions * self.model.facts["score_sd"], strongest=strongest,
            heat=explained.heat(strongest, *frames.pixels.shape[1:3], self.info.dataset.fit), similar=similar,
            warnings=[*self.info.warnings, *frames.warnings, *self.film_warnings(similar, film), *failure],
            sampled_frames=frames.sampled_frames, kept_frames=frames.kept_frames,
            model=self.model_hash, version=__version__, **self.info.result,
        )  # fmt: skip

    def points(self, standardised: float) -> tuple[float, dict[int, tuple[float, float]], str]:
        """A standardised prediction in IMDb points, its intervals, and why some are missing (conformal_intervals)."""
        score = float(self.model.points(np.float64(standardised)))
        return score, *conformal_intervals(score, self.info.truth, self.info.predicted)

    def _film(self, trailer: str, film: dict[str, Any] | None) -> tuple[dict[str, Any], list[str]]:
        """The film's metadata, given or looked up, and a warning if the look-up failed."""
        metadata, failure = {"imdb_id": film_id(trailer)}, []
        if self.root is not None:
            from trailer_lib.catalog import film_of_trailer  # pandas takes a second

            try:
                metadata |= film_of_trailer(trailer, self.root)
            except TrailerError as error:  # unreadable spreadsheets must not cost the prediction
                failure = [f"The film could not be looked up: {error}."]
        return metadata | (film or {}), failure

    def film_warnings(self, similar: list[Neighbour], film: dict[str, Any]) -> list[str]:
        """A warning if the film is a training film, or is like none: `similar` are the nearest."""
        index = self.info.index
        if index and film.get("imdb_id") in [imdb_id for imdb_id, *_ in index.films]:
            return ["The film is one of those that the model learnt from: its prediction proves nothing."]
        if index and similar[0].distance > index.far:
            ratio = similar[0].distance / index.far
            return [f"Nothing like the training films: {ratio:.1f} times as far from them as 99 % of them are at most."]
        return []
