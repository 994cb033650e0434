"""Settings that make no sense together are refused in one line that names setting and remedy; others are not."""

from pathlib import Path

import pytest

from trailer_lib import train
from trailer_lib.contradictions import refuse
from trailer_lib.errors import TrailerError
from trailer_lib.project import Project
from trailer_lib.settings import TrainSettings

WRONG = [
    ({"epochs": 0, "head": "linear"}, "epochs = 0 leaves head"),
    ({"head": "boosting", "freeze": "none"}, "set freeze = 'backbone'"),
    ({"noise": 0.1}, "noise: changes nothing where head = 'ridge' is fitted"),
    ({"freeze": "none", "epochs": 0, "crop": 0.5, "colour": 0.1}, "crop, colour: changes nothing"),
    ({"head": "boosting", "freeze": "2"}, "set freeze = 'backbone'"),
    ({"amsgrad": True, "optimizer": "sgd"}, "set optimizer = 'adam'"),
    ({"nesterov": True}, "set optimizer = 'sgd'"),
    ({"nesterov": True, "optimizer": "sgd", "momentum": 0.0}, "momentum above 0"),
    ({"warmup": 2, "schedule": "plateau"}, "set warmup = 0"),
    ({"warmup": 20, "epochs": 20, "freeze": "none"}, "warmup = 20 leaves none of the 20 epochs"),
    ({"drop_frames": 0.1, "frames": 1, "freeze": "none"}, "the only frame"),
    ({"mixup": 0.2, "batch": 1, "freeze": "none"}, "set batch above 1"),
    ({"average": "swa", "swa_start": 1.0}, "after the last epoch"),
]
RIGHT = [
    {},
    {"epochs": 0, "head": "ridge"},
    {"head": "boosting", "freeze": "backbone"},
    {"head": "boosting", "epochs": 0},
    {"noise": 0.1, "freeze": "2"},
    {"noise": 0.1, "head": "linear"},
    {"nesterov": True, "optimizer": "sgd"},
    {"warmup": 19, "epochs": 20},
    {"average": "swa", "swa_start": 0.99},
    {"average": "ema", "swa_start": 1.0},
]


@pytest.mark.parametrize("chosen, said", WRONG, ids=str)
def test_a_contradiction_is_refused_before_anything_is_read(tmp_path: Path, chosen: dict, said: str) -> None:
    with pytest.raises(TrailerError) as caught:
        train.train(Project(tmp_path), TrainSettings(**chosen))
    assert said in str(caught.value) and "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("chosen", RIGHT, ids=str)
def test_what_makes_sense_is_not_refused(chosen: dict) -> None:
    refuse(TrainSettings(**chosen))


def test_the_original_scheme_makes_sense() -> None:
    refuse(TrainSettings.layered({"test": {"scheme": "original"}}))


@pytest.mark.parametrize(
    "chosen, processes, said",
    [
        ({"batch": 5, "freeze": "none"}, 2, "set a multiple of 2"),
        ({"batch": 2, "mixup": 0.1, "freeze": "none"}, 2, "set batch above 1"),
        ({"head": "ridge", "freeze": "backbone"}, 2, "without torchrun, or set freeze = 'none'"),
    ],
)
def test_what_several_processes_cannot_share_is_refused(chosen: dict, processes: int, said: str) -> None:
    refuse(TrainSettings(**chosen))
    with pytest.raises(TrailerError, match=said):
        refuse(TrainSettings(**chosen), processes)
