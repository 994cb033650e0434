"""Frames -> which of them are informative: for each one, None to keep it or the reason to drop it."""

import numpy as np

BLACK = 8.0  # mean brightness of 255 under which a frame shows nothing, whatever the others are like
SHARE = 20  # per cent of the darkest and of the flattest frames that the original dropped


def judge(pixels: np.ndarray, rule: str) -> list[str | None]:
    """A reason or None for each frame of uint8 [n, height, width, 3]; `rule` is ScrapeSettings.filter.

    "percentile" is the original's: the 20 % of lowest mean are "dark", the 20 % of lowest standard deviation "flat";
    and frames that are black whatever the rest is like are "black".
    """
    if rule == "none":
        return [None] * len(pixels)
    means = np.array([frame.mean() for frame in pixels])
    spreads = np.array([frame.std() for frame in pixels])
    reasons = np.full(len(pixels), None, dtype=object)
    reasons[spreads < np.percentile(spreads, SHARE)] = "flat"
    reasons[means < np.percentile(means, SHARE)] = "dark"
    reasons[means < BLACK] = "black"
    return reasons.tolist()
