"""The tables of excels/ -> a catalogue: the films with a score and a trailer, and why each other row was dropped."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from trailer_lib import files
from trailer_lib.catalog.join import BAD_ID, REPEATED, Draft, Film, join_tables, score_fault, year_fault
from trailer_lib.catalog.read_table import dated_name
from trailer_lib.catalog.titles import FILM_ID, LINK, YOUTUBE_ID, normal_title, youtube_id
from trailer_lib.errors import TrailerError
from trailer_lib.project import Project

COLUMNS = "imdb_id title year score youtube_id genres runtime_minutes votes url joined_by shared".split()
NUMBERS = {"year": "int64", "score": "float64", "runtime_minutes": "Int64", "votes": "Int64"}
USER_TABLE = "films.csv"
NEEDED = ["title", "year", "score"]
OPTIONAL = ["youtube_id", "url", "imdb_id", "genres", "runtime_minutes", "votes"]
# No password in it, which would end in logs.
HTTPS = re.compile(r"https://[^\s/?#@:\[\]]+(:[0-9]{1,5})?([/?#]\S*)?")


@dataclass(frozen=True)
class Catalog:
    """`films`: one row a film, columns COLUMNS, `imdb_id` unique. `dropped`: file, row, title, reason.

    `joined_by` is "id", "title and year", "first of several" (the list has other films of this title and year), "year
    off by one" or "own table". `shared`: another row has the same trailer, which may then be of either film. `rows`
    counts the rows of each spreadsheet: each is of a film or in `dropped`; IMDb's own tables, in which films are only
    looked up, are not counted. `scores_from` names the table of the scores and its day.
    """

    films: pd.DataFrame
    dropped: pd.DataFrame
    rows: dict[str, int]
    scores_from: str

    def reasons(self) -> pd.DataFrame:
        """How many rows of each file were dropped for each reason."""
        counts = self.dropped.groupby(["file", "reason"]).size().rename("rows").reset_index()
        return counts.sort_values(["file", "rows"], ascending=[True, False], ignore_index=True)

    def summary(self) -> str:
        """What was read, how many films there are, and the table of reasons."""
        joined = ", ".join(f"{how}: {count}" for how, count in self.films.joined_by.value_counts().items())
        lines = [f"{name}: {rows} rows" for name, rows in self.rows.items()]
        lines.append(f"{len(self.films)} films with a score and a trailer (joined by {joined})")
        lines.append(f"{self.films.shared.sum()} of them have a trailer that another row has too")
        lines.append(f"scores from {self.scores_from}")
        return "\n".join([*lines, "no row dropped" if self.dropped.empty else self.reasons().to_string(index=False)])

    def shuffled(self, seed: int, count: int) -> pd.DataFrame:
        """`count` films in an order that depends on `seed` and the films' ids, not on the files'; all of them if 0."""
        films = self.films.sort_values("imdb_id").sample(frac=1, random_state=seed, ignore_index=True)
        return films.head(count) if count else films

    def save(self, path: Path) -> None:
        """Write the films as CSV, with `scores_from`; as excels/films.csv it is a catalogue by itself."""
        files.write_text(path, self.films.assign(scores_from=self.scores_from).to_csv(index=False))

    def save_dropped(self, path: Path) -> None:
        """Write every dropped row as CSV: file, row, title, reason."""
        files.write_text(path, self.dropped.to_csv(index=False))


def load(project: Project, min_votes: int = 0) -> Catalog:
    """The films of excels/: the user's own films.csv where it is there, else the join of score table and trailer list.

    Films with fewer than `min_votes` votes, or an unknown number, are dropped; 0 takes all.
    """
    folder = project.excels
    draft = read_user_table(folder / USER_TABLE) if (folder / USER_TABLE).is_file() else join_tables(folder)
    if min_votes:
        draft.drop_films(lambda film: f"fewer than {min_votes} votes" if (film["votes"] or 0) < min_votes else "")
    dropped = pd.DataFrame(sorted(draft.dropped), columns=["file", "row", "title", "reason"])
    if not draft.films:
        often = f"; {dropped.reason.mode()[0]}: {dropped.reason.value_counts().iloc[0]} rows" if len(dropped) else ""
        raise TrailerError(f"{folder}: no film has both a score and a trailer (read {', '.join(draft.rows)}{often})")
    films = pd.DataFrame([{"url": "", "joined_by": "own table"} | film for film in draft.films])
    films["shared"] = [draft.trailers[trailer] > 1 for trailer in trailer_keys(films)]
    return Catalog(films[COLUMNS].astype(NUMBERS), dropped, draft.rows, draft.scores_from)


def trailer_keys(films: pd.DataFrame) -> pd.Series:
    """The key of each film's trailer: its YouTube id, else its link; the film's own id where it has neither."""
    trailers = films.youtube_id.where(films.youtube_id != "", films.url)
    return trailers.where(trailers != "", films.imdb_id)


def read_user_table(path: Path) -> Draft:
    """The films of films.csv; where no row has a trailer, an imdb_id will do: images/ has the pictures (posters)."""
    draft = Draft()
    table = draft.read(path, NEEDED, [*OPTIONAL, "scores_from"])
    if not {"youtube_id", "url", "imdb_id"} & set(table.columns):
        raise TrailerError(f"{path}: no column 'youtube_id' and no 'url', nor 'imdb_id' for pictures in images/")
    # A catalogue that was written with --csv and put here names the table that its scores are from.
    named = {row["scores_from"][:80] for row in table.rows}
    draft.scores_from = (len(named) == 1 and max(named).isprintable() and max(named)) or dated_name(path)
    draft.trailers.update(row["youtube_id"] or row["url"] for row in table.rows)
    keys, need_trailer = set(), any(row["youtube_id"] or row["url"] for row in table.rows)
    for row in table.rows:
        title = " ".join(row["title"].split())
        genres = "|".join(name.strip() for name in re.split(r"[,|]", row["genres"]))
        facts = {"title": title, "genres": genres, "sources": [(path.name, row["row"], title)]}
        film = {name: row[name] for name in NEEDED + OPTIONAL} | facts
        reason = _fault(film, need_trailer)
        film["imdb_id"] = film["imdb_id"] or own_id(title, film["year"])
        reason = reason or (REPEATED if film["imdb_id"] in keys else "")
        keys |= set() if reason else {film["imdb_id"]}
        draft.add(film, reason)
    return draft


def _fault(film: Film, need_trailer: bool) -> str:
    """Why a row is no film, "" when it is; its numbers become numbers."""
    video, url, imdb_id = film["youtube_id"], film["url"], film["imdb_id"]
    faults = {
        "no title": not film["title"],
        "the imdb_id is not tt and 7 to 10 digits": imdb_id and not FILM_ID.fullmatch(imdb_id),
        BAD_ID: video and not YOUTUBE_ID.fullmatch(video),
        "the url is no https link": url and not (HTTPS.fullmatch(url) and url.isprintable() and len(url) <= 2000),
        year_fault(film) or score_fault(film): True,
        "neither youtube_id nor url": not (video or url or (imdb_id and not need_trailer)),
    }
    return next((text for text, fault in faults.items() if text and fault), "")


def own_id(title: str, year: int | None) -> str:
    """The key of a film without an IMDb id: 40 bits of the hash of its title and year."""
    return "own-" + hashlib.sha256(f"{normal_title(title)}/{year}".encode()).hexdigest()[:10]


def film_of_trailer(trailer: str, root: Path) -> dict[str, Any]:
    """The catalogue's row of the film (genres, year, imdb_id, ...), {} when the name has no id or none that it has."""
    if not any(_ids(trailer)) or not Project(root).excels.is_dir():
        return {}
    return find_film(trailer, load(Project(root)).films)


def find_film(trailer: str, films: pd.DataFrame) -> dict[str, Any]:
    """The row of the catalogue's `films` whose id is in the trailer's name or link, {} when there is none."""
    film_id, video_id = _ids(trailer)
    rows = films[(films.imdb_id == film_id) | ((films.youtube_id == video_id) & (video_id != "") & ~films.shared)]
    return rows.iloc[0].to_dict() if len(rows) else {}


def _ids(trailer: str) -> tuple[str, str]:
    """The film's id and the YouTube id in a name or link, "" for none."""
    if LINK.match(trailer):
        return "", youtube_id(trailer)
    path = Path(trailer)
    film, stem = FILM_ID.search(path.name), path.name if path.is_dir() else path.stem
    return film[0] if film else "", stem if YOUTUBE_ID.fullmatch(stem) else ""
