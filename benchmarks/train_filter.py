"""Make trailer_lib/video/cards.npz, the network and head that tell cards from scenes:

    python benchmarks/train_filter.py ../shared

`../shared` holds labelled frames of real trailers (real/) and SqueezeNet's ImageNet weights (weights/); they are other
people's and not in this repository. What is learnt from them is: 120,000 weights as published, 1,025 fitted.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from made_cards import card
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from trailer_lib import files
from trailer_lib.errors import TrailerError
from trailer_lib.progress import bar
from trailer_lib.video import quality_filter
from trailer_lib.video.frame_folder import read_picture
from trailer_lib.video.quality_filter import (
    BLACK,
    DARKEST,
    _duplicates,
    card_features,
    common_box,
    measure_bars,
    thumbnail,
)
from trailer_lib.video.sampling import sample_frames

SQUEEZENET = "weights/squeezenet1_1-caffe-imagenet1k-fp16.pth"
MORE_LABELS = Path(__file__).with_name("more_labels.json")  # ours, of frames that came without
TRAILER_LABELS = Path(__file__).with_name("trailer_labels.json")  # ours, of whole trailers
FRAMES = Path(__file__).resolve().parents[1] / "build" / "benchmarks" / "trailer_frames"
MARGIN = 0.06  # seconds around the ends of a card's time in which a frame is unclear
VARIANTS = 8  # of every picture: mirrored, cut, faded, with other bars
MADE_CARDS = 1500
MADE_SHARE = 0.3  # weight of all made cards together, against all real ones
STRENGTH = 0.01  # scikit-learn's C of the logistic regression, chosen by folds over films


@dataclass(frozen=True)
class Labelled:
    """Real pictures: their files, 1 for a card, the film, and the set: "480", "644", "5 films" or "trailers"."""

    paths: list[Path]
    card: np.ndarray
    film: np.ndarray
    group: np.ndarray


def labelled(shared: Path) -> Labelled:
    """Every labelled picture that is not ambiguous."""
    rows = []
    for group, path in (("480", shared / "real" / "trailer_frames_labels.json"), ("644", MORE_LABELS)):
        labels = _json(path)
        for name in sorted(set(labels["labelled"]) - set(labels["ambiguous"])):
            rows.append((shared / "real" / "trailer_frames" / f"{name}.jpg", name in labels["card"], name, group))
    for film, labels in _json(shared / "real" / "frame_labels.json").items():
        for path in sorted((shared / "real" / "images" / film).glob("*.jpg"), key=lambda path: int(path.stem)):
            if int(path.stem) not in labels["ambiguous"]:
                rows.append((path, int(path.stem) in labels["card"], film, "5 films"))
    paths, card, film, group = zip(*rows, *trailer_frames(shared))
    return Labelled(list(paths), np.array(card), np.array(film), np.array(group))


def trailer_frames(shared: Path) -> Iterator[tuple[Path, bool, str, str]]:
    """Different frames of whole trailers, labelled by TRAILER_LABELS: the seconds of cards and of unclear frames."""
    for film, labels in _json(TRAILER_LABELS).items():
        path = next((shared / "real" / "whole_trailers").glob(f"{film}.*"))
        frames = sample_frames(path, 100, 0, film, 360)
        thumbnails = np.array([thumbnail(picture) for picture in frames.pixels])
        lit = np.flatnonzero((thumbnails < DARKEST).mean((1, 2, 3)) < BLACK)
        box = common_box([measure_bars(frames.pixels[index]) for index in lit])
        for index in sorted(set(lit) - _duplicates(thumbnails, lit, box).keys()):
            card, surely = (_within(frames.seconds[index], labels["card"], margin) for margin in (MARGIN, -MARGIN))
            if card == surely and not _within(frames.seconds[index], labels["unclear"], MARGIN):
                picture = FRAMES / film / f"{index}.jpg"
                picture.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(frames.pixels[index]).save(picture, quality=95)
                yield picture, card, film, "trailers"


def _within(second: float, spans: list[list[float]], margin: float) -> bool:
    return any(first - margin <= second <= last + margin for first, last in spans)


def _json(path: Path) -> dict:
    if not path.is_file():
        raise TrailerError(f"{path} is missing: name the folder of the labelled frames, like ../shared")
    return json.loads(path.read_text(encoding="utf-8"))


def store_trunk(shared: Path) -> None:
    """SqueezeNet's first half as quality_filter.py wants it, in cards.npz with a head of zeros."""
    import torch

    if not (shared / SQUEEZENET).is_file():
        raise TrailerError(f"{shared / SQUEEZENET} is missing: name the folder of the weights, like ../shared")
    published = torch.load(shared / SQUEEZENET, weights_only=True)
    stored = {}
    for name in ["0"] + [f"{fire}.{part}" for fire in "3467" for part in ("squeeze", "expand1x1", "expand3x3")]:
        weight = published[f"features.{name}.weight"].numpy()
        stored[f"{name}.weight"] = weight.transpose(2, 3, 1, 0).reshape(-1, len(weight))  # rows as _convolve has them
        stored[f"{name}.bias"] = published[f"features.{name}.bias"].numpy()
    _store(stored | {"head.weight": np.zeros(1024, np.float32), "head.bias": np.zeros((), np.float32)})


