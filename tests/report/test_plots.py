"""Every figure draws what it says, with the captions that explain it, and leaves nothing open in pyplot."""

import io
from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from conftest import FRAMES, fictional_film
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from trailer_lib.dataset.dataset import Dataset
from trailer_lib.dataset.frames import evenly_spaced
from trailer_lib.project import Project
from trailer_lib.report import plots
from trailer_lib.video import frame_folder

METRICS = {name: {"value": 0.9, "low": 0.8, "high": 1.1} for name in ("nMSE", "MAE", "R2", "Spearman")}
RESULTS = {"films": 7, "train_mean": 6.1, "metrics": {"trailer": METRICS, "mean baseline": METRICS}}
HISTORY = pd.DataFrame(
    {"epoch": [1, 2, 3, 4], "train_loss": [1.4, 1.0, 0.8, 0.7], "val_loss": [1.2, 0.9, 0.7, 0.8], "lr": [1e-3] * 4}
)
CONSTANTS = {"train": 1.0, "val": 1.1}


def drawn_on(figure: Figure) -> list[Axes]:
    """The axes that hold a picture."""
    return [axis for axis in figure.axes if axis.images]


def captions(figure: Figure) -> list[str]:
    return [axis.get_title(loc="left") for axis in drawn_on(figure)]


def some_pictures(count: int) -> list[np.ndarray]:
    return [np.full((9, 16, 3), 10 * number, np.uint8) for number in range(count)]


def film_folder(root: Path, number: int = 4) -> Path:
    film = fictional_film(number)
    return root / "images" / frame_folder.folder_name(film["imdb_id"], film["title"], film["year"])


def predictions_of(data: Dataset) -> pd.DataFrame:
    films = data.split("test")
    predicted = films.score + np.linspace(-2.0, 1.0, len(films))
    return films.assign(predicted=predicted, error=predicted - films.score)


@pytest.fixture(scope="module")
def data(dataset_root: Path) -> Dataset:
    return Dataset.open(Project(dataset_root))


STATUS = pd.DataFrame(
    {"status": ["ok", "ok", "ok", "failed", "later", "open"], "reason": ["", "", "", "private", "timeout", ""]}
)

EVERY_PLOT: dict[str, Callable[[Path, Dataset], Figure]] = {
    "contact_sheet": lambda root, data: plots.contact_sheet(some_pictures(3), ["a", "b", "c"]),
    "kept_frames": lambda root, data: plots.kept_frames(film_folder(root)),
    "dropped_frames": lambda root, data: plots.dropped_frames(film_folder(root)),
    "scrape_outcomes": lambda root, data: plots.scrape_outcomes(STATUS),
    "score_histogram": lambda root, data: plots.score_histogram(data.films),
    "learning_curve": lambda root, data: plots.learning_curve(HISTORY, CONSTANTS, 10, "mse"),
    "predicted_against_true": lambda root, data: plots.predicted_against_true(predictions_of(data), RESULTS),
    "largest_errors": lambda root, data: plots.largest_errors(data, predictions_of(data)),
}


@pytest.mark.parametrize("name", EVERY_PLOT)
def test_a_figure_draws_something_and_is_not_left_open(dataset_root: Path, data: Dataset, name: str) -> None:
    plt.close("all")
    figure = EVERY_PLOT[name](dataset_root, data)
    assert isinstance(figure, Figure)
    assert plt.get_fignums() == []
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=40)
    assert len(Image.open(file).convert("RGB").getcolors(1_000_000)) > 2


@pytest.mark.parametrize("count, columns, rows", [(1, 10, 1), (10, 10, 1), (11, 10, 2), (7, 3, 3)])
def test_a_contact_sheet_has_a_place_for_each_picture(count: int, columns: int, rows: int) -> None:
    figure = plots.contact_sheet(some_pictures(count), [f"no {n}" for n in range(count)], "Title", columns)
    assert len(figure.axes) == rows * columns
    assert captions(figure) == [f"no {n}" for n in range(count)]
    assert [axis.images[0].get_array()[0, 0, 0] for axis in drawn_on(figure)] == [10 * n for n in range(count)]
    assert figure.get_suptitle() == "Title"


def test_a_contact_sheet_of_nothing_is_an_empty_figure() -> None:
    figure = plots.contact_sheet([], [])
    assert drawn_on(figure) == []
    figure.savefig(io.BytesIO())


