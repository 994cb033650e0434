"""A prediction as HTML and as a matplotlib figure: two renderings of one PredictionView."""

import base64
import textwrap
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
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
STYLE = Path(__file__).with_suffix(".css")


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


def html_parts(view: PredictionView) -> tuple[str, str, str]:
    """The score and all that is said of it, the frames, the similar films: for html_element; every text is escaped."""
    alerts = "".join(map(html_alert, view.alerts))
    notes = "".join(f"<p>{escape(text)}</p>" for text in view.notes)
    score = f"{alerts}<h3>{escape(view.title)}</h3>{_svg_scale(view)}{_html_sources(view)}{notes}"
    frames = _svg_sound(view) + _html_frames(FRAMES, view.frames) + _html_frames(HEAT, view.heat)
    return score, frames, _html_frames(SIMILAR, view.similar)


def html_alert(text: str) -> str:
    """A warning or an error as a paragraph for html_element."""
    return f'<p class="alert" role="alert">{escape(text)}</p>'


def html_element(content: str) -> str:
    """Parts and alerts with their style."""
    return f'<div class="prediction"><style>{STYLE.read_text("utf-8")}</style>{content}</div>'


def _svg_scale(view: PredictionView) -> str:
    """1 to 10: the intervals as bars, the score as a dot, the marks as ticks with their names below."""
    parts = [f'<path d="M{_x(1)} 24H{_x(10)}" stroke="currentColor" stroke-opacity=".4" stroke-width="2"/>']
    for share, (low, high) in sorted(view.intervals.items(), reverse=True):
        top, height, opacity = (17, 14, 0.45) if share < 90 else (20, 8, 0.25)
        box = f'x="{_x(low):.1f}" y="{top}" width="{_x(high) - _x(low):.1f}" height="{height}" rx="3"'
        parts.append(f'<rect {box} fill="{UP}" fill-opacity="{opacity}"/>')
    parts += [_svg_text(_x(points), 48, f"{points}") for points in range(1, 11)]
    for row, (name, points) in enumerate(view.marks.items()):
        parts.append(f'<path d="M{_x(points):.1f} 12V36" stroke="currentColor" stroke-dasharray="3 2"/>')
        parts.append(_svg_text(min(max(_x(points), 70), 250), 62 + 14 * row, f"{name} {points:.1f}"))
    parts.append(f'<circle cx="{_x(view.score):.1f}" cy="24" r="7" fill="{UP}"/>')
    parts.append(_svg_text(_x(view.score), 11, f"{view.score:.1f}", "font-weight:bold"))
    label = f'role="img" aria-label="{view.score:.1f} on a scale from 1 to 10"'
    return f'<svg viewBox="0 0 320 {58 + 14 * len(view.marks)}" {label}>{"".join(parts)}</svg>'


def _svg_text(x: float, y: float, text: str, style: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y}" style="{style}">{escape(text)}</text>'


def _x(points: float) -> float:
    return 15 + 290 * (points - 1) / 9


def _html_sources(view: PredictionView) -> str:
    """A row for each source: its caption, and a bar to the right (up) or the left (down) of the middle."""
    rows = []
    for caption, bar in view.sources.items():
        style = f"margin-left:{50 + min(0.0, 50 * bar):.1f}%;width:{abs(50 * bar):.1f}%;background:{_colour(bar)}"
        rows.append(f'<span>{escape(caption)}</span><div class="middle"><div class="bar" style="{style}"></div></div>')
    return f'<h4>{escape(view.baseline)}</h4><div class="sources">{"".join(rows)}</div>'


def _svg_sound(view: PredictionView) -> str:
    """The clips of sound as bars over their seconds, up and down; "" without any."""
    if not view.clips:
        return ""
    end, parts = max(view.clips) + CLIP_SECONDS, ['<path d="M15 36H305" stroke="currentColor" stroke-opacity=".4"/>']
    for second, bar in view.clips.items():
        box = f'x="{15 + 290 * second / end:.1f}" y="{36 - max(0.0, 30 * bar):.1f}" height="{abs(30 * bar):.1f}"'
        parts.append(f'<rect {box} width="{290 * CLIP_SECONDS / end - 0.5:.1f}" fill="{_colour(bar)}"/>')
    parts += [_svg_text(15 + 290 * share, 80, f"{share * end:.0f} s") for share in (0, 0.25, 0.5, 0.75, 1)]
    svg = f'<svg viewBox="0 0 320 84" role="img" aria-label="{view.sound}">{"".join(parts)}</svg>'
    return f"<h4>{view.sound}</h4>{svg}"


def _html_frames(title: str, frames: list[CaptionedFrame]) -> str:
    figures = []
    for frame in frames:
        jpeg = encoded(np.asarray(_shrink(frame.picture)), "JPEG", quality=80)
        picture = f'<img alt="" src="data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}">'
        style = f"width:{abs(frame.bar):.0%};background:{_colour(frame.bar)}"
        bar = f'<div class="bar" style="{style}"></div>' if frame.bar else ""
        figures.append(f"<figure>{picture}{bar}<figcaption>{escape(frame.caption)}</figcaption></figure>")
    return f'<h4>{title}</h4><div class="frames">{"".join(figures)}</div>' if frames else ""


COLUMNS = 5


def prediction_figure(view: PredictionView) -> "Figure":
    """The view on white; not one of pyplot's figures, so that any thread may draw it."""
    from matplotlib.figure import Figure  # takes a third of a second

    rows = []  # of pictures, each with its section's title if it is the first
    for title, frames in (("", view.frames), (HEAT, view.heat), (SIMILAR, view.similar)):
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
