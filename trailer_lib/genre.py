"""What a film's genres alone say of its score: a ridge regression small enough to travel in a model file."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

ALPHAS = np.logspace(-1, 4, 16)


def fit(films: "pd.DataFrame") -> dict[str, Any]:
    """Ridge on the list of genres of train films (columns genres, score), its strength by leave-one-out.

    {"genres": names, "coef": IMDb points each adds, "intercept"}; no genres where the films have none.
    """
    from sklearn.linear_model import RidgeCV
    from sklearn.preprocessing import MultiLabelBinarizer

    listed = [split(text) for text in films.genres]
    names = MultiLabelBinarizer()
    columns = names.fit_transform(listed)
    if not len(names.classes_):
        return {"genres": [], "coef": [], "intercept": float(films.score.mean())}
    ridge = RidgeCV(alphas=ALPHAS).fit(columns, films.score)
    return {"genres": names.classes_.tolist(), "coef": ridge.coef_.tolist(), "intercept": float(ridge.intercept_)}


def answer(fitted: dict[str, Any], genres: str | Sequence[str]) -> float | None:
    """The score in IMDb points of a film of `genres` ("Drama|Comedy" or a list), None when none of them is known."""
    points = dict(zip(fitted["genres"], fitted["coef"]))
    known = {name for name in (split(genres) if isinstance(genres, str) else genres) if name in points}
    if not known:
        return None
    return float(np.clip(fitted["intercept"] + sum(points[name] for name in known), 1.0, 10.0))


def split(text: str) -> list[str]:
    """The genres of a catalogue's cell."""
    return [name.strip() for name in text.split("|") if name.strip()]
