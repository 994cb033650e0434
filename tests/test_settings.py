"""Settings: what they accept, where each value came from, and what an error says."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from trailer_lib import Project, TrailerError
from trailer_lib.settings import STAGES, ScrapeSettings, TrainSettings

NAN = float("nan")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.open(tmp_path)


def write_settings(project: Project, text: str) -> None:
    (project.root / "settings.toml").write_text(text, encoding="utf-8")


@pytest.mark.parametrize("stage", STAGES)
def test_defaults_stand_where_nothing_is_chosen(project: Project, stage: str) -> None:
    settings = project.settings(stage)
    assert settings == STAGES[stage]()
    assert set(settings.table()["from"]) == {"default"}
    assert list(settings.table().index) == [item.name for item in fields(STAGES[stage])]
    assert settings._repr_html_() == "every setting is at its default"


def test_the_cell_wins_over_the_file_and_the_file_over_the_default(project: Project) -> None:
    write_settings(project, "[scrape]\nfilms = 7\ncount = 8\n")
    settings = project.settings("scrape", count=9)
    assert (settings.films, settings.count, settings.seed) == (7, 9, ScrapeSettings().seed)
    origins = dict(settings.table()["from"])
    assert (origins["films"], origins["count"], origins["seed"]) == ("settings.toml", "this cell", "default")
    assert project.settings("train").seed == TrainSettings().seed
    assert settings == ScrapeSettings(films=7, count=9) != ScrapeSettings(films=7, count=8)


def test_a_misspelt_setting_names_the_nearest(project: Project) -> None:
    with pytest.raises(TrailerError, match=r"unknown setting 'filmz' \(this cell\): did you mean 'films'"):
        project.settings("scrape", filmz=3)
    write_settings(project, "[dataset]\nmin_frame = 3\n")
    with pytest.raises(TrailerError, match=r"'min_frame' \(settings.toml\): did you mean 'min_frames'"):
        project.settings("dataset")


INT, RANGE = "expected int", "expected (at least|from) "
UNREADABLE, UNKNOWN = "not a readable TOML file", r"unknown table \[scrap\]: did you mean 'scrape'"


@pytest.mark.parametrize(("stage", "name", "value", "text"), [
    ("scrape", "films", "3", INT), ("scrape", "films", 3.0, INT), ("scrape", "films", True, INT),
    ("scrape", "retry_failed", 1, "expected bool"), ("scrape", "timeout", "10", "expected float"),
    ("scrape", "source", 5, "expected str"), ("train", "betas", 0.9, "expected tuple"),
    ("scrape", "films", -1, RANGE), ("scrape", "count", 10_001, RANGE), ("scrape", "timeout", NAN, RANGE),
    ("dataset", "val", 0.9, RANGE), ("dataset", "test", NAN, RANGE), ("train", "gamma", 1.5, RANGE),
    ("dataset", "fit", "cropp", "did you mean 'crop"), ("dataset", "fit", "zzzzzz", "choose from squash, crop"),
    ("train", "scheme", "orignal", "did you mean 'original'"), ("train", "sources", ["sound", "sound"], "did you mean"),
])  # fmt: skip
def test_a_wrong_value_says_type_range_or_choice(
    project: Project, stage: str, name: str, value: Any, text: str
) -> None:
    with pytest.raises(TrailerError, match=rf"setting {name} = .*: {text}"):
        project.settings(stage, **{name: value})


def test_betas_and_freeze_that_nothing_takes_are_refused() -> None:
    for wrong in [[], [0.9, 0.99, 0.999], ["a", "b"], [0.9, 1.0], [0.9, NAN]]:
        with pytest.raises(TrailerError, match="betas"):
            TrainSettings(betas=wrong)
    with pytest.raises(TrailerError, match="freeze = 'head': expected 'none', 'backbone' or a number of stages"):
        TrainSettings(freeze="head")
    assert TrainSettings(freeze=2).freeze == "2"


def test_the_page_shows_what_differs_and_where_it_comes_from(project: Project) -> None:
    write_settings(project, "[train]\nweights = 'none'\n")
    html = project.settings("train", noise=0.3)._repr_html_()
    assert html.count("<tr>") == 3 and html.count("<td ") == 6 and "settings.toml" in html and "this cell" in html
    assert "<script>" not in project.settings("dataset", salt="<script>")._repr_html_()


@pytest.mark.parametrize(("text", "reason"), [
    (b"[scrape\nfilms = 3", UNREADABLE), (b"[scrape]\nsource = '\xff\xfe'\n", UNREADABLE),
    (b"[scrap]\nfilms = 3\n", UNKNOWN), (b"scrap = 3\n", UNKNOWN),
])  # fmt: skip
def test_a_broken_settings_file_or_stage_is_named(project: Project, text: bytes, reason: str) -> None:
    (project.root / "settings.toml").write_bytes(text)
    with pytest.raises(TrailerError, match=rf"settings\.toml: {reason}"):
        project.settings("scrape")
    with pytest.raises(TrailerError, match="unknown stage 'scarpe': did you mean 'scrape'"):
        Project("/").settings("scarpe")


def test_the_files_whole_number_stands_for_a_float_and_a_list_for_a_tuple(project: Project) -> None:
    write_settings(project, "\ufeff[scrape]\r\ntimeout = 1\ncount = 600\nfilms = 0\n[train]\nbetas = [0.8, 0.9]\n")
    scrape = project.settings("scrape")  # each at the end of its range
    assert scrape == ScrapeSettings(timeout=1.0, count=600, films=0) and isinstance(scrape.timeout, float)
    assert project.settings("train").betas == (0.8, 0.9)


def test_a_scheme_is_over_the_file_and_under_what_is_named_beside_it(project: Project) -> None:
    write_settings(project, "[train]\nlr = 0.5\nweights = 'none'\n")
    settings = project.settings("train", scheme="original", epochs=3)
    assert (settings.lr, settings.epochs, settings.pixels, settings.weights) == (1e-3, 3, "raw", "none")
    origins = dict(settings.table()["from"])
    assert (origins["lr"], origins["epochs"]) == ("scheme 'original'", "this cell")


def test_without_a_scheme_in_the_cell_the_files_own_holds_and_its_other_values_over_it(project: Project) -> None:
    write_settings(project, "[train]\nscheme = 'original'\nlr = 0.5\n")
    assert (project.settings("train").lr, project.settings("train").pixels) == (0.5, "raw")
    assert project.settings("train", scheme="finetune").pixels == "imagenet"


def test_a_default_of_the_notebooks_cell_gives_way_and_a_changed_value_does_not(project: Project) -> None:
    write_settings(project, "[train]\nbatch = 4\nlr = 0.5\n")
    cell = TrainSettings(scheme="original", lr=1e-5, epochs=8, batch=16, frames=15)  # of these only two are changed
    settings = project.settings("train", cell, flip=True)
    assert (settings.scheme, settings.frames, settings.flip) == ("original", 15, True)  # the cell's, and the keyword
    assert (settings.lr, settings.epochs, settings.batch) == (1e-3, 50, 32)  # the scheme's
    assert project.settings("train", TrainSettings()).batch == 4


def test_a_setting_without_effect_names_what_makes_it_count_and_one_of_the_file_is_no_error(project: Project) -> None:
    write_settings(project, "[train]\nepochs = 3\n")
    settings = project.settings("train", scheme="frozen", noise=0.1, optimizer="sgd", momentum=0.5)
    with pytest.raises(TrailerError) as caught:
        settings.refuse_idle()
    line = str(caught.value)
    assert "noise = 0.1, optimizer = 'sgd' has no effect here: it counts only where weights are trained" in line
    assert "momentum = 0.5 has no effect here: it counts only with optimizer='sgd'" in line and "\n" not in line
    [warning] = settings.idle(("settings.toml",))
    assert warning.startswith("epochs = 3 has no effect here")
    project.settings("train", noise=0.1).refuse_idle()
