"""Model files: what is saved is read, and what is damaged, foreign or hostile is one line of error and nothing else."""

import pickle
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import amount
from network_helpers import Bomb, made_model, predict, random_frames

from trailer_lib.errors import TrailerError
from trailer_lib.networks import regressor
from trailer_lib.networks.backbone import Trunk
from trailer_lib.networks.model_file import FORMAT, read_model


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A model file's bytes."""
    made_model().save(path := tmp_path_factory.mktemp("model") / "best_model.pt")
    return path.read_bytes()


@pytest.fixture
def content(whole: bytes, tmp_path: Path) -> dict:
    """What is in a model file, to be changed."""
    (tmp_path / "whole.pt").write_bytes(whole)
    return torch.load(tmp_path / "whole.pt", weights_only=True)


def assert_refused(path: Path) -> str:
    """One line of error that names the file, and not a file more or less in its folder."""
    before = sorted(path.parent.iterdir())
    with pytest.raises(TrailerError) as caught:
        read_model(path)
    assert path.name in str(caught.value) and "\n" not in str(caught.value)
    assert sorted(path.parent.iterdir()) == before
    return str(caught.value)


@pytest.mark.parametrize("chosen", [
    {"backbone": "mnasnet0_5", "aggregate": "attention"}, {"first_conv": "random", "pixels": "raw"},
    {"aggregate": "mean", "freeze": "2", "head": "ridge", "depth": "stages"},
], ids=str)  # fmt: skip
def test_a_saved_model_is_read_as_it_was(tmp_path: Path, chosen: dict) -> None:
    model, frames = made_model(**chosen), random_frames(2, 3, 48)
    model.facts["note"] = ["written", {"by": "a test"}]
    model.save(tmp_path / "model.pt")
    again = read_model(tmp_path / "model.pt")
    assert again.facts == model.facts and not again.network.training
    assert torch.equal(predict(again.network, frames), predict(model.network, frames))
    trained = [[tensor.requires_grad for tensor in each.network.parameters()] for each in (model, again)]
    assert trained[0] == trained[1]
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt"]


def test_a_file_that_is_cut_short_or_missing_is_refused(whole: bytes, tmp_path: Path) -> None:
    for share in np.linspace(0, 0.999, amount(50, 5)):
        (tmp_path / "cut.pt").write_bytes(whole[: int(share * len(whole))])
        assert "not a readable model file" in assert_refused(tmp_path / "cut.pt")
    assert "train first" in assert_refused(tmp_path / "none.pt")


@pytest.mark.parametrize("place", ["state_dict", "elsewhere"])
@pytest.mark.parametrize("save", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value, protocol=2))])
def test_a_hostile_file_is_refused_and_runs_nothing(content: dict, tmp_path: Path, place: str, save: Callable) -> None:
    save(content | {place: Bomb(tmp_path / "canary")}, tmp_path / "bomb.pt")
    assert_refused(tmp_path / "bomb.pt")
    assert not (tmp_path / "canary").exists()
    with suppress(pickle.UnpicklingError, RuntimeError):
        torch.load(tmp_path / "bomb.pt", weights_only=False)  # it would run where it is trusted
    assert (tmp_path / "canary").exists()


@pytest.mark.parametrize("version, message", [
    (FORMAT - 1, rf"format {FORMAT - 1}, and this version reads {FORMAT}: train again"),
    (FORMAT + 1, rf"format {FORMAT + 1}, .* update trailer_lib"),
    *((version, "not a model of this library") for version in (str(FORMAT), None)),
])  # fmt: skip
def test_a_file_of_another_format_is_refused(content: dict, tmp_path: Path, version: object, message: str) -> None:
    content["trailer_lib"]["format"] = version
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(TrailerError, match=message):
        read_model(tmp_path / "other.pt")


@pytest.mark.parametrize("other", [{"fc.weight": torch.zeros(3)}, {"trailer_lib": [1]}, [torch.zeros(3)], 7], ids=str)
def test_tensors_of_another_kind_are_refused(tmp_path: Path, other: object) -> None:
    torch.save(other, tmp_path / "other.pt")
    assert "not a model of this library" in assert_refused(tmp_path / "other.pt")


HEAD = "network.head.weight"
DAMAGE: dict[str, Callable[[dict, dict], object]] = {  # of the state and the facts
    "one tensor less": lambda state, facts: state.popitem(),
    "one tensor more": lambda state, facts: state.update({"network.other": torch.zeros(2)}),
    "another shape": lambda state, facts: state.update({HEAD: torch.zeros(1, 7)}),
    "a number for a name": lambda state, facts: state.update({3: torch.zeros(2)}),
    "no settings": lambda state, facts: facts.pop("settings"),
    "settings of text": lambda state, facts: facts.update(settings="hello"),
    "another backbone": lambda state, facts: facts["settings"].update(backbone="resnet18"),
    "an unknown backbone": lambda state, facts: facts["settings"].update(backbone="resnet81"),
    "more frames": lambda state, facts: facts["settings"].update(frames=9),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_tensors_that_do_not_fit_their_settings_are_refused(content: dict, tmp_path: Path, kind: str) -> None:
    DAMAGE[kind](content["state_dict"], content["trailer_lib"])
    torch.save(content, tmp_path / "odd.pt")
    assert "its tensors are not those of its network" in assert_refused(tmp_path / "odd.pt")


def test_a_tensor_that_claims_gigabytes_is_refused_and_lists_of_lists_are_read(content: dict, tmp_path: Path) -> None:
    lists: list = []
    for _ in range(60):
        lists = [lists] * 9  # which to visit one by one would take for ever
    content["trailer_lib"]["note"] = lists
    torch.save(content, tmp_path / "lists.pt")
    read_model(tmp_path / "lists.pt")
    content["state_dict"][HEAD] = torch.zeros(1, 1).expand(2**24, 512)
    torch.save(content, tmp_path / "expanded.pt")
    assert "a tensor repeats its numbers" in assert_refused(tmp_path / "expanded.pt")


def test_a_network_larger_than_the_file_is_refused(
    content: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, devices = regressor.untrained_trunk, []

    def noted(backbone: str, loaded: set) -> Trunk:
        devices.append(torch.empty(0).device.type)
        return whole(backbone, loaded)

    monkeypatch.setattr(regressor, "untrained_trunk", noted)
    torch.save(content, tmp_path / "right.pt")
    read_model(tmp_path / "right.pt")
    assert devices == ["meta", "cpu"]
    content["trailer_lib"]["settings"].update(backbone="vit_h_14")
    torch.save(content, tmp_path / "huge.pt")
    assert "not the tensors of vit_h_14" in assert_refused(tmp_path / "huge.pt")
    assert devices == ["meta", "cpu", "meta"]
