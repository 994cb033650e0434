"""A model file and a trailer -> a score in IMDb points, with what it comes from and how good the model is."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trailer_lib.catalog import film_of_trailer
from trailer_lib.errors import TrailerError
from trailer_lib.evaluation import conformal_intervals, genre_prediction
from trailer_lib.networks import ModelFile, read_model
from trailer_lib.predict.explanation import Attribution, Index, Neighbour, attribute
from trailer_lib.predict.prediction import Prediction
from trailer_lib.predict.trailer_input import TrailerFrames, choose_views, read_trailer, resize_frames
from trailer_lib.settings import DatasetSettings, ScrapeSettings, TrainSettings

BETTER = "Better than the constant"  # how the verdict on a good model begins
NO_INDEX = "The model file has no index of its training films: whether the trailer is like them is unknown."


@dataclass(frozen=True)
class ModelInfo:
    """A model's settings, its test result and verdict, and what it keeps of its films.

    `truth` and `predicted`, float64 [films], are scores of validation films, empty in a file without them; `genres` is
    the fit that `genre.answer` takes; `index` None where there is none; `films` the number of train films and
    `constant` their mean score; `doubts` sentences that belong before every answer.
    """

    scrape: ScrapeSettings
    dataset: DatasetSettings
    settings: TrainSettings
    results: dict[str, Any]
    verdict: str
    truth: np.ndarray
    predicted: np.ndarray
    genres: dict[str, Any]
    index: Index | None
    films: int
    mean_baseline: float
    doubts: list[str]

    @classmethod
    def read(cls, model: ModelFile) -> "ModelInfo":
        """TrailerError for a model that was never tested; KeyError, TypeError, ValueError or such for damaged facts."""
        facts = model.facts
        if "results" not in facts:
            raise TrailerError(
                "the model was never tested, so its error is unknown: use best_model.pt of a finished training"
            )
        layers = ((ScrapeSettings, "scrape"), (DatasetSettings, "dataset"), (TrainSettings, "settings"))
        settings = [kind.layered({"the model file": facts[name]}) for kind, name in layers]
        results, constant, sd = facts["results"], float(facts["score_mean"]), float(facts["score_sd"])
        for who in ("trailer", "mean baseline"):
            float(results["metrics"][who]["MAE"]["value"])
        int(results["films"])
        if not (np.isfinite([constant, sd]).all() and sd > 0):
            raise ValueError(f"scores of mean {constant} and sd {sd}")
        verdict = _verdict(results)
        doubts = [] if verdict.startswith(BETTER) else [f"{verdict} Always saying {constant:.1f} may do as well."]
        index = _index(model)
        return cls(
            *settings, results, verdict, *_validation(facts), _genres(facts), index, int(facts["splits"]["train"]),
            constant, doubts + ([] if index else [NO_INDEX]),
        )  # fmt: skip


def _verdict(results: dict[str, Any]) -> str:
    if "verdict" in results:
        return str(results["verdict"])
    from trailer_lib import evaluation  # scikit-learn and SciPy take a second, and newer files have the sentence

    return evaluation.verdict(results)


def _validation(facts: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    kept = facts.get("validation", {"score": [], "predicted": []})
    truth, predicted = (np.array(kept[name], np.float64) for name in ("score", "predicted"))
    if truth.shape != predicted.shape or truth.ndim != 1 or not np.isfinite([truth, predicted]).all():
        raise ValueError("the validation films' scores are damaged")
    return truth, predicted


def _genres(facts: dict[str, Any]) -> dict[str, Any]:
    fitted = facts.get("genre_ridge", {"genres": [], "coef": [], "intercept": 0.0})
    genre_prediction(fitted, fitted["genres"])
    return fitted


def _index(model: ModelFile) -> Index | None:
    if "index" not in model.facts:
        return None
    index = Index.read(model.facts["index"])
    if len(index.mean) != model.network.width:
        raise ValueError("the index of similar films is another network's")
    return index


STRONGEST = 3  # frames with a heat map
STEPS = {"fetch": 0.0, "frames": 0.1, "network": 0.7, "similar": 0.95}  # and how far along they begin


@dataclass
class Predictor:
    """A model ready to answer. `root`: the project whose spreadsheets know films, None for none.

    `private_links`: also follow links into this machine and its network, which a page open to others must not.
    """

    model: ModelFile
    root: Path | None = None
    private_links: bool = False

    def __post_init__(self) -> None:
        self.info = ModelInfo.read(self.model)
        self.model.network.eval().requires_grad_(False)

    @classmethod
    def load(cls, path: str | Path, root: str | Path | None = None) -> "Predictor":
        """The model in best_model.pt; TrailerError when it is missing, damaged, hostile, or was never tested."""
        model = read_model(Path(path))
        try:
            return cls(model, None if root is None else Path(root))
        except TrailerError as error:
            raise TrailerError(f"{path}: {error}") from error
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError) as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:100]
            raise TrailerError(f"{path}: what it says of its model is damaged ({reason}): train again") from error

    def predict(
        self,
        trailer: str | Path,
        film: dict[str, Any] | None = None,
        progress: Callable[[float, str], object] | None = None,
    ) -> Prediction:
        """The answer to a video file, a folder of pictures, or a link (YouTube's, or https to a public address).

        `film`: what is known of the film: genres ("Drama|Comedy" or a list), imdb_id; without it, it is looked up by
        an id in the trailer's name. `progress` is told how far along (0 to 1) the step begins that it names: "fetch",
        "frames", "network", "similar".
        TrailerError when there is no trailer or no good frame in it.
        """
        clock = _Clock(progress)
        drawn = read_trailer(trailer, self.info.scrape, clock.begin, self.private_links)
        drawn, places = choose_views(drawn, self.info.settings)
        clock.begin("network")
        pictures = torch.from_numpy(resize_frames(drawn.pixels, self.info.dataset))
        seen = attribute(self.model.network, pictures.permute(0, 3, 1, 2), places)
        clock.begin("similar")
        film, lost = self._film(str(trailer), film)
        near = self.info.index.nearest(seen.features) if self.info.index else []
        warnings = [*self.info.doubts, *drawn.warnings, *self.unlike(near, film), *lost]
        return self._told(drawn, seen, clock.stop(), similar=near, warnings=warnings, genre=self._genre(film))

    def _told(self, taken: TrailerFrames, seen: Attribution, timings: dict, **rest: Any) -> Prediction:
        learned, frames = self.info, taken.pixels
        score = float(self.model.points(np.float64(seen.score)))
        strongest = np.argsort(-np.abs(seen.pulls), kind="stable")[:STRONGEST]
        found, reason = conformal_intervals(score, learned.truth, learned.predicted)
        return Prediction(
            trailer=taken.name, score=score, intervals=found, no_interval=reason, mean_baseline=learned.mean_baseline,
            frames=frames, seconds=taken.seconds, pulls=seen.pulls * self.model.facts["score_sd"],
            strongest=strongest, heat=_heat(seen, strongest, frames.shape[1:3], learned.dataset.fit), timings=timings,
            sampled=taken.sampled, kept=taken.kept, results=learned.results, verdict=learned.verdict,
            films=learned.films, **rest,
        )  # fmt: skip

    def _film(self, trailer: str, film: dict[str, Any] | None) -> tuple[dict[str, Any], list[str]]:
        """What is known of the film, and why it could not be looked up."""
        if film is not None or self.root is None:
            return film or {}, []
        try:
            return film_of_trailer(trailer, self.root), []
        except TrailerError as error:  # the spreadsheets' trouble, which must not cost the answer
            return {}, [f"The film could not be looked up: {error}."]

    def _genre(self, film: dict[str, Any]) -> float | None:
        return genre_prediction(self.info.genres, film.get("genres") or "")

    def unlike(self, near: list[Neighbour], film: dict[str, Any]) -> list[str]:
        """What the training films say against the answer."""
        index = self.info.index
        if index and film.get("imdb_id") in [imdb_id for imdb_id, *_ in index.films]:
            return ["The film is one of those that the model learnt from: its answer proves nothing."]
        if index and near[0].distance > index.far:
            far = near[0].distance / index.far
            return [f"Nothing like the training films: {far:.1f} times as far from them as 99 % of them are at most."]
        return []


def _heat(seen: Attribution, places: np.ndarray, shape: tuple[int, int], fit: str) -> np.ndarray:
    """Heat maps as large as the frames: of frames whose middle was cut out, the rest is cold."""
    if fit == "squash":
        return seen.heat(places, *shape)
    side = min(shape)
    found = seen.heat(places, side, side)
    heat = np.zeros((len(found), *shape), np.float32)
    top, left = ((length - side) // 2 for length in shape)
    heat[:, top : top + side, left : left + side] = found
    return heat


@dataclass
class _Clock:
    """Seconds by step; tells `progress` of each step that begins."""

    progress: Callable[[float, str], object] | None
    began: dict[str, float] = field(default_factory=dict)

    def begin(self, step: str) -> None:
        self.began[step] = time.perf_counter()
        if self.progress:
            self.progress(STEPS[step], step)

    def stop(self) -> dict[str, float]:
        ends = [*list(self.began.values())[1:], time.perf_counter()]
        return {step: end - start for (step, start), end in zip(self.began.items(), ends)}