@pytest.mark.parametrize("count, shown", [(5, 5), (100, FRAMES)])
def test_kept_frames_are_spread_over_the_film_with_their_seconds(frames_root: Path, count: int, shown: int) -> None:
    figure = plots.kept_frames(film_folder(frames_root), count)
    assert captions(figure) == [f"{1.5 * n:.1f} s" for n in evenly_spaced(FRAMES, shown)]
    assert figure.get_suptitle() == f"{film_folder(frames_root).name}: kept {FRAMES}, {shown} of them"


def test_kept_frames_of_the_originals_layout_have_their_numbers(frames_root: Path, copy_of: Callable) -> None:
    folder = film_folder(copy_of(frames_root).root)
    (folder / "film.json").unlink()
    assert captions(plots.kept_frames(folder)) == [str(n) for n in range(FRAMES)]


def test_dropped_frames_have_their_reasons(frames_root: Path) -> None:
    figure = plots.dropped_frames(film_folder(frames_root))
    assert captions(figure) == ["dark", "flat"]
    assert figure.get_suptitle().endswith("dropped 2, 2 of them")


def test_a_film_without_dropped_frames_shows_none(frames_root: Path, copy_of: Callable) -> None:
    folder = film_folder(copy_of(frames_root).root)
    (folder / "film.json").unlink()
    figure = plots.dropped_frames(folder)
    assert captions(figure) == [] and figure.get_suptitle().endswith("dropped 0, 0 of them")


def test_scrape_outcomes_count_the_films_of_each_reason() -> None:
    [axis] = plots.scrape_outcomes(STATUS).axes
    names = [label.get_text() for label in axis.get_yticklabels()]
    assert dict(zip(names, [bar.get_width() for bar in axis.patches])) == {
        "frames kept": 3,
        "private": 1,
        "timeout, to be tried again": 1,
        "not tried yet": 1,
    }
    assert [text.get_text() for text in axis.texts] == ["3", "1", "1", "1"]


def test_scrape_outcomes_of_no_films_has_no_bars() -> None:
    [axis] = plots.scrape_outcomes(STATUS.head(0)).axes
    assert len(axis.patches) == 0


def test_the_histogram_counts_every_film_and_marks_the_train_mean(data: Dataset) -> None:
    [axis] = plots.score_histogram(data.films).axes
    assert sum(bar.get_height() for bar in axis.patches) == len(data.films)
    [line] = axis.lines
    assert line.get_xdata()[0] == pytest.approx(data.split("train").score.mean())
    labels = [text.get_text() for text in axis.get_legend().get_texts()]
    assert set(labels) == {"train", "val", "test", "train mean"}


def test_the_learning_curve_has_both_losses_both_constants_and_the_best_epoch() -> None:
    [axis] = plots.learning_curve(HISTORY, CONSTANTS, 10, "mse").axes
    lines = {line.get_label(): line for line in axis.lines}
    assert list(lines["train"].get_ydata()) == HISTORY.train_loss.tolist()
    assert list(lines["val"].get_ydata()) == HISTORY.val_loss.tolist()
    assert set(lines["constant, train"].get_ydata()) == {1.0} and set(lines["constant, val"].get_ydata()) == {1.1}
    assert (lines["best, saved"].get_xdata()[0], lines["best, saved"].get_ydata()[0]) == (3, 0.7)
    assert axis.get_title() == "epoch 4 of 10" and axis.get_ylabel().startswith("mse")


def test_the_genres_have_a_line_of_their_own() -> None:
    [axis] = plots.learning_curve(HISTORY, CONSTANTS, 10, "mse", 0.85).axes
    [line] = [line for line in axis.lines if line.get_label() == "genre only, val"]
    assert set(line.get_ydata()) == {0.85}
    assert "genre only, val" not in {line.get_label() for line in curve_without_genres().lines}


def curve_without_genres() -> Axes:
    return plots.learning_curve(HISTORY, CONSTANTS, 10, "mse").axes[0]


@pytest.mark.parametrize("epochs", [0, 3])
def test_a_fitted_head_is_epoch_0_on_the_curve(epochs: int) -> None:
    history = HISTORY.assign(epoch=HISTORY.epoch - 1).head(epochs + 1)
    [axis] = plots.learning_curve(history, CONSTANTS, epochs, "mse").axes
    assert axis.get_xlim() == (-0.5, epochs + 0.5)
    assert axis.get_xlabel() == "epoch (0: the fitted head)"
    assert curve_without_genres().get_xlim()[0] == 0.5 and curve_without_genres().get_xlabel() == "epoch"


