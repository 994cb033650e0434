"""Every figure: each function returns a matplotlib Figure, which a notebook shows and a script saves."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from trailer_lib import video
from trailer_lib.dataset import SPLITS, Dataset, evenly_spaced
from trailer_lib.evaluation import BASELINES, Metric, baseline_losses, genre_loss, trailer_row
from trailer_lib.project import Project
from trailer_lib.settings import TrainSettings, trains
from trailer_lib.training import earlier_runs, is_start

WIDTH = 10.0  # inches: what a notebook shows without shrinking
COLOURS = {"train": "#4477aa", "val": "#ee6677", "test": "#228833", "mean baseline": "#777777", "genre only": "#aa3377"}
OUTCOMES = {"ok": "#228833", "failed": "#ee6677", "later": "#ccbb44", "open": "#bbbbbb"}


class DescribedFigure(Figure):
    """A figure that says in words what it draws, for people who cannot see it and for nbval, which compares words."""

    def __repr__(self) -> str:
        pictures = sum(len(axis.images) for axis in self.axes)
        words = [_words(axis) for axis in self.axes if not axis.images]
        return "\n".join([*filter(None, words), *[f"{pictures} pictures"] * bool(pictures)]) or "an empty figure"


def _words(axis: plt.Axes) -> str:
    """What an axis draws: "train: 9 points; mean baseline"."""
    words = [axis.get_title()]
    for artist in (*axis.lines, *axis.collections):
        name, dots = str(artist.get_label()), artist in axis.collections
        count = len(artist.get_offsets() if dots else artist.get_xdata())
        if not name.startswith("_"):
            words.append(f"{name}: {count} {'dots' if dots else 'points'}" if dots or count > 2 else name)  # 2: a line
    bars = [f"{len(axis.patches)} bars"] if axis.patches else []
    return "; ".join(dict.fromkeys(filter(None, [*words, *bars])))


@plt.rc_context({"axes.spines.top": False, "axes.spines.right": False})
def subplots(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Figure, plt.Axes]:
    """A figure of that many inches, and its first axes."""
    figure = plt.figure(figsize=(width, height), layout="constrained", FigureClass=DescribedFigure)
    figure.subplots(rows, columns)
    plt.close(figure)  # left open, pyplot would show it a second time at the end of the cell
    return figure, figure.axes[0]


def contact_sheet(
    pictures: Sequence[np.ndarray], captions: Sequence[str], title: str = "", columns: int = 10, below: bool = False
) -> Figure:
    """Pictures, uint8 [height, width, 3] each, in rows of `columns`, a caption over (or `below`) each."""
    rows = max(1, -(-len(pictures) // columns))
    height, width = pictures[0].shape[:2] if len(pictures) else (9, 16)
    inches = rows * (WIDTH / columns * height / width + 0.16) + 0.3 + 0.2 * below + 0.16 * title.count("\n")
    figure, _ = subplots(WIDTH, inches, rows, columns)
    place = {"y": -0.04, "va": "top", "pad": 0} if below else {"pad": 2}
    for axis in figure.axes:
        axis.axis("off")
    for axis, picture, caption in zip(figure.axes, pictures, captions):
        axis.imshow(picture)
        axis.set_title(caption, fontsize=7, loc="left", parse_math=False, **place)  # a title may hold dollar signs
    figure.suptitle(title, fontsize=10, parse_math=False)
    figure.get_layout_engine().set(w_pad=0.01, h_pad=0.01, wspace=0.02, hspace=0.06 if below else 0.0)
    return figure


def augmented_batch(pictures: np.ndarray, films: pd.DataFrame, count: int = 6) -> Figure:
    """The first `count` films of `training.augmented_batch`: their frames side by side, two films a row."""
    frames = pictures.shape[1]
    captions = [""] * (frames * len(films[:count]))
    captions[::frames] = [f"{film.title[:24]}, {film.score}" for film in films[:count].itertuples()]
    columns = 2 * frames if frames <= 8 else frames
    flat = pictures[:count].reshape(-1, *pictures.shape[2:])
    return contact_sheet(flat, captions, "one training batch as the network sees it", columns, below=True)


def kept_frames(folder: Path, count: int = 20) -> Figure:
    """`count` kept frames of a film's folder, spread over the film, each with its second."""
    paths = video.picture_paths(folder)
    seconds = video.read_record(folder).get("seconds", [])
    captions = [f"{second:.1f} s" for second in seconds] or [path.stem for path in paths]
    chosen = evenly_spaced(len(paths), min(count, len(paths)))
    title = f"{folder.name}: kept {len(paths)}, {len(chosen)} of them"
    return contact_sheet([video.read_picture(paths[n]) for n in chosen], [captions[n] for n in chosen], title)


def dropped_frames(folder: Path, count: int = 20) -> Figure:
    """`count` dropped frames of a film's folder, spread over the film, each with the reason."""
    dropped = video.read_dropped(folder)
    chosen = [dropped[n] for n in evenly_spaced(len(dropped), min(count, len(dropped)))]
    title = f"{folder.name}: dropped {len(dropped)}, {len(chosen)} of them"
    return contact_sheet([picture for picture, _ in chosen], [reason for _, reason in chosen], title)


