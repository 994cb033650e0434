"""What all plots share: a figure that says in words what it draws, its size, and its end."""

from typing import Any

import matplotlib.pyplot as plt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

WIDTH = 10.0  # inches: what a notebook shows without shrinking


class DescribedFigure(Figure):
    """A figure that says in words what it draws, for people who cannot see it and for nbval, which compares words."""

    def __repr__(self) -> str:
        pictures = sum(len(axis.images) for axis in self.axes)
        words = [_words(axis) for axis in self.axes if not axis.images]
        return "\n".join([*filter(None, words), *[f"{pictures} pictures"] * bool(pictures)]) or "an empty figure"


def _words(axis: Axes) -> str:
    """What an axis draws: "train: 9 points; mean baseline"."""
    lengths = {line.get_label(): len(line.get_xdata()) for line in axis.lines if _is_named(line)}
    lines = [name if count < 3 else f"{name}: {count} points" for name, count in lengths.items()]  # 2: a baseline
    lines += [f"{dots.get_label()}: {len(dots.get_offsets())} dots" for dots in axis.collections if _is_named(dots)]
    bars = [f"{len(axis.patches)} bars"] if axis.patches else []
    return "; ".join(filter(None, [axis.get_title(), *lines, *bars]))


def _is_named(artist: Artist) -> bool:
    return not str(artist.get_label()).startswith("_")


def subplots(width: float, height: float, rows: int = 1, columns: int = 1, squeeze: bool = True) -> Any:
    """A figure of that many inches, and its axes."""
    size = {"figsize": (width, height), "layout": "constrained"}
    return plt.subplots(rows, columns, squeeze=squeeze, FigureClass=DescribedFigure, **size)


def finished(figure: Figure) -> Figure:
    for axis in figure.axes:
        axis.spines[["top", "right"]].set_visible(False)
    plt.close(figure)  # left open, pyplot would show it a second time at the end of the cell
    return figure
