"""Frames, sound and metadata as sources: each alone, what a film lacks, and one model file of them all."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from training_runs import Copy, few_resamples, trained  # noqa: F401

from trailer_lib.dataset import Dataset
from trailer_lib.errors import TrailerError
from trailer_lib.networks import build, read_model
from trailer_lib.project import Project
from trailer_lib.training import BEST, comparison, frozen

ALL = ["frames", "sound", "frames + sound", "metadata", "all"]


def with_sound(data: Dataset, silent: int = 0) -> Dataset:
    """The dataset with two clips of sound for each film but the first `silent`: the brighter, the better the film."""
    rng = np.random.default_rng(0)
    level = np.repeat(100 + 20 * (data.films.score.to_numpy() - 6), 2)[:, None, None]
    clips = np.clip(level + rng.normal(0, 20, (2 * len(data.films), 128, 128)), 0, 255).astype(np.uint8)
    count = np.where(np.arange(len(data.films)) < silent, 0, 2)
    return replace(data, sound=clips, films=data.films.assign(sound_first=2 * np.arange(len(count)), sound_count=count))


@pytest.fixture(scope="module")
def heard(dataset_root: Path) -> Dataset:
    return with_sound(Dataset.open(Project(dataset_root)), silent=4)


@pytest.mark.parametrize("chosen, rows", [("metadata", ["metadata"]), ("frames,sound", ALL[:3])])
def test_each_source_can_be_chosen_alone(
    dataset_root: Path, copy_of: Copy, heard: Dataset, chosen: str, rows: list[str]
) -> None:
    project = copy_of(dataset_root)
    run = trained(project, data=heard, scheme="frozen", sources=chosen)
    results = run.test().results
    assert [row for row in results["metrics"] if row in ALL] == rows and results["row"] == rows[-1]
    facts = read_model(project.models / BEST).facts
    assert set(facts["validation"]["parts"]) >= {*rows} & {"frames", "sound"}
    assert ("sound" in facts) is ("sound" in chosen)


def test_a_film_without_sound_is_predicted_from_the_rest(dataset_root: Path, copy_of: Copy, heard: Dataset) -> None:
    project = copy_of(dataset_root)
    run = trained(project, data=heard, scheme="frozen").test()
    predictions = run.predictions
    assert [row for row in run.results["metrics"] if row in ALL] == ALL
    silent = predictions.sound_count == 0
    assert 0 < silent.sum() < len(predictions)
    mean = heard.split("train").score.mean()
    assert predictions.sound[silent].eq(mean).all() and not predictions.sound[~silent].eq(mean).any()
    np.testing.assert_allclose(predictions["frames + sound"][silent], predictions.frames[silent])
    assert (predictions["frames + sound"] != predictions.frames)[~silent].all()


def test_without_enough_sound_the_model_does_without_and_says_so(dataset_root: Path, copy_of: Copy) -> None:
    project, data = copy_of(dataset_root), Dataset.open(Project(dataset_root))
    results = trained(project, data=with_sound(data, silent=25), scheme="frozen").validation.results
    assert [row for row in results["metrics"] if row in ALL] == ["frames", "metadata", "all"]
    assert "train films have sound, too few" in results["warnings"][-1]
    with pytest.raises(TrailerError, match="0 of 18 train films have sound, too few"):
        trained(project, data=with_sound(data, silent=100), scheme="frozen", sources="sound")


def test_damaged_sound_is_not_reported_as_too_few_films(dataset_root: Path, copy_of: Copy, heard: Dataset) -> None:
    project, damaged = copy_of(dataset_root), replace(heard, sound=heard.sound[:20])
    with pytest.raises(IndexError):  # clips that the films name and that are not there
        trained(project, data=damaged, scheme="frozen", sources="sound")
    assert "results" not in read_model(project.models / BEST).facts


def test_sound_tells_what_it_holds_and_noise_tells_nothing(dataset_root: Path, copy_of: Copy, heard: Dataset) -> None:
    project = copy_of(dataset_root)
    results = trained(project, data=heard, scheme="frozen", sources="sound").test().results
    assert results["metrics"]["sound"]["nMSE"]["value"] < 0.7
    noise = replace(heard, sound=np.random.default_rng(1).integers(0, 255, heard.sound.shape, dtype=np.uint8))
    results = trained(project, data=noise, scheme="frozen", sources="sound").test().results
    assert results["metrics"]["sound"]["nMSE"]["value"] > 0.9


def test_compared_schemes_have_a_row_for_each_source(dataset_root: Path, copy_of: Copy, heard: Dataset) -> None:
    project = copy_of(dataset_root)
    schemes = {"still": {"scheme": "frozen", "sources": ["frames", "sound"]}, "known": {"sources": ["metadata"]}}
    found = comparison.compare(project, schemes, 5, data=heard)
    assert {*found["metrics"]} >= {"still: frames", "still: sound", "still: frames + sound", "metadata"}
    gains = [(pair["row"], pair["than"]) for pair in found["nMSE minus"]]
    assert ("still: frames + sound", "still: frames") in gains


@pytest.mark.parametrize(
    "chosen, line",
    [
        ({"sources": "metadata", "backbone": "vgg16"}, "backbone = 'vgg16' has no effect"),
        ({"sources": "sound", "frames": 15}, "frames = 15 has no effect"), ({"sources": "smell"}, "choose from"),
        ({"sources": []}, "choose from"), ({"sources": ["sound", "sound"]}, "sources"),
    ],
)  # fmt: skip
def test_a_source_that_is_unknown_or_a_setting_that_it_makes_idle_is_refused(
    dataset_root: Path, tmp_path: Path, chosen: dict, line: str
) -> None:
    with pytest.raises(TrailerError, match=line):
        trained(Project(dataset_root), tmp_path, **chosen)


def test_the_sound_of_stacked_frames_goes_through_the_same_network(heard: Dataset, tmp_path: Path) -> None:
    network = build("squeezenet1_1", 3, "channels", "none").eval()
    rows = heard.split("train").index.to_numpy()[:6]
    features = frozen.sound_features(network, heard, rows, tmp_path)
    silent = heard.films.sound_count[rows].to_numpy() == 0
    assert np.isnan(features[silent]).all() and np.isfinite(features[~silent]).all()
