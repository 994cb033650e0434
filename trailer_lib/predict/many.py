"""Many trailers -> a table: decoded in processes, scored in batches, gone on with after a stop."""

import csv
import hashlib
import io
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from trailer_lib import files
from trailer_lib.catalog import FILM_ID, LINK, find_film, read_rows
from trailer_lib.errors import Stopped, TrailerError
from trailer_lib.evaluation import LEVELS, conformal_intervals
from trailer_lib.predict.predictor import Predictor
from trailer_lib.predict.trailer_input import FrameViews, TrailerJob, prepare
from trailer_lib.progress import bar
from trailer_lib.project import Project
from trailer_lib.scrape import VIDEO_SUFFIXES, worker_pool
from trailer_lib.settings import ScrapeSettings
from trailer_lib.video import memory_needed, picture_paths

ENDS = ("low80", "high80", "low95", "high95")
COLUMNS = (
    "trailer", "imdb_id", "score", *ENDS, "mean_baseline", "warnings", "reason", "sampled", "kept", "seconds", "model",
)  # fmt: skip


class PredictionTable:
    """The table at `path`. `done`: the trailers that `model` has scored already.

    Rows without a score are taken out, to be tried again; a last line that a crash tore is taken out, too.
    TrailerError when the file is another table: it is left as it is.
    """

    def __init__(self, path: Path, model: str) -> None:
        kept = [row for row in _read(path) if row["score"] or row["model"] != model]
        self.path, self.done = path, {row["trailer"] for row in kept if row["model"] == model}
        files.write_text(path, _text([dict(zip(COLUMNS, COLUMNS)), *kept]))

    def append(self, rows: list[dict]) -> None:
        """Add rows with one write that outlives a power cut."""
        data = _text(rows).encode("utf-8", "surrogateescape")
        with files.reporting_full_disk(self.path, lambda: len(data)), open(self.path, "ab") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())


