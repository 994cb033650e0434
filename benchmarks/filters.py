"""How many cards each filter leaves in and how many scenes it loses, on labelled frames of real trailers:

    python benchmarks/filters.py ../shared

Writes benchmarks/filters.json and prints the table of the README. The head is fitted anew for every measure, without
the films it is judged on: five folds over films, or none of the judged set at all ("trained on the others").
"""

import json
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.sparse.csgraph import connected_components
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits
from train_filter import Labelled, examples, fit, labelled, made_examples

from trailer_lib import files
from trailer_lib.errors import TrailerError
from trailer_lib.video import quality_filter
from trailer_lib.video.frame_folder import read_picture
from trailer_lib.video.quality_filter import ALIKE, TILES, common_box, drop_reasons, filter_frames, measure_bars
from trailer_lib.video.sampling import sample_frames

OUT = Path(__file__).with_suffix(".json")
FOLDS = 5
COLUMNS = (
    "filter", "480: cards in kept", "480: scenes lost", "5 films: cards in kept", "5 films: scenes lost",
    "reels: cards, black in kept", "reels: scenes lost", "ms a frame",
)  # fmt: skip


class Bench:
    """The pictures, what is computed of them once, and heads fitted on any part of them."""

    def __init__(self, shared: Path) -> None:
        self.shared, self.real = shared, labelled(shared)
        self.examples, self.made = examples(self.real.paths), made_examples()
        thumbnails = np.stack([quality_filter.thumbnail(read_picture(path)) for path in self.real.paths])
        self.classical = np.stack([classical(thumbnail) for thumbnail in thumbnails])
        films = np.random.default_rng(0).permutation(np.unique(self.real.film))
        self.fold = {film: number % FOLDS for number, film in enumerate(films)}
        self.heads: dict[bytes, tuple[np.ndarray, float]] = {}

    def with_head(self, known: np.ndarray) -> None:
        """Give the library the head that the pictures marked in `known` make."""
        key = known.tobytes()
        if key not in self.heads:
            self.heads[key] = fit(self.examples[known], self.real.card[known], self.made)
        weight, bias = self.heads[key]
        quality_filter._weights()["head.weight"], quality_filter._weights()["head.bias"] = (
            np.float32(weight),
            np.float32(bias),
        )

    def folds(self, group: str) -> list[tuple[np.ndarray, np.ndarray]]:
        """(pictures to learn from, pictures of `group` to judge) by folds over films."""
        fold = np.array([self.fold[film] for film in self.real.film])
        pairs = [(fold != number, (fold == number) & (self.real.group == group)) for number in range(FOLDS)]
        return [(known, judged) for known, judged in pairs if judged.any()]

    def others(self, group: str) -> list[tuple[np.ndarray, np.ndarray]]:
        return [(self.real.group != group, self.real.group == group)]


