"""The report's charts as SVG: no script, colours from the page's style sheet, each mark with its name and numbers."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.ticker import MaxNLocator

from trailer_lib.dataset import SPLITS
from trailer_lib.evaluate import Metric

WIDTH, HEIGHT = 420, 270  # at a phone's width letters are still 10 pixels high
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 10, 42
MARKED = 100  # epochs: more would be one thick line of dots


@dataclass(frozen=True)
class Plane:
    """The data from `x` to `y`, (low, high) each, on the picture; `labels` of the two axes."""

    name: str
    x: tuple[float, float]
    y: tuple[float, float]
    labels: tuple[str, str]

    def across(self, value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (value - self.x[0]) / (self.x[1] - self.x[0])

    def down(self, value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - self.y[0]) / (self.y[1] - self.y[0])

    def svg(self, said: str, marks: Iterable[str], whole: str = "") -> Markup:
        """The chart, `said` to who can't see it; `whole`: the axes, of "xy", with ticks at whole numbers only."""
        plot = f'x="{LEFT}" y="{TOP}" width="{WIDTH - LEFT - RIGHT}" height="{HEIGHT - TOP - BOTTOM}"'
        return Markup(
            '<svg id="{name}" class="chart" viewBox="0 0 {width} {height}" role="img" aria-label="{said}">'
            '<clipPath id="{name}-plane"><rect {plot}/></clipPath>{axes}'
            '<g clip-path="url(#{name}-plane)">{marks}</g></svg>'
        ).format(
            name=self.name, width=WIDTH, height=HEIGHT, said=said, plot=Markup(plot), axes=self._axes(whole),
            marks=Markup("").join(marks),
        )  # fmt: skip

    def _axes(self, whole: str) -> Markup:
        bottom, middle = HEIGHT - BOTTOM, (HEIGHT - BOTTOM + TOP) / 2
        lines = [Markup('<path class="axis" d="M{} {}V{}H{}"/>').format(LEFT, TOP, bottom, WIDTH - RIGHT)]
        lines += [_text(self.across(tick), bottom + 15, f"{tick:g}") for tick in _ticks(*self.x, "x" in whole)]
        lines += [_text(LEFT - 6, self.down(tick) + 4, f"{tick:g}", "end") for tick in _ticks(*self.y, "y" in whole)]
        lines += [
            Markup('<path class="grid" d="M{} {:.1f}H{}"/>').format(LEFT, self.down(tick), WIDTH - RIGHT)
            for tick in _ticks(*self.y, "y" in whole)
        ]
        lines.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, self.labels[0]))
        turned = Markup(
            '<text class="label" text-anchor="middle" transform="translate(11 {:.0f}) rotate(-90)">{}</text>'
        )
        return Markup("").join([*lines, turned.format(middle, self.labels[1])])

    def line(self, x: Iterable[float], y: Iterable[float], kind: str) -> Markup:
        places = " ".join(f"{self.across(a):.1f},{self.down(b):.1f}" for a, b in zip(x, y))
        return Markup('<polyline class="line {}" points="{}"/>').format(kind, places)

    def level(self, value: float, kind: str, said: str) -> Markup:
        """A dashed line at a value of y."""
        d = f"M{LEFT} {self.down(value):.1f}H{WIDTH - RIGHT}"
        return Markup('<path class="line dashed {}" d="{}"><title>{}</title></path>').format(kind, d, said)

    def dot(self, x: float, y: float, kind: str, said: str, radius: float = 3) -> Markup:
        mark = '<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="{}"><title>{}</title></circle>'
        return Markup(mark).format(kind, self.across(x), self.down(y), radius, said)


