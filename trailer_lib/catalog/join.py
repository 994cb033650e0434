"""The score table and the trailer list, joined by MovieLens' ids where links.csv is there, else by title and year."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trailer_lib.catalog.official_tables import BASICS, RATINGS, imdb_facts, imdb_tables_available
from trailer_lib.catalog.read_table import Dropped, Row, Table, file_date, parse_number, parse_whole, read_rows
from trailer_lib.catalog.titles import IMDB_ID, SECOND, YOUTUBE_ID, match_titles, split_year
from trailer_lib.errors import TrailerError

METADATA, TRAILERS, LINKS = "movie_metadata.csv", "ml-youtube.csv", "links.csv"
YEARS = range(1870, 2101)
BAD_ID = "the YouTube id is not 11 letters, digits, - or _"
REPEATED = "the film is in another row"
NO_TRAILER = f"no trailer of this film in {TRAILERS}"


@dataclass
class Draft:
    """A catalogue being made. Every row read ends in `films`, as one of a film's `sources`, or in `dropped`."""

    films: list[dict[str, Any]] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)
    scores_from: str = ""
    trailers: Counter[str] = field(default_factory=Counter)  # YouTube id or link -> the rows that have it

    def read(self, path: Path, needed: list[str], optional: list[str]) -> Table:
        table = read_rows(path, needed, optional)
        self.rows[table.name] = len(table.rows) + len(table.dropped)
        self.dropped += table.dropped
        return table

    def drop(self, film: dict[str, Any], reason: str) -> None:
        self.dropped += [Dropped(*source, reason) for source in film["sources"]]

    def sift(self, reason: Callable[[dict[str, Any]], str]) -> None:
        """Drop the films for which there is a reason, and keep those for which it is ""."""
        films, self.films = self.films, []
        for film in films:
            if why := reason(film):
                self.drop(film, why)
            else:
                self.films.append(film)


def bad_year(film: dict[str, Any]) -> str:
    """Why a film's year can't be used, "" when it can; its texts become numbers."""
    film["year"], film["score"] = parse_whole(film["year"]), parse_number(film["score"])
    film["runtime_minutes"], film["votes"] = parse_whole(film["runtime_minutes"]), parse_whole(film["votes"])
    if film["year"] is None:
        return "no year (a series?)"
    if film["year"] not in YEARS:
        return f"the year is not from {YEARS[0]} to {YEARS[-1]}"
    return ""


def bad_score(film: dict[str, Any]) -> str:
    return "" if film["score"] is not None and 1 <= film["score"] <= 10 else "no score from 1 to 10"


def join_tables(folder: Path) -> Draft:
    """The films of the folder's tables that have a score and a trailer; IMDb's own tables go before the score table."""
    draft, official, linked = Draft(), imdb_tables_available(folder), (folder / LINKS).is_file()
    if official and not linked and not (folder / METADATA).is_file():
        remedy = f"put MovieLens' {LINKS} there (columns movieId, imdbId), or {METADATA}"
        raise TrailerError(f"{folder}: nothing says which trailer is of which film in {BASICS}: {remedy}")
    if not (linked and official):
        scored = _scored(folder, draft)
    needed = ["youtubeId", "title", *(["movieId"] if linked else [])]
    trailers = draft.read(folder / TRAILERS, needed, [] if linked else ["movieId"])
    draft.trailers.update(row["youtubeId"] for row in trailers.rows)
    if not linked:
        _by_title(scored, trailers, draft)
    else:
        having = _linked(trailers, draft.read(folder / LINKS, ["movieId", "imdbId"], []), draft)
        draft.films = list(having.values()) if official else _by_id(scored, having, draft)
    if official:
        _take_facts(folder, draft)
    draft.sift(bad_score)
    return draft


def scored_films(folder: Path) -> list[dict[str, Any]]:
    """The films of movie_metadata.csv that have a score, with or without a trailer."""
    draft = Draft()
    draft.films = _scored(folder, draft)
    draft.sift(bad_score)
    return draft.films


def _scored(folder: Path, draft: Draft) -> list[dict[str, Any]]:
    """The films of movie_metadata.csv, those without a score too: a trailer may be theirs and no other film's."""
    needed = ["movie_title", "title_year", "imdb_score", "movie_imdb_link"]
    table = draft.read(folder / METADATA, needed, ["genres", "duration", "num_voted_users"])
    draft.scores_from = f"{table.name} of {table.date}"
    films: dict[str, dict[str, Any]] = {}
    # Where a film has two rows, the one with a score goes first.
    for row in sorted(table.rows, key=lambda row: bool(bad_score({"score": parse_number(row["imdb_score"])}))):
        film, reason = _film(row, timed="duration" in table.columns)
        if film["imdb_id"] in films:
            reason = REPEATED
        if reason:
            draft.drop(film, reason)
        else:
            films[film["imdb_id"]] = film
    return list(films.values())


