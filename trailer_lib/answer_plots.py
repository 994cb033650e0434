"""An answer as a matplotlib Figure: the scale, the frames with their pulls, heat, similar films."""

import textwrap

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trailer_lib.strip import Shot, Strip

UP, DOWN = "#2a8bd6", "#d9622b"
COLUMNS = 5
WIDTH = 10.0  # inches


def figure(strip: Strip) -> Figure:
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
    _scale(drawn.add_subplot(grid[0, :]), strip)
    for line, (title, shots) in enumerate(rows, 1):
        longest = max([abs(shot.pull) for shot in strip.frames if shot.pull is not None], default=0.0) or 1.0
        for column, shot in enumerate(shots):
            _shot(drawn.add_subplot(grid[line, column]), shot, longest, title if column == 0 else "")
    return drawn


def _rows(shots: list[Shot]) -> list[list[Shot]]:
    return [shots[start : start + COLUMNS] for start in range(0, len(shots), COLUMNS)]


def _head(drawn: Figure, strip: Strip, alerts: str, height: float) -> None:
    line = 1 - 0.08 / height
    if alerts:
        drawn.text(0.01, line, alerts, va="top", fontsize=9, color=DOWN, fontweight="bold", parse_math=False)
        line -= 0.2 * (alerts.count("\n") + 1) / height
    drawn.text(0.01, line, strip.title, va="top", fontsize=12, fontweight="bold", parse_math=False)
    drawn.text(
        0.01, line - 0.25 / height, "\n".join(strip.notes), va="top", fontsize=8, color="#444444", parse_math=False
    )


def _scale(axis: Axes, strip: Strip) -> None:
    axis.set(xlim=(0.9, 10.1), ylim=(-0.9 - 0.55 * len(strip.marks), 1.5), xticks=range(1, 11), yticks=[])
    axis.tick_params(labelsize=8)
    axis.spines[["left", "right", "top"]].set_visible(False)
    for share, (low, high) in strip.intervals.items():
        height, alpha, line = (0.8, 0.35, 0.15) if share < 90 else (0.4, 0.2, -0.5)
        axis.barh(0, high - low, left=low, height=height, color=UP, alpha=alpha)
        axis.text(high, line, f" {share} %", fontsize=7, color="#444444")
    for row, (name, points) in enumerate(strip.marks.items()):
        axis.plot([points, points], [-0.6, 0.6], color="#555555", linestyle="--", linewidth=1)
        axis.text(points, -0.9 - 0.55 * row, f"{name} {points:.1f}", fontsize=7, ha="center", va="center")
    axis.plot(strip.score, 0, "o", markersize=9, color=UP)
    axis.text(strip.score, 0.7, f"{strip.score:.1f}", ha="center", fontsize=12, fontweight="bold")


def _shot(axis: Axes, shot: Shot, longest: float, title: str) -> None:
    axis.imshow(shot.picture)
    axis.axis("off")
    axis.autoscale(False)
    axis.set_title(
        f"{title}\n{shot.caption}" if title else shot.caption, fontsize=7, loc="left", pad=2, parse_math=False
    )
    if shot.pull is not None:
        lines, width = shot.picture.shape[:2]
        ends, line = [0, width * abs(shot.pull) / longest], [lines * 1.03] * 2
        colour = UP if shot.pull > 0 else DOWN
        axis.plot(ends, line, color=colour, linewidth=3, solid_capstyle="butt", clip_on=False)
