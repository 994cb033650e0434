"""A folder or a list -> the trailers in it: video files, folders of pictures, links."""

from pathlib import Path
from typing import NamedTuple

from trailer_lib import frames, tables
from trailer_lib.errors import TrailerError
from trailer_lib.ids import FILM_ID, LINK
from trailer_lib.sources import SUFFIXES


class Trailer(NamedTuple):
    """`name`: a path or a link; `imdb_id`: the film's, "" where unknown."""

    name: str
    imdb_id: str


def find(place: Path) -> list[Trailer]:
    """The trailers of a folder (videos, and folders of pictures) in the order of their names, or of a list, in its own.

    A list is a text file with a path or link a line, or a .csv with a column trailer and, if known, imdb_id. Relative
    paths start where the list lies. An id is also taken from a name that holds one. TrailerError when there is none.
    """
    names = _in_folder(place) if place.is_dir() else _in_csv(place) if place.suffix.lower() == ".csv" else _lines(place)
    if not names:
        raise TrailerError(f"{place}: no trailers in it: name a folder of videos ({', '.join(SUFFIXES)}), or a list")
    return [Trailer(name, known or _id_in(name)) for name, known in dict(names).items()]


def _in_folder(folder: Path) -> list[tuple[str, str]]:
    paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    return [(str(path), "") for path in paths if path.suffix.lower() in SUFFIXES or _has_pictures(path)]


def _has_pictures(path: Path) -> bool:
    return path.is_dir() and bool(frames.all_picture_paths(path))


def _in_csv(path: Path) -> list[tuple[str, str]]:
    rows = tables.read(path, ["trailer"], ["imdb_id"]).rows
    return [(_from(path, row["trailer"]), row["imdb_id"]) for row in rows if row["trailer"]]


def _lines(path: Path) -> list[tuple[str, str]]:
    if not path.is_file():
        raise TrailerError(f"{path}: no such folder or list: name a folder of videos, or a file with a path a line")
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise TrailerError(f"{path}: not a text: expected a list with a path or link a line, or a folder") from error
    return [(_from(path, line.strip()), "") for line in lines if line.strip()]


def _from(place: Path, name: str) -> str:
    return name if LINK.match(name) else str(place.parent / name)


def _id_in(name: str) -> str:
    found = None if LINK.match(name) else FILM_ID.search(Path(name).name)
    return found[0] if found else ""