def classical(thumbnail: np.ndarray) -> np.ndarray:
    """Ten measures of a thumbnail without a network: how plain, how edged, how lit, how colourful, and where."""
    grey = thumbnail.mean(axis=2)
    edges = np.abs(np.diff(grey, axis=0))[:, :-1] + np.abs(np.diff(grey, axis=1))[:-1]
    plain = grey.reshape(9, 5, 16, 5).std(axis=(1, 3))
    shares = np.histogram(grey, 32, (0, 256))[0] / grey.size
    entropy = -(shares[shares > 0] * np.log(shares[shares > 0])).sum()
    strong, middle = edges > 40, slice(11, 33)
    colours = len(np.unique(thumbnail.reshape(-1, 3) // 32, axis=0))
    saturation = (thumbnail.max(axis=2) - thumbnail.min(axis=2)).mean()
    measures = [(plain < 4).mean(), np.median(plain), plain.min(axis=0).mean(), entropy, np.log(colours), saturation]
    return np.array([*measures, strong.mean(), strong[middle].mean(), edges.mean(), np.log1p(grey.mean())])


def judged_by(bench: Bench, rule: str, known: np.ndarray, judged: np.ndarray, alone: bool) -> np.ndarray:
    """True for the kept ones of the pictures marked in `judged`."""
    if rule == "classical":
        model = make_pipeline(StandardScaler(), LogisticRegression(class_weight="balanced"))
        model.fit(bench.classical[known], bench.real.card[known])
        return ~model.predict(bench.classical[judged])
    if rule == "informative":
        bench.with_head(known)
    pictures = [read_picture(path) for path, wanted in zip(bench.real.paths, judged) if wanted]
    if alone and rule != "percentile":  # which compares the pictures
        return np.array([drop_reasons([picture], rule) == [None] for picture in pictures])
    return np.array([reason is None for reason in drop_reasons(pictures, rule)])


def kept(bench: Bench, rule: str, pairs: list[tuple[np.ndarray, np.ndarray]], alone: bool) -> np.ndarray:
    """True for every kept picture of all; the judged films come one by one unless each picture is `alone`."""
    stays = np.zeros(len(bench.real.card), bool)
    for known, judged in pairs:
        films = (
            [judged] if alone else [judged & (bench.real.film == film) for film in np.unique(bench.real.film[judged])]
        )
        for film in films:
            stays[film] = judged_by(bench, rule, known, film, alone)
    return stays


def alone_figures(real: Labelled, group: str, stays: np.ndarray) -> dict:
    card, scene = real.card & (real.group == group), ~real.card & (real.group == group)
    return {
        "cards": int(card.sum()), "cards_kept": int((card & stays).sum()),
        "scenes": int(scene.sum()), "scenes_lost": int((scene & ~stays).sum()),
        "cards_in_kept_percent": percent((card & stays).sum(), ((card | scene) & stays).sum()),
        "scenes_lost_percent": percent((scene & ~stays).sum(), scene.sum()),
        "wrong": sorted(f"{path.stem if group == '480' else path.parent.name + '/' + path.stem}"
                        for path, is_wrong in zip(real.paths, (card & stays) | (scene & ~stays)) if is_wrong),
    }  # fmt: skip


def film_figures(real: Labelled, stays: np.ndarray) -> dict:
    """Frames that are alike are one scene, and it survives with any of them."""
    distinct = lost = 0
    for film in np.unique(real.film[real.group == "5 films"]):
        scenes = np.flatnonzero((real.film == film) & ~real.card)
        count, scene_of = alike([read_picture(real.paths[index]) for index in scenes])
        distinct += count
        lost += count - len(np.unique(scene_of[stays[scenes]]))
    bad = real.card & stays & (real.group == "5 films")
    return {
        "frames_kept": int(stays.sum()), "cards_kept": int(bad.sum()), "distinct_scenes": distinct, "scenes_lost": lost,
        "cards_in_kept_percent": percent(bad.sum(), stays.sum()), "scenes_lost_percent": percent(lost, distinct),
    }  # fmt: skip


def alike(pictures: list[np.ndarray]) -> tuple[int, np.ndarray]:
    """How many different scenes, and which of them each picture shows, by the near-duplicate rule."""
    box = common_box([measure_bars(picture) for picture in pictures])
    thumbnails = [Image.fromarray(box.crop(quality_filter.thumbnail(picture))) for picture in pictures]
    tiles = [np.ravel(thumbnail.resize(TILES, Image.Resampling.BOX)) for thumbnail in thumbnails]
    return connected_components(np.corrcoef(np.stack(tiles)) > ALIKE)


def reel_figures(bench: Bench, rule: str) -> dict:
    """The five reels of frames that no head was fitted on, 100 exact frames each: what the `frames` command keeps."""
    total = dict.fromkeys(("frames_kept", "cards_or_black_kept", "scenes", "scenes_lost"), 0)
    labels = json.loads((bench.shared / "real" / "frame_labels.json").read_text(encoding="utf-8"))
    if rule == "informative":
        bench.with_head(bench.real.group != "5 films")
    for path in sorted((bench.shared / "real" / "trailers").glob("*.mp4")):
        reel = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        sampled = sample_frames(path, 100, 0, path.stem, 360)
        reasons = filter_frames(sampled, rule)[1]
        sources = [source_of(reel, second) for second in sampled.seconds]
        cards_here = set(labels[reel["film"]]["card"])
        scenes = (
            {source for source in sources if source is not None} - cards_here - set(labels[reel["film"]]["ambiguous"])
        )
        stays = [source for source, reason in zip(sources, reasons) if reason is None]
        survive = {source for source, reason in zip(sources, reasons) if reason in (None, "duplicate")}
        total["frames_kept"] += len(stays)
        total["cards_or_black_kept"] += sum(source is None or source in cards_here for source in stays)
        total["scenes"] += len(scenes)
        total["scenes_lost"] += len(scenes - survive)
    total["bad_in_kept_percent"] = percent(total["cards_or_black_kept"], total["frames_kept"])
    total["scenes_lost_percent"] = percent(total["scenes_lost"], total["scenes"])
    return total


def source_of(reel: dict, second: float) -> int | None:
    """The frame that the reel shows at a second, None in a black gap."""
    number = round(second * reel["fps"])
    return next(shot["source"] for shot in reel["shots"] if shot["start"] <= number < shot["start"] + shot["frames"])


def speed(shared: Path, rounds: int = 7) -> dict:
    """Milliseconds of one core that 100 frames of a 360p reel take, a frame: decoding and each filter, in turns."""
    path = sorted((shared / "real" / "trailers").glob("*.mp4"))[0]
    sampled = sample_frames(path, 100, 0, path.stem, 360)
    jobs = {rule: lambda rule=rule: filter_frames(sampled, rule) for rule in ("none", "percentile", "informative")}
    jobs["classical"] = lambda: [classical(quality_filter.thumbnail(frame)) for frame in sampled.pixels]
    jobs["decoding"] = lambda: sample_frames(path, 100, 0, path.stem, 360)
    taken = {name: [] for name in jobs}
    with threadpool_limits(1):
        for _ in range(rounds):
            for name, job in jobs.items():
                start = time.process_time()  # of the processor: others may be at work on the machine
                job()
                taken[name].append((time.process_time() - start) / len(sampled.seconds) * 1000)
    return {name: round(float(np.median(values)), 3) for name, values in taken.items()}


def percent(part: int, whole: int) -> float:
    return round(100 * float(part) / max(int(whole), 1), 2)


def measure(shared: Path) -> dict:
    bench, found = Bench(shared), {}
    for rule in ("none", "percentile", "classical", "informative"):
        row = found[rule] = {}
        row["480 alone"] = alone_figures(bench.real, "480", kept(bench, rule, bench.folds("480"), alone=True))
        row["5 films"] = film_figures(bench.real, kept(bench, rule, bench.folds("5 films"), alone=False))
        if rule in ("classical", "informative"):
            stays = kept(bench, rule, bench.others("480"), alone=True)
            row["480 alone, trained on the others"] = alone_figures(bench.real, "480", stays)
            stays = kept(bench, rule, bench.others("5 films"), alone=False)
            row["5 films, trained on the others"] = film_figures(bench.real, stays)
        if rule != "classical":
            row["reels, trained on the others"] = reel_figures(bench, rule)
    return found


def table(found: dict, speeds: dict) -> str:
    lines = [" | ".join(COLUMNS), " | ".join(["---"] * len(COLUMNS))]
    for rule, row in found.items():
        alone, film, reel = row["480 alone"], row["5 films"], row.get("reels, trained on the others")
        cells = [alone["cards_in_kept_percent"], alone["scenes_lost_percent"]]
        cells += [film["cards_in_kept_percent"], film["scenes_lost_percent"]]
        cells += [reel["bad_in_kept_percent"], reel["scenes_lost_percent"]] if reel else ["", ""]
        lines.append(
            " | ".join([rule, *(f"{cell:.1f} %" if cell != "" else "" for cell in cells), f"{speeds[rule]:.2f}"])
        )
    return "\n".join(f"| {line} |" for line in lines)


def main(shared: Path) -> None:
    found, speeds = measure(shared), speed(shared)
    machine = {"processor": platform.processor() or platform.machine(), "python": platform.python_version()}
    machine |= {name: version(name) for name in ("numpy", "pillow", "scikit-learn", "av")}
    files.write_json(OUT, {"machine": machine, "milliseconds_a_frame": speeds, "rules": found})
    print(table(found, speeds))
    share = speeds["informative"] / speeds["decoding"]
    print(f"decoding takes {speeds['decoding']:.2f} ms a frame, informative {share:.0%} of that")


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1] if len(sys.argv) > 1 else "../shared"))
    except TrailerError as error:
        sys.exit(f"error: {error}")
