"""What the spreadsheets say of a trailer's film, found by an id in the trailer's name."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from trailer_lib.ids import FILM_ID, LINK, YOUTUBE_ID, youtube_id
from trailer_lib.project import Project

if TYPE_CHECKING:
    import pandas as pd


def look_up(trailer: str, root: Path) -> dict[str, Any]:
    """The catalogue's row of the film (genres, year, imdb_id, ...), {} when no id is in the name or none is known."""
    if not any(_ids(trailer)) or not Project(root).excels.is_dir():
        return {}
    from trailer_lib import catalog  # pandas, and some seconds for the tables

    return find(trailer, catalog.load(Project(root)).films)


def find(trailer: str, films: "pd.DataFrame") -> dict[str, Any]:
    """The row of the catalogue's `films` that the name tells, {} when none."""
    film_id, video_id = _ids(trailer)
    found = films[(films.imdb_id == film_id) | ((films.youtube_id == video_id) & (video_id != "") & ~films.shared)]
    return found.iloc[0].to_dict() if len(found) else {}


def _ids(trailer: str) -> tuple[str, str]:
    if LINK.match(trailer):
        return "", youtube_id(trailer)
    name = Path(trailer)
    film = FILM_ID.search(name.name)
    stem = name.name if name.is_dir() else name.stem
    return film[0] if film else "", stem if YOUTUBE_ID.fullmatch(stem) else ""
