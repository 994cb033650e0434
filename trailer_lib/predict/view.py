"""What an answer shows, however it is drawn: a scale from 1 to 10, captioned frames with their pulls, similar films."""

import base64
import io
import textwrap
from dataclasses import dataclass
from html import escape

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

HOT = np.array([255, 120, 0], np.float32)  # the colour of heat
LINES = 180  # of the pictures shown


@dataclass(frozen=True)
class CaptionedFrame:
    """A picture, uint8 [height, width, 3], its caption, and by how many IMDb points it moved the answer."""

    picture: np.ndarray
    caption: str
    pull: float | None = None


@dataclass(frozen=True)
class PredictionView:
    """`alerts` come before all else, `notes` after. `marks`: other answers on the scale by name, in IMDb points."""

    title: str
    alerts: list[str]
    score: float
    intervals: dict[int, tuple[float, float]]
    marks: dict[str, float]
    notes: list[str]
    frames: list[CaptionedFrame]
    heat: list[CaptionedFrame]
    similar: list[CaptionedFrame]


def overlay(picture: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """A picture, uint8 [height, width, 3], dark and grey but where it is hot: `heat` float32 [h, w] from 0 to 1."""
    width, height = picture.shape[1], picture.shape[0]
    hot = np.asarray(Image.fromarray(heat).resize((width, height), Image.Resampling.BILINEAR))[..., None]
    grey = np.repeat(picture.mean(2, keepdims=True), 3, 2) * 0.6
    return np.clip(grey * (1 - hot) + (0.6 * picture + 0.4 * HOT) * hot, 0, 255).astype(np.uint8)


def shrink_picture(picture: np.ndarray, lines: int = LINES) -> np.ndarray:
    """A picture of at most `lines` lines."""
    if picture.shape[0] <= lines:
        return picture
    width = max(1, round(picture.shape[1] * lines / picture.shape[0]))
    return np.asarray(Image.fromarray(picture).resize((width, lines), Image.Resampling.BOX))


UP, DOWN = "#2a8bd6", "#d9622b"  # told apart by every kind of eye; on white and on black
STYLE = """
.answer{font:14px/1.45 system-ui,sans-serif;max-width:60em}
.answer svg{width:100%;height:auto;max-width:30em;display:block;overflow:visible}
.answer .alert{border-left:4px solid #d9622b;padding:.2em .7em;margin:.4em 0;background:#d9622b22}
.answer h3,.answer h4{margin:.6em 0 .2em}.answer p{margin:.3em 0}
.answer .shots{display:flex;flex-wrap:wrap;gap:8px}
.answer figure{margin:0;width:min(160px,45%)}
.answer figure img{width:100%;display:block;border-radius:3px;margin:0}
.answer figcaption{font-size:12px;overflow-wrap:anywhere}
.answer .pull{height:5px;border-radius:2px;margin:2px 0}
"""


def html_page(strip: PredictionView) -> str:
    """The strip as one element with its style; every text in it is escaped."""
    return html_element("".join(html_parts(strip)))


def html_parts(strip: PredictionView) -> tuple[str, str, str]:
    """What belongs in an `element`: the score and all that is said of it, the frames, the similar films."""
    notes = "".join(f"<p>{escape(text)}</p>" for text in strip.notes)
    return (
        f"{''.join(map(html_alert, strip.alerts))}<h3>{escape(strip.title)}</h3>{_scale(strip)}{notes}",
        _shots("Frames, and by how many points each moved the answer", strip.frames)
        + _shots("Where in the frames that moved it most", strip.heat),
        _shots("Training films most like it, to the model", strip.similar),
    )


def html_alert(text: str) -> str:
    return f'<p class="alert" role="alert">{escape(text)}</p>'


def html_element(content: str) -> str:
    """Parts and alerts with their style."""
    return f'<div class="answer"><style>{STYLE}</style>{content}</div>'


def _scale(strip: PredictionView) -> str:
    """1 to 10 as SVG: the intervals as bars, the score as a dot, the other answers as ticks with their names below."""
    bars = "".join(_bar(share, *strip.intervals[share]) for share in sorted(strip.intervals, reverse=True))
    numbers = "".join(_text(_x(points), 48, str(points)) for points in range(1, 11))
    marks = "".join(_mark(row, *mark) for row, mark in enumerate(strip.marks.items()))
    said = f"{strip.score:.1f}"
    return (
        f'<svg viewBox="0 0 320 {58 + 14 * len(strip.marks)}" role="img" aria-label="{said} on a scale from 1 to 10">'
        f'<path d="M{_x(1)} 24H{_x(10)}" stroke="currentColor" stroke-opacity=".4" stroke-width="2"/>{bars}{numbers}'
        f'{marks}<circle cx="{_x(strip.score):.1f}" cy="24" r="7" fill="{UP}"/>'
        f"{_text(_x(strip.score), 11, said, 'font-size:14px;font-weight:bold')}</svg>"
    )


def _bar(share: int, low: float, high: float) -> str:
    top, height, opacity = (17, 14, 0.45) if share < 90 else (20, 8, 0.25)
    shape = f'x="{_x(low):.1f}" y="{top}" width="{_x(high) - _x(low):.1f}" height="{height}" rx="3"'
    said = f"<title>{share} %: {low:.1f} to {high:.1f}</title>"
    return f'<rect {shape} fill="{UP}" fill-opacity="{opacity}">{said}</rect>'


def _mark(row: int, name: str, points: float) -> str:
    place = _x(points)
    tick = f'<path d="M{place:.1f} 12V36" stroke="currentColor" stroke-width="2" stroke-dasharray="3 2"/>'
    return tick + _text(min(max(place, 70), 250), 62 + 14 * row, f"{name} {points:.1f}")


def _text(x: float, y: float, text: str, style: str = "font-size:11px") -> str:
    return f'<text x="{x:.1f}" y="{y}" text-anchor="middle" fill="currentColor" style="{style}">{escape(text)}</text>'


def _x(points: float) -> float:
    return 15 + 290 * (points - 1) / 9


def _shots(title: str, shots: list[CaptionedFrame]) -> str:
    if not shots:
        return ""
    longest = max([abs(shot.pull) for shot in shots if shot.pull is not None], default=0.0)
    return f'<h4>{title}</h4><div class="shots">{"".join(_figure(shot, longest) for shot in shots)}</div>'


def _figure(shot: CaptionedFrame, longest: float) -> str:
    bar = ""
    if shot.pull is not None:
        share, colour = abs(shot.pull) / (longest or 1.0), UP if shot.pull > 0 else DOWN
        bar = f'<div class="pull" style="width:{share:.0%};background:{colour}"></div>'
    picture, caption = data_uri(shot.picture), escape(shot.caption)
    return f'<figure><img alt="" src="{picture}">{bar}<figcaption>{caption}</figcaption></figure>'


def data_uri(picture: np.ndarray) -> str:
    """A picture, uint8 [height, width, 3], as a JPEG within a link."""
    data = io.BytesIO()
    Image.fromarray(shrink_picture(picture)).save(data, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"


ANSWER_PLOTS_UP, ANSWER_PLOTS_DOWN = "#2a8bd6", "#d9622b"
COLUMNS = 5
WIDTH = 10.0  # inches


def prediction_figure(strip: PredictionView) -> Figure:
    """The strip on white; not pyplot's, so that it may be drawn in any thread."""
    rows = [("", row) for row in _rows(strip.frames)]
    for title, shots in (("where in the frames that moved it most", strip.heat), ("similar films", strip.similar)):
        rows += [(title if n == 0 else "", row) for n, row in enumerate(_rows(shots))]
    text = "\n".join(textwrap.fill(alert, 120) for alert in strip.alerts)
    heights = [0.9 + 0.15 * len(strip.marks), *(1.35 + 0.25 * bool(title) for title, _ in rows)]
    top = 0.4 + 0.2 * (text.count("\n") + 1) * bool(text) + 0.18 * len(strip.notes)
    drawn = Figure(figsize=(WIDTH, sum(heights) + top), layout="constrained")
    drawn.get_layout_engine().set(rect=(0, 0, 1, 1 - top / (sum(heights) + top)), h_pad=0.02, w_pad=0.02)
    grid = drawn.add_gridspec(len(heights), COLUMNS, height_ratios=heights)
    _head(drawn, strip, text, sum(heights) + top)
    _scale_answer_plots(drawn.add_subplot(grid[0, :]), strip)
    for line, (title, shots) in enumerate(rows, 1):
        longest = max([abs(shot.pull) for shot in strip.frames if shot.pull is not None], default=0.0) or 1.0
        for column, shot in enumerate(shots):
            _shot(drawn.add_subplot(grid[line, column]), shot, longest, title if column == 0 else "")
    return drawn


def _rows(shots: list[CaptionedFrame]) -> list[list[CaptionedFrame]]:
    return [shots[start : start + COLUMNS] for start in range(0, len(shots), COLUMNS)]


def _head(drawn: Figure, strip: PredictionView, alerts: str, height: float) -> None:
    line = 1 - 0.08 / height
    if alerts:
        drawn.text(
            0.01, line, alerts, va="top", fontsize=9, color=ANSWER_PLOTS_DOWN, fontweight="bold", parse_math=False
        )
        line -= 0.2 * (alerts.count("\n") + 1) / height
    drawn.text(0.01, line, strip.title, va="top", fontsize=12, fontweight="bold", parse_math=False)
    drawn.text(
        0.01, line - 0.25 / height, "\n".join(strip.notes), va="top", fontsize=8, color="#444444", parse_math=False
    )


def _scale_answer_plots(axis: Axes, strip: PredictionView) -> None:
    axis.set(xlim=(0.9, 10.1), ylim=(-0.9 - 0.55 * len(strip.marks), 1.5), xticks=range(1, 11), yticks=[])
    axis.tick_params(labelsize=8)
    axis.spines[["left", "right", "top"]].set_visible(False)
    for share, (low, high) in strip.intervals.items():
        height, alpha, line = (0.8, 0.35, 0.15) if share < 90 else (0.4, 0.2, -0.5)
        axis.barh(0, high - low, left=low, height=height, color=ANSWER_PLOTS_UP, alpha=alpha)
        axis.text(high, line, f" {share} %", fontsize=7, color="#444444")
    for row, (name, points) in enumerate(strip.marks.items()):
        axis.plot([points, points], [-0.6, 0.6], color="#555555", linestyle="--", linewidth=1)
        axis.text(points, -0.9 - 0.55 * row, f"{name} {points:.1f}", fontsize=7, ha="center", va="center")
    axis.plot(strip.score, 0, "o", markersize=9, color=ANSWER_PLOTS_UP)
    axis.text(strip.score, 0.7, f"{strip.score:.1f}", ha="center", fontsize=12, fontweight="bold")


def _shot(axis: Axes, shot: CaptionedFrame, longest: float, title: str) -> None:
    axis.imshow(shot.picture)
    axis.axis("off")
    axis.autoscale(False)
    axis.set_title(
        f"{title}\n{shot.caption}" if title else shot.caption, fontsize=7, loc="left", pad=2, parse_math=False
    )
    if shot.pull is not None:
        lines, width = shot.picture.shape[:2]
        ends, line = [0, width * abs(shot.pull) / longest], [lines * 1.03] * 2
        colour = ANSWER_PLOTS_UP if shot.pull > 0 else ANSWER_PLOTS_DOWN
        axis.plot(ends, line, color=colour, linewidth=3, solid_capstyle="butt", clip_on=False)
