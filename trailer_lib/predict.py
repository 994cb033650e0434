"""A model file and a trailer -> a score in IMDb points, with the frames behind it and how good the model is."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from trailer_lib import evaluate
from trailer_lib.dataset import shrink, spread
from trailer_lib.errors import TrailerError
from trailer_lib.modelfile import ModelFile
from trailer_lib.pick import pick
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
    picked = pick(trailer, "predict", chosen, chosen.height)
    kept = np.flatnonzero([reason is None for reason in picked.reasons])
    shown = kept[spread(len(kept), model.network.frames)]
    pixels, seconds = picked.frames.pixels[shown], picked.frames.seconds[shown]
    score = _points(model, pixels)
    results = model.facts["results"]
    facts = (len(picked.reasons), len(kept), results, evaluate.verdict(results))
    return Prediction(trailer.name, score, pixels, seconds, *facts)


def _points(model: ModelFile, pixels: np.ndarray) -> float:
    settings = DatasetSettings.layered({"the model file": model.facts["dataset"]})
    pictures = np.stack([shrink(Image.fromarray(frame), settings) for frame in pixels])
    with torch.inference_mode():
        answer = model.network(torch.from_numpy(pictures).permute(0, 3, 1, 2)[None])
    return float(model.points(answer.numpy())[0])
