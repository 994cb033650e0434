"""Settings: what they accept, where each value came from, and what an error says."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from trailer_lib import Project, TrailerError
from trailer_lib.settings import STAGES, DatasetSettings, ScrapeSettings, TrainSettings

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
    assert {origin for _, _, origin, _ in settings.rows()} == {"default"}


def test_the_cell_wins_over_the_file_and_the_file_over_the_default(project: Project) -> None:
    write_settings(project, "[scrape]\nfilms = 7\ncount = 8\n")
    settings = project.settings("scrape", count=9)
    assert (settings.films, settings.count, settings.seed) == (7, 9, ScrapeSettings().seed)
    origins = {name: origin for name, _, origin, _ in settings.rows()}
    assert (origins["films"], origins["count"], origins["seed"]) == ("settings.toml", "this cell", "default")
    assert project.settings("train").seed == TrainSettings().seed
    assert settings == ScrapeSettings(films=7, count=9) != ScrapeSettings(films=7, count=8)


def test_a_misspelt_setting_of_the_cell_names_the_nearest(project: Project) -> None:
    with pytest.raises(TrailerError, match=r"unknown setting 'filmz' \(this cell\): did you mean 'films'"):
        project.settings("scrape", filmz=3)
    with pytest.raises(TrailerError, match=r"'zzzzz'.*: choose from size, fit, "):
        project.settings("dataset", zzzzz=1)
    write_settings(project, "[dataset]\nmin_frame = 3\n")
    with pytest.raises(TrailerError, match=r"'min_frame' \(settings.toml\): did you mean 'min_frames'"):
        project.settings("dataset")


@pytest.mark.parametrize(
    ("stage", "name", "value", "kind"),
    [
        ("scrape", "films", "3", "int"),
        ("scrape", "films", 3.0, "int"),
        ("scrape", "films", True, "int"),
        ("scrape", "films", None, "int"),
        ("scrape", "retry_failed", 1, "bool"),
        ("scrape", "timeout", "10", "float"),
        ("scrape", "timeout", True, "float"),
        ("scrape", "source", 5, "str"),
        ("train", "betas", 0.9, "tuple"),
        ("train", "weights", None, "str"),
    ],
)
def test_a_value_of_the_wrong_type_says_which_is_right(
    project: Project, stage: str, name: str, value: Any, kind: str
) -> None:
    with pytest.raises(TrailerError, match=rf"setting {name} = .*: expected {kind}"):
        project.settings(stage, **{name: value})


@pytest.mark.parametrize(
    ("stage", "name", "value"),
    [
        ("scrape", "films", -1),
        ("scrape", "count", 0),
        ("scrape", "count", 10_001),
        ("scrape", "workers", 0),
        ("scrape", "timeout", 0.5),
        ("scrape", "timeout", NAN),
        ("scrape", "pause", -0.1),
        ("dataset", "val", 0.9),
        ("dataset", "test", NAN),
        ("train", "gamma", 1.5),
        ("train", "lr", -1e-3),
        ("train", "l2", NAN),
    ],
)
def test_a_value_out_of_range_says_the_range(project: Project, stage: str, name: str, value: float) -> None:
    with pytest.raises(TrailerError, match=rf"setting {name} = .*: expected (at least|from) "):
        project.settings(stage, **{name: value})


@pytest.mark.parametrize(("name", "value"), [("films", 0), ("count", 1), ("count", 600), ("timeout", 1.0)])
def test_the_ends_of_a_range_are_in_it(name: str, value: float) -> None:
    assert getattr(ScrapeSettings(**{name: value}), name) == value


def test_a_whole_number_stands_for_a_float(project: Project) -> None:
    write_settings(project, "[scrape]\ntimeout = 30\n")
    timeout = project.settings("scrape").timeout
    assert timeout == 30.0
    assert isinstance(timeout, float)


def test_a_list_stands_for_a_tuple(project: Project) -> None:
    write_settings(project, "[train]\nbetas = [0.8, 0.9]\n")
    assert project.settings("train").betas == (0.8, 0.9)


@pytest.mark.parametrize("betas", [[], [0.9], [0.9, 0.99, 0.999], ["a", "b"], [0.9, 1.5], [0.9, NAN]])
def test_betas_that_no_optimiser_takes_are_refused(betas: list) -> None:
    with pytest.raises(TrailerError, match="betas"):
        TrainSettings(betas=betas)


@pytest.mark.parametrize(
    ("stage", "name", "wrong", "meant"),
    [
        ("scrape", "filter", "percentiles", "percentile"),
        ("dataset", "fit", "cropp", "crop"),
        ("train", "optimizer", "adamx", "adam"),
        ("train", "schedule", "cosin", "cosine"),
    ],
)
def test_a_misspelt_choice_names_the_nearest(project: Project, stage: str, name: str, wrong: str, meant: str) -> None:
    with pytest.raises(TrailerError, match=rf"setting {name} = '{wrong}': did you mean '{meant}"):
        project.settings(stage, **{name: wrong})


def test_a_choice_like_none_lists_the_choices() -> None:
    with pytest.raises(TrailerError, match="choose from squash, crop"):
        DatasetSettings(fit="zzzzzz")


@pytest.mark.parametrize("stage", STAGES)
def test_the_table_has_all_settings_and_the_page_those_that_differ(project: Project, stage: str) -> None:
    assert list(project.settings(stage).table().index) == [item.name for item in fields(STAGES[stage])]
    assert project.settings(stage)._repr_html_() == "every setting is at its default"


def test_the_page_shows_what_differs_and_where_it_comes_from(project: Project) -> None:
    write_settings(project, "[train]\nweights = 'none'\n")
    html = project.settings("train", noise=0.3)._repr_html_()
    assert html.count("<tr>") == 3 and html.count("<td ") == 6 and "settings.toml" in html and "this cell" in html
    assert "<script>" not in project.settings("dataset", salt="<script>")._repr_html_()


def test_an_unknown_stage_names_the_nearest(project: Project) -> None:
    with pytest.raises(TrailerError, match="unknown stage 'scarpe': did you mean 'scrape'"):
        project.settings("scarpe")


@pytest.mark.parametrize("broken", [b"[scrape\nfilms = 3", b"films = = 3", b"[scrape]\nsource = '\xff\xfe'\n"])
def test_a_broken_settings_file_is_named(project: Project, broken: bytes) -> None:
    (project.root / "settings.toml").write_bytes(broken)
    with pytest.raises(TrailerError, match=r"settings\.toml: not a readable TOML file"):
        project.settings("scrape")


@pytest.mark.parametrize("text", ["[scrap]\nfilms = 3\n", "scrap = 3\n"])
def test_an_unknown_table_of_the_settings_file_names_the_nearest(project: Project, text: str) -> None:
    write_settings(project, text)
    with pytest.raises(TrailerError, match=r"settings\.toml: unknown table \[scrap\]: did you mean 'scrape'"):
        project.settings("scrape")


def test_a_scheme_is_over_the_file_and_under_what_is_named_beside_it(project: Project) -> None:
    write_settings(project, "[train]\nlr = 0.5\nweights = 'none'\n")
    settings = project.settings("train", scheme="original", epochs=3)
    assert (settings.lr, settings.epochs, settings.pixels, settings.weights) == (1e-3, 3, "raw", "none")
    origins = {name: origin for name, _, origin, _ in settings.rows()}
    assert (origins["lr"], origins["epochs"]) == ("scheme 'original'", "this cell")


def test_without_a_scheme_in_the_cell_the_files_own_one_holds_and_its_other_values_are_over_it(
    project: Project,
) -> None:
    write_settings(project, "[train]\nscheme = 'original'\nlr = 0.5\n")
    assert (project.settings("train").lr, project.settings("train").pixels) == (0.5, "raw")
    assert project.settings("train", scheme="finetune").pixels == "imagenet"


def test_a_scheme_that_is_unknown_names_the_nearest() -> None:
    with pytest.raises(TrailerError, match="setting scheme = 'orignal': did you mean 'original'"):
        TrainSettings.layered({"test": {"scheme": "orignal"}})


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
