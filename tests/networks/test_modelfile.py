"""Model files: what is saved is read, and what is damaged, foreign or hostile is one line of error and nothing else."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np
import pytest
import torch

from trailer_lib.errors import TrailerError
from trailer_lib.files import DiskFull
from trailer_lib.networks import weights
from trailer_lib.networks.model_file import FORMAT, ModelFile, read_model
from trailer_lib.networks.regressor import build
from trailer_lib.settings import TrainSettings
from trailer_lib.training.callbacks import BEST, LAST


@pytest.fixture(scope="module")
def whole(trained_root: Path) -> bytes:
    return (trained_root / "models" / BEST).read_bytes()


@pytest.fixture
def content(trained_root: Path) -> dict:
    """What is in a model file, to be spoiled."""
    return torch.load(trained_root / "models" / BEST, weights_only=True)


def assert_refused(path: Path) -> str:
    """One line of error that names the file, mapped or not, and not a file more or less in its folder."""
    before = sorted(path.parent.iterdir())
    with pytest.raises(TrailerError):
        read_model(path, mapped=True)
    with pytest.raises(TrailerError) as caught:
        read_model(path)
    assert path.name in str(caught.value) and "\n" not in str(caught.value)
    assert sorted(path.parent.iterdir()) == before
    return str(caught.value)


@pytest.mark.parametrize("name", [BEST, LAST])
def test_a_model_file_is_a_network_ready_to_answer(trained_root: Path, name: str) -> None:
    model = read_model(trained_root / "models" / name)
    assert not model.network.training
    with torch.inference_mode():
        answer = model.network(torch.zeros(2, 3, 3, 32, 32, dtype=torch.uint8))
    assert answer.shape == (2,) and answer.isfinite().all()


@pytest.mark.parametrize("mapped", [False, True])
def test_a_saved_model_is_read_as_it_was(trained_root: Path, tmp_path: Path, mapped: bool) -> None:
    model = read_model(trained_root / "models" / BEST)
    model.facts["note"] = "kept"
    model.save(tmp_path / "again.pt")
    again = read_model(tmp_path / "again.pt", mapped)
    before, after = model.network.state_dict(), again.network.state_dict()
    indices = again.facts.pop("index"), model.facts.pop("index")  # of tensors, whose == is no answer
    assert again.facts == model.facts and torch.equal(*(index["features"] for index in indices))
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    assert [path.name for path in tmp_path.iterdir()] == ["again.pt"]


@pytest.mark.parametrize(
    "choices",
    [
        {"aggregate": "moments"},
        {"aggregate": "quantiles"},
        {"aggregate": "attention"},
        {"aggregate": "channels", "first_conv": "random", "pixels": "raw"},
        {"aggregate": "mean", "freeze": "backbone"},
        {"aggregate": "mean", "freeze": "2", "head": "ridge"},
    ],
    ids=str,
)
def test_every_choice_of_a_network_is_restored(tmp_path: Path, choices: dict) -> None:
    settings = TrainSettings(
        backbone="squeezenet1_1", weights="none", frames=2, **{"depth": "last", "freeze": "none"} | choices
    )
    asked = {name: value for name, value in choices.items() if name != "head"}
    network = build("squeezenet1_1", 2, weights="none", **asked).eval()
    facts = {"format": FORMAT, "settings": settings.as_dict(), "weights": network.report, "blocks": [512]}
    ModelFile(network, facts).save(tmp_path / "model.pt")
    again = read_model(tmp_path / "model.pt").network
    frames = torch.randint(0, 256, (2, 2, 3, 48, 48), dtype=torch.uint8)
    with torch.inference_mode():
        assert torch.equal(again(frames), network(frames))
    assert [tensor.requires_grad for tensor in again.parameters()] == [
        tensor.requires_grad for tensor in network.parameters()
    ]


def test_a_file_of_half_precision_answers_in_the_networks(content: dict, tmp_path: Path) -> None:
    content["state_dict"] = {
        name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in content["state_dict"].items()
    }
    torch.save(content, tmp_path / "half.pt")
    network = read_model(tmp_path / "half.pt").network
    assert {tensor.dtype for tensor in network.parameters()} == {torch.float32}
    with torch.inference_mode():
        assert network(torch.zeros(1, 3, 3, 32, 32, dtype=torch.uint8)).isfinite().all()


def test_numbers_of_features_that_only_add_up_are_found_by_the_first_picture(content: dict, tmp_path: Path) -> None:
    content["trailer_lib"]["blocks"] = [256, 256]
    torch.save(content, tmp_path / "odd.pt")
    network = read_model(tmp_path / "odd.pt").network
    with pytest.raises(TrailerError, match="features, not 512: train it again"):
        network(torch.zeros(2, 3, 3, 32, 32, dtype=torch.uint8))


@pytest.mark.parametrize(
    "blocks", [None, [], [513], [256, 256, 1], [-1, 513], ["512"], [2**40], [0, 512]], ids=lambda blocks: str(blocks)
)
def test_wrong_numbers_of_features_are_refused(content: dict, tmp_path: Path, blocks: list | None) -> None:
    assert content["trailer_lib"]["blocks"] == [512]
    content["trailer_lib"]["blocks"] = blocks
    torch.save(content, tmp_path / "odd.pt")
    if blocks == []:  # the last stage alone, as it is
        assert read_model(tmp_path / "odd.pt").network.blocks == (512,)
    else:
        assert_refused(tmp_path / "odd.pt")


def test_a_file_from_before_a_setting_existed_is_read_with_its_default(content: dict, tmp_path: Path) -> None:
    for name in ("first_conv", "pixels", "freeze", "head"):
        content["trailer_lib"]["settings"].pop(name, None)
    torch.save(content, tmp_path / "old.pt")
    assert read_model(tmp_path / "old.pt").network.pixels == "imagenet"


def test_a_file_above_the_limit_is_refused(trained_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "MAX_BYTES", 1000)
    assert "more than 1,000" in assert_refused(trained_root / "models" / BEST)


@pytest.mark.parametrize("share", np.linspace(0, 0.999, 11).round(3))
def test_a_file_that_is_cut_short_is_refused(whole: bytes, tmp_path: Path, share: float) -> None:
    (tmp_path / "cut.pt").write_bytes(whole[: int(share * len(whole))])
    assert "not a readable model file" in assert_refused(tmp_path / "cut.pt")


def test_a_missing_file_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    assert "train first" in assert_refused(tmp_path / "none.pt")


@pytest.mark.parametrize("text", ["hello", "<!DOCTYPE html>\n<title>Login</title>\n", "\x80\x04."])
def test_a_text_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "text.pt").write_text(text, encoding="utf-8")
    assert_refused(tmp_path / "text.pt")


class Bomb:
    """What a hostile file holds: unpickled, it makes a folder."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.canary),)


