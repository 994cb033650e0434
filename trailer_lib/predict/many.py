"""A folder or list of trailers -> a CSV: decoded in worker processes, predicted as they come, resumed after a stop."""

import csv
import io
from collections.abc import Iterator
from concurrent.futures import TimeoutError as FutureTimeout
from functools import partial
from pathlib import Path
from typing import Any

from trailer_lib import __version__, files
from trailer_lib.catalog import LINK, read_rows
from trailer_lib.errors import Stopped, TrailerError
from trailer_lib.predict import trailer_input
from trailer_lib.predict.film import film_levels, find_metadata
from trailer_lib.predict.predictor import Predictor
from trailer_lib.predict.trailer_input import Prepared, TrailerFrames
from trailer_lib.progress import bar
from trailer_lib.scrape import Schedule, worker_pool
from trailer_lib.settings import ScrapeSettings
from trailer_lib.video import is_video_name, memory_needed, picture_paths

GIVEN = ["imdb_id", "genres", "runtime_minutes", "year"]  # columns of a list that tell of the films
COLUMNS = (
    "trailer imdb_id score low80 high80 low95 high95 sources trailer_score mean_baseline warnings reason"
    " sampled_frames kept_frames seconds model version"
).split()
TIMEOUT = ScrapeSettings().timeout  # seconds a trailer: a matter of this machine, not of the model file
AHEAD = 8  # trailers that may wait for the network


def predict_many(place: Path, model: Path, out: Path, workers: int = 2, root: Path | None = None) -> dict[str, int]:
    """Predict every trailer of the folder or list `place` (find_trailers) into the CSV file `out` (COLUMNS).

    Trailers of which `out` has a score by the same model file are skipped; one that fails has a row with the reason.
    `root`: the project whose spreadsheets know the films. Returns the numbers of "scored", "failed", "before".
    Stopped on Ctrl-C; the rows so far are kept. TrailerError while another run fills `out`.
    """
    trailers = find_trailers(place)
    trailer_input.refuse_input(out, model, *([] if place.is_dir() else [place]))
    out.parent.mkdir(parents=True, exist_ok=True)
    with files.single_run(out):
        predictor = Predictor.load(model)
        done = open_table(out, predictor.model_hash)
        fresh = {name: film for name, film in trailers.items() if files.printable(name) not in done}
        films = find_metadata(fresh, root)
        metadata = dict(zip(fresh, zip(films, film_levels(predictor.info.metadata, films))))
        counts = {"scored": 0, "failed": 0, "before": len(trailers) - len(fresh)}
        try:
            with bar(total=len(trailers), initial=counts["before"], desc="predicting", unit="trailer") as progress:
                for name, (frames, seconds) in _prepared([*fresh], predictor, workers):
                    film, levels = metadata[name]
                    row = _row(predictor, frames, film, levels) | {"seconds": f"{seconds:.2f}"}
                    row |= {"trailer": files.printable(name), "imdb_id": film["imdb_id"]}
                    files.append_text(out, _csv([row]))
                    counts["scored" if "score" in row else "failed"] += 1
                    progress.update()
        except KeyboardInterrupt as stop:
            in_table = f"{sum(counts.values())} of {len(trailers)} trailers are in {out}"
            raise Stopped(f"stopped: {in_table}; the same command resumes there") from stop
        return counts


def _prepared(names: list[str], predictor: Predictor, workers: int) -> Iterator[tuple[str, Prepared]]:
    """The trailers with what `prepare` returned of them, as they end."""
    info = predictor.info
    work = partial(trailer_input.prepare, scrape=info.scrape, dataset=info.dataset, train=info.settings)
    with worker_pool(work, workers, memory_needed(info.scrape), TIMEOUT) as submit:
        for name, future in Schedule(names, workers + AHEAD, pause=0.0).run(submit):
            try:
                prepared = future.result()
            except FutureTimeout:
                prepared = f"given up after {TIMEOUT:.0f} s", TIMEOUT
            except Exception as error:  # a worker that died, or an unexpected error: record it and continue
                prepared = trailer_input.one_line(error), 0.0
            yield name, prepared


