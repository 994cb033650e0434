"""What is known of a trailer's film before its release: given, or found in the project's spreadsheets; what it says."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from trailer_lib.errors import TrailerError
from trailer_lib.predict.trailer_input import film_id
from trailer_lib.project import Project

BETWEEN = {"runtime_minutes": (1, 1000), "year": (1880, 2100)}
FEWEST = 20  # training films of a genre among which a film's place says something


def find_metadata(trailer: str, given: dict[str, Any] | None, root: Path | None) -> tuple[dict[str, Any], list[str]]:
    """The film's metadata, given or looked up by the trailer's link or name, and a warning if the look-up failed.

    TrailerError for a `given` number that cannot be one.
    """
    metadata, failure = {"imdb_id": film_id(trailer)}, []
    if root is not None:
        from trailer_lib.catalog import film_of_trailer  # pandas takes a second
        from trailer_lib.evaluation import add_metadata

        try:
            if found := film_of_trailer(trailer, root):
                import pandas as pd

                metadata |= add_metadata(Project(root), pd.DataFrame([found])).iloc[0].to_dict()
        except TrailerError as error:  # unreadable spreadsheets must not cost the prediction
            failure = [f"The film could not be looked up: {error}."]
    return metadata | _checked(given or {}), failure


def _checked(given: dict[str, Any]) -> dict[str, Any]:
    film = {name: value for name, value in given.items() if value not in (None, "", [])}
    for name, (low, high) in BETWEEN.items():
        try:
            if name in film and not low <= float(film[name]) <= high:
                raise ValueError
        except (TypeError, ValueError) as error:
            raise TrailerError(f"{name} = {film[name]!r}: expected a number from {low} to {high}") from error
    return film | ({} if "genres" not in film else {"genres": "|".join(genre_names(film["genres"]))})


def genre_names(genres: Any) -> list[str]:
    """Of "Drama|Comedy" or a list."""
    names = genres.split("|") if isinstance(genres, str) else genres
    return [str(name).strip() for name in names if str(name).strip()]


def film_levels(fitted: dict[str, Any], film: dict[str, Any]) -> dict[str, float]:
    """What each level of metadata says of a film, in IMDb points, as far as it is known; `fitted`: by fit_metadata."""
    if not (film.get("genres") and fitted["kinds"]):
        return {}
    import pandas as pd  # with scikit-learn it takes seconds, and a prediction without metadata does not need it

    from trailer_lib.evaluation import metadata_levels

    row = {}
    for name, values in fitted["films"].items():
        unknown = "" if isinstance(values[0], str) else math.nan
        value = film.get(name, unknown)
        row[name] = [unknown if not isinstance(value, str) and pd.isna(value) else value]
    levels = metadata_levels(fitted, pd.DataFrame(row))
    return {name: float(points[0]) for name, points in levels.items() if not np.isnan(points[0])}


def standing(fitted: dict[str, Any], film: dict[str, Any], score: float) -> str:
    """Where the film would stand among the training films, of its first genre with enough of them."""
    scores, kind = np.array(fitted["films"]["score"], np.float64), "films"
    for genre in genre_names(film.get("genres") or ""):
        same = np.array([genre in genre_names(genres) for genres in fitted["films"].get("genres", [])], bool)
        if same.sum() >= FEWEST:
            scores, kind = scores[same], f"{genre} films"
            break
    return f"Higher than {(scores < score).mean():.0%} of the {len(scores):,} {kind} that the model learnt from."