def sound_picture(folder: Path) -> Figure:
    """The sound of a film's folder: its spectrogram, seconds below and Hz at the left; empty where there is none."""
    sound = video.load_sound(folder)
    if sound is None:
        return contact_sheet([], [], f"{folder.name}: no sound", columns=1)
    figure, axis = subplots(WIDTH, 2.4)
    axis.set_title(f"{folder.name}: sound", fontsize=10, parse_math=False)
    extent = (0, sound.shape[1] / video.COLUMNS_PER_SECOND, video.BANDS, 0)
    axis.imshow(sound, cmap="magma", vmin=0, vmax=255, aspect="auto", extent=extent, interpolation="nearest")
    hertz = [250, 500, 1000, 2000, 4000]
    axis.set_yticks(video.BANDS + 0.5 - np.interp(hertz, video.band_tops(), np.arange(video.BANDS + 2)), hertz)
    axis.set(xlabel="seconds", ylabel="Hz")
    return figure


def scrape_outcomes(status: pd.DataFrame) -> Figure:
    """How many films gave frames (green), failed for good (red) or for now (yellow), or are not tried yet (grey)."""
    reasons = status.reason.where(status.status != "ok", "frames kept").replace("", "not tried yet")
    counts = pd.DataFrame({"outcome": reasons, "status": status.status}).value_counts()
    names = [f"{reason}, to be tried again" if state == "later" else reason for reason, state in counts.index]
    figure, axis = subplots(WIDTH * 0.7, 0.9 + 0.35 * len(counts))
    axis.bar_label(axis.barh(names, counts, color=[OUTCOMES[state] for _, state in counts.index]), padding=3)
    axis.invert_yaxis()
    axis.set_xlabel("films")
    return figure


def score_histogram(films: pd.DataFrame) -> Figure:
    """The scores of each split's films, and the train films' mean: the mean baseline."""
    figure, axis = subplots(WIDTH * 0.7, 2.6)
    scores, colours = zip(*((films.score[films.split == split], COLOURS[split]) for split in SPLITS))
    axis.hist(scores, np.arange(1, 10.26, 0.25), stacked=True, color=colours, label=SPLITS)
    axis.axvline(scores[0].mean(), color=COLOURS["mean baseline"], linestyle="--", label="mean baseline")
    axis.set(xlabel="IMDb score", ylabel="films")
    axis.locator_params(axis="y", integer=True)
    axis.legend(frameon=False)
    return figure


def learning_curve(
    history: pd.DataFrame, baseline: dict, epochs: int, loss: str, genre: float | None = None, earlier: Sequence = ()
) -> Figure:
    """Losses by epoch, with `baseline_losses` (dashed), `genre_loss` (dotted), and earlier runs' val losses in grey."""
    figure, axis = subplots(WIDTH * 0.8, 3.8)
    for run, grey in zip(earlier, ("0.82", "0.7", "0.55")[-len(earlier) :]):
        name = f"earlier, val ({run.history.val_loss.min():.2f}): {run.name}"
        axis.plot(run.history.epoch, run.history.val_loss, ".-", color=grey, label=name)
    constant = "median" if loss == "l1" else "mean"
    for split, colour in list(COLOURS.items())[:2]:
        name = f"{split} ({history[f'{split}_loss'].min():.2f})"
        axis.plot(history.epoch, history[f"{split}_loss"], "o-", markersize=3, color=colour, label=name)
        axis.axhline(baseline[split], color=colour, linestyle="--", linewidth=1, label=f"{constant} baseline, {split}")
    if genre is not None:
        axis.axhline(genre, color=COLOURS["genre only"], linestyle=":", linewidth=1.5, label="genre only, val")
    best = history.loc[history.val_loss.idxmin()]
    first, done = min(1, int(history.epoch.iloc[0])), int(history.epoch.iloc[-1])
    highest = max(*baseline.values(), genre or 0, 0.1)
    # The first epochs from random weights can be off by hundreds; they must not flatten the rest.
    top = 1.1 * max(highest, min(2 * highest, history[["train_loss", "val_loss"]].to_numpy().max()))
    shown = min(best.val_loss, 0.97 * top)  # a loss far off the axis is in the legend alone
    axis.plot(best.epoch, shown, "*", markersize=12, color=COLOURS["val"], label="best epoch, saved")
    title = f"epoch {done} of {epochs}" if epochs else "a fitted head"
    axis.set(xlabel="epoch", ylabel=f"{loss} of standardised scores", title=title)
    axis.set(xlim=(first - 0.5, max(epochs, done) + 0.5), ylim=(-0.03 * top, top))
    axis.locator_params(axis="x", integer=True)
    axis.xaxis.set_major_formatter(lambda x, _: "head on\nfrozen features" if x == 0 else f"{x:.0f}")
    figure.legend(loc="outside lower center", frameon=False, fontsize=8, ncols=3)
    return figure


