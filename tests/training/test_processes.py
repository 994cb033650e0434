"""Training by two processes that torchrun starts: one set of files, and the result of one process."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from training_runs import Copy, content, trained

from trailer_lib import files
from trailer_lib.networks.model_file import read_model
from trailer_lib.training.batches import Place, process_place
from trailer_lib.training.checkpoints import BEST, HISTORY, LAST, PREDICTIONS, RESULTS, SETTINGS

# Dropout is random in each process for itself, so it is off where two must equal one.
MAIN = """
import sys, torch
from trailer_lib.__main__ import main
torch.nn.Dropout.forward = lambda self, inputs: inputs
sys.exit(main(sys.argv[1:]))
"""
TOLERANCE = 1e-4  # of standardised scores: sums of floats in another order, over two epochs


def run(arguments: list[str], processes: int) -> subprocess.CompletedProcess:
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"] if processes > 1 else []
    environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    command = [sys.executable, *launcher, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)


@pytest.fixture(scope="module")
def two(dataset_root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess]:
    """A root trained by two processes, and what they printed."""
    folder = tmp_path_factory.mktemp("two")
    root = Path(shutil.copytree(dataset_root, folder / "root"))
    (folder / "main.py").write_text(MAIN)
    done = run([str(folder / "main.py"), "train", "--root", str(root), "epochs=2", "noise=0.1", "ema_decay=0.9"], 2)
    assert done.returncode == 0, done.stderr
    return root, done


def test_two_processes_give_what_one_gives(two: tuple, copy_of: Copy, dataset_root: Path, tmp_path: Path) -> None:
    one = copy_of(dataset_root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.nn.Dropout, "forward", lambda self, inputs: inputs)
        trained(one, epochs=2, noise=0.1, ema_decay=0.9)
    histories = [pd.read_csv(root / "models" / HISTORY) for root in (one.root, two[0])]
    pd.testing.assert_frame_equal(*histories, rtol=0, atol=TOLERANCE)
    results = [read_model(root / "models" / BEST).facts["results"] for root in (one.root, two[0])]
    errors = [result["metrics"]["frames"]["MAE"]["value"] for result in results]
    assert errors[0] == pytest.approx(errors[1], abs=TOLERANCE)
    states = [content(root / "models" / LAST)["state_dict"] for root in (one.root, two[0])]
    assert max((states[0][name] - states[1][name]).abs().max().item() for name in states[0]) < TOLERANCE


def test_two_processes_write_one_set_of_files_and_print_once(two: tuple) -> None:
    root, done = two
    names = {path.name for path in (root / "models").iterdir()}
    assert {BEST, LAST, HISTORY, PREDICTIONS, RESULTS, SETTINGS} <= names
    assert not [name for name in names if name.startswith(files.TEMPORARY)]
    assert done.stdout.count("model: ") == 1


def test_torchrun_sets_each_process_place(monkeypatch: pytest.MonkeyPatch) -> None:
    assert process_place() == Place(0, 1, 1)  # without it
    for name, value in {"TORCHELASTIC_RUN_ID": "x", "RANK": "5", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(name, value)
    assert process_place() == Place(5, 8, 4)
