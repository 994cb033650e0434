"""A model file and a trailer -> a score in IMDb points, with the frames behind it and how good the model is."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from trailer_lib import evaluate, filters, video
from trailer_lib.dataset import shrink, spread
from trailer_lib.errors import TrailerError
from trailer_lib.modelfile import ModelFile
from trailer_lib.settings import DatasetSettings, ScrapeSettings


@dataclass(frozen=True)
class Prediction:
    """`score` in IMDb points for `trailer`, from `frames`, uint8 [n, height, width, 3], at `seconds` [n].

    `results` is the model's own test result, `verdict` what it says of the model in a sentence.
    """

    trailer: str
    score: float
    frames: np.ndarray
    seconds: np.ndarray
    sampled: int
    kept: int
    results: dict
    verdict: str

    @property
    def test_mae(self) -> float:
        """The model's mean absolute error on its test films, in IMDb points."""
        return self.results["metrics"]["trailer"]["MAE"]["value"]

    @property
    def constant_mae(self) -> float:
        """The constant's mean absolute error on the same films."""
        return self.results["metrics"]["constant"]["MAE"]["value"]

    def to_dict(self) -> dict:
        """Everything but the pictures, as JSON takes it."""
        return {
            "trailer": self.trailer,
            "score": round(self.score, 3),
            "test_mae": round(self.test_mae, 3),
            "constant_mae": round(self.constant_mae, 3),
            "test_films": self.results["films"],
            "verdict": self.verdict,
            "seconds": [round(float(second), 3) for second in self.seconds],
            "sampled": self.sampled,
            "kept": self.kept,
        }

    def __str__(self) -> str:
        films = self.results["films"]
        times = ", ".join(f"{second:.1f}" for second in self.seconds)
        return (
            f"{self.trailer}: {self.score:.1f} of 10 IMDb points; on its {films} test films the model missed by"
            f" {self.test_mae:.2f} on average, the constant by {self.constant_mae:.2f}\n{self.verdict}\n"
            f"from the frames at {times} s ({self.kept} kept of {self.sampled} sampled)"
        )


def predict(trailer: Path, model: ModelFile) -> Prediction:
    """The score of a trailer file, its frames drawn and filtered as those the model learnt from"""
    if "results" not in model.facts:
        raise TrailerError(
            "the model was never tested, so its error is unknown: use best_model.pt of a finished training"
        )
    chosen = ScrapeSettings.layered({"the model file": model.facts["scrape"]})
    sampled = video.sample_frames(trailer, chosen.count, chosen.seed, "predict", chosen.mode, chosen.height)
    sampled, reasons = filters.select(sampled, chosen.filter)
    kept = [index for index, reason in enumerate(reasons) if reason is None]
    if not kept:
        raise TrailerError(f"{trailer.name}: the filter kept none of {len(sampled)} frames: is the trailer all black?")
    shown = np.array(kept)[spread(len(kept), model.network.frames)]
    score = _points(model, sampled.pixels[shown])
    results = model.facts["results"]
    facts = (len(sampled), len(kept), results, evaluate.verdict(results))
    return Prediction(trailer.name, score, sampled.pixels[shown], sampled.seconds[shown], *facts)


def _points(model: ModelFile, pixels: np.ndarray) -> float:
    settings = DatasetSettings.layered({"the model file": model.facts["dataset"]})
    pictures = np.stack([shrink(Image.fromarray(frame), settings) for frame in pixels])
    with torch.inference_mode():
        answer = model.network(torch.from_numpy(pictures).permute(0, 3, 1, 2)[None])
    return float(model.points(answer.numpy())[0])
