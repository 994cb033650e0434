"""Is a picture a card (studio logo, rating card, title card, credits)? A small network looks at its thumbnail.

The first half of SqueezeNet 1.1 (Iandola et al. 2016, ImageNet weights), then a logistic regression, made by
`benchmarks/train_filter.py`. In NumPy: importing torch takes two seconds and 200 MB, a picture a millisecond.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image
from threadpoolctl import ThreadpoolController

WEIGHTS = Path(__file__).with_name("cards.npz")
SHAPE = (45, 80, 3)  # of the thumbnails; 54 x 96 tells cards no better and takes half as long again
FIRES = ("3", "4", "", "6", "7")  # torchvision's numbers of the layers; "" pools
MEAN, SD = np.float32([0.485, 0.456, 0.406]) * 255, np.float32([0.229, 0.224, 0.225]) * 255  # of ImageNet's pixels
THREADS = ThreadpoolController()
BATCH = 2  # pictures at once: more do not fit the processor's cache and take longer


def thumbnail(picture: np.ndarray) -> np.ndarray:
    """uint8 RGB [height, width, 3] squashed to uint8 [45, 80, 3], whatever its shape."""
    rows = picture[:: max(1, len(picture) // (3 * SHAPE[0]))]  # three lines for one are enough
    return np.asarray(Image.fromarray(rows).resize(SHAPE[1::-1], Image.Resampling.BOX, reducing_gap=1.0))


def card_probabilities(thumbnails: Sequence[np.ndarray]) -> np.ndarray:
    """How likely each thumbnail, uint8 [45, 80, 3], is a card: float64 [n] in [0, 1]."""
    weights = _weights()
    # On matrices this small threads wait for one another: on a busy machine a picture takes 15 times as long.
    with THREADS.limit(limits=1):
        logits = card_features(thumbnails) @ weights["head.weight"] + weights["head.bias"]
    return 1 / (1 + np.exp(-np.clip(logits.astype(np.float64), -50, 50)))


def card_features(thumbnails: Sequence[np.ndarray]) -> np.ndarray:
    """float32 [n, 1024]: the mean, maximum and sd of each of 256 channels, and its mean in the picture's middle."""
    features = np.empty((len(thumbnails), 1024), np.float32)
    for start in range(0, len(thumbnails), BATCH):
        batch = slice(start, start + BATCH)
        maps = _trunk(np.stack(thumbnails[batch]))
        middle = maps[:, 1:4, 2:7]  # where a card has its text
        pooled = [maps.mean((1, 2)), maps.max((1, 2)), maps.std((1, 2)), middle.mean((1, 2))]
        features[batch] = np.concatenate(pooled, axis=1)
    return features


def _trunk(thumbnails: np.ndarray) -> np.ndarray:
    """uint8 [n, 45, 80, 3] -> float32 [n, 5, 9, 256]: the first convolution and four Fire modules."""
    maps = _max_pool(_convolve((thumbnails - MEAN) / SD, "0", stride=2, padding=0))
    for name in FIRES:
        maps = _fire(maps, name) if name else _max_pool(maps)
    return maps


@cache
def _weights() -> dict[str, np.ndarray]:
    with np.load(WEIGHTS) as stored:
        return {name: stored[name].astype(np.float32) for name in stored.files}


def _fire(maps: np.ndarray, name: str) -> np.ndarray:
    """SqueezeNet's module: 1 x 1 to few channels, then 1 x 1 and 3 x 3 side by side to many."""
    squeezed = _linear(maps, f"{name}.squeeze")
    return np.concatenate([_linear(squeezed, f"{name}.expand1x1"), _convolve(squeezed, f"{name}.expand3x3")], axis=3)


def _linear(maps: np.ndarray, name: str) -> np.ndarray:
    """A linear layer and its ReLU on the last axis: a 1 x 1 convolution."""
    product = maps.reshape(-1, maps.shape[-1]) @ _weights()[f"{name}.weight"]
    product += _weights()[f"{name}.bias"]
    return np.maximum(product, 0, out=product).reshape(*maps.shape[:-1], -1)


def _convolve(maps: np.ndarray, name: str, stride: int = 1, padding: int = 1) -> np.ndarray:
    """A 3 x 3 convolution and its ReLU: a linear layer on the nine neighbours of every position, zeros outside."""
    padded = np.pad(maps, [(0, 0), (padding, padding), (padding, padding), (0, 0)])
    count, height, width, channels = padded.shape
    # With the channels in the row, a patch is three runs of 3 * channels numbers.
    windows = sliding_window_view(padded.reshape(count, height, width * channels), (3, 3 * channels), axis=(1, 2))
    windows = windows[:, ::stride, :: stride * channels]
    return _linear(windows.reshape(*windows.shape[:3], -1), name)


def _max_pool(maps: np.ndarray) -> np.ndarray:
    """The maximum of 3 x 3, stride 2, what sticks out included (ceil_mode); after a ReLU zeros change nothing."""
    padded = np.pad(maps, [(0, 0), (0, 1), (0, 1), (0, 0)])
    rows = np.maximum(np.maximum(padded[:, :-2:2], padded[:, 1:-1:2]), padded[:, 2::2])
    return np.maximum(np.maximum(rows[:, :, :-2:2], rows[:, :, 1:-1:2]), rows[:, :, 2::2])
