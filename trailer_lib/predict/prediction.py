"""A prediction: the score, how far to trust it, and what it comes from; as text, dict, HTML and figure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from trailer_lib.evaluation import METADATA_PARTS
from trailer_lib.predict import view
from trailer_lib.predict.explanation import Neighbour
from trailer_lib.predict.view import CaptionedFrame, PredictionView

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_FRAMES = 10  # in HTML and figures: test-time views may hold many more
FULL_BAR, LEAST_BAR = 0.2, 0.01  # IMDb points: a full bar is at least so many; a smaller contribution has no bar


@dataclass(frozen=True)
class Prediction:
    """A trailer's `score` and all that belongs to it; scores, intervals and contributions are in IMDb points.

    `intervals`: {80: (low, high), 95: ...}, split-conformal; `no_interval`: why some are missing. `sources`: what each
    of frames, sound and a level of metadata adds to `mean_baseline`, the mean score of the `train_films` training films
    (with it they sum to `score` before it is clipped); `missing`: sentences on sources it does without.
    `trailer_score`: the prediction from the trailer alone, None without it; `genre`: from the film's genres alone, None
    if they are unknown; `standing`: a sentence on its place among the training films. `frames`: what the network saw,
    uint8 [n, height, width, 3], at `seconds` [n] (nan: unknown), of `kept_frames` of `sampled_frames` that passed the
    filter. `contributions` [n]: how much lower the prediction is without each frame. `strongest`: int [k], the frames
    with the largest ones; `heat`: float32 [k, height, width] from 0 to 1, where in them the prediction arises;
    [0, ...] for a backbone without feature maps. `clip_contributions` [m]: of the clips of its sound, at `clip_seconds`
    [m]. `similar`: the nearest training films. `warnings` belong before the score. `mae`, `mean_baseline_mae`: mean
    absolute errors with these sources and of the mean baseline on the `scored_films` films of the `split` that have
    them; nan without any. `verdict`: a sentence on the model's result. `model`: the fingerprint of the model file;
    `version`: trailer_lib's.
    """

    trailer: str
    score: float
    intervals: dict[int, tuple[float, float]]
    no_interval: str
    sources: dict[str, float]
    missing: list[str]
    trailer_score: float | None
    mean_baseline: float
    genre: float | None
    standing: str
    frames: np.ndarray
    seconds: np.ndarray
    contributions: np.ndarray
    strongest: np.ndarray
    heat: np.ndarray
    clip_seconds: np.ndarray
    clip_contributions: np.ndarray
    similar: list[Neighbour]
    warnings: list[str]
    sampled_frames: int
    kept_frames: int
    split: str
    scored_films: int
    mae: float
    mean_baseline_mae: float
    verdict: str
    train_films: int
    model: str
    version: str

    def to_dict(self) -> dict[str, Any]:
        """Everything but the pictures, as JSON takes it; what is unknown is None."""
        return _plain(vars(self))

    def __str__(self) -> str:
        frames = [f"{caption} {_signed(points)}" for caption, points in zip(self._captions(), self.contributions)]
        clips = [
            f"{second:.0f} s {_signed(points)}" for second, points in zip(self.clip_seconds, self.clip_contributions)
        ]
        similar = [f"{film.title} ({film.year}) {film.score:.1f}" for film in self.similar]
        parts = {
            f"by frame ({self.kept_frames} kept of {self.sampled_frames} sampled): ": ", ".join(frames),
            "by clip of sound: ": ", ".join(clips),
            "most similar training films: ": "; ".join(similar),
        }
        lines = [self._title(), f"{self._baseline()}: {', '.join(self._source_captions())}", *self._notes()]
        return "\n".join([*self.warnings, *lines, *(name + text for name, text in parts.items() if text)])

    def _repr_html_(self) -> str:
        return view.html_element(*view.html_parts(self.view()))

    def figure(self) -> "Figure":
        """The prediction as a matplotlib Figure."""
        return view.prediction_figure(self.view())

    def view(self) -> PredictionView:
        """What the HTML and the figure show."""
        captions, points = self._captions(), self.contributions
        most = np.sort(np.argsort(-np.abs(points), kind="stable")[:MOST_FRAMES])
        bars = np.where(np.abs(points) < LEAST_BAR, 0.0, _bars(points, FULL_BAR))
        frames = [CaptionedFrame(self.frames[n], f"{captions[n]}: {_signed(points[n])}", float(bars[n])) for n in most]
        hottest = zip(self.strongest, self.heat)
        heat = [CaptionedFrame(view.overlay(self.frames[n], heat), captions[n]) for n, heat in hottest]
        similar = [CaptionedFrame(f.picture, f"{f.title} ({f.year}): {f.score:.1f}") for f in self.similar]
        marks = {"mean baseline": self.mean_baseline, "trailer alone": self.trailer_score, "genres alone": self.genre}
        marks = {name: value for name, value in marks.items() if value not in (None, self.score)}
        clips, loudest = self.clip_contributions, max([LEAST_BAR, *np.abs(self.clip_contributions)])
        notes = self._notes()
        if len(self.frames) > MOST_FRAMES:
            notes.append(f"Of {len(self.frames)} frames the {MOST_FRAMES} with the largest contributions are shown.")
        return PredictionView(
            self._title(), self.warnings, self.score, self.intervals, marks, f"{self._baseline()}, in points",
            dict(zip(self._source_captions(), _bars([*self.sources.values()], FULL_BAR))), notes,
            f"Sound and the contributions of its clips, in points; a full bar is {loudest:.2f}",
            dict(zip(self.clip_seconds, _bars(clips, LEAST_BAR))), frames, heat, similar,
        )  # fmt: skip

    def _title(self) -> str:
        """The combined prediction first, and beside it that of the trailer alone where it is another."""
        alone = "metadata" if self.trailer_score is None else f"the trailer alone {self.trailer_score:.1f}"
        other = f" (from {alone})" if self.trailer_score != self.score else ""
        return f"{self.trailer}: {self.score:.1f} of 10{other}"

    def _baseline(self) -> str:
        return f"What is added to the mean score of its {self.train_films:,} training films, {self.mean_baseline:.1f}"

    def _captions(self) -> list[str]:
        return [f"frame {n}" if np.isnan(second) else f"{second:.1f} s" for n, second in enumerate(self.seconds, 1)]

    def _source_captions(self) -> list[str]:
        words = {name: f"metadata ({used})" for name, used in METADATA_PARTS.items()}
        return [f"{words.get(name, name)} {_signed(points)}" for name, points in self.sources.items()]

    def _notes(self) -> list[str]:
        """Sentences on how far to trust the score."""
        ends = [f"{low:.1f} to {high:.1f} ({share} %)" for share, (low, high) in self.intervals.items()]
        films = f"On its {self.scored_films} {self.split} films with these sources the mean error is"
        error = f"{films} {self.mae:.2f}, the mean baseline's {self.mean_baseline_mae:.2f}."
        lines = [
            f"The true score is likely within {' and '.join(ends)}." if ends else "",
            f"{self.no_interval}." if self.no_interval else "",
            "Its error with these sources is unknown." if np.isnan(self.mae) else error,
            *self.missing,
            self.standing,
            "" if self.genre is None else f"The film's genres alone predict {self.genre:.1f}.",
            self.verdict,
            f"Model {self.model}, trailer_lib {self.version}.",
        ]
        return [line for line in lines if line and not any(line in warning for warning in self.warnings)]


def _bars(points: Sequence[float] | np.ndarray, full: float) -> np.ndarray:
    """Bars from -1 to 1; a full one is the largest of the points, at least `full`."""
    return np.asarray(points) / max([full, *np.abs(points)])


def _signed(points: float) -> str:
    return f"{round(float(points), 2) + 0.0:+.2f}"  # adding 0 makes -0 a +0


def _plain(value: Any) -> Any:
    """A value, and all that is in it, as JSON takes it: numbers rounded, NaN as None, without pictures."""
    if isinstance(value, Neighbour):
        value = vars(value)
    if isinstance(value, dict):
        return {str(name): _plain(part) for name, part in value.items() if getattr(part, "ndim", 0) < 3}
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, float):
        return None if np.isnan(value) else round(value, 4)
    return value