class LiveCurve:
    """The learning curve as a notebook output that is redrawn after every epoch: pass it as `train(on_epoch=...)`."""

    def __init__(self, project: Project, settings: TrainSettings, data: Dataset) -> None:
        from IPython.display import Markdown, display  # only notebooks have it

        epochs = settings.epochs if trains(settings) else 0
        self.lines = baseline_losses(data, settings.loss), epochs, settings.loss, genre_loss(data, settings.loss)
        self.earlier = earlier_runs(project.models, settings, data)
        self.figure: Figure | None = None
        self.handle = display(Markdown("*the curve appears after the first epoch*"), display_id=True)

    def __call__(self, history: pd.DataFrame) -> None:
        self.figure = learning_curve(history, *self.lines, [run for run in self.earlier if not is_start(run, history)])
        self.handle.update(self.figure)

    def __str__(self) -> str:
        return repr(self.figure) if self.figure else "no curve is drawn yet"


def fewer_films(table: pd.DataFrame, baseline: dict[str, float]) -> Figure:
    """The val loss by the number of train films (`training.fewer_films`): the mean of the draws, and their range."""
    figure, axis = subplots(WIDTH * 0.6, 2.8)
    losses = table.groupby("films").val_loss.agg(["mean", "min", "max"])
    axis.fill_between(losses.index, losses["min"], losses["max"], color=COLOURS["val"], alpha=0.2, label="other draws")
    axis.plot(losses.index, losses["mean"], "o-", color=COLOURS["val"], label="val, mean of the draws")
    axis.axhline(baseline["val"], color=COLOURS["mean baseline"], linestyle="--", label="mean baseline, val")
    axis.set_xscale("log", base=2)
    axis.set_xticks(losses.index, losses.index)
    axis.set(xlabel="train films", ylabel="mse of standardised scores", ylim=(0, None))
    axis.legend(frameon=False, fontsize=8)
    return figure


def predicted_against_true(predictions: pd.DataFrame, results: dict) -> Figure:
    """The columns of `predictions` (a row a film) against its score: all sources, the trailer alone, metadata alone."""
    panels = dict.fromkeys([results["row"], trailer_row(results["metrics"]), "metadata"])
    panels = [row for row in panels if row in results["metrics"]]
    points = predictions[["score", *panels]].astype(float)
    ends = points.min(axis=None) - 0.3, points.max(axis=None) + 0.3
    width = min(4.6, WIDTH / len(panels))
    figure, _ = subplots(width * len(panels), width, 1, len(panels))
    for axis, row in zip(figure.axes, panels):
        colour, label = COLOURS["genre only" if row == "metadata" else "test"], f"{results['split']} films"
        axis.scatter(points.score, points[row], s=18, color=colour, label=label)
        axis.plot(ends, ends, color="black", linewidth=0.8, label="perfect")
        axis.axhline(results["train_mean"], color=COLOURS["mean baseline"], linestyle="--", label="mean baseline")
        axis.set(xlim=ends, ylim=ends, xlabel="true IMDb score")
        axis.set_title(f"{row}: nMSE {Metric(**results['metrics'][row]['nMSE'])}", fontsize=10)
    figure.axes[0].set_ylabel("predicted")
    figure.axes[0].legend(frameon=False, fontsize=8)
    return figure


def largest_errors(data: Dataset, predictions: pd.DataFrame, films: int = 4, count: int = 5) -> Figure:
    """`count` frames of each of the `films` films with the largest errors."""
    worst = predictions.loc[predictions.error.abs().nlargest(films).index]
    pictures = [frame for film in worst.index for frame in data.film_frames(film, count)]
    captions = [""] * len(pictures)
    captions[::count] = [f"{row.title[:22]}: {row.predicted:.1f}, true {row.score:.1f}" for row in worst.itertuples()]
    return contact_sheet(pictures, captions, "the largest errors", 2 * count)


def scheme_table(results: dict) -> Figure:
    """nMSE with its interval of every row of a result, `compare`'s too; the rows that see no trailer are grey."""
    table = pd.DataFrame({row: found["nMSE"] for row, found in results["metrics"].items()}, dtype=float).T
    figure, axis = subplots(WIDTH * 0.8, 0.9 + 0.26 * len(table))
    # A scheme that diverged can be off by hundreds; it must not flatten the rest.
    near = table[table.value < 3] if table.value.min() < 3 else table
    left, right = np.nanmin([1, *near.low]) - 0.02, np.nanmax([1, *near.high]) + 0.02
    axis.set(xlim=(left, right), xlabel="nMSE, 95 % interval")
    axis.axvline(1, color="black", linestyle=":", linewidth=0.8)
    axis.set_yticks(range(len(table)), table.index, parse_math=False)
    axis.invert_yaxis()
    for place, (row, value, low, high) in enumerate(table[["value", "low", "high"]].itertuples()):
        colour = COLOURS["mean baseline" if row.split(": ")[-1] in (*BASELINES, "metadata") else "test"]
        axis.plot((low, high), (place, place), color=colour)
        axis.plot(value, place, "o", markersize=5, color=colour, label=row)
        if not high <= right:
            axis.text(right, place, f"{Metric(value, low, high)} →", ha="right", va="bottom", fontsize=8)
    return figure
