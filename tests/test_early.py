"""The early start changes nothing but the wait: same answer, same errors, and nothing in a model file is run."""

import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from conftest import amount, pictures
from test_modelfile import Bomb

from trailer_lib import early, predict
from trailer_lib.errors import TrailerError
from trailer_lib.modelfile import read_model_file
from trailer_lib.predict import Predictor
from trailer_lib.settings import ScrapeSettings, TrainSettings
from trailer_lib.train import BEST


@pytest.fixture(scope="module")
def best(trained_root: Path) -> Path:
    return trained_root / "models" / BEST


@pytest.fixture(scope="module")
def trailer(make_video: Callable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_video(tmp_path_factory.mktemp("video") / "trailer.mp4", list(pictures(7.0, 140, seed=1)))


def told(prediction: object) -> dict:
    return {name: value for name, value in prediction.to_dict().items() if name != "timings"}


def test_the_answer_is_the_predictors(trailer: Path, best: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = early.predict(str(trailer), best, None, {"genres": "Drama"})
    assert gc.isenabled()
    assert list(found.timings) == ["frames", "network", "similar"]
    assert told(found) == told(Predictor.load(best).predict(str(trailer), {"genres": "Drama"}))
    monkeypatch.setattr(early, "drawn_by", lambda model: None)
    assert told(early.predict(str(trailer), best, None, {"genres": "Drama"})) == told(found)


def test_frames_of_other_settings_are_not_used(trailer: Path, best: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(early, "drawn_by", lambda model: (ScrapeSettings(count=7), TrainSettings()))
    assert early.predict(str(trailer), best, None, None).sampled == 20


def test_the_settings_are_the_files(best: Path) -> None:
    facts = read_model_file(best).facts
    kinds = {"scrape": ScrapeSettings, "settings": TrainSettings}
    assert early.drawn_by(best) == tuple(kind.layered({"": facts[name]}) for name, kind in kinds.items())
    assert early.drawn_by(best)[0].count == 20


def test_nothing_in_a_hostile_file_is_run(best: Path, tmp_path: Path) -> None:
    model = read_model_file(best)
    model.facts = model.facts | {"index": Bomb(tmp_path / "canary")}
    model.save(tmp_path / "bomb.pt")
    early.drawn_by(tmp_path / "bomb.pt")
    with pytest.raises(TrailerError, match=r"bomb\.pt"):
        early.predict(str(tmp_path / "none.mp4"), tmp_path / "bomb.pt", None, None)
    assert not (tmp_path / "canary").exists()


def test_a_file_that_is_cut_short_has_no_settings(best: Path, tmp_path: Path) -> None:
    whole = best.read_bytes()
    for part in range(amount(50, 5)):
        (tmp_path / "cut.pt").write_bytes(whole[: part * len(whole) // 51])
        assert early.drawn_by(tmp_path / "cut.pt") is None
    torch.save({"state_dict": {}}, tmp_path / "other.pt")
    assert early.drawn_by(tmp_path / "other.pt") is None
    assert early.drawn_by(tmp_path / "none.pt") is None


def test_a_process_that_dies_is_told(best: Path, trailer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(early, "_draw", os.abort)  # which takes no arguments: the process ends before it draws
    with pytest.raises(TrailerError, match="the process that draws the frames died: see that memory is left"):
        early.predict(str(trailer), best, None, None)


def test_the_frames_are_not_drawn_here(best: Path, trailer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predict, "take_in", lambda *_: pytest.fail("drawn a second time"))
    assert early.predict(str(trailer), best, None, None).sampled == 20


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells when the second process is there")
@pytest.mark.parametrize("seconds", [0.0, 0.3])
def test_ctrl_c_ends_it_in_a_line(best: Path, trailer: Path, seconds: float) -> None:
    command = [sys.executable, "-m", "trailer_lib", "predict", trailer, "--model", best]
    process = subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True, start_new_session=True)
    children, deadline = Path(f"/proc/{process.pid}/task/{process.pid}/children"), time.monotonic() + 60
    while len(children.read_text().split()) < 2 and time.monotonic() < deadline:  # one of them is multiprocessing's own
        time.sleep(0.01)
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGINT)
    assert process.communicate(timeout=60)[1] == "stopped; run the same command again\n"
    assert process.returncode == 1


def test_errors_are_the_predictors(best: Path, tmp_path: Path, trailer: Path) -> None:
    with pytest.raises(TrailerError, match=r"none\.mp4: No such file"):
        early.predict(str(tmp_path / "none.mp4"), best, None, None)
    with pytest.raises(TrailerError, match=r"none\.pt: no such model"):
        early.predict(str(trailer), tmp_path / "none.pt", None, None)


def test_the_frames_are_begun_without_torch() -> None:
    code = "import sys, trailer_lib.early; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"


def test_an_answer_needs_no_compiler_and_torchvision_still_finds_it() -> None:
    code = """
import sys, torch, trailer_lib.predict
print("torch._dynamo" in sys.modules, "torch._dynamo.utils" in sys.modules)
from torchvision.ops import roi_align
from torchvision.ops.roi_align import is_compile_supported
print(roi_align(torch.rand(1, 3, 8, 8), torch.tensor([[0.0, 0, 0, 4, 4]]), 2).shape[0], is_compile_supported("cpu"))
print("torch._dynamo" in sys.modules, hasattr(sys.modules["torch._dynamo.utils"], "__file__"))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines() == ["False False", "1 True", "True True"], done.stderr