def test_a_hopeless_first_epoch_does_not_flatten_the_curve() -> None:
    wild = pd.concat([HISTORY.assign(train_loss=900.0).head(1), HISTORY.iloc[1:]])
    [axis] = plots.learning_curve(wild, CONSTANTS, 10, "mse").axes
    assert axis.get_ylim()[1] < 10


def test_the_live_curve_redraws_one_output(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = []

    class Handle:
        def update(self, figure: Figure) -> None:
            shown.append(figure)

    monkeypatch.setattr("IPython.display.display", lambda *_, **__: Handle())
    live = plots.LiveCurve(CONSTANTS, 10, "mse", 0.85)
    for epochs in (1, 2):
        live(HISTORY.head(epochs))
    assert [figure.axes[0].get_title() for figure in shown] == ["epoch 1 of 10", "epoch 2 of 10"]
    assert all("genre only, val" in {line.get_label() for line in figure.axes[0].lines} for figure in shown)


def test_predicted_against_true_has_a_point_a_film_and_both_lines(data: Dataset) -> None:
    films = predictions_of(data)
    [axis] = plots.predicted_against_true(films, RESULTS).axes
    [points] = axis.collections
    assert np.allclose(points.get_offsets(), films[["score", "predicted"]])
    lines = {line.get_label(): line for line in axis.lines}
    assert set(lines["constant: train mean"].get_ydata()) == {6.1}
    assert list(lines["perfect"].get_xdata()) == list(lines["perfect"].get_ydata())
    assert axis.get_title() == "trailer: nMSE 0.90 [0.80, 1.10]"


def test_a_baselines_answers_stand_beside_on_the_same_scale(data: Dataset) -> None:
    films = predictions_of(data)
    answers = films.score.to_numpy() - 3.0
    results = {**RESULTS, "metrics": {**RESULTS["metrics"], "genre only": METRICS}}
    first, second = plots.predicted_against_true(films, results, {"genre only": answers}).axes
    assert np.allclose(second.collections[0].get_offsets(), np.column_stack([films.score, answers]))
    assert second.get_title() == "genre only: nMSE 0.90 [0.80, 1.10]"
    assert first.get_xlim() == first.get_ylim() == second.get_xlim() == second.get_ylim()
    assert first.get_ylim()[0] < answers.min()


def test_the_largest_errors_come_first_with_both_scores(data: Dataset) -> None:
    films = predictions_of(data)
    figure = plots.largest_errors(data, films, films=2, count=3)
    worst = films.loc[films.error.abs().idxmax()]
    found = captions(figure)
    assert len(found) == 6
    assert found[0] == f"{worst.title}: {worst.predicted:.1f}, true {worst.score:.1f}"
    assert found[1:3] == ["", ""] and found[3].startswith(films.title[films.error.abs().nlargest(2).index[1]])
    assert np.array_equal(drawn_on(figure)[0].images[0].get_array(), data.film_frames(worst.name, 3)[0])


def scheme_results() -> dict:
    nmse = {"good": (0.7, 0.6, 0.8), "astray": (300.0, 200.0, 400.0), "mean baseline": (1.0, 1.0, 1.01)}
    return {"metrics": {who: {"nMSE": dict(zip(("value", "low", "high"), found))} for who, found in nmse.items()}}


def test_the_scheme_table_shows_each_with_its_interval_and_the_baselines_grey() -> None:
    axis = plots.scheme_table(scheme_results()).axes[0]
    assert [label.get_text() for label in axis.get_yticklabels()] == ["good", "astray", "mean baseline"]
    bars = [line for line in axis.lines if len(line.get_xdata()) == 2 and line.get_linestyle() == "-"]
    assert [tuple(bar.get_xdata()) for bar in bars] == [(0.6, 0.8), (200.0, 400.0), (1.0, 1.01)]
    assert [bar.get_color() == plots.COLOURS["mean baseline"] for bar in bars] == [False, False, True]


def test_a_scheme_that_went_astray_is_told_in_words_and_does_not_flatten_the_others() -> None:
    [axis] = plots.scheme_table(scheme_results()).axes
    low, high = axis.get_xlim()
    assert high - low < 3
    [said] = axis.texts
    assert said.get_text() == "300.00 [200.00, 400.00] →" and said.get_position()[1] == 1
