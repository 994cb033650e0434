"""The score table and the trailer list, joined by MovieLens' ids where links.csv is there, else by title and year."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trailer_lib.catalog.official_tables import BASICS, RATINGS, imdb_facts, imdb_path
from trailer_lib.catalog.read_table import Dropped, Table, dated_name, parse_number, parse_whole, parse_year, read_rows
from trailer_lib.catalog.titles import IMDB_ID, SECOND, match_titles, split_year, video_id
from trailer_lib.errors import TrailerError

METADATA, TRAILERS, LINKS = "movie_metadata.csv", "ml-youtube.csv", "links.csv"
SCORE_COLUMNS = {  # the last three may be missing
    "title": "movie_title", "year": "title_year", "score": "imdb_score", "imdb_id": "movie_imdb_link",
    "genres": "genres", "runtime_minutes": "duration", "votes": "num_voted_users",
}  # fmt: skip
YEARS = (1870, 2100)
BAD_ID = "the YouTube id is not 11 letters, digits, - or _"
REPEATED = "the film is in another row"
NO_TRAILER = f"no trailer of this film in {TRAILERS}"
Film = dict[str, Any]
Source = tuple[str, int, str]  # file, row, title


@dataclass
class Draft:
    """A catalogue being made. Every row read ends as one of the `sources` of a film in `films`, or in `dropped`."""

    films: list[Film] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)
    scores_from: str = ""
    trailers: Counter[str] = field(default_factory=Counter)  # YouTube id, link or file -> number of rows
    remarks: list[str] = field(default_factory=list)

    def read(self, path: Path, needed: list[str], optional: list[str]) -> Table:
        table = read_rows(path, needed, optional)
        self.rows[path.name] = len(table.rows) + len(table.dropped)
        self.dropped += table.dropped
        self.remarks += [f"{path.name}: {table.remark}"] if table.remark else []
        return table

    def drop(self, reason: str, *sources: Source) -> None:
        self.dropped += [(*source, reason) for source in sources]

    def add(self, film: Film, reason: str) -> None:
        """Take the film, or drop its rows where there is a reason."""
        if reason:
            self.drop(reason, *film["sources"])
        else:
            self.films.append(film)

    def drop_films(self, reason: Callable[[Film], str]) -> None:
        """Drop the films for which `reason` gives one, not ""."""
        films, self.films = self.films, []
        for film in films:
            self.add(film, reason(film))


def read_facts(film: Film) -> list[str]:
    """Make year, score, runtime and votes numbers; the faults of title and year. film["score_fault"] is the score's."""
    faults = ["" if film["title"] else "no title", number_fault("year", film["year"], *YEARS)]
    film["score_fault"] = number_fault("score", film["score"], 1, 10)
    film |= {"year": parse_year(film["year"]), "score": parse_number(film["score"])}
    film |= {name: parse_whole(film[name]) for name in ("runtime_minutes", "votes")}
    return [fault for fault in faults if fault]


def number_fault(name: str, text: str, low: int, high: int) -> str:
    value = parse_year(text) if name == "year" else parse_number(text)
    if value is None:
        missing = "no year (a series?)" if name == "year" else f"no {name}"
        return f"the {name} is not a number" if text else missing
    return "" if low <= value <= high else f"the {name} is not from {low} to {high}"


def join_tables(folder: Path) -> Draft:
    """The films of the folder's tables that have a score and a trailer; facts of IMDb's own tables where they are."""
    missing = [name for name in (BASICS, RATINGS) if not imdb_path(folder, name).is_file()]
    draft, official, linked = Draft(), not missing, (folder / LINKS).is_file()
    if len(missing) == 1:
        raise TrailerError(f"{folder}: {missing[0]} is missing: put it beside IMDb's other table, or remove that")
    if official and not linked and not (folder / METADATA).is_file():
        remedy = f"put MovieLens' {LINKS} there (columns movieId, imdbId), or {METADATA}"
        raise TrailerError(f"{folder}: nothing says which trailer is of which film in {BASICS}: {remedy}")
    if not (linked and official):
        _read_score_table(folder, draft)
    columns = ["youtubeId", "title", "movieId"]
    trailers = draft.read(folder / TRAILERS, columns if linked else columns[:2], [] if linked else columns[2:])
    for row in trailers.rows:
        row["youtubeId"] = video_id(row["youtubeId"])
        draft.trailers[row["youtubeId"]] += 1
    if linked:
        _join_by_id(trailers, draft.read(folder / LINKS, ["movieId", "imdbId"], []), draft, official)
    else:
        _join_by_title(trailers, draft)
    if official:
        facts, reasons = imdb_facts(folder, {film["imdb_id"] for film in draft.films})
        draft.scores_from = dated_name(imdb_path(folder, RATINGS))
        draft.films = [film | facts.get(film["imdb_id"], {}) for film in draft.films]
        draft.drop_films(lambda film: reasons.get(film["imdb_id"]) or "; ".join(read_facts(film)))
    draft.drop_films(lambda film: film["score_fault"])
    return draft