def _row(
    predictor: Predictor, frames: TrailerFrames | str, film: dict[str, Any], levels: dict[str, float]
) -> dict[str, Any]:
    """What a row of the table says of a prepared trailer, or of the reason why there is no prediction."""
    made_by = {"model": predictor.model_hash, "version": __version__}
    if isinstance(frames, str):
        return made_by | {"reason": frames}
    try:
        found = predictor.predict_frames(frames, film, levels, explain=False)
    except TrailerError as error:
        return made_by | {"reason": trailer_input.one_line(error)}
    points = {"score": found.score, "trailer_score": found.trailer_score, "mean_baseline": found.mean_baseline}
    for level, (low, high) in found.intervals.items():
        points |= {f"low{level}": low, f"high{level}": high}
    counts = {"sampled_frames": found.sampled_frames, "kept_frames": found.kept_frames}
    words = {"sources": " + ".join(found.sources), "warnings": " ".join(found.warnings)}
    return made_by | counts | words | {name: f"{value:.3f}" for name, value in points.items() if value is not None}


def open_table(path: Path, model: str) -> set[str]:
    """The trailers of which the table at `path`, made if missing, has a score by `model`.

    Removes this model's rows without a score, to be tried again, and a last line that a crash cut. TrailerError when
    the file is another table: it is left as it is.
    """
    rows = [row for row in _read(path) if row["score"] or row["model"] != model]
    files.write_text(path, _csv([dict(zip(COLUMNS, COLUMNS)), *rows]))
    return {row["trailer"] for row in rows if row["model"] == model}


def _read(path: Path) -> list[dict[str, str]]:
    text = path.read_bytes().decode("utf-8", "replace") if path.exists() else ""
    table = csv.DictReader(io.StringIO(text[: text.rfind("\n") + 1], newline=""), restkey="more")
    if text and table.fieldnames != COLUMNS:
        raise TrailerError(f"{path}: another table, without the columns of predictions: name a new file for --csv")
    return [row for row in table if "more" not in row and None not in row.values()]


def _csv(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO(newline="")
    csv.DictWriter(text, COLUMNS, lineterminator="\n").writerows(rows)
    return files.printable(text.getvalue())


def find_trailers(place: Path) -> dict[str, dict[str, str]]:
    """{path or link: what is given of its film} of the trailers in a folder (videos, folders), sorted, or in a list.

    A list is a text file with a path or link a line, or a .csv with a column trailer and perhaps those of GIVEN.
    Relative paths start where the list lies; a line that begins with # is a comment. TrailerError when there is none.
    """
    if place.is_dir():
        paths = [path for path in sorted(place.iterdir()) if not path.name.startswith(".")]
        found = [path for path in paths if (picture_paths(path) if path.is_dir() else is_video_name(path.name))]
        trailers = {str(path): {} for path in found}
    elif place.suffix.lower() in (".csv", ".tsv"):
        rows = [row for row in read_rows(place, ["trailer"], GIVEN).rows if row["trailer"]]
        trailers = {_located(place, row["trailer"]): {name: row[name] for name in GIVEN} for row in rows}
    else:
        trailers = {_located(place, line): {} for line in _lines(place) if line and not line.startswith("#")}
    if not trailers:
        raise TrailerError(f"{place}: no trailers in it: name a folder of videos, or a list of paths and links")
    return trailers


def _lines(path: Path) -> list[str]:
    """The lines of a text; bytes that are not UTF-8 may belong to a file's name."""
    if not path.is_file():
        raise TrailerError(f"{path}: no such folder or list: name a folder of videos, or a list")
    text = path.read_text("utf-8-sig", "surrogateescape")
    if "\0" in text:
        raise TrailerError(f"{path}: not a text: expected a list with a path or link a line, or a folder")
    return [line.strip() for line in text.split("\n")]


def _located(place: Path, name: str) -> str:
    return name if LINK.match(name) else str(place.parent / name)
