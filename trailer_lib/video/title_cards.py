"""Is a picture a card (studio logo, rating card, title card, credits)? A small network looks at its thumbnail.

The network is the first half of SqueezeNet 1.1 (Iandola et al. 2016, ImageNet weights), then a logistic regression.
`benchmarks/train_filter.py` makes cards.npz. It runs in NumPy: at half a millisecond a picture, the two seconds and
200 MB that importing torch costs each scraping process would be the larger part.
"""

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
CHUNK = 2  # pictures at once: more do not fit the processor's cache and take longer


def thumbnail(picture: np.ndarray) -> np.ndarray:
    """uint8 RGB [height, width, 3] squashed to uint8 [45, 80, 3], whatever its shape."""
    rows = picture[:: max(1, len(picture) // (3 * SHAPE[0]))]  # three lines for one are enough
    return np.asarray(Image.fromarray(rows).resize(SHAPE[1::-1], Image.Resampling.BOX, reducing_gap=1.0))


def card_probabilities(thumbnails: np.ndarray) -> np.ndarray:
    """How likely each thumbnail, uint8 [n, 45, 80, 3], shows a card: float64 [n] in [0, 1]."""
    head = _weights()
    with _threads().limit(limits=1):
        logits = card_features(thumbnails) @ head["head.weight"] + head["head.bias"]
    return 1 / (1 + np.exp(-np.clip(logits.astype(np.float64), -50, 50)))


def card_features(thumbnails: np.ndarray) -> np.ndarray:
    """float32 [n, 1024]: of each of 256 channels the mean, maximum and spread, and the mean of the picture's middle."""
    parts = [_pooled(_trunk(thumbnails[start : start + CHUNK])) for start in range(0, len(thumbnails), CHUNK)]
    return np.concatenate(parts) if parts else np.empty((0, 1024), np.float32)


def _pooled(seen: np.ndarray) -> np.ndarray:
    height, width = seen.shape[1:3]
    middle = seen[:, height // 4 : height - height // 4, width // 4 : width - width // 4]  # where cards have their text
    over = (1, 2)
    return np.concatenate([seen.mean(over), seen.max(over), seen.std(over), middle.mean(over)], axis=1)


def _trunk(thumbnails: np.ndarray) -> np.ndarray:
    seen = _pool(_first_convolution((thumbnails - MEAN) / SD))
    for name in FIRES:
        seen = _fire(seen, name) if name else _pool(seen)
    return seen


@cache
def _threads() -> ThreadpoolController:
    # On matrices this small threads wait for one another: on a busy machine a picture takes 15 times as long.
    return ThreadpoolController()


@cache
def _weights() -> dict[str, np.ndarray]:
    with np.load(WEIGHTS) as stored:
        return {name: stored[name].astype(np.float32) for name in stored.files}


def _convolve(patches: np.ndarray, name: str) -> np.ndarray:
    """A convolution's ReLU, with the patches it covers as rows [positions, 3 * 3 * channels]."""
    product = patches @ _weights()[f"{name}.weight"]
    product += _weights()[f"{name}.bias"]
    return np.maximum(product, 0, out=product)


def _first_convolution(pixels: np.ndarray) -> np.ndarray:
    """3 x 3, stride 2, on [n, height, width, 3]: with the colours in the row, a patch is three runs of nine numbers."""
    count, height, width, _ = pixels.shape
    windows = sliding_window_view(pixels.reshape(count, height, width * 3), (3, 9), axis=(1, 2))[:, ::2, ::6]
    return _convolve(windows.reshape(-1, 27), "0").reshape(*windows.shape[:3], -1)


def _fire(seen: np.ndarray, name: str) -> np.ndarray:
    """SqueezeNet's module: 1 x 1 to few channels, then 1 x 1 and 3 x 3 side by side to many."""
    shape = seen.shape[:3]
    squeezed = _convolve(seen.reshape(-1, seen.shape[3]), f"{name}.squeeze").reshape(*shape, -1)
    ones = _convolve(squeezed.reshape(-1, squeezed.shape[3]), f"{name}.expand1x1")
    threes = _convolve(_patches(squeezed), f"{name}.expand3x3")
    return np.concatenate([ones, threes], axis=1).reshape(*shape, -1)


def _patches(seen: np.ndarray) -> np.ndarray:
    """The 3 x 3 surroundings of every position, zeros outside: [n * height * width, 9 * channels]."""
    count, height, width, channels = seen.shape
    padded = np.zeros((count, height + 2, width + 2, channels), np.float32)
    padded[:, 1:-1, 1:-1] = seen
    patches = np.empty((count, height, width, 9, channels), np.float32)
    for place in range(9):
        row, column = divmod(place, 3)
        patches[:, :, :, place] = padded[:, row : row + height, column : column + width]
    return patches.reshape(-1, 9 * channels)


def _pool(seen: np.ndarray) -> np.ndarray:
    """The maximum of 3 x 3, stride 2, what sticks out included (ceil_mode); after a ReLU zeros change nothing."""
    count, height, width, channels = seen.shape
    padded = np.zeros((count, height // 2 * 2 + 1, width // 2 * 2 + 1, channels), np.float32)
    padded[:, :height, :width] = seen
    rows = np.maximum(np.maximum(padded[:, :-2:2], padded[:, 1:-1:2]), padded[:, 2::2])
    return np.maximum(np.maximum(rows[:, :, :-2:2], rows[:, :, 1:-1:2]), rows[:, :, 2::2])
