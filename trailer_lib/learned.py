"""What a model file says of its model, read and checked at once: a stranger's file fails here or not at all."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from trailer_lib import genre
from trailer_lib.errors import TrailerError
from trailer_lib.modelfile import ModelFile
from trailer_lib.settings import DatasetSettings, ScrapeSettings, TrainSettings
from trailer_lib.similar import Index

BETTER = "Better than the constant"  # how the verdict on a good model begins
NO_INDEX = "The model file has no index of its training films: whether the trailer is like them is unknown."


@dataclass(frozen=True)
class Learned:
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
    constant: float
    doubts: list[str]

    @classmethod
    def read(cls, model: ModelFile) -> "Learned":
        """TrailerError for a model that was never tested; KeyError, TypeError, ValueError or such for damaged facts."""
        facts = model.facts
        if "results" not in facts:
            raise TrailerError(
                "the model was never tested, so its error is unknown: use best_model.pt of a finished training"
            )
        layers = ((ScrapeSettings, "scrape"), (DatasetSettings, "dataset"), (TrainSettings, "settings"))
        settings = [kind.layered({"the model file": facts[name]}) for kind, name in layers]
        results, constant, sd = facts["results"], float(facts["score_mean"]), float(facts["score_sd"])
        for who in ("trailer", "constant"):
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
    from trailer_lib import evaluate  # scikit-learn and SciPy take a second, and newer files have the sentence

    return evaluate.verdict(results)


def _validation(facts: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    kept = facts.get("validation", {"score": [], "predicted": []})
    truth, predicted = (np.array(kept[name], np.float64) for name in ("score", "predicted"))
    if truth.shape != predicted.shape or truth.ndim != 1 or not np.isfinite([truth, predicted]).all():
        raise ValueError("the validation films' scores are damaged")
    return truth, predicted


def _genres(facts: dict[str, Any]) -> dict[str, Any]:
    fitted = facts.get("genre_ridge", {"genres": [], "coef": [], "intercept": 0.0})
    genre.answer(fitted, fitted["genres"])
    return fitted


def _index(model: ModelFile) -> Index | None:
    if "index" not in model.facts:
        return None
    index = Index.read(model.facts["index"])
    if len(index.mean) != model.network.width:
        raise ValueError("the index of similar films is another network's")
    return index