def _film(row: Row, timed: bool) -> tuple[dict[str, Any], str]:
    """A row of the score table as a film, and why it can't be one ("" when it can)."""
    imdb_id = IMDB_ID.search(row["movie_imdb_link"])
    title = " ".join(row["movie_title"].split())
    film = {
        "imdb_id": imdb_id[0] if imdb_id else "",
        "title": title,
        "year": row["title_year"],
        "score": row["imdb_score"],
        "genres": row["genres"],
        "runtime_minutes": row["duration"],
        "votes": row["num_voted_users"],
        "sources": [(METADATA, row["row"], title)],
    }
    reason = bad_year(film)
    if not imdb_id:
        return film, "no IMDb id in the link"
    # The table holds games of the same title and year as the film they follow; they alone have no running time.
    return film, reason or ("no running time (a game?)" if timed and film["runtime_minutes"] is None else "")


def _by_title(films: list[dict[str, Any]], trailers: Table, draft: Draft) -> None:
    answers, asked = match_titles(films, trailers.rows)
    used = set()
    for film, (row, how) in zip(films, answers):
        if row is None:
            draft.drop(film, how)
            continue
        used.add(row["row"])
        film["sources"] += [(TRAILERS, row["row"], row["title"])]
        draft.films.append(film | {"youtube_id": row["youtubeId"], "joined_by": how})
    for row in trailers.rows:
        if row["row"] not in used:
            reason = _unusable(row) or asked.get(row["row"], f"no film of this title and year in {METADATA}")
            draft.dropped.append(Dropped(TRAILERS, row["row"], row["title"], reason))


def _unusable(row: Row) -> str:
    if not YOUTUBE_ID.fullmatch(row["youtubeId"]):
        return BAD_ID
    return "no (year) at the end of the title" if split_year(row["title"])[1] is None else ""


def _linked(trailers: Table, links: Table, draft: Draft) -> dict[str, dict[str, Any]]:
    """IMDb id -> its trailer, of the rows of the trailer list that links.csv knows."""
    known = _links(links, draft)
    unused, having = dict(known), {}
    for row in trailers.rows:
        link, source = known.get(row["movieId"]), (TRAILERS, row["row"], row["title"])
        if reason := _unlinked(row, link, having):
            draft.dropped.append(Dropped(*source, reason))
            continue
        del unused[row["movieId"]]
        having[link["imdb_id"]] = {
            "imdb_id": link["imdb_id"],
            "youtube_id": row["youtubeId"],
            "joined_by": "id",
            "sources": [source, _source(link)],
        }
    draft.dropped += [Dropped(*_source(link), NO_TRAILER) for link in unused.values()]
    return having


def _unlinked(row: Row, link: Row | None, having: dict[str, dict[str, Any]]) -> str:
    if not YOUTUBE_ID.fullmatch(row["youtubeId"]):
        return BAD_ID
    if link is None:
        return f"its movieId is not in {LINKS}"
    return SECOND if link["imdb_id"] in having else ""


def _source(link: Row) -> tuple[str, int, str]:
    return LINKS, link["row"], f"movieId {link['movieId']}"


def _links(links: Table, draft: Draft) -> dict[str, Row]:
    """movieId -> its row of links.csv, with the imdb_id."""
    found: dict[str, Row] = {}
    for row in links.rows:
        digits = row["imdbId"].removeprefix("tt").removesuffix(".0")
        row["imdb_id"] = f"tt{int(digits):07d}" if digits.isascii() and digits.isdigit() and len(digits) <= 10 else ""
        reason = "" if row["imdb_id"] else "no IMDb number"
        if row["movieId"] in found:
            reason = "the movieId is in an earlier row"
        if reason:
            draft.dropped.append(Dropped(*_source(row), reason))
        else:
            found[row["movieId"]] = row
    return found


def _by_id(films: list[dict[str, Any]], having: dict[str, dict[str, Any]], draft: Draft) -> list[dict[str, Any]]:
    joined = []
    for film in films:
        trailer = having.pop(film["imdb_id"], None)
        if trailer is None:
            draft.drop(film, NO_TRAILER)
        else:
            joined.append(film | trailer | {"sources": film["sources"] + trailer["sources"]})
    for trailer in having.values():
        draft.drop(trailer, f"no film of this IMDb id in {METADATA}")
    return joined


def _take_facts(folder: Path, draft: Draft) -> None:
    """Scores, titles and the rest from IMDb's own tables; a film that is none there is dropped."""
    known, reasons = imdb_facts(folder, {film["imdb_id"] for film in draft.films})
    draft.scores_from = f"{RATINGS} of {file_date(folder / RATINGS)}"
    for film in draft.films:
        film |= known.get(film["imdb_id"], {})
    draft.sift(lambda film: reasons.get(film["imdb_id"]) or bad_year(film))
