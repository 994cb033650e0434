"""An answer: the score, how far to trust it, and what it comes from; as text, dict, HTML and figure."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from trailer_lib.predict.explanation import Neighbour
from trailer_lib.predict.view import CaptionedFrame, PredictionView, overlay, shrink_picture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOTS = 10  # frames that are shown; several draws are of many more


@dataclass(frozen=True)
class Prediction:
    """A trailer's `score` and all that belongs to it; scores, intervals and pulls in IMDb points.

    `intervals`: {80: (low, high), 95: ...}, split-conformal; `no_interval` says why some are missing. `constant`: the
    mean of the `films` train films; `genre`: what the film's genres alone say, None if they are unknown. `frames`:
    those shown to the network, uint8 [n, height, width, 3], at `seconds` [n] (nan where unknown), of `kept` good ones
    of `sampled`. `pulls` [n]: by how much each frame moved the answer. `strongest`: int [k], the frames with the
    largest pulls; `heat`: float32 [k, height, width] of the pictures as the network saw them, from 0 to 1, [0, ...] for
    a head without slopes. `similar`: the nearest training films. `warnings`: sentences that belong before the score.
    `timings`: step -> seconds. `results`: the model's own test result, `verdict` the sentence on it.
    """

    trailer: str
    score: float
    intervals: dict[int, tuple[float, float]]
    no_interval: str
    mean_baseline: float
    genre: float | None
    frames: np.ndarray
    seconds: np.ndarray
    pulls: np.ndarray
    strongest: np.ndarray
    heat: np.ndarray
    similar: list[Neighbour]
    warnings: list[str]
    timings: dict[str, float]
    sampled: int
    kept: int
    results: dict
    verdict: str
    films: int

    @property
    def test_mae(self) -> float:
        """The model's mean absolute error on its test films, in IMDb points."""
        return self.results["metrics"]["trailer"]["MAE"]["value"]

    @property
    def mean_baseline_mae(self) -> float:
        """The constant's mean absolute error on the same films."""
        return self.results["metrics"]["mean baseline"]["MAE"]["value"]

    def to_dict(self) -> dict:
        """Everything but the pictures, as JSON takes it; the same for the same trailer and model but for "timings"."""
        return {
            "trailer": self.trailer,
            "score": round(self.score, 3),
            "intervals": {str(share): [round(end, 3) for end in ends] for share, ends in self.intervals.items()},
            "no_interval": self.no_interval,
            "mean_baseline": round(self.mean_baseline, 3),
            "genre": None if self.genre is None else round(self.genre, 3),
            "warnings": self.warnings,
            "test_mae": round(self.test_mae, 3),
            "mean_baseline_mae": round(self.mean_baseline_mae, 3),
            "test_films": self.results["films"],
            "films": self.films,
            "verdict": self.verdict,
            "seconds": [None if np.isnan(second) else round(float(second), 3) for second in self.seconds],
            "pulls": [round(float(pull), 4) for pull in self.pulls],
            "strongest": self.strongest.tolist(),
            "sampled": self.sampled,
            "kept": self.kept,
            "similar": [_plain(film) for film in self.similar],
            "timings": {step: round(seconds, 3) for step, seconds in self.timings.items()},
        }

    def __str__(self) -> str:
        shown = [f"{caption} {_signed(pull)}" for caption, pull in zip(self._captions(), self.pulls)]
        similar = [f"{film.title} ({film.year}) {film.score:.1f}" for film in self.similar]
        return "\n".join(
            [
                *self.warnings,
                f"{self.trailer}: {self.score:.1f} of 10 IMDb points; on its {self.results['films']} test films the"
                f" model missed by {self.test_mae:.2f} on average, the constant by {self.mean_baseline_mae:.2f}",
                *self._notes(),
                f"by frame: {', '.join(shown)} ({self.kept} kept of {self.sampled} sampled)",
                *([f"most like it: {'; '.join(similar)}"] if similar else []),
            ]
        )

    def _repr_html_(self) -> str:
        from trailer_lib.predict.view import html_page

        return html_page(self.strip())

    def figure(self) -> "Figure":
        """The answer as a matplotlib Figure."""
        from trailer_lib.predict.view import prediction_figure

        return prediction_figure(self.strip())

    def strip(self) -> PredictionView:
        """What the HTML and the figure show."""
        captions = self._captions()
        most = np.sort(np.argsort(-np.abs(self.pulls), kind="stable")[:SHOTS]).tolist()
        frames = [
            CaptionedFrame(shrink_picture(self.frames[place]), f"{captions[place]}: {_signed(pull)}", pull)
            for place, pull in zip(most, self.pulls[most].tolist())
        ]
        heat = [
            CaptionedFrame(overlay(shrink_picture(self.frames[place]), heat), captions[place])
            for place, heat in zip(self.strongest, self.heat)
        ]
        similar = [
            CaptionedFrame(film.picture, f"{film.title} ({film.year}): {film.score:.1f}") for film in self.similar
        ]
        marks = {"mean of the train films": self.mean_baseline}
        marks |= {} if self.genre is None else {"by genre alone": self.genre}
        title = f"{self.trailer}: {self.score:.1f} of 10"
        return PredictionView(
            title, self.warnings, self.score, self.intervals, marks, self._notes(), frames, heat, similar
        )  # fmt: skip

    def _captions(self) -> list[str]:
        return [f"frame {n}" if np.isnan(second) else f"{second:.1f} s" for n, second in enumerate(self.seconds, 1)]

    def _notes(self) -> list[str]:
        """Sentences on how far to trust the score."""
        ends = [f"{low:.1f} to {high:.1f} ({share} %)" for share, (low, high) in self.intervals.items()]
        reason = f"{self.no_interval}." if self.no_interval else ""
        genre = "" if self.genre is None else f" The film's genres alone say {self.genre:.1f}."
        lines = [
            f"The true score is likely within {' and '.join(ends)}." if ends else "",
            reason,
            f"The mean of the {self.films} films it learnt from is {self.mean_baseline:.1f}.{genre}",
            self.verdict,
            f"Of {len(self.frames)} frames the {SHOTS} that moved it most are shown."
            if len(self.frames) > SHOTS
            else "",
        ]
        return [line for line in lines if line and not any(line in warning for warning in self.warnings)]


def _signed(points: float) -> str:
    return f"{round(points, 2) + 0.0:+.2f}"  # adding 0 makes -0 a +0


def _plain(film: Neighbour) -> dict:
    row = asdict(film)
    del row["picture"]
    return row | {"score": round(film.score, 3), "distance": round(film.distance, 3)}