@pytest.mark.parametrize("place", ["state_dict", "trailer_lib", "elsewhere"])
@pytest.mark.parametrize("save", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value, protocol=2))])
def test_a_hostile_file_is_refused_and_runs_nothing(content: dict, tmp_path: Path, place: str, save: Callable) -> None:
    canary = tmp_path / "canary"
    save(content | {place: Bomb(canary)}, tmp_path / "bomb.pt")
    assert_refused(tmp_path / "bomb.pt")
    assert not canary.exists()


@pytest.mark.parametrize(
    "facts",
    [None, {}, {"format": FORMAT + 1}, {"format": str(FORMAT)}, [1, 2]],
    ids=["none", "empty", "newer", "text", "list"],
)
def test_a_file_of_another_format_is_refused(content: dict, tmp_path: Path, facts: object) -> None:
    torch.save({"state_dict": content["state_dict"], "trailer_lib": facts}, tmp_path / "other.pt")
    assert "not a model of this library" in assert_refused(tmp_path / "other.pt")


@pytest.mark.parametrize("other", [{"fc.weight": torch.zeros(3)}, [torch.zeros(3)], torch.zeros(3), 7], ids=str)
def test_tensors_of_another_kind_are_refused(tmp_path: Path, other: object) -> None:
    torch.save(other, tmp_path / "other.pt")
    assert "not a model of this library" in assert_refused(tmp_path / "other.pt")


