"""A model file and a trailer -> a score in IMDb points, with what it comes from and how good the model is."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trailer_lib import __version__, evaluation
from trailer_lib.errors import TrailerError
from trailer_lib.evaluation import METADATA_PARTS, TRAILER, Case, Stack, case_of
from trailer_lib.networks import ModelFile, fingerprint, read_model
from trailer_lib.predict.explanation import Attribution, Index, Neighbour, attribute, attribute_sound, predict_views
from trailer_lib.predict.film import film_levels, find_metadata, genre_names, standing
from trailer_lib.predict.prediction import Prediction
from trailer_lib.predict.trailer_input import TrailerFrames, choose_views, one_line, read_trailer, resize_frames
from trailer_lib.settings import DatasetSettings, ScrapeSettings, TrainSettings

STRONGEST = 3  # frames with a heat map
Progress = Callable[[float, str], object]  # called with the share done, from 0 to 1, and the step that begins
STEPS = {"fetch": 0.0, "frames": 0.1, "network": 0.7}  # the progress at which each begins


@dataclass(frozen=True)
class ModelInfo:
    """A model's settings, its result, what it stores of its films, and the stack of its sources.

    `sound`: the head on sound, None without one; `metadata`: the train films' table, and kinds of models.
    """

    scrape: ScrapeSettings
    dataset: DatasetSettings
    settings: TrainSettings
    results: dict[str, Any]
    train_films: int
    mean: float
    stack: Stack
    sound: dict[str, Any] | None
    metadata: dict[str, Any]
    index: Index | None

    @classmethod
    def read(cls, model: ModelFile) -> "ModelInfo":
        """TrailerError for an unfinished training; KeyError, TypeError, ValueError, ... for damaged facts."""
        facts = model.facts
        if "results" not in facts:
            raise TrailerError("its training has not finished: use best_model.pt of a finished one")
        stages = ((ScrapeSettings, "scrape"), (DatasetSettings, "dataset"), (TrainSettings, "settings"))
        settings = [stage.layered({"the model file": facts[name]}) for stage, name in stages]
        mean, sd, results = float(facts["score_mean"]), float(facts["score_sd"]), facts["results"]
        if not (np.isfinite([mean, sd]).all() and sd > 0):
            raise ValueError(f"scores of mean {mean} and sd {sd}")
        stack = Stack(facts["validation"]["score"], facts["validation"]["parts"], mean)
        index = Index.read(facts["index"]) if "frames" in settings[-1].sources else None
        metadata, films = facts["metadata"], int(facts["splits"]["train"])
        info = cls(*settings, results, films, mean, stack, facts.get("sound"), metadata, index)
        info.check(model.network.width)
        return info

    def check(self, width: int) -> None:
        """ValueError, KeyError, ... for facts that make no prediction; `width`: of the network's features."""
        heads = {} if self.index is None else {"frames": self.index.mean}
        heads |= {} if self.sound is None else {"sound": self.sound["weight"] + self.sound["bias"]}
        levels = self.metadata["kinds"] if "metadata" in self.settings.sources else {}
        parts = np.column_stack([self.stack.truth, *self.stack.parts.values()])
        table = np.column_stack([*self.metadata["films"].values()])  # ValueError for unequal lengths
        scores = [*self.stack.truth, *self.metadata["films"]["score"]]
        whole = parts.shape[1] == 1 + len(heads) + len(levels) and len(table) > 0 and np.isfinite(scores).all()
        if not whole or self.stack.parts.keys() != {*heads, *levels} or {*map(len, heads.values())} - {width}:
            raise ValueError("its parts do not fit together")
        for case in self.stack.possible_cases():  # what each prediction will ask
            self.stack.fit(case), self.warnings(case), self.errors(case)

    @property
    def genres(self) -> list[str]:
        """Those of the train films, sorted."""
        return sorted({genre for text in self.metadata["films"].get("genres", []) for genre in genre_names(text)})

    def warnings(self, case: Case) -> list[str]:
        """What belongs before each prediction from the sources of `case`."""
        row = self.results["row"] if {*case} - {*TRAILER} else evaluation.trailer_row(self.results["metrics"])
        doubt = f"{self.results['verdict']} Always predicting {self.mean:.1f} may do as well."
        return [] if evaluation.is_better(self.results, row) else [doubt]

    def errors(self, case: Case) -> dict[str, Any]:
        """The fields of a Prediction on the model's mean absolute errors with the sources of `case`."""
        found = self.results["cases"].get(" + ".join(case), {"films": 0, "MAE": np.nan, "mean baseline": np.nan})
        errors = {"mae": float(found["MAE"]), "mean_baseline_mae": float(found["mean baseline"])}
        return errors | {"scored_films": int(found["films"]), "split": str(self.results["split"])}


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
        """The model in best_model.pt, or in its folder; TrailerError when missing, damaged, hostile or unfinished."""
        path = Path(path) / "best_model.pt" if Path(path).is_dir() else Path(path)
        model = read_model(path)
        try:
            return cls(model, root and Path(root), fingerprint(path))
        except TrailerError as error:
            raise TrailerError(f"{path}: {error}") from error
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError, StopIteration) as error:
            raise TrailerError(f"{path}: damaged facts ({one_line(error)[:99]}): train the model again") from error

    def predict(
        self, trailer: str | Path, film: dict[str, Any] | None = None, progress: Progress = lambda share, step: None
    ) -> Prediction:
        """The prediction for a video file, a folder of pictures, or a link (YouTube's, or https to a public address).

        `film`: what is known of the film: genres ("Drama|Comedy" or a list), runtime_minutes, year, imdb_id, ...; what
        it lacks is looked up in the spreadsheets by the trailer's link or name. TrailerError when there is no trailer,
        or when it has nothing that the model learnt from.
        """
        film, failure = self._film(str(trailer), film or {})
        frames = read_trailer(trailer, self.info.scrape, lambda step: progress(STEPS[step], step))
        frames = choose_views(frames, self.info.settings)
        progress(STEPS["network"], "network")
        (levels,) = film_levels(self.info.metadata, [film])
        prediction = self.predict_frames(frames, film, levels)
        return replace(prediction, warnings=[*prediction.warnings, *failure])

    def _film(self, trailer: str, given: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """What is known of a trailer's film, and a warning if it could not be looked up."""
        try:
            return find_metadata({trailer: given}, self.root)[0], []
        except TrailerError as error:  # unreadable spreadsheets must not cost the prediction
            return find_metadata({trailer: given}, None)[0], [f"The film could not be looked up: {error}."]

    def predict_frames(
        self, frames: TrailerFrames, film: dict[str, Any], levels: dict[str, float], explain: bool = True
    ) -> Prediction:
        """The prediction for a trailer after `choose_views`; `levels`: the predictions of film_levels.

        Without `explain` it is quicker, and has no contributions of frames and no heat. TrailerError when it has
        nothing that the model learnt from.
        """
        info, scale = self.info, self.model.facts["score_sd"]
        explained, (sound, clips) = self._explain_frames(frames, explain), self._explain_sound(frames)
        parts = dict(zip(TRAILER, map(float, self.model.points(np.array([explained.prediction, sound])))))
        case, trailer = case_of(parts | levels, info.settings.sources), case_of(parts, TRAILER)
        if not case:
            sources = ", ".join(info.settings.sources)
            raise TrailerError(f"nothing in it that the model predicts from ({sources}): name another")
        fit, (score, contributions) = info.stack.fit(case), info.stack.combine(case, parts | levels)
        intervals, no_interval = evaluation.conformal_intervals(score, info.stack.truth[fit.films], fit.predicted)
        scales = {name: scale * weight for name, weight in zip(case, fit.weights)}  # of standardised contributions
        strongest = np.argsort(-np.abs(explained.contributions), kind="stable")[:STRONGEST]
        similar = info.index.nearest(explained.features) if info.index and len(explained.features) else []
        return Prediction(
            trailer=frames.name, score=score, intervals=intervals, no_interval=no_interval, sources=contributions,
            missing=self._missing(case, frames.no_sound),
            trailer_score=info.stack.combine(trailer, parts)[0] if trailer else None,
            mean_baseline=info.mean, genre=levels.get("genre only"), standing=standing(info.metadata, film, score),
            frames=frames.pixels, seconds=frames.seconds,
            contributions=explained.contributions * scales.get("frames", 0.0), strongest=strongest,
            heat=explained.heat(strongest, *frames.pixels.shape[1:3], info.dataset.fit),
            clip_seconds=frames.clip_seconds[: len(clips)], clip_contributions=clips * scales.get("sound", 0.0),
            similar=similar, warnings=[*info.warnings(case), *frames.warnings, *self._film_warnings(similar, film)],
            sampled_frames=frames.sampled_frames, kept_frames=frames.kept_frames, **info.errors(case),
            verdict=info.results["verdict"], train_films=info.train_films, model=self.model_hash, version=__version__,
        )  # fmt: skip

    def _explain_frames(self, frames: TrailerFrames, explain: bool) -> Attribution:
        if not len(frames.pixels):
            return Attribution(np.nan, np.empty(0), np.empty(0), None)
        pictures = torch.from_numpy(resize_frames(frames.pixels, self.info.dataset)).permute(0, 3, 1, 2)
        return (attribute if explain else predict_views)(self.model.network, pictures, frames.views)

    def _explain_sound(self, frames: TrailerFrames) -> tuple[float, np.ndarray]:
        """`attribute_sound` of the trailer's clips; (nan, empty) without any, or without a head on sound."""
        if self.info.sound is None or not len(frames.clips):
            return np.nan, np.empty(0)
        return attribute_sound(self.model.network, frames.clips, self.info.sound)

    def _missing(self, case: Case, no_sound: str) -> list[str]:
        """A sentence for each source of the model that the prediction does without."""
        lines, levels = [], [name for name in METADATA_PARTS if name in self.info.stack.parts]
        if "frames" in self.info.stack.parts and "frames" not in case:
            lines.append("Predicted without frames: none passed the filter.")
        if "sound" in self.info.stack.parts and "sound" not in case:
            lines.append(f"Predicted without sound: {no_sound or 'unknown'}.")
        if levels and case[-1] not in levels:
            lines.append("Predicted without metadata: no genre that the model knows was given.")
        elif levels and case[-1] != levels[-1]:
            used, richest = METADATA_PARTS[case[-1]], METADATA_PARTS[levels[-1]]
            lines.append(f"Of metadata it uses {used}; with more known it could use {richest}.")
        return lines

    def _film_warnings(self, similar: list[Neighbour], film: dict[str, Any]) -> list[str]:
        """A warning if the film is a training film, or is like none: `similar` are the nearest."""
        index = self.info.index
        if index and film["imdb_id"] in [imdb_id for imdb_id, *_ in index.films]:
            return ["The film is one of those that the model learnt from: its prediction proves nothing."]
        if similar and similar[0].distance > index.far:
            ratio = similar[0].distance / index.far
            return [f"Nothing like the training films: {ratio:.1f} times as far from them as 99 % of them are at most."]
        return []
