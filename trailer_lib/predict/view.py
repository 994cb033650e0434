"""A prediction as HTML and as a matplotlib figure: two renderings of one PredictionView."""

import base64
import textwrap
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup
from PIL import Image

from trailer_lib.video import CLIP, COLUMNS_PER_SECOND, encoded

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HOT = np.array([255, 120, 0], np.float32)  # the colour of heat
UP, DOWN, GREY = "#2a8bd6", "#d9622b", "#555555"  # blue and orange: colour-blind people can tell them apart
LINES = 180  # of the pictures, about
FRAMES = "Frames and their contributions, in points"
HEAT = "Where in the frames with the largest contributions"
SIMILAR = "Most similar training films, to the model"
CLIP_SECONDS = CLIP / COLUMNS_PER_SECOND
TEMPLATE = Path(__file__).with_suffix(".html")


@dataclass(frozen=True)
class CaptionedFrame:
    """A picture, uint8 [height, width, 3], its caption, and the bar under it: its length from -1 to 1, 0 for none."""

    picture: np.ndarray
    caption: str
    bar: float = 0.0


@dataclass(frozen=True)
class PredictionView:
    """`alerts` come before all else, `notes` after the scale; `marks`: other predictions on it, in IMDb points.

    `sources`: {caption: bar} under the title `baseline`; `clips`: {second: bar} of sound, under the title `sound`. All
    bars are from -1 (down) to 1 (up).
    """

    title: str
    alerts: list[str]
    score: float
    intervals: dict[int, tuple[float, float]]
    marks: dict[str, float]
    baseline: str
    sources: dict[str, float]
    notes: list[str]
    sound: str
    clips: dict[float, float]
    frames: list[CaptionedFrame]
    heat: list[CaptionedFrame]
    similar: list[CaptionedFrame]


def _colour(points: float) -> str:
    return UP if points > 0 else DOWN


