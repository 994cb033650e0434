"""Time a training step of the library, of one constant batch, and of a loop that reads as the original did.

    python benchmarks/training.py [--rounds 9] [--steps 6] [--backbone resnet18]

A round runs, one after another, the same step (forward, backward, optimiser) on three kinds of batches: one constant
batch that lies in memory; batches of the training's loader, out of a memory-mapped dataset and augmented; and
batches that a loop over films makes of the original's list of [uint8 (45, H, W), score]. Ratios are taken within a
round. Writes benchmarks/training.json. On a GPU, if there is one, in mixed precision.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import machine
import numpy as np
import pandas as pd
import torch

from trailer_lib import files
from trailer_lib.dataset import Dataset
from trailer_lib.networks import build
from trailer_lib.settings import TrainSettings
from trailer_lib.training.batches import film_loader, train_loader
from trailer_lib.training.module import TrailerModule, make_optimizer

HERE = Path(__file__).resolve().parent
FILMS, KEPT, SIDE = 240, 60, 128
PACKAGES = ["torch", "torchvision", "lightning", "numpy"]
KINDS = ("constant", "ours", "as the original")
PLAIN = {"freeze": "none", "depth": "last", "head": "linear"}  # all of the network is trained
AUGMENTED = PLAIN | {"crop": 0.5, "noise": 0.1}
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
Batches = Iterator[tuple]


def made_dataset(folder: Path) -> Dataset:
    """Films of random frames, in a file that is mapped as a project's dataset is."""
    frames = np.lib.format.open_memmap(folder / "frames.npy", "w+", np.uint8, (FILMS * KEPT, SIDE, SIDE, 3))
    rng = np.random.default_rng(0)
    for film in range(FILMS):
        frames[film * KEPT : (film + 1) * KEPT] = rng.integers(0, 256, (KEPT, SIDE, SIDE, 3), np.uint8)
    frames.flush()
    films = pd.DataFrame({
        "imdb_id": [f"tt{number:07d}" for number in range(FILMS)], "score": rng.uniform(2, 9, FILMS),
        "split": "train", "first": np.arange(FILMS) * KEPT, "count": KEPT,
    })  # fmt: skip
    return Dataset(np.load(folder / "frames.npy", mmap_mode="r"), films, {})


def endless(data: Dataset, settings: TrainSettings) -> Batches:
    """Batches of the training's own loader, epoch after epoch."""
    loader, epoch = train_loader(data, settings), 0
    while True:
        loader.sampler.set_epoch(epoch)
        yield from loader
        epoch += 1


def constant(data: Dataset, settings: TrainSettings) -> Batches:
    batch = next(iter(film_loader(data, settings, data.split("train").index)))
    batch = (batch[0].contiguous().to(DEVICE), batch[1].to(DEVICE), *batch[2:])
    while True:
        yield batch


def as_the_original(data: Dataset, settings: TrainSettings) -> Batches:
    """A list of films, each [uint8 (45, H, W), score], from which a loop picks channels film by film."""
    films = [
        [data.film_frames(row, 15).transpose(0, 3, 1, 2).reshape(45, SIDE, SIDE).copy(), float(data.films.score[row])]
        for row in data.films.index
    ]
    rng = np.random.default_rng(0)
    while True:
        inputs, scores = [], []
        for place in rng.choice(len(films), settings.batch, replace=False):
            channels, score = films[place]
            picked = []
            for frame in rng.permutation(15)[: settings.frames]:
                picked.append([channels[3 * frame + colour] for colour in range(3)])
            inputs.append(np.array(picked, dtype=np.float32))
            scores.append(score)
        yield torch.tensor(np.array(inputs)), torch.tensor(scores), None, None


