"""How far off an answer may be: split-conformal intervals from the films that a model was not fitted to."""

import math

import numpy as np

SHARES = (80, 95)  # per cent of films whose true score is within the interval
LOWEST, HIGHEST = 1.0, 10.0  # IMDb points


def intervals(score: float, truth: np.ndarray, predicted: np.ndarray) -> tuple[dict[int, tuple[float, float]], str]:
    """({80: (low, high), 95: (low, high)} around `score`, why some are missing), all in IMDb points.

    `truth` and `predicted`, float [films], are of validation films. The half width is the k-th smallest of their
    absolute errors, k = ceil((films + 1) * share) (Lei et al. 2018, split conformal prediction): a new film of the same
    kind is within it in at least that share of cases. With too few films for a share there is no such error. The
    validation films also chose the best epoch, which makes the intervals a little too narrow.
    """
    errors = np.sort(np.abs(np.asarray(truth, np.float64) - np.asarray(predicted, np.float64)))
    ranks = {share: rank(share, len(errors)) for share in SHARES}
    widths = {share: errors[place - 1] for share, place in ranks.items() if place <= len(errors)}
    missing = [f"{share} % ({fewest(share)} are needed)" for share in SHARES if share not in widths]
    reason = (
        f"The model file holds {len(errors)} validation films, too few for an interval of {' or of '.join(missing)}"
    )
    found = {
        share: (max(LOWEST, float(score - width)), min(HIGHEST, float(score + width)))
        for share, width in widths.items()
    }
    return found, reason if missing else ""


def rank(share: int, films: int) -> int:
    """Which of `films` sorted errors bounds a new film's in `share` per cent of cases; beyond `films` none does."""
    return math.ceil((films + 1) * share / 100)


def fewest(share: int) -> int:
    """The fewest films from which there is an interval of `share` per cent."""
    return math.ceil(share / (100 - share))
