"""A trailer -> the pictures that a model is shown, without torch, so that a worker that decodes starts at once."""

import time
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from trailer_lib import intake
from trailer_lib.errors import TrailerError
from trailer_lib.intake import Intake
from trailer_lib.pictures import shrink, spread
from trailer_lib.settings import DatasetSettings, ScrapeSettings, TrainSettings

FAILURES = (TrailerError, OSError, MemoryError)  # of a trailer; told as text: not every error survives a pipe


@dataclass(frozen=True)
class Task:
    """A trailer for a worker: everything it needs, small and picklable. `settings` are the scrape's."""

    trailer: str
    imdb_id: str
    settings: ScrapeSettings
    dataset: DatasetSettings
    train: TrainSettings


@dataclass(frozen=True)
class Shown:
    """`pictures` uint8 [n, size, size, 3], and which of them each draw takes: int [draws, frames].

    `sampled`, `kept` and `warnings` as in Intake.
    """

    pictures: np.ndarray
    draws: np.ndarray
    sampled: int
    kept: int
    warnings: tuple[str, ...]


def show(task: Task) -> tuple[Shown | str, float]:
    """The pictures of a trailer, or the line that says why there are none; and the seconds it took."""
    start = time.perf_counter()
    try:
        found = _shown(task)
    except FAILURES as error:
        found = in_a_line(error)[:300]
    return found, time.perf_counter() - start


def in_a_line(error: Exception) -> str:
    text = str(error) if isinstance(error, TrailerError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())


def _shown(task: Task) -> Shown:
    taken = intake.take_in(task.trailer, task.settings, lambda step: None, threads=1)
    taken, places = dealt(taken, task.train)
    return Shown(shrunk(taken.pixels, task.dataset), places, taken.sampled, taken.kept, taken.warnings)


def dealt(taken: Intake, settings: TrainSettings) -> tuple[Intake, np.ndarray]:
    """The frames that any draw takes, in order, and the draws as places among them: int [draws, frames]."""
    drawn = draws(taken.kept, settings)
    shown, places = np.unique(drawn, return_inverse=True)
    return replace(taken, pixels=taken.pixels[shown], seconds=taken.seconds[shown]), places.reshape(drawn.shape)


def draws(kept: int, settings: TrainSettings) -> np.ndarray:
    """Which of the kept frames the network is shown, as in the model's test: int [draws, frames]."""
    if settings.draws == 1:
        return spread(kept, settings.frames)[None]
    rng, few = np.random.default_rng(settings.seed), kept < settings.frames
    return np.stack([np.sort(rng.choice(kept, settings.frames, replace=few)) for _ in range(settings.draws)])


def shrunk(pixels: np.ndarray, settings: DatasetSettings) -> np.ndarray:
    """Frames of any size as the dataset holds them: uint8 [n, size, size, 3]."""
    return np.stack([shrink(Image.fromarray(frame), settings) for frame in pixels])
