"""The user's own table, excels/films.csv: where it is there, it is the catalogue by itself."""

import hashlib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from trailer_lib.errors import TrailerError
from trailer_lib.ids import FILM_ID, YOUTUBE_ID
from trailer_lib.joins import BAD_ID, REPEATED, Draft, bad_score, bad_year
from trailer_lib.tables import Row
from trailer_lib.titles import normal_title

OWN = "films.csv"
NEEDED = ["title", "year", "score"]
OPTIONAL = ["youtube_id", "url", "imdb_id", "genres", "runtime_minutes", "votes", "scores_from"]


def read(folder: Path) -> Draft:
    """The films of films.csv: title, year, score and youtube_id or url (an https link to a video file).

    Where no row has a trailer, an imdb_id will do: the pictures are in images/ already (posters).
    """
    draft = Draft()
    table = draft.read(folder / OWN, NEEDED, OPTIONAL)
    if not {"youtube_id", "url", "imdb_id"} & set(table.columns):
        expected = "expected one of them, or 'imdb_id' and pictures in images/"
        raise TrailerError(f"{folder / OWN}: no column 'youtube_id' and no 'url': {expected}")
    trailers = any(row["youtube_id"] or row["url"] for row in table.rows)
    # A catalogue that was written with --csv and put here says itself how old its scores are.
    said = {row["scores_from"][:80] for row in table.rows}
    told = said.pop() if len(said) == 1 else ""
    draft.scores_from = told if told and told.isprintable() else f"{OWN} of {table.date}"
    draft.trailers.update(row["youtube_id"] or row["url"] for row in table.rows)
    keys = set()
    for row in table.rows:
        film = _film(row)
        reason = _problem(film, row["imdb_id"], trailers)
        film["imdb_id"] = row["imdb_id"] or own_id(film["title"], film["year"])
        reason = reason or (REPEATED if film["imdb_id"] in keys else "")
        if reason:
            draft.drop(film, reason)
        else:
            keys.add(film["imdb_id"])
            draft.films.append(film)
    return draft


def own_id(title: str, year: int | None) -> str:
    """The key of a film without an IMDb id: 40 bits of the hash of its title and year."""
    return "own-" + hashlib.sha256(f"{normal_title(title)}/{year}".encode()).hexdigest()[:10]


def _film(row: Row) -> dict[str, Any]:
    film = {name: row[name] for name in OPTIONAL[:-1] + NEEDED}
    title = " ".join(row["title"].split())
    genres = "|".join(name.strip() for name in row["genres"].replace(",", "|").split("|"))
    return film | {"title": title, "genres": genres, "joined_by": "own table", "sources": [(OWN, row["row"], title)]}


def _problem(film: dict[str, Any], imdb_id: str, trailers: bool) -> str:
    """Why a row is no film, "" when it is; its numbers become numbers."""
    if not film["title"]:
        return "no title"
    if imdb_id and not FILM_ID.fullmatch(imdb_id):
        return "the imdb_id is not tt and 7 to 10 digits"
    if film["youtube_id"] and not YOUTUBE_ID.fullmatch(film["youtube_id"]):
        return BAD_ID
    if film["url"] and not _is_link(film["url"]):
        return "the url is no https link"
    known = film["youtube_id"] or film["url"] or (imdb_id and not trailers)
    return bad_year(film) or bad_score(film) or ("" if known else "neither youtube_id nor url")


def _is_link(url: str) -> bool:
    """https alone, no spaces or control characters, no password in it (it would end in logs)."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises where it is no number
    except ValueError:
        return False
    plain = url.isprintable() and " " not in url and len(url) <= 2000
    return plain and parts.scheme == "https" and bool(parts.hostname) and "@" not in parts.netloc
