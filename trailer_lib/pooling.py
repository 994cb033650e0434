"""How the features of a film's frames become the features of the film."""

import torch
from torch import Tensor

JOINS = ("channels", "mean", "attention", "moments", "quantiles")
QUARTILES = (0.25, 0.5, 0.75)
# A sd's slope is infinite at 0, where equal frames are; an ImageNet feature's own sd is near 1.
VARIANCE_FLOOR = 1e-6


def width(join: str) -> int:
    """How many features of a film come from one feature of its frames."""
    return {"moments": 2, "quantiles": len(QUARTILES)}.get(join, 1)


def pool(features: Tensor, join: str) -> Tensor:
    """Features of frames [..., frames, n] -> features of films [..., n * width(join)].

    "moments" gives the means, then the sds (divided by the number of frames); "quantiles" the three quartiles, linearly
    interpolated as numpy.quantile's default does; every other join the mean.
    """
    mean = features.mean(-2)
    if join == "moments":
        return torch.cat([mean, (features.var(-2, correction=0) + VARIANCE_FLOOR).sqrt()], -1)
    return _quartiles(features) if join == "quantiles" else mean


def _quartiles(features: Tensor) -> Tensor:
    """Sorted and interpolated by hand: torch.quantile can't be exported to ONNX."""
    ordered, last = features.sort(-2).values, features.shape[-2] - 1
    found = []
    for share in QUARTILES:
        below = int(share * last)
        low, high = ordered[..., below, :], ordered[..., min(below + 1, last), :]
        found.append(low + (share * last - below) * (high - low))
    return torch.cat(found, -1)
