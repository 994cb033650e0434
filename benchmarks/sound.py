"""Measure the sound of a trailer against its frames: seconds of each, and the size of sound.png.

    python benchmarks/sound.py [VIDEO ...] [--rounds 7]

Without a VIDEO a made trailer of 150 s and 360 lines, whose sound (tones over noise, AAC, stereo) costs a decoder what
a trailer's costs. A round takes 100 frames at 360 lines, then the sound, with one thread each, as a scrape does.
Processor seconds stand beside seconds: they are to be trusted on a machine that others use. Writes
benchmarks/sound.json: the figures of each file, and the medians of the rounds.
"""

import argparse
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import clips
import imageio_ffmpeg
import machine

from trailer_lib import files
from trailer_lib.video import COLUMNS_PER_SECOND, encoded, read_sound
from trailer_lib.video.sampling import sample_frames

HERE = Path(__file__).resolve().parent
FOLDER = HERE.parent / "build" / "benchmarks"
HEIGHT, SECONDS = 360, 150
PACKAGES = ["av", "numpy", "pillow"]
SOUND = "aevalsrc='0.3*sin(2*PI*(200+150*sin(t))*t)+0.2*random(0)*gt(sin(3*t),0)|0.3*sin(700*t)+0.1*random(1)':s=44100"


def trailer() -> Path:
    """The made clip with a made sound."""
    silent = clips.clip(FOLDER, HEIGHT, SECONDS)
    path = silent.with_stem(f"{silent.stem}-sound")
    if not path.exists():
        source = ["-i", str(silent), "-f", "lavfi", "-i", f"{SOUND}:d={SECONDS}"]
        command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", *source, "-c:v", "copy", "-b:a", "128k"]
        subprocess.run([*command, str(path)], check=True)
    return path


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds, and seconds of the processor."""
    start, busy = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - busy


def measure(path: Path, rounds: int) -> dict:
    sound = read_sound(path)
    minutes = sound.shape[1] / COLUMNS_PER_SECOND / 60
    pairs = [
        (
            timed(lambda: sample_frames(path, 100, 0, "key", HEIGHT, threads=1)),
            timed(lambda: encoded(read_sound(path), "PNG")),
        )
        for _ in range(rounds)
    ]
    figures = {"minutes": minutes, "kB a minute": len(encoded(sound, "PNG")) / 1000 / minutes}
    for index, name in enumerate(("seconds", "processor seconds")):
        frames, heard = ([pair[part][index] for pair in pairs] for part in (0, 1))
        figures[name] = {"frames": frames, "sound": heard}
        figures[f"sound over frames, {name}"] = median(one / other for one, other in zip(heard, frames))
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", nargs="*", type=Path, metavar="VIDEO")
    parser.add_argument("--rounds", type=int, default=7, help="how often both are measured, in turn")
    args = parser.parse_args()
    figures = {}
    for path in args.videos or [trailer()]:
        figures[path.name] = found = measure(path, args.rounds)
        print(
            path.name, {name: round(value, 3) for name, value in found.items() if isinstance(value, float)}, flush=True
        )
    files.write_json(HERE / "sound.json", {"machine": machine.facts(PACKAGES), "figures": figures})


if __name__ == "__main__":
    main()
