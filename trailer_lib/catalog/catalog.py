"""Which films: the spreadsheets in excels/ -> one table of films with score and trailer, and why rows were dropped."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pandas as pd

from trailer_lib import files
from trailer_lib.catalog.join import BAD_ID, REPEATED, Draft, bad_score, bad_year, join_tables
from trailer_lib.catalog.read_table import Row
from trailer_lib.catalog.titles import FILM_ID, LINK, YOUTUBE_ID, normal_title, youtube_id
from trailer_lib.errors import TrailerError
from trailer_lib.project import Project

OWN = "films.csv"
NEEDED = ["title", "year", "score"]
OPTIONAL = ["youtube_id", "url", "imdb_id", "genres", "runtime_minutes", "votes", "scores_from"]


def read_user_table(folder: Path) -> Draft:
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


COLUMNS = [
    "imdb_id", "title", "year", "score", "youtube_id", "genres", "runtime_minutes", "votes", "url",
    "joined_by", "shared",
]  # fmt: skip
NUMBERS = {"year": "int64", "score": "float64", "runtime_minutes": "Int64", "votes": "Int64"}


@dataclass(frozen=True)
class Catalog:
    """`films`: one row a film, columns COLUMNS, `imdb_id` unique. `dropped`: file, row, title, reason.

    `joined_by` is "id", "title and year", "first of several" (the list has other films of this title and year), "year
    off by one" or "own table". `shared` says that another row has the same
    trailer, which may then be of either film. `rows` counts the rows of each spreadsheet: each is of a film or in
    `dropped`; IMDb's own tables, in which films are only looked up, are not counted. `scores_from` names the table
    that the scores are from and its day.
    """

    films: pd.DataFrame
    dropped: pd.DataFrame
    rows: dict[str, int]
    scores_from: str

    def reasons(self) -> pd.DataFrame:
        """How many rows of each file were dropped for each reason."""
        counts = self.dropped.groupby(["file", "reason"], sort=True).size()
        return (
            counts.rename("rows")
            .reset_index()
            .sort_values(["file", "rows"], ascending=[True, False], ignore_index=True)
        )

    def summary(self) -> str:
        """What was read, what came of it, and the table of reasons."""
        joined = ", ".join(f"{how}: {count}" for how, count in self.films.joined_by.value_counts().items())
        lines = [f"{name}: {rows} rows" for name, rows in self.rows.items()]
        lines += [f"{len(self.films)} films with a score and a trailer (joined by {joined})"]
        lines += [f"{self.films.shared.sum()} of them have a trailer that another row has too"]
        lines += [f"scores from {self.scores_from}"]
        return "\n".join([*lines, "no row dropped" if self.dropped.empty else self.reasons().to_string(index=False)])

    def shuffled(self, seed: int, count: int) -> pd.DataFrame:
        """`count` films drawn with `seed`, all of them if 0: the order depends on the films' ids, not on the files'."""
        films = self.films.sort_values("imdb_id").sample(frac=1, random_state=seed, ignore_index=True)
        return films.head(count) if count else films

    def save(self, path: Path) -> None:
        """Write the films as CSV, with a column `scores_from`; as excels/films.csv it is a catalogue by itself."""
        _write_csv(self.films.assign(scores_from=self.scores_from), path)

    def save_dropped(self, path: Path) -> None:
        """Write every dropped row as CSV: file, row, title, reason."""
        _write_csv(self.dropped, path)


def _write_csv(table: pd.DataFrame, path: Path) -> None:
    with files.atomic_path(path) as temporary:
        table.to_csv(temporary, index=False)


def load(project: Project, min_votes: int = 0) -> Catalog:
    """The films of excels/: the user's own films.csv where it is there, else the join of score table and trailer list.

    Films with fewer than `min_votes` votes, or an unknown number, are dropped; 0 takes all.
    """
    folder = project.excels
    draft = read_user_table(folder) if (folder / OWN).is_file() else join_tables(folder)
    if min_votes:
        draft.sift(lambda film: f"fewer than {min_votes} votes" if (film["votes"] or 0) < min_votes else "")
    dropped = pd.DataFrame(sorted(draft.dropped), columns=["file", "row", "title", "reason"])
    if not draft.films:
        often = f"; {dropped.reason.mode()[0]}: {dropped.reason.value_counts().iloc[0]} rows" if len(dropped) else ""
        raise TrailerError(f"{folder}: no film has both a score and a trailer (read {', '.join(draft.rows)}{often})")
    return Catalog(_table(draft), dropped, draft.rows, draft.scores_from)


def _table(draft: Draft) -> pd.DataFrame:
    films = pd.DataFrame([{"url": ""} | film for film in draft.films])
    films["shared"] = [draft.trailers[trailer] > 1 for trailer in trailer_keys(films)]
    return films[COLUMNS].astype(NUMBERS)


def trailer_keys(films: pd.DataFrame) -> pd.Series:
    """What stands for each film's trailer: its YouTube id, else its link; the film's own id where it has neither."""
    trailers = films.youtube_id.where(films.youtube_id != "", films.url)
    return trailers.where(trailers != "", films.imdb_id)


if TYPE_CHECKING:
    import pandas as pd


def film_of_trailer(trailer: str, root: Path) -> dict[str, Any]:
    """The catalogue's row of the film (genres, year, imdb_id, ...), {} when no id is in the name or none is known."""
    if not any(_ids(trailer)) or not Project(root).excels.is_dir():
        return {}
    pass

    return find_film(trailer, load(Project(root)).films)


def find_film(trailer: str, films: "pd.DataFrame") -> dict[str, Any]:
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
