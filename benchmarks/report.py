"""benchmarks/README.md and frames.png out of the figures of frames.json."""

from pathlib import Path
from statistics import median

import machine
import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt

from trailer_lib import files

SIZES = ("360p", "720p")
TEXT = """# Benchmarks

Made by `frames.py` from `frames.json`; do not edit.
What trailers and metadata tell of a score is in [EVIDENCE.md](EVIDENCE.md); which schemes learn from few films is
in [RECIPES.md](RECIPES.md) (made films, best possible error known) and [POSTERS.md](POSTERS.md) (real pictures); what
each source adds in [SOURCES.md](SOURCES.md).
`training.py`, `predict.py`, `app.py` and `sound.py` time a training step, an answer, the page, and a trailer's sound.

```
pip install -e '.[bench]'      # the peers; torchcodec also wants FFmpeg's libraries (apt install ffmpeg)
python benchmarks/frames.py    # or parts of it: 360p 720p workers memory
```

## 100 random frames of a trailer

{clip}

Every tool gives the same 100 frames in memory as RGB, uint8, at full size. A round runs them one after another; figures
are medians of the rounds ({rounds}), ratios are taken within a round. Every tool has all cores (torchcodec with
`num_ffmpeg_threads=0`; its default is one thread). Then Pillow writes the pictures as JPEG of quality 90, the same way
for all: {writing}. "files" is decoding and writing.

{table}

![time of each tool]({plot})

"difference" is the mean distance of the pictures from ours in grey levels of 255: one or two are the same frames by
another conversion to RGB.

## Two workers

{workers}

## Memory

{memory}

## Measured on

{machines}
"""
CLIP = (
    "Clips of 150 s, H.264, 24 frames a second, B-frames, a keyframe at every cut and at least every 125 frames, made"
    " by `clips.py`: 0.6 Mbit/s at 360p, 2 Mbit/s at 720p."
)


def ratios(figures: dict, name: str, peer: str) -> list[float]:
    """Time of `name` over time of `peer`, round by round."""
    return [one / other for one, other in zip(figures[name]["decode"], figures[peer]["decode"])]


def write(folder: Path, results: dict) -> None:
    sizes = {size: results[size]["figures"] for size in SIZES if size in results}
    if sizes:
        _plot(folder / "frames.png", sizes)
    facts = {
        "clip": CLIP,
        "rounds": ", ".join(f"{_rounds(figures)} at {size}" for size, figures in sizes.items()),
        "table": _table(sizes),
        "plot": "frames.png",
        "writing": _writing(sizes),
        "workers": _workers(results),
        "memory": _memory(results),
        "machines": _machines(results),
    }
    files.write_text(folder / "README.md", TEXT.format(**facts))


def _table(sizes: dict[str, dict]) -> str:
    head = ["tool", *(f"{size}: {name}" for size in sizes for name in ("decode", "x ours", "files", "difference"))]
    lines = [head, ["---"] * len(head)]
    for name in next(iter(sizes.values()), {}):
        lines.append([name, *(cell for figures in sizes.values() for cell in _cells(figures, name))])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cells(figures: dict, name: str) -> list[str]:
    entry = figures[name]
    both = median(one + other for one, other in zip(entry["decode"], entry["write"]))
    apart = "" if entry["difference"] is None else f"{entry['difference']:.1f}"
    return [
        f"{median(entry['decode']):.2f} s",
        f"{median(ratios(figures, name, 'ours, exact')):.2f}",
        f"{both:.2f} s",
        apart,
    ]


def _rounds(figures: dict) -> int:
    return len(figures["ours, exact"]["decode"])


def _writing(sizes: dict[str, dict]) -> str:
    times = {size: median(figures["ours, exact"]["write"]) for size, figures in sizes.items()}
    return ", ".join(f"{seconds:.2f} s at {size}" for size, seconds in times.items())


def _plot(path: Path, sizes: dict[str, dict]) -> None:
    figure, axes = plt.subplots(1, len(sizes), figsize=(6 * len(sizes), 4), sharey=True, squeeze=False)
    for axis, (size, figures) in zip(axes[0], sizes.items()):
        names = list(figures)[::-1]
        times = [median(figures[name]["decode"]) for name in names]
        bars = axis.barh(names, times, color=["C0" if name.startswith("ours") else "0.7" for name in names])
        labels = [f"{median(ratios(figures, name, 'ours, exact')):.2f}x" for name in names]
        axis.bar_label(bars, labels, padding=3)
        axis.set(title=f"100 frames of 150 s at {size}", xlabel="seconds; label: times ours, exact")
        axis.margins(x=0.15)
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _workers(results: dict) -> str:
    if "workers" not in results:
        return "Not measured."
    one, two = (median(results["workers"]["figures"][count]) for count in ("1", "2"))
    return (
        f"A folder of 40 trailers (the 360p clip), exact frames, no filter: {one:.1f} s with one worker, {two:.1f} s"
        f" with two, {one / two:.2f} times as fast. A worker decodes with one thread."
    )


def _memory(results: dict) -> str:
    if "memory" not in results:
        return "Not measured."
    cells = [f"| {name} | {megabytes} MB |" for name, megabytes in results["memory"]["figures"].items()]
    head = ["Peak of a process that takes 100 frames of 360 lines out of 1080p:", "", "| trailer | peak |"]
    return "\n".join([*head, "| --- | --- |", *cells])


def _machines(results: dict) -> str:
    return "\n".join(machine.line(part, result["machine"]) for part, result in results.items())
