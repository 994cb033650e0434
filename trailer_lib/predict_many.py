"""Many trailers -> a table: decoded in processes, scored in batches, gone on with after a stop."""

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from trailer_lib import conformal, files, known, pool
from trailer_lib.errors import Stopped
from trailer_lib.predict import Predictor
from trailer_lib.progress import bar
from trailer_lib.project import Project
from trailer_lib.rows import ENDS, Rows
from trailer_lib.settings import ScrapeSettings
from trailer_lib.shown import Shown, Task, show
from trailer_lib.trailers import Trailer, find

BATCH = 8  # films that go through the network at once
Result = tuple[Shown | str, float]  # the pictures or why there are none, and the seconds it took


def predict_many(place: Path, model: Path, out: Path, workers: int = 2, root: Path | None = None) -> dict[str, int]:
    """Score every trailer in the folder or list `place` (`trailers.find`) into the CSV file `out` (`rows.COLUMNS`).

    Trailers that `out` has a score of by the same model file are not done again. One that can't be scored costs a row
    with the reason. `root`: the project whose spreadsheets know the films' ids. {"scored", "failed", "before"}: how
    many. Stopped on Ctrl-C; the rows so far are kept. TrailerError while another run fills `out`.
    """
    trailers = find(place)
    out.parent.mkdir(parents=True, exist_ok=True)
    with files.only_run(out):
        return _filled(trailers, model, out, workers, root)


def _filled(trailers: list[Trailer], model: Path, out: Path, workers: int, root: Path | None) -> dict[str, int]:
    predictor, made_by = Predictor.load(model), fingerprint(model)
    trailers = _identified(trailers, root) if root else trailers
    counts = {"scored": 0, "failed": 0, "before": 0}
    try:
        table = Rows(out, made_by)
        tasks = [_task(predictor, trailer) for trailer in trailers if trailer.name not in table.done]
        counts["before"] = len(trailers) - len(tasks)
        with bar(total=len(trailers), initial=counts["before"], desc="predicting", unit="trailer") as progress:
            for rows in _answered(predictor, tasks, workers):
                table.append([row | {"model": made_by} for row in rows])
                failed = sum(bool(row["reason"]) for row in rows)
                counts["failed"] += failed
                counts["scored"] += len(rows) - failed
                progress.update(len(rows))
    except KeyboardInterrupt as stop:
        done = sum(counts.values())
        raise Stopped(f"stopped: {done} of {len(trailers)} trailers are in {out}; run it again to go on") from stop
    return counts


def fingerprint(path: Path) -> str:
    """The model file's content in 16 letters."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()[:16]


def _identified(trailers: list[Trailer], root: Path) -> list[Trailer]:
    from trailer_lib import catalog  # pandas, and some seconds for the tables

    films = catalog.load(Project(root)).films
    return [Trailer(name, imdb_id or known.find(name, films).get("imdb_id", "")) for name, imdb_id in trailers]


def _task(predictor: Predictor, trailer: Trailer) -> Task:
    learned = predictor.learned
    # How long a trailer may take is this machine's matter, not that of the model's maker.
    settings = replace(learned.scrape, timeout=ScrapeSettings().timeout)
    return Task(*trailer, settings, learned.dataset, learned.settings)


def _answered(predictor: Predictor, tasks: list[Task], workers: int) -> Iterator[list[dict]]:
    """The rows of the tasks as they are done, some at once."""
    with pool.processes(show, workers) as submit, _threads_beside(workers):
        for decoded in _decoded(tasks, submit, 2 * workers + BATCH):
            yield _rows(predictor, decoded)


@contextmanager
def _threads_beside(workers: int) -> Iterator[None]:
    """Run the network on the cores that decoding leaves: on a busy core each of its threads waits for the others."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, min(before, (os.cpu_count() or 1) - workers)))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _decoded(tasks: list[Task], submit: Callable, ahead: int) -> Iterator[list[tuple[Task, Result]]]:
    """Tasks with what their worker gave, as they end, up to BATCH at once; at most `ahead` are in hand."""
    fresh, running = iter(tasks), {}
    while True:
        running |= {submit(task): task for task in islice(fresh, ahead - len(running))}
        if not running:
            return
        ended = list(wait(running, return_when=FIRST_COMPLETED).done)[:BATCH]
        yield [(running.pop(future), _result(future)) for future in ended]


def _result(future: Future) -> Result:
    try:
        return future.result()
    except FutureTimeout:
        seconds = ScrapeSettings().timeout
        return f"given up after {seconds:.0f} s", seconds
    except Exception as error:  # a worker that died, or what nobody foresaw: the other trailers shall not pay for it
        return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300], 0.0


def _rows(predictor: Predictor, decoded: list[tuple[Task, Result]]) -> list[dict]:
    """A row for each trailer: those with pictures go through the network together."""
    start = time.perf_counter()
    good = [shown for _, (shown, _) in decoded if isinstance(shown, Shown)]
    answers = iter(_answers(predictor, good))
    share = (time.perf_counter() - start) / max(1, len(good))
    rows = []
    for task, (shown, seconds) in decoded:
        row = {"trailer": task.trailer, "imdb_id": task.imdb_id, "reason": "", "seconds": f"{seconds:.2f}"}
        if isinstance(shown, str):
            rows.append(row | {"reason": shown})
        else:
            rows.append(row | _told(predictor, task, shown, *next(answers)) | {"seconds": f"{seconds + share:.2f}"})
    return rows


def _answers(predictor: Predictor, films: list[Shown]) -> list[tuple[float, np.ndarray]]:
    """The standardised score and the features of each film, means over its draws; one forward pass for all."""
    if not films:
        return []
    network, counts = predictor.model.network, [len(film.draws) for film in films]
    frames = np.concatenate([film.pictures[film.draws] for film in films])
    with torch.inference_mode():
        parts = torch.from_numpy(frames).permute(0, 1, 4, 2, 3).split(BATCH)
        features = torch.cat([network.features(network.normalise(part)) for part in parts])
        scores = network.head(features).squeeze(1)
    pairs = zip(scores.split(counts), features.split(counts))
    return [(float(score.mean()), feature.mean(0).numpy()) for score, feature in pairs]


def _told(predictor: Predictor, task: Task, shown: Shown, standardised: float, features: np.ndarray) -> dict:
    learned = predictor.learned
    score = float(predictor.model.points(np.float64(standardised)))
    found, _ = conformal.intervals(score, learned.truth, learned.predicted)
    ends = [found.get(share, ("", "")) for share in conformal.SHARES]
    near = learned.index.nearest(features) if learned.index else []
    warnings = [*learned.doubts, *shown.warnings, *predictor.unlike(near, {"imdb_id": task.imdb_id})]
    numbers = {"score": score, **dict(zip(ENDS, [end for pair in ends for end in pair])), "constant": learned.constant}
    numbers = {name: f"{value:.3f}" if value != "" else "" for name, value in numbers.items()}
    return numbers | {"warnings": " ".join(warnings), "sampled": shown.sampled, "kept": shown.kept}
