"""What is known of a trailer's film before its release: given, or found in the project's spreadsheets; what it says."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from trailer_lib.errors import TrailerError
from trailer_lib.predict.trailer_input import film_id, one_line
from trailer_lib.project import Project

BETWEEN = {"runtime_minutes": (1, 1000), "year": (1880, 2100)}
FEWEST = 20  # training films of a genre among which a film's place says something


def find_metadata(trailers: dict[str, dict[str, Any]], root: Path | None) -> list[dict[str, Any]]:
    """The metadata of the films of `trailers`, {link or name: what is given}; the rest is looked up below `root`.

    TrailerError for a given number out of its range, or for spreadsheets that cannot be read.
    """
    given = [_checked(film) for film in trailers.values()]
    found: list[dict[str, Any]] = [{}] * len(given)
    if root is not None:
        from trailer_lib.catalog import films_of_trailers  # pandas takes a second
        from trailer_lib.evaluation import add_metadata

        names = [film.get("imdb_id", name) for name, film in zip(trailers, given)]
        found = films_of_trailers(names, root)
        if any(found):
            import pandas as pd

            table = pd.DataFrame([{"imdb_id": ""} | film for film in found])
            rows = add_metadata(Project(root), table).to_dict("records")
            found = [row if film else {} for film, row in zip(found, rows)]
    return [{"imdb_id": film_id(name)} | film | own for name, film, own in zip(trailers, found, given)]


def _checked(given: dict[str, Any]) -> dict[str, Any]:
    film = {name: value for name, value in given.items() if value not in (None, "", [])}
    for name, (low, high) in BETWEEN.items():
        try:
            if name in film and not low <= (number := float(film[name])) <= high:
                raise ValueError
        except (TypeError, ValueError) as error:
            raise TrailerError(f"{name} = {film[name]!r}: expected a number from {low} to {high}") from error
        film |= {name: number} if name in film else {}
    return film | ({} if "genres" not in film else {"genres": "|".join(genre_names(film["genres"]))})


def genre_names(genres: Any) -> list[str]:
    """Of "Drama|Comedy" or a list."""
    names = genres.split("|") if isinstance(genres, str) else genres
    return [str(name).strip() for name in names if str(name).strip()]


def film_levels(fitted: dict[str, Any], films: list[dict[str, Any]]) -> list[dict[str, float]]:
    """What each level of metadata says of each film, in IMDb points, as far as it is known; by fit_metadata's `fitted`.

    The models are fitted once for all films; TrailerError when the table they are fitted on is damaged.
    """
    if not (fitted["kinds"] and any(film.get("genres") for film in films)):
        return [{} for _ in films]
    import pandas as pd  # with scikit-learn it takes seconds, and a prediction without metadata does not need it

    from trailer_lib.evaluation import metadata_levels

    try:
        levels = metadata_levels(fitted, pd.DataFrame(films, columns=[*fitted["films"]]))
        rows = pd.DataFrame(levels).to_dict("records")
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise TrailerError(f"the model file's metadata are damaged ({one_line(error)[:99]}): train again") from error
    return [{name: points for name, points in row.items() if not math.isnan(points)} for row in rows]


def standing(fitted: dict[str, Any], film: dict[str, Any], score: float) -> str:
    """Where the film would stand among the training films, of its first genre with enough of them."""
    scores, kind = np.array(fitted["films"]["score"], np.float64), "films"
    for genre in genre_names(film.get("genres") or ""):
        same = np.array([genre in genre_names(genres) for genres in fitted["films"].get("genres", [])], bool)
        if same.sum() >= FEWEST:
            scores, kind = scores[same], f"{genre} films"
            break
    share = 100 * (scores < score).mean()
    return f"Higher than {share:.0f} % of the {len(scores):,} {kind} that the model learnt from."