def _store(arrays: dict[str, np.ndarray]) -> None:
    with files.atomic_path(quality_filter.WEIGHTS) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **arrays)
    quality_filter._weights.cache_clear()


def variants(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Thumbnails of a picture as it is and as it might have been, uint8 [VARIANTS, 45, 80, 3]."""
    return np.stack([thumbnail(picture), *(thumbnail(_varied(picture, rng)) for _ in range(VARIANTS - 1))])


def _varied(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    height, width = picture.shape[:2]
    top, bottom, left, right = (rng.uniform(0, 0.06, 4) * (height, height, width, width)).astype(int)
    picture = picture[top : height - bottom, left : width - right]
    picture = picture[:, :: rng.choice([1, -1])] * (rng.uniform(0.3, 1.0) if rng.random() < 0.4 else 1.0)
    bars = [(0, 0)] * 3
    if rng.random() < 0.5:
        side = int(rng.choice([0, 0, 1]))
        bars[side] = (int(picture.shape[side] * rng.uniform(0.05, 0.2)),) * 2
    return np.pad(picture, bars).astype(np.uint8)


def examples(pictures: list[Path], seed: int = 0) -> np.ndarray:
    """Features of the variants of each picture: float32 [pictures, VARIANTS, 1024]."""
    rng = np.random.default_rng(seed)
    seen = (card_features(variants(read_picture(path), rng)) for path in bar(pictures, "looking", len(pictures)))
    return np.stack(list(seen))


def made_examples(count: int = MADE_CARDS, seed: int = 1) -> np.ndarray:
    """Features of `count` made cards, with and without bars: float32 [count, 1024]."""
    rng = np.random.default_rng(seed)
    made = (card(rng) for _ in bar(range(count), "drawing cards", count))
    return card_features(np.stack([thumbnail(_varied(picture, rng)) for picture in made]))


def fit(features: np.ndarray, card: np.ndarray, made: np.ndarray) -> tuple[np.ndarray, float]:
    """Weights and bias of the head, from pictures' variants [n, variants, 1024], their labels, and made cards."""
    count = features.shape[1]
    of_card = 0.5 * (~card).sum() / card.sum()  # cards together weigh half of what the scenes do
    weights = np.repeat(np.where(card, of_card, 1.0) / count, count)
    weights = np.append(weights, np.full(len(made), MADE_SHARE * of_card * card.sum() / len(made)))
    seen = np.concatenate([features.reshape(-1, features.shape[2]), made])
    targets = np.append(np.repeat(card, count), np.ones(len(made), bool))
    model = make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, max_iter=1000))
    model.fit(seen, targets, logisticregression__sample_weight=weights)
    scaler, regression = model[0], model[1]
    weight = regression.coef_[0] / scaler.scale_
    return weight, float(regression.intercept_[0] - weight @ scaler.mean_)


def main(shared: Path) -> None:
    store_trunk(shared)
    real = labelled(shared)
    weight, bias = fit(examples(real.paths), real.card, made_examples())
    with np.load(quality_filter.WEIGHTS) as stored:
        arrays = {name: stored[name] for name in stored.files}
    _store(arrays | {"head.weight": weight.astype(np.float32), "head.bias": np.float32(bias)})
    size = quality_filter.WEIGHTS.stat().st_size / 1000
    print(f"{quality_filter.WEIGHTS}: {size:.0f} kB, from {len(real.paths)} labelled pictures")


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1] if len(sys.argv) > 1 else "../shared"))
    except TrailerError as error:
        sys.exit(f"error: {error}")