def overlay(picture: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """A picture, uint8 [height, width, 3], dark and grey but where it is hot: `heat` float32 [h, w] from 0 to 1."""
    hot = np.asarray(Image.fromarray(heat).resize(picture.shape[1::-1], Image.Resampling.BILINEAR))[..., None]
    grey = picture.mean(2, keepdims=True) * 0.6
    return np.clip(grey * (1 - hot) + (0.6 * picture + 0.4 * HOT) * hot, 0, 255).astype(np.uint8)


def _shrink(picture: np.ndarray) -> Image.Image:
    image = Image.fromarray(picture)
    return image.reduce(max(1, round(image.height / LINES)))


@cache
def _macros() -> Any:
    """The macros of view.html."""
    environment = Environment(loader=FileSystemLoader(TEMPLATE.parent), autoescape=True, trim_blocks=True)
    environment.filters |= {"x": lambda points: round(15 + 290 * (points - 1) / 9, 1), "colour": _colour, "jpeg": _jpeg}
    return environment.get_template(TEMPLATE.name).module


def _jpeg(picture: np.ndarray) -> str:
    """A small JPEG of a picture in base64."""
    return base64.b64encode(encoded(np.asarray(_shrink(picture)), "JPEG", quality=80)).decode()


def html_parts(view: PredictionView) -> tuple[str, str, str]:
    """The score and all that is said of it, the frames, the similar films: for html_element; every text is escaped."""
    macros = _macros()
    frames = macros.sound(view, CLIP_SECONDS) + macros.pictures(FRAMES, view.frames) + macros.pictures(HEAT, view.heat)
    return macros.score(view), frames, macros.pictures(SIMILAR, view.similar)


def html_alert(text: str) -> str:
    """A warning or an error as a paragraph for html_element."""
    return _macros().alert(text)


def html_element(*parts: str) -> str:
    """Parts and alerts with their style."""
    return str(_macros().element(Markup("").join(parts)))


COLUMNS = 5


def prediction_figure(view: PredictionView) -> "Figure":
    """The view on white; not one of pyplot's figures, so that any thread may draw it."""
    from matplotlib.figure import Figure  # takes a third of a second

    rows = []  # of pictures, each with its section's title if it is the first
    for title, frames in ((FRAMES, view.frames), (HEAT, view.heat), (SIMILAR, view.similar)):
        for start in range(0, len(frames), COLUMNS):
            rows.append(("" if start else title, frames[start : start + COLUMNS]))
    alerts = "\n".join(textwrap.fill(alert, 120) for alert in view.alerts)
    top = [1.0 + 0.15 * len(view.marks), 0.3 + 0.2 * len(view.sources), *[1.0] * bool(view.clips)]
    heights = [*top, *(1.6 if title else 1.35 for title, _ in rows)]
    notes = "\n".join(textwrap.fill(note, 150) for note in view.notes)
    texts = 0.2 * (5 + len(alerts.splitlines()) + len(notes.splitlines()))
    figure = Figure(figsize=(10, sum(heights) + texts), layout="constrained")
    figure.suptitle(alerts, x=0.01, ha="left", fontsize=9, color=DOWN, fontweight="bold", parse_math=False)
    grid = figure.add_gridspec(len(heights), COLUMNS, height_ratios=heights)
    _draw_scale(figure.add_subplot(grid[0, :]), view)
    _draw_sources(figure.add_subplot(grid[1, :]), view, notes)
    if view.clips:
        _draw_sound(figure.add_subplot(grid[2, :]), view)
    for line, (title, frames) in enumerate(rows, len(top)):
        for column, frame in enumerate(frames):
            _draw_frame(figure.add_subplot(grid[line, column]), frame, f"{title}\n" if title and not column else "")
    return figure


def _draw_scale(axis: "Axes", view: PredictionView) -> None:
    axis.set(xlim=(0.9, 10.1), ylim=(-0.9 - 0.55 * len(view.marks), 1.5), xticks=range(1, 11), yticks=[])
    axis.set_title(view.title, loc="left", fontsize=12, fontweight="bold", parse_math=False)
    axis.tick_params(labelsize=8)
    axis.spines[["left", "right", "top"]].set_visible(False)
    for share, (low, high) in view.intervals.items():
        height, alpha, line = (0.8, 0.35, 0.15) if share < 90 else (0.4, 0.2, -0.5)
        axis.barh(0, high - low, left=low, height=height, color=UP, alpha=alpha)
        axis.text(high, line, f" {share} %", fontsize=7, color=GREY)
    for row, (name, points) in enumerate(view.marks.items()):
        axis.plot([points, points], [-0.6, 0.6], color=GREY, linestyle="--", linewidth=1)
        axis.text(points, -0.9 - 0.55 * row, f"{name} {points:.1f}", fontsize=7, ha="center", va="center")
    axis.plot(view.score, 0, "o", markersize=9, color=UP)
    axis.text(view.score, 0.7, f"{view.score:.1f}", ha="center", fontsize=12, fontweight="bold")


def _draw_sources(axis: "Axes", view: PredictionView, notes: str) -> None:
    axis.set(xlim=(-2.2, 1.1), ylim=(len(view.sources) - 0.5, -0.5), xticks=[], yticks=[])
    axis.set_title(view.baseline, loc="left", fontsize=9, parse_math=False)
    axis.set_xlabel(notes, loc="left", fontsize=8, color=GREY, parse_math=False)
    axis.spines[:].set_visible(False)
    axis.axvline(0, color=GREY, linewidth=1)
    for row, (caption, bar) in enumerate(view.sources.items()):
        axis.barh(row, bar, height=0.6, color=_colour(bar))
        axis.text(-2.2, row, caption, fontsize=8, va="center", parse_math=False)


def _draw_sound(axis: "Axes", view: PredictionView) -> None:
    for second, bar in view.clips.items():
        axis.bar(second, bar, CLIP_SECONDS * 0.95, align="edge", color=_colour(bar))
    axis.axhline(0, color=GREY, linewidth=1)
    axis.set(xlim=(0, max(view.clips) + CLIP_SECONDS), ylim=(-1, 1), yticks=[])
    axis.set_title(view.sound, loc="left", fontsize=9)
    axis.set_xlabel("seconds", fontsize=7, labelpad=1)
    axis.tick_params(labelsize=7)
    axis.spines[["left", "right", "top"]].set_visible(False)


def _draw_frame(axis: "Axes", frame: CaptionedFrame, title: str) -> None:
    picture = np.asarray(_shrink(frame.picture))
    axis.imshow(picture)
    axis.axis("off")
    axis.autoscale(False)
    axis.set_title(title + frame.caption, fontsize=7, loc="left", pad=2, parse_math=False)
    if frame.bar:
        end, line, colour = picture.shape[1] * abs(frame.bar), picture.shape[0] * 1.03, _colour(frame.bar)
        axis.plot([0, end], [line, line], color=colour, linewidth=3, solid_capstyle="butt", clip_on=False)
