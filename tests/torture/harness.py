"""Forty films with tiny trailers, a scrape of them in a process of its own, and what its root must look like after."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

from trailer_lib import Project, TrailerError
from trailer_lib.scrape import ledger, run
from trailer_lib.scrape.ledger import Entry
from trailer_lib.scrape.run import Job
from trailer_lib.settings import ScrapeSettings
from trailer_lib.video import frame_folder

FILMS = 40
HERE = Path(__file__).resolve().parent
PATH = os.pathsep.join([str(HERE), str(HERE.parent), str(HERE.parent.parent), os.environ.get("PYTHONPATH", "")])
FETCHED = "fetched.txt"
COMMAND = [sys.executable, "-c", "import harness; harness.main()"]


def table(films: int = FILMS) -> pd.DataFrame:
    rows = [(f"tt{number:07d}", f"Film: {number}", 1990, f"clip{number:07d}", "") for number in range(films)]
    return pd.DataFrame(rows, columns=["imdb_id", "title", "year", "youtube_id", "url"])


def settings(**chosen: object) -> ScrapeSettings:
    return ScrapeSettings(
        **({"source": "folder:../trailers", "count": 10, "workers": 2, "filter": "percentile"} | chosen)
    )


def put_trailers(folder: Path, films: int = FILMS) -> Path:
    """<folder>/trailers with the clips, and <folder>/root, empty."""
    from conftest import pictures, write_video

    (folder / "trailers").mkdir()
    (folder / "root").mkdir()
    clip = write_video(folder / "trailers" / "clip.mp4", list(pictures(5.0, 24, seed=1)))
    for name in table(films).youtube_id:
        os.link(clip, clip.with_name(f"{name}.mp4"))
    return folder / "root"


def counted(job: Job) -> Entry:
    """scrape_film, noting each film that is begun."""
    with open(job.project.root / FETCHED, "a") as file:
        file.write(f"{job.imdb_id}\n")
    return run.scrape_film(job)


def main(films: int = FILMS, workers: int = 2) -> None:
    """What runs in the process: say that it begins, and scrape."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as the command line does
    run.scrape_film = counted
    print("go", flush=True)
    try:
        run.scrape(Project.open(sys.argv[1]), table(films), settings(workers=workers))
    except TrailerError as error:
        sys.exit(f"error: {error}")


def start(root: Path) -> subprocess.Popen:
    """A scrape of `root` in a process group of its own, about to begin."""
    process = subprocess.Popen(
        [*COMMAND, str(root)], env=os.environ | {"PYTHONPATH": PATH}, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    process.stdout.readline()
    return process


def duration(root: Path) -> float:
    """Seconds that an unbroken scrape of `root` takes from its beginning."""
    process = start(root)
    began = time.monotonic()
    assert process.wait(timeout=120) == 0
    return time.monotonic() - began


def tree(root: Path) -> dict[str, bytes]:
    """Every file of images/ but the ledger, whose lines have times and an order."""
    paths = [path for path in (root / "images").rglob("*") if path.is_file() and path.name != run.LEDGER]
    return {str(path.relative_to(root)): path.read_bytes() for path in paths}


def outcomes(root: Path) -> dict[str, dict]:
    """The ledger's last word on each film, without the time it took."""
    last = ledger.latest_entries(root / "images" / run.LEDGER)
    return {imdb_id: vars(entry) | {"seconds": 0} for imdb_id, entry in last.items()}


def half_done(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.name.startswith(".tmp") or path.suffix == ".part"]


def whole(root: Path) -> bool:
    """Whether every film folder holds what its record says, and readable pictures."""
    for folder in run.finished(Project(root)).values():
        record, paths = json.loads((folder / "film.json").read_text()), frame_folder.picture_paths(folder)
        if len(record["seconds"]) != len(paths):
            return False
        assert all(frame_folder.read_picture(path).dtype == np.uint8 for path in paths)
    return True


def children(group: int) -> list[int]:
    """The living processes of a process group."""
    found = subprocess.run(["ps", "-eo", "pid=,pgid=,stat="], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in found.splitlines()]
    return [int(pid) for pid, pgid, state in rows if int(pgid) == group and not state.startswith("Z")]