def step_of(kind: str, settings: TrainSettings) -> Callable[[tuple], None]:
    """One step of training on a batch of a kind; each kind trains a network of its own, from the same weights."""
    torch.manual_seed(0)
    network = build(settings.backbone, settings.frames, settings.aggregate, "none")
    module = TrailerModule(network, settings, {"score_mean": 5.5, "score_sd": 1.0}).to(DEVICE).train()
    optimizer, scaler = make_optimizer(network, settings), torch.amp.GradScaler(enabled=DEVICE.type == "cuda")
    module.log = lambda *_, **options: None  # needs a Trainer

    def loss_of(batch: tuple) -> torch.Tensor:
        frames, scores, rows, seeds = batch
        frames, scores = frames.to(DEVICE, non_blocking=True), scores.to(DEVICE, non_blocking=True)
        if kind == "ours":
            return module.training_step((frames, scores, rows, seeds), 0)
        pictures = network.normalise(frames) if kind == "constant" else frames / 255.0
        return module.loss(network.score(pictures), module.standardised(scores).float())

    def step(batch: tuple) -> None:
        with torch.autocast(DEVICE.type, torch.float16, enabled=DEVICE.type == "cuda"):
            loss = loss_of(batch)
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        loss.item()  # as the training does, which looks whether the loss is a number

    return step


def seconds_of(step: Callable[[tuple], None], batches: Batches, steps: int) -> tuple[float, float]:
    """Seconds a step, and those of processors in them, which are to be trusted on a machine that others use."""
    start, busy = time.perf_counter(), time.process_time()
    for _ in range(steps):
        step(next(batches))
    return (time.perf_counter() - start) / steps, (time.process_time() - busy) / steps


def reading(batches: Batches, steps: int) -> float:
    """Seconds that a batch takes to be there, without the step."""
    start = time.perf_counter()
    for _ in range(steps):
        next(batches)
    return (time.perf_counter() - start) / steps


def rounds_of(data: Dataset, settings: TrainSettings, rounds: int, steps: int) -> dict:
    sources = {"constant": constant, "ours": endless, "as the original": as_the_original}
    batches = {kind: source(data, settings) for kind, source in sources.items()}
    step = {kind: step_of(kind, settings) for kind in KINDS}
    times: dict[str, list[tuple[float, float]]] = {kind: [] for kind in KINDS}
    for kind in KINDS:
        seconds_of(step[kind], batches[kind], 2)
    for turn in range(rounds):
        for kind in KINDS[turn % 3 :] + KINDS[: turn % 3]:  # no kind always comes first
            times[kind].append(seconds_of(step[kind], batches[kind], steps))
        print(turn + 1, {kind: np.round(pairs[-1], 3).tolist() for kind, pairs in times.items()}, flush=True)
    input_only = {kind: reading(batches[kind], 10 * steps) for kind in KINDS[1:]}
    wall, busy = ({kind: [pair[n] for pair in pairs] for kind, pairs in times.items()} for n in (0, 1))
    return {
        "settings": settings.as_dict(),
        "seconds a step": wall,
        "processor seconds a step": busy,
        "seconds a batch's reading": input_only,
    }


def ratios(figures: dict, name: str) -> dict[str, float]:
    """The medians over rounds of one kind's time over another's."""
    times = figures[name]
    pairs = (("ours", "constant"), ("as the original", "ours"))
    return {
        f"{kind} to {to}": round(median(one / other for one, other in zip(times[kind], times[to])), 3)
        for kind, to in pairs
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9, help="how often each kind runs, in turn with the others")
    parser.add_argument("--steps", type=int, default=6, help="steps of a kind in a round")
    parser.add_argument("--backbone", default=TrainSettings().backbone)
    args = parser.parse_args()
    results = {
        "machine": machine.facts(PACKAGES),
        "device": DEVICE.type,
        "threads": torch.get_num_threads(),
        "figures": {},
    }
    if DEVICE.type == "cuda":
        results["device"] = torch.cuda.get_device_name()
    with tempfile.TemporaryDirectory() as folder:
        data = made_dataset(Path(folder))
        for name, chosen in {"plain": PLAIN, "augmented": AUGMENTED}.items():
            settings = TrainSettings(**{"backbone": args.backbone, "weights": "none"} | chosen)
            figures = rounds_of(data, settings, args.rounds, args.steps)
            figures["ratios"] = {unit: ratios(figures, unit) for unit in ("seconds a step", "processor seconds a step")}
            results["figures"][name] = figures
            print(name, figures["ratios"], {k: f"{v:.4f}" for k, v in figures["seconds a batch's reading"].items()})
    files.write_json(HERE / "training.json", results)


if __name__ == "__main__":
    main()