def _read(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    text = path.read_bytes().decode("utf-8", "replace")
    whole = text[: text.rfind("\n") + 1]
    table = csv.DictReader(io.StringIO(whole, newline=""), restkey="more")
    if text and tuple(table.fieldnames or ()) != COLUMNS:
        raise TrailerError(f"{path}: another table, without the columns of answers: name a new file for --csv")
    return [row for row in table if "more" not in row and None not in row.values()]


def _text(rows: list[dict]) -> str:
    text = io.StringIO(newline="")
    csv.DictWriter(text, COLUMNS, lineterminator="\n").writerows(rows)
    return text.getvalue()


class Trailer(NamedTuple):
    """`name`: a path or a link; `imdb_id`: the film's, "" where unknown."""

    name: str
    imdb_id: str


def find_trailers(place: Path) -> list[Trailer]:
    """The trailers of a folder (videos, and folders of pictures) in the order of their names, or of a list, in its own.

    A list is a text file with a path or link a line, or a .csv with a column trailer and, if known, imdb_id. Relative
    paths start where the list lies. An id is also taken from a name that holds one. TrailerError when there is none.
    """
    names = _in_folder(place) if place.is_dir() else _in_csv(place) if place.suffix.lower() == ".csv" else _lines(place)
    if not names:
        raise TrailerError(
            f"{place}: no trailers in it: name a folder of videos ({', '.join(VIDEO_SUFFIXES)}), or a list"
        )
    return [Trailer(name, known or _id_in(name)) for name, known in dict(names).items()]


def _in_folder(folder: Path) -> list[tuple[str, str]]:
    paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    return [(str(path), "") for path in paths if path.suffix.lower() in VIDEO_SUFFIXES or _has_pictures(path)]


def _has_pictures(path: Path) -> bool:
    return path.is_dir() and bool(picture_paths(path))


def _in_csv(path: Path) -> list[tuple[str, str]]:
    rows = read_rows(path, ["trailer"], ["imdb_id"]).rows
    return [(_from(path, row["trailer"]), row["imdb_id"]) for row in rows if row["trailer"]]


def _lines(path: Path) -> list[tuple[str, str]]:
    if not path.is_file():
        raise TrailerError(f"{path}: no such folder or list: name a folder of videos, or a file with a path a line")
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise TrailerError(f"{path}: not a text: expected a list with a path or link a line, or a folder") from error
    return [(_from(path, line.strip()), "") for line in lines if line.strip()]


def _from(place: Path, name: str) -> str:
    return name if LINK.match(name) else str(place.parent / name)


def _id_in(name: str) -> str:
    found = None if LINK.match(name) else FILM_ID.search(Path(name).name)
    return found[0] if found else ""


BATCH = 8  # films that go through the network at once
Result = tuple[FrameViews | str, float]  # the pictures or why there are none, and the seconds it took


def predict_many(place: Path, model: Path, out: Path, workers: int = 2, root: Path | None = None) -> dict[str, int]:
    """Score every trailer in the folder or list `place` (`trailers.find`) into the CSV file `out` (`rows.COLUMNS`).

    Trailers that `out` has a score of by the same model file are not done again. One that can't be scored costs a row
    with the reason. `root`: the project whose spreadsheets know the films' ids. {"scored", "failed", "before"}: how
    many. Stopped on Ctrl-C; the rows so far are kept. TrailerError while another run fills `out`.
    """
    trailers = find_trailers(place)
    out.parent.mkdir(parents=True, exist_ok=True)
    with files.single_run(out):
        return _filled(trailers, model, out, workers, root)


def _filled(trailers: list[Trailer], model: Path, out: Path, workers: int, root: Path | None) -> dict[str, int]:
    predictor, made_by = Predictor.load(model), fingerprint(model)
    trailers = _identified(trailers, root) if root else trailers
    counts = {"scored": 0, "failed": 0, "before": 0}
    try:
        table = PredictionTable(out, made_by)
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
    from trailer_lib.catalog import load  # pandas, and some seconds for the tables

    films = load(Project(root)).films
    return [Trailer(name, imdb_id or find_film(name, films).get("imdb_id", "")) for name, imdb_id in trailers]


def _task(predictor: Predictor, trailer: Trailer) -> TrailerJob:
    learned = predictor.info
    # How long a trailer may take is this machine's matter, not that of the model's maker.
    settings = replace(learned.scrape, timeout=ScrapeSettings().timeout)
    return TrailerJob(*trailer, settings, learned.dataset, learned.settings)


def _answered(predictor: Predictor, tasks: list[TrailerJob], workers: int) -> Iterator[list[dict]]:
    """The rows of the tasks as they are done, some at once."""
    scrape = predictor.info.scrape
    memory, timeout = memory_needed(scrape), ScrapeSettings().timeout
    with worker_pool(prepare, workers, memory, timeout) as submit, _threads_beside(workers):
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


def _decoded(tasks: list[TrailerJob], submit: Callable, ahead: int) -> Iterator[list[tuple[TrailerJob, Result]]]:
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


def _rows(predictor: Predictor, decoded: list[tuple[TrailerJob, Result]]) -> list[dict]:
    """A row for each trailer: those with pictures go through the network together."""
    start = time.perf_counter()
    good = [shown for _, (shown, _) in decoded if isinstance(shown, FrameViews)]
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


def _answers(predictor: Predictor, films: list[FrameViews]) -> list[tuple[float, np.ndarray]]:
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


def _told(predictor: Predictor, task: TrailerJob, shown: FrameViews, standardised: float, features: np.ndarray) -> dict:
    learned = predictor.info
    score = float(predictor.model.points(np.float64(standardised)))
    found, _ = conformal_intervals(score, learned.truth, learned.predicted)
    ends = [found.get(share, ("", "")) for share in LEVELS]
    near = learned.index.nearest(features) if learned.index else []
    warnings = [*learned.doubts, *shown.warnings, *predictor.unlike(near, {"imdb_id": task.imdb_id})]
    numbers = {
        "score": score,
        **dict(zip(ENDS, [end for pair in ends for end in pair])),
        "mean_baseline": learned.mean_baseline,
    }
    numbers = {name: f"{value:.3f}" if value != "" else "" for name, value in numbers.items()}
    return numbers | {"warnings": " ".join(warnings), "sampled": shown.sampled, "kept": shown.kept}