def _ticks(low: float, high: float, whole: bool) -> list[float]:
    ticks = MaxNLocator(nbins=6, integer=whole, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    margin = 1e-9 * (high - low)
    return [round(float(tick), 9) for tick in ticks if low - margin <= tick <= high + margin]


def _text(x: float, y: float, text: str, anchor: str = "middle") -> Markup:
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>').format(x, y, anchor, text)


def histogram(films: pd.DataFrame, mean: float) -> Markup:
    """The films' scores, the splits on top of one another; the train films' mean as a dashed line."""
    bins = np.arange(np.floor(films.score.min()), np.ceil(films.score.max() + 0.01) + 0.01, 0.25)
    counts = [np.histogram(films.score[films.split == split], bins)[0] for split in SPLITS]
    plane = Plane(
        "histogram", (bins[0], bins[-1]), (0, 1.05 * max(1, np.sum(counts, 0).max())), ("IMDb score", "films")
    )
    base, marks = np.zeros(len(bins) - 1), []
    for split, count in zip(SPLITS, counts):
        marks += [_bar(plane, bins[n : n + 2], base[n], count[n], split) for n in np.flatnonzero(count)]
        base = base + count
    d = f"M{plane.across(mean):.1f} {TOP}V{HEIGHT - BOTTOM}"
    line = Markup('<path class="line dashed mean" d="{}"><title>train mean {:.2f}</title></path>').format(d, mean)
    return plane.svg(f"Histogram of the scores of {len(films)} films", [*marks, line], whole="y")


def _bar(plane: Plane, ends: np.ndarray, base: float, count: int, split: str) -> Markup:
    left, right = (plane.across(end) for end in ends)
    top, bottom = plane.down(base + count), plane.down(base)
    shape = f'x="{left + 0.5:.1f}" y="{top:.1f}" width="{right - left - 1:.1f}" height="{bottom - top:.1f}"'
    said = f"{split}: {count} films from {ends[0]:g} to {ends[1]:g}"
    return Markup('<rect class="{}" {}><title>{}</title></rect>').format(split, Markup(shape), said)


def curves(history: pd.DataFrame, constants: dict[str, float], loss: str) -> Markup:
    """Train and val loss by epoch, and dashed the constant's on each; what is above twice the constant's is cut off."""
    ends = (history.epoch.min() - 0.5, history.epoch.max() + 0.5)
    plane = Plane("curves", ends, (0, loss_limit(constants)), ("epoch", f"{loss} of standardised scores"))
    marks = []
    for split in ("train", "val"):
        marks.append(plane.level(constants[split], split, f"the constant on {split}: {constants[split]:.3f}"))
        losses = history[f"{split}_loss"]
        marks.append(plane.line(history.epoch, losses, split))
        named = zip(history.epoch, losses) if len(history) <= MARKED else []
        marks += [plane.dot(x, y, split, f"epoch {x:.0f}, {split} loss {y:.3f}") for x, y in named]
    best = history.loc[history.val_loss.idxmin()]
    said = f"the saved epoch, {best.epoch:.0f}: val loss {best.val_loss:.3f}"
    marks.append(plane.dot(best.epoch, best.val_loss, "best", said, 7))
    return plane.svg(f"Train and val loss of {len(history)} epochs; {said}", marks, whole="x")


def loss_limit(constants: dict[str, float]) -> float:
    """The highest loss drawn: epochs from random weights can be off by hundreds and would flatten the rest."""
    return 2 * max(*constants.values(), 1e-6)


def scatter(predictions: pd.DataFrame, mean: float) -> Markup:
    """Each film's predicted score against its true one, the diagonal, and dashed the train films' mean."""
    both = pd.concat([predictions.score, predictions.predicted])
    ends = (float(both.min()) - 0.3, float(both.max()) + 0.3)
    plane = Plane("scatter", ends, ends, ("true IMDb score", "predicted"))
    marks = [plane.line(ends, ends, "perfect"), plane.level(mean, "constant", f"the constant: {mean:.2f}")]
    marks += [plane.dot(film.score, film.predicted, "film", film_line(film), 4.5) for film in predictions.itertuples()]
    return plane.svg(f"Predicted against true score of {len(predictions)} test films; a table follows", marks)


def film_line(film: Any) -> str:
    """A row of the predictions in a line."""
    return f"{film.title[:100]} ({film.year:.0f}): true {film.score:.1f}, predicted {film.predicted:.1f}"


def interval(metric: Metric, ends: tuple[float, float], kind: str) -> Markup:
    """A line of a table: an interval and its value between `ends`, with 1, the mean's nMSE, as a dotted line."""

    def across(value: float) -> float:
        return 4 + 112 * (min(max(value, ends[0]), ends[1]) - ends[0]) / (ends[1] - ends[0])

    if not np.isfinite([metric.low, metric.high, metric.value]).all():
        return Markup("")
    return Markup(
        '<svg class="interval" viewBox="0 0 120 16" aria-hidden="true"><path class="one" d="M{:.1f} 0V16"/>'
        '<path class="line {}" d="M{:.1f} 8H{:.1f}"/><circle class="{}" cx="{:.1f}" cy="8" r="4"/></svg>'
    ).format(across(1), kind, across(metric.low), across(metric.high), kind, across(metric.value))


def interval_ends(metrics: Iterable[Metric]) -> tuple[float, float]:
    """What all intervals fit between, and 1; one that went astray, beyond 2, must not flatten the rest."""
    values = [end for metric in metrics for end in (metric.low, metric.high, metric.value) if end < 2]
    return min([*values, 0.98]), max([*values, 1.02])
