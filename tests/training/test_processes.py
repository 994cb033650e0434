"""Training by two processes that torchrun starts: one set of files, and the result of one process."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from training_runs import Copy, content, few_resamples, trained  # noqa: F401

from trailer_lib import files
from trailer_lib.networks.model_file import read_model
from trailer_lib.training.batches import Place, process_place
from trailer_lib.training.checkpoints import BEST, HISTORY, LAST, PREDICTIONS, RESULTS, SETTINGS

# Dropout is random in each process for itself, so it is off where two must equal one.
MAIN = """
import sys, torch
from trailer_lib.__main__ import main
from trailer_lib.evaluation import metrics
metrics.RESAMPLES = 50
torch.nn.Dropout.forward = lambda self, inputs: inputs
sys.exit(main(sys.argv[1:]))
"""
TOLERANCE = 1e-4  # of standardised scores: sums of floats in another order, over two epochs


def by_two(*words: str) -> subprocess.CompletedProcess:
    """A script of Python and its arguments, run by two processes."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, *launcher, *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)


def test_two_processes_give_what_one_gives(copy_of: Copy, dataset_root: Path, tmp_path: Path) -> None:
    """One set of files and one output too."""
    root = Path(shutil.copytree(dataset_root, tmp_path / "two"))
    (tmp_path / "main.py").write_text(MAIN)
    done = by_two(str(tmp_path / "main.py"), "train", "--root", str(root), "epochs=2", "noise=0.1", "ema_decay=0.9")
    assert done.returncode == 0, done.stderr
    one = copy_of(dataset_root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.Dropout, "forward", lambda self, inputs: inputs)
        trained(one, epochs=2, noise=0.1, ema_decay=0.9)
    histories = [pd.read_csv(place / "models" / HISTORY) for place in (one.root, root)]
    pd.testing.assert_frame_equal(*histories, rtol=0, atol=TOLERANCE)
    results = [read_model(place / "models" / BEST).facts["results"] for place in (one.root, root)]
    errors = [result["metrics"]["frames"]["MAE"]["value"] for result in results]
    assert errors[0] == pytest.approx(errors[1], abs=TOLERANCE)
    states = [content(place / "models" / LAST)["state_dict"] for place in (one.root, root)]
    assert max((states[0][name] - states[1][name]).abs().max().item() for name in states[0]) < TOLERANCE
    names = {path.name for path in (root / "models").iterdir()}
    assert {BEST, LAST, HISTORY, PREDICTIONS, RESULTS, SETTINGS} <= names
    assert not [name for name in names if name.startswith(files.TEMPORARY)]
    assert done.stdout.count("model: ") == 1


def test_torchrun_sets_each_process_place(monkeypatch: pytest.MonkeyPatch) -> None:
    assert process_place() == Place(0, 1, 1)  # without it
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "RANK": "5", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(name, value)
    assert process_place() == Place(5, 8, 4)
