"""The score table and the trailer list, joined by MovieLens' ids where links.csv is there, else by title and year."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path

from trailer_lib.catalog.official_tables import BASICS, RATINGS, imdb_facts, imdb_path
from trailer_lib.catalog.read_table import PARSERS, Dropped, Row, Table, dated_name, read_rows
from trailer_lib.catalog.titles import IMDB_ID, SECOND, match_titles, split_year, video_id
from trailer_lib.errors import TrailerError

METADATA, TRAILERS, LINKS = "movie_metadata.csv", "ml-youtube.csv", "links.csv"
SCORE_COLUMNS = {  # the last three may be missing
    "title": "movie_title", "year": "title_year", "score": "imdb_score", "imdb_id": "movie_imdb_link",
    "genres": "genres", "runtime_minutes": "duration", "votes": "num_voted_users"}  # fmt: skip
BAD_ID = "the YouTube id is not 11 letters, digits, - or _"
REPEATED = "the film is in another row"
NO_LINK, NO_TRAILER = f"its movieId is not in {LINKS}", f"no trailer of this film in {TRAILERS}"


@dataclass
class Draft:
    """A catalogue being made. Every row read ends as one of the `sources` of a film in `films`, or in `dropped`."""

    films: list[Row] = field(default_factory=list)
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

    def drop_films(self, reason: Callable[[Row], str] = itemgetter("fault")) -> None:
        """Drop the films for which `reason` gives one, not ""."""
        reasons = [(film, reason(film)) for film in self.films]
        self.films = [film for film, text in reasons if not text]
        self.dropped += [(*source, text) for film, text in reasons if text for source in film["sources"]]


def read_facts(film: Row) -> list[str]:
    """Make year, score, runtime and votes numbers; the faults of title and year. film["score_fault"] is the score's."""
    faults = ["" if film["title"] else "no title", number_fault("year", film["year"], 1870, 2100)]
    film["score_fault"] = number_fault("score", film["score"], 1, 10)
    film |= {name: parse(film[name]) for name, parse in PARSERS.items()}
    return [*filter(None, faults)]


def number_fault(name: str, text: str, low: int, high: int) -> str:
    value = PARSERS[name](text)
    if value is None:
        return f"the {name} is not a number" if text else f"no {name}{' (a series?)' if name == 'year' else ''}"
    return "" if low <= value <= high else f"the {name} is not from {low} to {high}"


def join_tables(folder: Path) -> Draft:
    """The films of the folder's tables that have a score and a trailer; facts of IMDb's own tables where they are."""
    missing = [name for name in (BASICS, RATINGS) if not imdb_path(folder, name).is_file()]
    official, linked = not missing, (folder / LINKS).is_file()
    if len(missing) == 1:
        raise TrailerError(f"{folder}: {missing[0]} is missing: put it beside IMDb's other table, or remove that")
    if official and not linked and not (folder / METADATA).is_file():
        raise TrailerError(f"{folder}: {BASICS} needs MovieLens' {LINKS} (columns movieId, imdbId) or {METADATA}")
    draft = Draft() if linked and official else _score_table(folder)
    needed = ["youtubeId", "title", "movieId"] if linked else ["youtubeId", "title"]
    trailers = draft.read(folder / TRAILERS, needed, ["movieId"]).rows
    for row in trailers:
        row |= {"youtubeId": video_id(row["youtubeId"]), "source": (TRAILERS, row["row"], row["title"])}
    draft.trailers.update(row["youtubeId"] for row in trailers)
    if linked:
        _join_by_id(trailers, draft.read(folder / LINKS, ["movieId", "imdbId"], []).rows, draft, official)
    else:
        _join_by_title(trailers, draft)
    if official:
        facts = imdb_facts(folder, {film["imdb_id"] for film in draft.films})
        draft.scores_from = dated_name(imdb_path(folder, RATINGS))
        draft.films = [film | facts[film["imdb_id"]] for film in draft.films]
        draft.drop_films(lambda film: film["fault"] or "; ".join(read_facts(film)))
    draft.drop_films(itemgetter("score_fault"))
    return draft


def scored_films(folder: Path) -> list[Row]:
    """The films of movie_metadata.csv that have a score, with or without a trailer."""
    return [film for film in _score_table(folder).films if not film["score_fault"]]


def _score_table(folder: Path) -> Draft:
    """The films of movie_metadata.csv, those without a score too: a trailer may be theirs and no other film's."""
    draft, columns, imdb_ids = Draft(), list(SCORE_COLUMNS.values()), set()
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
        film["fault"] = REPEATED if film["imdb_id"] in imdb_ids else "; ".join(faults)
        draft.films.append(film)
        imdb_ids |= set() if faults else {film["imdb_id"]}
    draft.drop_films()
    return draft


def _join_by_title(trailers: list[Row], draft: Draft) -> None:
    matches, reasons = match_titles(draft.films, trailers)
    used = set()
    for film, (row, how) in zip(draft.films, matches):
        film["fault"] = "" if row else how
        if row:
            used.add(row["row"])
            film["sources"].append(row["source"])
            film |= {"youtube_id": row["youtubeId"], "joined_by": how}
    draft.drop_films()
    for row in [row for row in trailers if row["row"] not in used]:
        faults = [] if row["youtubeId"] else [BAD_ID]
        faults += ["no (year) at the end of the title"] if split_year(row["title"])[1] is None else []
        reason = reasons.get(row["row"], f"no film of this title and year in {METADATA}")
        draft.dropped.append((*row["source"], "; ".join(faults) or reason))


def _join_by_id(trailers: list[Row], links: list[Row], draft: Draft, official: bool) -> None:
    """The films with a trailer, of the score table's `draft.films`, or all that the links have where `official`."""
    linked, matched = {}, {}  # movieId -> IMDb id and source of its link; IMDb id -> its trailer
    for row in links:
        source = (LINKS, row["row"], f"movieId {row['movieId']}")
        digits = re.fullmatch(r"(?:tt)?([0-9]{1,10})(?:\.0)?", row["imdbId"])
        if row["movieId"] in linked or not digits:
            draft.dropped.append((*source, "the movieId is in an earlier row" if digits else "no IMDb number"))
        else:
            linked[row["movieId"]] = f"tt{int(digits[1]):07d}", source
    for row in trailers:
        imdb_id, link = linked.get(row["movieId"], ("", None))
        faults = {BAD_ID: not row["youtubeId"], NO_LINK: not imdb_id, SECOND: imdb_id in matched}
        if any(faults.values()):
            draft.dropped.append((*row["source"], "; ".join(text for text, fault in faults.items() if fault)))
        else:
            trailer = {"imdb_id": imdb_id, "youtube_id": row["youtubeId"], "joined_by": "id"}
            matched[imdb_id] = trailer | {"sources": [row["source"], link]}
    used = {trailer["sources"][1] for trailer in matched.values()}
    draft.dropped += [(*link, NO_TRAILER) for _, link in linked.values() if link not in used]
    for film in draft.films:
        trailer = matched.pop(film["imdb_id"], {"sources": [], "fault": NO_TRAILER})
        film |= trailer | {"sources": film["sources"] + trailer["sources"]}
    fault = "" if official else f"no film of this IMDb id in {METADATA}"
    draft.films += [trailer | {"fault": fault} for trailer in matched.values()]
    draft.drop_films()
