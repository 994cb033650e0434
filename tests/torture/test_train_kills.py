"""T1: a training killed at random moments and resumed ends bit for bit as one that was never disturbed."""

import random
import shutil
import time
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import pandas as pd
import pytest
from conftest import amount
from training_runs import RANDOM_PARTS, assert_same_checkpoint

from trailer_lib import files
from trailer_lib.project import Project
from trailer_lib.training.checkpoints import BEST, HISTORY, LAST, PREDICTIONS, RESULTS, RUNS

KILLS, A_RUN = amount(30, 2), 3
EPOCHS = amount(8, 4)
# The average, the patience and the plateau each have a state that must outlive a kill.
CHOSEN = RANDOM_PARTS | {"epochs": EPOCHS, "ema_decay": 0.9, "patience": EPOCHS - 2}
CHOSEN |= {"schedule": "plateau", "step_size": 1}
# One clean process imports torch and Lightning, and every run is forked from it: a run begins at once.
CONTEXT = get_context("forkserver")


def run(root: str, models: str, resume: bool, ready: Connection) -> None:
    """What runs in the process: say that it begins, and train."""
    import torch

    from trailer_lib.evaluation import metrics
    from trailer_lib.training import run as run_file

    torch.set_num_threads(1)
    metrics.RESAMPLES = 20
    ready.send("go")
    project = Project(Path(root))
    settings = project.settings("train", **CHOSEN)
    run_file.train(project, settings, lambda history: None, Path(models), resume=resume)


def start(root: Path, models: Path) -> BaseProcess:
    """A training into `models` that is about to begin, or to resume if there is something to resume from."""
    CONTEXT.set_forkserver_preload(["trailer_lib.training.run"])
    here, there = CONTEXT.Pipe()
    process = CONTEXT.Process(target=run, args=(str(root), str(models), (models / LAST).exists(), there))
    process.start()
    assert here.recv() == "go"
    return process


@pytest.fixture(scope="module")
def unbroken(dataset_root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """A root with the models of an undisturbed training, and the seconds it took."""
    root = Path(shutil.copytree(dataset_root, tmp_path_factory.mktemp("unbroken") / "root"))
    process = start(root, root / "models")
    began = time.monotonic()
    process.join()
    assert process.exitcode == 0
    return root, time.monotonic() - began


def epochs(models: Path) -> int:
    return len(pd.read_csv(models / HISTORY)) if (models / HISTORY).exists() else 0


def killed(root: Path, models: Path, seconds: float, rng: random.Random) -> bool:
    """Train a random number of epochs and a bit more, then kill -9; False when the training had ended before."""
    last = EPOCHS - 1  # after the last one but one a kill falls into the last, or into the test
    until, process = rng.randint(min(epochs(models), last), last), start(root, models)
    while process.is_alive() and epochs(models) < until:
        time.sleep(0.002)
    process.join(rng.uniform(0, seconds / EPOCHS))  # about an epoch
    alive = process.is_alive()
    process.kill()
    process.join()
    return alive


def test_killed_at_random_moments_it_ends_like_an_unbroken_run(unbroken: tuple[Path, float], tmp_path: Path) -> None:
    root, seconds = unbroken
    rng, total, seen = random.Random(0), 0, []
    while total < KILLS:
        models = tmp_path / "models"
        shutil.rmtree(models, ignore_errors=True)
        for _ in range(min(A_RUN, KILLS - total)):
            if not killed(root, models, seconds, rng):
                break
            total += 1
            seen.append(epochs(models))
        process = start(root, models)
        process.join()
        assert process.exitcode == 0
        for name in (LAST, BEST):
            assert_same_checkpoint(models / name, root / "models" / name)
        for name in (HISTORY, RESULTS):
            assert (models / name).read_bytes() == (root / "models" / name).read_bytes()
        files.remove_temporary(models)
        names = {LAST, BEST, HISTORY, RESULTS, PREDICTIONS, RUNS, "settings.json"}
        assert {path.name for path in models.iterdir()} == names
        print(f"{total} kills, after these epochs: {seen}", flush=True)
