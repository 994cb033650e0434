"""Every figure shows what it says, with the captions that explain it, and leaves nothing open in pyplot."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from conftest import FRAMES, add_folder, fictional_film
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trailer_lib import files
from trailer_lib.dataset import Dataset, evenly_spaced, split_hash
from trailer_lib.project import Project
from trailer_lib.report import plots
from trailer_lib.video import save_sound

NMSE = {"nMSE": {"value": 0.9, "low": 0.8, "high": 1.1}}
ROWS = ("sound", "metadata", "all")
RESULTS = {"split": "test", "train_mean": 6.1, "row": "all", "metrics": dict.fromkeys([*ROWS, "mean baseline"], NMSE)}
HISTORY = pd.DataFrame({"epoch": [1, 2, 3, 4], "train_loss": [1.4, 1, 0.8, 0.7], "val_loss": [1.2, 0.9, 0.7, 0.8]})
BASELINE = {"train": 1.0, "val": 1.1}
STATUS = pd.DataFrame(
    {"status": ["ok", "ok", "ok", "failed", "later", "open"], "reason": ["", "", "", "private", "timeout", ""]}
)
SCHEMES = {"good": (0.7, 0.6, 0.8), "$a_$": (300, 200, 400), "metadata": (0.8, 0.7, 0.9), "mean baseline": (1, 1, 1.01)}
COMPARED = {"metrics": {name: {"nMSE": dict(zip(("value", "low", "high"), nmse))} for name, nmse in SCHEMES.items()}}


@pytest.fixture
def predictions(data: Dataset) -> pd.DataFrame:
    films = data.split("test")
    predicted = films.score + np.linspace(-2.0, 1.0, len(films))
    return films.assign(predicted=predicted, error=predicted - films.score)


def captions(figure: Figure) -> list[str]:
    return [axis.get_title(loc="left") for axis in figure.axes if axis.images]


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    plt.close("all")  # of other tests
    yield
    assert plt.get_fignums() == []


@pytest.mark.parametrize("count, columns, rows", [(0, 10, 1), (11, 10, 2), (7, 3, 3)])
def test_a_contact_sheet_has_a_place_for_each_picture(count: int, columns: int, rows: int) -> None:
    pictures = [np.full((9, 16, 3), 10 * number, np.uint8) for number in range(count)]
    figure = plots.contact_sheet(pictures, [f"no {n}" for n in range(count)], "Title", columns)
    assert len(figure.axes) == rows * columns and figure.get_suptitle() == "Title"
    assert captions(figure) == [f"no {n}" for n in range(count)]
    assert [axis.images[0].get_array()[0, 0, 0] for axis in figure.axes[:count]] == [10 * n for n in range(count)]


def test_frames_are_spread_over_the_film_with_seconds_or_reasons_or_numbers(tmp_path: Path) -> None:
    folder = add_folder(tmp_path, fictional_film(4))
    for count, shown in ((5, 5), (100, FRAMES)):
        kept, dropped = plots.kept_frames(folder, count), plots.dropped_frames(folder)
        assert captions(kept) == [f"{1.5 * n:.1f} s" for n in evenly_spaced(FRAMES, shown)]
        assert kept.get_suptitle() == f"{folder.name}: kept {FRAMES}, {shown} of them"
    assert captions(dropped) == ["dark", "flat"] and dropped.get_suptitle().endswith("dropped 2, 2 of them")
    (folder / "film.json").unlink()
    assert captions(plots.kept_frames(folder)) == [str(n) for n in range(FRAMES)]
    assert captions(plots.dropped_frames(folder)) == []


def test_the_sound_has_seconds_below_and_hertz_at_its_bands(tmp_path: Path) -> None:
    folder = add_folder(tmp_path, fictional_film(4))
    assert plots.sound_picture(folder).get_suptitle().endswith(": no sound")
    sound = np.zeros((128, 250), np.uint8)
    save_sound(folder, sound, "ok")
    [axis] = plots.sound_picture(folder).axes
    assert axis.get_xlim() == (0, 8) and axis.get_xlabel() == "seconds" and axis.get_ylabel() == "Hz"
    rows = dict(zip([label.get_text() for label in axis.get_yticklabels()], axis.get_yticks()))
    assert (int(rows["1000"]), int(rows["4000"])) == (85, 28) and (axis.images[0].get_array() == sound).all()


def test_scrape_outcomes_count_the_films_of_each_reason() -> None:
    [axis] = plots.scrape_outcomes(STATUS).axes
    names = [label.get_text() for label in axis.get_yticklabels()]
    counts = {"frames kept": "3", "private": "1", "timeout, to be tried again": "1", "not tried yet": "1"}
    assert dict(zip(names, [text.get_text() for text in axis.texts])) == counts


def test_the_histogram_counts_every_film_and_marks_the_train_mean(data: Dataset) -> None:
    [axis] = plots.score_histogram(data.films).axes
    assert sum(bar.get_height() for bar in axis.patches) == len(data.films)
    assert axis.lines[0].get_xdata()[0] == pytest.approx(data.split("train").score.mean())
    labels = {text.get_text() for text in axis.get_legend().get_texts()}
    assert labels == {"train", "val", "test", "mean baseline"}


def curve(history: pd.DataFrame = HISTORY, loss: str = "mse", genre: float | None = None) -> Axes:
    return plots.learning_curve(history, BASELINE, 10, loss, genre).axes[0]


@pytest.mark.parametrize("loss, constant, genre", [("mse", "mean", None), ("l1", "median", 0.85)])
def test_the_curve_has_losses_baselines_and_the_best_epoch(loss: str, constant: str, genre: float | None) -> None:
    axis = curve(HISTORY, loss, genre)
    lines = {line.get_label(): list(line.get_ydata()) for line in axis.lines}
    assert lines["train (0.70)"] == HISTORY.train_loss.tolist() and lines["val (0.70)"] == HISTORY.val_loss.tolist()
    assert [set(lines[f"{constant} baseline, {split}"]) for split in BASELINE] == [{1.0}, {1.1}]
    assert lines["best epoch, saved"] == [0.7] and set(lines.get("genre only, val", [None])) == {genre}
    assert axis.get_title() == "epoch 4 of 10" and axis.get_ylabel().startswith(loss)


def test_epoch_0_is_named_and_a_diverged_epoch_does_not_flatten_the_curve() -> None:
    axis = curve(HISTORY.assign(epoch=HISTORY.epoch - 1))
    assert axis.get_xlim() == (-0.5, 10.5) and curve().get_xlim() == (0.5, 10.5)
    assert [axis.xaxis.get_major_formatter()(epoch) for epoch in (0, 3)] == ["head on\nfrozen features", "3"]
    assert curve(HISTORY.replace({"train_loss": 1.4}, 900.0)).get_ylim()[1] < 10
    assert plots.learning_curve(HISTORY, {"train": 0.0, "val": 0.0}, 4, "mse").axes[0].get_ylim()[1] > 0


def test_the_live_curve_redraws_one_output_beside_the_earlier_runs(
    dataset_root: Path, copy_of: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[Figure] = []
    handle = type("Handle", (), {"update": lambda self, figure: shown.append(figure)})
    monkeypatch.setattr("IPython.display.display", lambda *_, **__: handle())
    project, settings = copy_of(dataset_root), Project(dataset_root).settings("train", noise=0.2)
    data = Dataset.open(project)
    facts = {"name": "finetune, noise=0.2", "loss": "mse", "split_hash": split_hash(data.films)}
    worse = [HISTORY.assign(val_loss=HISTORY.val_loss * factor) for factor in (2, 3, 4, 5)]
    for number, history in enumerate([*worse, HISTORY.head(2), HISTORY]):  # the last was stopped, and resumed
        files.write_json(project.models / "runs" / f"{number}.json", facts | {"history": history.to_dict("list")})
    (project.models / "runs" / "damaged.json").write_text("{")
    live = plots.LiveCurve(project, settings, data)
    assert str(live) == "no curve is drawn yet"
    names = []
    for epochs in (1, 4):
        live(HISTORY.head(epochs))
        labels = [line.get_label() for line in shown[-1].axes[0].lines]
        names.append([label.partition(":")[0] for label in labels if label.endswith(": finetune, noise=0.2")])
    assert [figure.axes[0].get_title() for figure in shown] == ["epoch 1 of 3", "epoch 4 of 3"]
    assert names[0] == ["earlier, val (2.80)", "earlier, val (3.50)", "earlier, val (0.70)"]
    assert names[1] == names[0][:2]  # what is drawn in colour is not drawn in grey too
    assert "val (0.70): 4 points" in str(live) and "genre only, val" in str(live)
    assert plots.LiveCurve(project, replace(settings, loss="l1"), data).earlier == []


def test_predictions_of_all_the_trailer_and_the_metadata_stand_against_the_truth(predictions: pd.DataFrame) -> None:
    table = predictions.assign(**{row: predictions.score - number for number, row in enumerate(ROWS)})
    axes = plots.predicted_against_true(table, RESULTS).axes
    for axis, row in zip(axes, ("all", "sound", "metadata"), strict=True):
        assert axis.get_title() == f"{row}: nMSE 0.90 [0.80, 1.10]"
        assert np.allclose(axis.collections[0].get_offsets(), table[["score", row]])
        lines = {line.get_label(): line for line in axis.lines}
        assert set(lines["mean baseline"].get_ydata()) == {6.1}
        assert list(lines["perfect"].get_xdata()) == list(lines["perfect"].get_ydata())
        assert axis.get_ylim() == axes[0].get_xlim() and axis.get_ylim()[0] < table["all"].min()
    alone = RESULTS | {"row": "sound", "metrics": {"sound": NMSE}}
    assert len(plots.predicted_against_true(table, alone).axes) == 1


def test_the_largest_errors_come_first_with_both_scores(data: Dataset, predictions: pd.DataFrame) -> None:
    figure = plots.largest_errors(data, predictions, films=2, count=3)
    worst = predictions.loc[predictions.error.abs().nlargest(2).index]
    labels = [f"{film.title}: {film.predicted:.1f}, true {film.score:.1f}" for film in worst.itertuples()]
    assert captions(figure) == [labels[0], "", "", labels[1], "", ""]
    assert np.array_equal(figure.axes[0].images[0].get_array(), data.film_frames(worst.index[0], 3)[0])


def test_the_scheme_table_shows_intervals_baselines_grey_and_a_diverged_scheme_in_words() -> None:
    [axis] = plots.scheme_table(COMPARED).axes
    assert [label.get_text() for label in axis.get_yticklabels()] == list(SCHEMES)
    bars = [line for line in axis.lines if len(line.get_xdata()) == 2 and line.get_linestyle() == "-"]
    assert [tuple(bar.get_xdata()) for bar in bars] == [nmse[1:] for nmse in SCHEMES.values()]
    assert [bar.get_color() == plots.COLOURS["mean baseline"] for bar in bars] == [False, False, True, True]
    assert np.ptp(axis.get_xlim()) < 3
    [text] = axis.texts
    assert text.get_text() == "300.00 [200.00, 400.00] →" and text.get_position()[1] == 1


def test_undefined_nmse_leaves_the_scheme_table_its_axis_and_words() -> None:
    undefined = dict.fromkeys(("value", "low", "high"))
    [axis] = plots.scheme_table({"metrics": {"good": {"nMSE": undefined}, "mean baseline": {"nMSE": undefined}}}).axes
    assert [text.get_text() for text in axis.texts] == ["undefined →"] * 2 and np.isfinite(axis.get_xlim()).all()
