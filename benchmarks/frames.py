"""Measure frame sampling against its peers, the scrape with one and two workers, and the peak memory.

    python benchmarks/frames.py [360p 720p workers memory] [--rounds 5]

Each part rewrites its own figures in benchmarks/frames.json; the table and the plot are then made anew from all.
The peers are the extra `bench` of pyproject.toml. Clips are made once, in build/benchmarks.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import clips
import machine
import numpy as np
import pandas as pd
import report
from methods import METHODS, indices
from PIL import Image

from trailer_lib import files
from trailer_lib.project import Project
from trailer_lib.scrape import run
from trailer_lib.settings import ScrapeSettings
from trailer_lib.video import frame_folder

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parent / "build" / "benchmarks"
SECONDS, TRAILERS = 150, 40
PACKAGES = "av torchcodec decord opencv-python-headless imageio-ffmpeg numpy pillow".split()
# ru_maxrss would count what the parent held before the exec.
PEAK = r"""
import re, sys; from pathlib import Path; from trailer_lib.video.sampling import sample_frames
sample_frames(Path(sys.argv[1]), 100, 0, "key", height=360)
print(int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) // 1024)
"""


def written(pixels: np.ndarray) -> float:
    """Seconds that the pictures take to become files, as `save_frames` writes them."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        for number, picture in enumerate(pixels):
            Image.fromarray(picture).save(Path(scratch) / f"{number}.jpg", quality=frame_folder.QUALITY)
    return time.perf_counter() - start


def sampling(height: int, rounds: int) -> dict:
    """Seconds of every method, `rounds` times in turn: {"method": {"decode": [...], "write": [...], "frames": n}}."""
    path, figures = clips.clip(FOLDER, height, SECONDS), {}
    indices(path)
    expected = METHODS["ours, exact"][0](path)
    for turn in range(rounds):
        for name, (method, same) in METHODS.items():
            start = time.perf_counter()
            try:
                pixels = method(path)
            except ImportError as error:
                print(f"{name}: left out ({error})")
                continue
            seconds = time.perf_counter() - start
            apart = float(np.abs(pixels[::10].astype(np.int16) - expected[::10]).mean()) if same else None
            entry = figures.setdefault(name, {"decode": [], "write": [], "frames": len(pixels), "difference": apart})
            entry["decode"].append(seconds)
            entry["write"].append(written(pixels))
            print(
                f"{height}p {turn + 1}/{rounds} {name}: {seconds:.2f} s, files {entry['write'][-1]:.2f} s", flush=True
            )
    return figures


def workers(rounds: int) -> dict:
    """Seconds to scrape a folder of TRAILERS trailers with one worker and with two, in turn."""
    clip, seconds = clips.clip(FOLDER, 360, SECONDS), {"1": [], "2": []}
    ids = [f"bench{number:06d}" for number in range(TRAILERS)]
    for _ in range(rounds):
        for count in (1, 2):
            with tempfile.TemporaryDirectory(dir=FOLDER) as root:
                (Path(root) / "trailers").mkdir()
                for name in ids:
                    os.link(clip, Path(root) / "trailers" / f"{name}.mp4")
                seconds[str(count)].append(_scrape_seconds(Path(root), ids, count))
                print(f"scrape of {TRAILERS} with {count} workers: {seconds[str(count)][-1]:.1f} s", flush=True)
    return seconds


def _scrape_seconds(root: Path, ids: list[str], count: int) -> float:
    rows = [[f"tt{number:07d}", name, "", f"Film {number}", 2000] for number, name in enumerate(ids)]
    films = pd.DataFrame(rows, columns=["imdb_id", "youtube_id", "url", "title", "year"])
    start = time.perf_counter()
    settings = ScrapeSettings(source="folder:trailers", filter="none", workers=count)
    status = run.scrape(Project.open(root), films, settings)
    assert (status.status == "ok").all(), run.failures(status)
    return time.perf_counter() - start


def memory() -> dict:
    """Peak megabytes of a process that takes 100 frames of 360 lines from one minute, and from ten, of 1080p."""
    short, peaks = clips.clip(FOLDER, 1080, 20), {}
    for minutes in (1, 10):
        command = [sys.executable, "-c", PEAK, str(clips.repeated(short, minutes * 3))]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks[f"{minutes} min"] = int(done.stdout)
        print(f"1080p, {minutes} min: {done.stdout.strip()} MB", flush=True)
    return peaks


def main() -> None:
    parts = {
        "360p": lambda rounds: sampling(360, rounds),
        "720p": lambda rounds: sampling(720, rounds),
        "workers": lambda rounds: workers(1),
        "memory": lambda rounds: memory(),
    }
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", default=list(parts), metavar="PART", help=" | ".join(parts))
    parser.add_argument("--rounds", type=int, default=5, help="how often each method runs, in turn with the others")
    args = parser.parse_args()
    path = HERE / "frames.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    for part in args.parts:
        results[part] = {"machine": machine.facts(PACKAGES), "figures": parts[part](args.rounds)}
        files.write_json(path, results)
    report.write(HERE, results)
    print(f"median ratios are in {HERE / 'README.md'}")


if __name__ == "__main__":
    main()