def scored_films(folder: Path) -> list[Film]:
    """The films of movie_metadata.csv that have a score, with or without a trailer."""
    draft = Draft()
    _read_score_table(folder, draft)
    draft.drop_films(lambda film: film["score_fault"])
    return draft.films


def _read_score_table(folder: Path, draft: Draft) -> None:
    """The films of movie_metadata.csv, those without a score too: a trailer may be theirs and no other film's."""
    columns, imdb_ids = list(SCORE_COLUMNS.values()), set()
    table = draft.read(folder / METADATA, columns[:4], columns[4:])
    draft.scores_from = dated_name(folder / METADATA)
    # Where a film has two rows, the one with a score goes first.
    for row in sorted(table.rows, key=lambda row: bool(number_fault("score", row["imdb_score"], 1, 10))):
        imdb_id, title = IMDB_ID.search(row["movie_imdb_link"]), " ".join(row["movie_title"].split())
        film = {name: row[column] for name, column in SCORE_COLUMNS.items()}
        film |= {"imdb_id": imdb_id[0] if imdb_id else "", "title": title, "sources": [(METADATA, row["row"], title)]}
        faults = read_facts(film) + ([] if imdb_id else ["no IMDb id in the link"])
        faults += [film["score_fault"]] if faults and film["score_fault"] else []
        if not faults and "duration" in table.columns and film["runtime_minutes"] is None:
            # The table has games of the same title and year as their film; they alone have no running time.
            faults.append("no running time (a game?)")
        draft.add(film, REPEATED if film["imdb_id"] in imdb_ids else "; ".join(faults))
        imdb_ids |= set() if faults else {film["imdb_id"]}


def _join_by_title(trailers: Table, draft: Draft) -> None:
    matches, reasons = match_titles(draft.films, trailers.rows)
    films, draft.films, used = draft.films, [], set()
    for film, (row, how) in zip(films, matches):
        if row:
            used.add(row["row"])
            film["sources"].append((TRAILERS, row["row"], row["title"]))
            film |= {"youtube_id": row["youtubeId"], "joined_by": how}
        draft.add(film, "" if row else how)
    for row in trailers.rows:
        if row["row"] not in used:
            faults = [] if row["youtubeId"] else [BAD_ID]
            faults += ["no (year) at the end of the title"] if split_year(row["title"])[1] is None else []
            reason = reasons.get(row["row"], f"no film of this title and year in {METADATA}")
            draft.drop("; ".join(faults) or reason, (TRAILERS, row["row"], row["title"]))


def _join_by_id(trailers: Table, links: Table, draft: Draft, official: bool) -> None:
    """The films with a trailer, of the score table's `draft.films`, or all that the links have where `official`."""
    linked, matched = _imdb_ids(links, draft), {}
    unused = dict(linked)
    for row in trailers.rows:
        (imdb_id, link), source = linked.get(row["movieId"], ("", None)), (TRAILERS, row["row"], row["title"])
        if not row["youtubeId"]:
            draft.drop(BAD_ID, source)
        elif not imdb_id:
            draft.drop(f"its movieId is not in {LINKS}", source)
        elif imdb_id in matched:
            draft.drop(SECOND, source)
        else:
            del unused[row["movieId"]]
            trailer = {"imdb_id": imdb_id, "youtube_id": row["youtubeId"], "joined_by": "id"}
            matched[imdb_id] = trailer | {"sources": [source, link]}
    draft.drop(NO_TRAILER, *(link for _, link in unused.values()))
    scored, draft.films = draft.films, []
    for film in scored:
        trailer = matched.pop(film["imdb_id"], {})
        sources = film["sources"] + trailer.get("sources", [])
        draft.add(film | trailer | {"sources": sources}, "" if trailer else NO_TRAILER)
    for trailer in matched.values():
        draft.add(trailer, "" if official else f"no film of this IMDb id in {METADATA}")


def _imdb_ids(links: Table, draft: Draft) -> dict[str, tuple[str, Source]]:
    """movieId -> its IMDb id and its row of links.csv."""
    linked: dict[str, tuple[str, Source]] = {}
    for row in links.rows:
        source = (LINKS, row["row"], f"movieId {row['movieId']}")
        digits = re.fullmatch(r"(?:tt)?([0-9]{1,10})(?:\.0)?", row["imdbId"])
        if row["movieId"] in linked or not digits:
            draft.drop("the movieId is in an earlier row" if digits else "no IMDb number", source)
        else:
            linked[row["movieId"]] = f"tt{int(digits[1]):07d}", source
    return linked