def no_state(content: dict) -> None:
    del content["state_dict"]


def state_of_text(content: dict) -> None:
    content["state_dict"] = "hello"


def one_tensor_less(content: dict) -> None:
    content["state_dict"].popitem()


def one_tensor_more(content: dict) -> None:
    content["state_dict"]["network.other"] = torch.zeros(2)


def another_shape(content: dict) -> None:
    content["state_dict"]["network.head.weight"] = torch.zeros(1, 7)


def number_for_a_tensor(content: dict) -> None:
    content["state_dict"]["network.head.weight"] = 3


def numbered_tensors(content: dict) -> None:
    content["state_dict"] = dict(enumerate(content["state_dict"].values()))


def head_of_trees_that_look_elsewhere(content: dict) -> None:
    for name in ("weight", "bias"):
        del content["state_dict"][f"network.head.{name}"]
    content["state_dict"]["network.head.feature"] = torch.full((2, 7), 10**6)
    content["state_dict"]["network.head.threshold"] = torch.zeros(2, 7)
    content["state_dict"]["network.head.leaf"] = torch.zeros(2, 8)


def head_of_odd_trees(content: dict) -> None:
    content["state_dict"]["network.head.leaf"] = torch.zeros(2, 7)


def head_without_bounds(content: dict) -> None:
    """A number that claims to be a layer of gigabytes."""
    content["state_dict"]["network.head.0.weight"] = torch.zeros(1, 1).expand(2**24, 512)
    content["state_dict"]["network.head.0.bias"] = torch.zeros(1).expand(2**24)


def no_settings(content: dict) -> None:
    del content["trailer_lib"]["settings"]


def another_backbone(content: dict) -> None:
    content["trailer_lib"]["settings"]["backbone"] = "resnet18"


def unknown_backbone(content: dict) -> None:
    content["trailer_lib"]["settings"]["backbone"] = "resnet81"


def more_frames(content: dict) -> None:
    content["trailer_lib"]["settings"]["frames"] = 9


def frames_of_text(content: dict) -> None:
    content["trailer_lib"]["settings"]["frames"] = "three"


@pytest.mark.parametrize(
    "spoil",
    [
        no_state,
        state_of_text,
        one_tensor_less,
        one_tensor_more,
        another_shape,
        number_for_a_tensor,
        numbered_tensors,
        head_of_trees_that_look_elsewhere,
        head_of_odd_trees,
        head_without_bounds,
        no_settings,
        another_backbone,
        unknown_backbone,
        more_frames,
        frames_of_text,
    ],
)
def test_tensors_that_do_not_fit_their_settings_are_refused(
    content: dict, tmp_path: Path, spoil: Callable[[dict], None]
) -> None:
    spoil(content)
    torch.save(content, tmp_path / "odd.pt")
    assert_refused(tmp_path / "odd.pt")


def test_a_save_that_fails_midway_leaves_the_previous_file(
    trained_root: Path, whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / BEST).write_bytes(whole)
    model = read_model(trained_root / "models" / BEST)

    def full_disk(value: object, file: IO[bytes]) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(DiskFull, match=r"best_model\.pt: the disk is full: [\d,]{7,} bytes are needed"):
        model.save(tmp_path / BEST)
    assert (tmp_path / BEST).read_bytes() == whole
    assert [path.name for path in tmp_path.iterdir()] == [BEST]
