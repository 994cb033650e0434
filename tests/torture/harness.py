"""Films with tiny trailers, a scrape of them in a process of its own, and what its root must look like after."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd

from trailer_lib import Project, TrailerError
from trailer_lib.scrape import LEDGER, latest_entries, ledger, run
from trailer_lib.scrape.ledger import Entry
from trailer_lib.scrape.run import Job
from trailer_lib.settings import ScrapeSettings
from trailer_lib.video import picture_paths, read_picture

FILMS = 40 if os.environ.get("TORTURE") == "1" else 12  # not by conftest, which the process should not load
HERE = Path(__file__).resolve().parent
PATH = os.pathsep.join([str(HERE), str(HERE.parent), str(HERE.parent.parent), os.environ.get("PYTHONPATH", "")])
STARTED = "started.txt"
COMMAND = [sys.executable, "-c", "import harness; harness.main()"]


def table(films: int = FILMS) -> pd.DataFrame:
    rows = [(f"tt{number:07d}", f"Film: {number}", 1990, f"clip{number:07d}", "") for number in range(films)]
    return pd.DataFrame(rows, columns=["imdb_id", "title", "year", "youtube_id", "url"])


def settings(**chosen: object) -> ScrapeSettings:
    usual = {"source": "folder:../trailers", "count": 10, "workers": 2, "filter": "percentile"}
    return ScrapeSettings(**(usual | chosen))


def put_trailers(folder: Path, films: int = FILMS) -> Path:
    """<folder>/trailers with the clips, and <folder>/root, empty."""
    from conftest import pictures, write_video

    (folder / "trailers").mkdir()
    (folder / "root").mkdir()
    clip = write_video(folder / "trailers" / "clip.mp4", list(pictures(5.0, 24, seed=1)))
    for name in table(films).youtube_id:
        os.link(clip, clip.with_name(f"{name}.mp4"))
    return folder / "root"


def noted(job: Job) -> Entry:
    """scrape_film, noting each film that is started."""
    with open(job.project.root / STARTED, "a") as file:
        file.write(f"{job.imdb_id}\n")
    return run.scrape_film(job)


def main(films: int = FILMS, workers: int = 2) -> None:
    """What runs in the process: say that it starts, and scrape."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as the command line does
    run.scrape_film = noted
    print("go", flush=True)
    try:
        run.scrape(Project.open(sys.argv[1]), table(films), settings(workers=workers))
    except TrailerError as error:
        sys.exit(f"error: {error}")


def start(root: Path) -> subprocess.Popen:
    """A scrape of `root` in a process group of its own, about to start."""
    options = {"env": os.environ | {"PYTHONPATH": PATH}, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen([*COMMAND, str(root)], start_new_session=True, **options)
    process.stdout.readline()
    return process


def duration(root: Path) -> float:
    """Seconds that an undisturbed scrape of `root` takes from its start."""
    process, start_time = start(root), time.monotonic()
    assert process.wait(timeout=600) == 0
    return time.monotonic() - start_time


def tree(root: Path) -> dict[str, bytes]:
    """Every file of images/ but the ledger, whose lines have times and an order, locks, and temporary files."""
    paths = {str(path.relative_to(root)): path for path in (root / "images").rglob("*") if path.is_file()}
    left_out = re.compile(r"\.tmp-|\.jsonl$|\.lock$")
    return {name: path.read_bytes() for name, path in paths.items() if not left_out.search(name)}


def outcomes(root: Path) -> dict[str, dict]:
    """The ledger's last entry of each film, without the time it took."""
    return {name: vars(entry) | {"seconds": 0} for name, entry in latest_entries(root / "images" / LEDGER).items()}


def done(root: Path) -> int:
    """The number of film folders, after a check that each holds what its record says, and readable pictures."""
    folders = ledger.film_folders(Project(root)).values()
    for folder in folders:
        pictures = [read_picture(path) for path in picture_paths(folder)]
        assert len(json.loads((folder / "film.json").read_text())["seconds"]) == len(pictures)
    return len(folders)


def check_like(root: Path, undisturbed: Path) -> None:
    """Assert that a scrape has ended like an undisturbed one: the same files, the same last entries, nothing half."""
    assert tree(root) == tree(undisturbed) and outcomes(root) == outcomes(undisturbed)
    assert not [path for path in root.rglob("*") if path.name.startswith(".tmp") or path.suffix == ".part"]


def started(root: Path) -> list[str]:
    return (root / STARTED).read_text().split() if (root / STARTED).exists() else []
