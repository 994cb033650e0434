"""The tables of excels/ -> a catalogue: the films with a score and a trailer, and why each other row was dropped."""

import hashlib
import re
from collections import Counter
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import pandas as pd

from trailer_lib import files
from trailer_lib.catalog.join import BAD_ID, REPEATED, Draft, join_tables, read_facts
from trailer_lib.catalog.read_table import Row, dated_name
from trailer_lib.catalog.titles import FILM_ID, NO_VIDEO, YOUTUBE, find_film, name_keys, normal_title, video_id
from trailer_lib.errors import TrailerError
from trailer_lib.project import Project

COLUMNS = "imdb_id title year score youtube_id genres runtime_minutes votes url file joined_by shared".split()
NUMBERS = {"year": "int64", "score": "float64", "runtime_minutes": "Int64", "votes": "Int64"}
USER_TABLE, NEEDED = "films.csv", ["title", "year", "score"]
OPTIONAL = ["youtube_id", "url", "file", "imdb_id", "genres", "runtime_minutes", "votes"]
TRAILER = OPTIONAL[:3]
IMDB_LINK = re.compile(r"https?://(?:www\.|m\.)?imdb\.com/(?:[a-z]{2}/)?title/|(?<=\d)[/?#].*")
NAMESAKE = "another row has this title, year and trailer: give an imdb_id if it is another film"
# No password in it, which would end in logs.
HTTPS = re.compile(r"https://[^\s/?#@:\[\]]+(:[0-9]{1,5})?([/?#]\S*)?")


@dataclass(frozen=True)
class Catalog:
    """The films, where they come from, and what was left out."""

    films: pd.DataFrame  # columns COLUMNS, `imdb_id` unique; `shared`: another row has the same trailer
    dropped: pd.DataFrame  # file, row, title, reason
    rows: dict[str, int]  # how many each spreadsheet has, each of a film or in `dropped`
    scores_from: str
    remarks: list[str]
    folder: Path

    def summary(self) -> str:
        """What was read, how many films there are, and how many rows of each file were dropped for each reason."""
        joined = ", ".join(f"{how}: {count}" for how, count in self.films.joined_by.value_counts().items())
        lines = [*(f"{name}: {rows} rows" for name, rows in self.rows.items()), *self.remarks]
        lines += [f"{len(self.films)} films with a score and a trailer (joined by {joined})"]
        lines += [f"{self.films.shared.sum()} of them have a trailer that another row has too"]
        single = self.dropped.assign(reason=self.dropped.reason.str.split("; ")).explode("reason")  # of several
        counts = single.groupby(["file", "reason"]).size().reset_index(name="rows")
        table = counts.sort_values(["file", "rows"], ascending=[True, False]).to_string(index=False)
        lines += [f"scores from {self.scores_from}", table if len(counts) else "no row dropped"]
        return "\n".join(lines)

    def shuffled(self, seed: int, count: int) -> pd.DataFrame:
        """`count` films in an order that depends on `seed` and the films' ids, not on the files'; all of them if 0."""
        films = self.films.sort_values("imdb_id").sample(frac=1, random_state=seed, ignore_index=True)
        return films.head(count) if count else films

    def save(self, path: Path, dropped: bool = False) -> None:
        """Write the films and `scores_from`, or the `dropped` rows, as CSV; the films may be put back as films.csv."""
        table = self.dropped if dropped else self.films.assign(scores_from=self.scores_from)
        if path.exists() and path.resolve().parent == self.folder.resolve():
            raise TrailerError(f"{path}: a table in {self.folder.name}/ is not written over: name another file")
        files.write_text(path, table.to_csv(index=False))


def load(project: Project, min_votes: int = 0, dropped_to: Path | None = None) -> Catalog:
    """The films of excels/films.csv where it is there, else of the joined tables; TrailerError where there is none."""
    folder = project.excels
    draft = read_user_table(folder / USER_TABLE) if (folder / USER_TABLE).is_file() else join_tables(folder)
    if min_votes:
        draft.drop_films(lambda film: f"fewer than {min_votes} votes" if (film["votes"] or 0) < min_votes else "")
    defaults = {"url": "", "file": "", "joined_by": "own table"}
    films = pd.DataFrame([defaults | film for film in draft.films], columns=COLUMNS)
    films["shared"] = [draft.trailers[trailer] > 1 for trailer in trailer_keys(films)]
    dropped = pd.DataFrame(sorted(draft.dropped), columns=["file", "row", "title", "reason"])
    catalog = Catalog(films.astype(NUMBERS), dropped, draft.rows, draft.scores_from, draft.remarks, folder)
    if dropped_to:
        catalog.save(dropped_to, dropped=True)
    if not draft.films:
        counts = Counter(reason for reasons in dropped.reason for reason in reasons.split("; "))
        reasons = "".join(f"; {reason}: {rows} rows" for reason, rows in counts.most_common())
        reasons += f"; all rows are in {dropped_to}" if dropped_to else ""
        raise TrailerError(f"{folder}: no film has both a score and a trailer (read {', '.join(draft.rows)}{reasons})")
    return catalog


def trailer_keys(films: pd.DataFrame) -> pd.Series:
    """The key of each film's trailer: its YouTube id, else its link, else its file; the film's id where it has none."""
    keys = films.youtube_id
    for column in ("url", "file", "imdb_id"):
        keys = keys.where(keys != "", films.get(column, ""))
    return keys


def read_user_table(path: Path) -> Draft:
    """The films of films.csv, told apart by ids, then trailers; without any trailer, ids will do (for posters)."""
    table = (draft := Draft()).read(path, NEEDED, [*OPTIONAL, "scores_from"])
    if not {*TRAILER, "imdb_id"} & set(table.columns):
        raise TrailerError(f"{path}: no column 'youtube_id', 'url' or 'file', nor 'imdb_id' for pictures in images/")
    # A catalogue that was saved as films.csv names the table of its scores.
    named = {row["scores_from"][:80] for row in table.rows}
    draft.scores_from = (len(named) == 1 and max(named).isprintable() and max(named)) or dated_name(path)
    need_trailer = any(row[name] for row in table.rows for name in TRAILER)
    films = [_user_film(row, path.name, need_trailer) for row in table.rows]
    unnumbered = {film["by_trailer"]: film["by_title"] for film in films if not (film["imdb_id"] or film["faults"])}
    namesakes = Counter(unnumbered.values())
    firsts: dict[str, Row] = {}
    for film in sorted(films, key=lambda film: not film["imdb_id"]):
        imdb_id, own, faults = film["imdb_id"], film["by_trailer"], film["faults"]
        if (first := firsts.get(imdb_id or own)) and not faults:
            faults.append(REPEATED if imdb_id or film["score"] == first["score"] else NAMESAKE)
        draft.trailers[film["trailer"]] += REPEATED not in faults
        firsts |= {} if faults else {imdb_id: film, own: film}
        own = own if namesakes[film["by_title"]] > 1 else film["by_title"]
        draft.films.append(film | {"imdb_id": imdb_id or own, "fault": "; ".join(faults)})
    draft.drop_films()
    return draft


def _user_film(row: Row, file: str, need_trailer: bool) -> Row:
    """A row as a film, with its `faults`. A link to YouTube, in either column, becomes its video's id."""
    title = " ".join(row["title"].split())
    genres = "|".join(name.strip() for name in re.split(r"[,|]", row["genres"]))
    video, url = (row["youtube_id"] or row["url"], "") if YOUTUBE.match(row["url"]) else (row["youtube_id"], row["url"])
    imdb_id = IMDB_LINK.sub("", row["imdb_id"])
    film = row | {"title": title, "genres": genres, "imdb_id": imdb_id, "youtube_id": video_id(video), "url": url}
    film |= {"sources": [(file, row["row"], title)], "trailer": film["youtube_id"] or url or row["file"]}
    faults = {
        **dict.fromkeys(read_facts(film), True),
        film["score_fault"]: film["score_fault"],
        "the imdb_id is not tt and 7 to 10 digits": imdb_id and not FILM_ID.fullmatch(imdb_id),
        NO_VIDEO if YOUTUBE.match(video) else BAD_ID: video and not film["youtube_id"],
        "the url is no https link": url and not (HTTPS.fullmatch(url) and url.isprintable() and len(url) <= 2000),
        "neither youtube_id nor url nor file": not (video or url or row["file"] or (imdb_id and not need_trailer)),
    }
    own = {"by_title": own_id(title, film["year"]), "by_trailer": own_id(title, film["year"], film["trailer"])}
    return film | own | {"faults": [text for text, fault in faults.items() if fault]}


def own_id(title: str, year: int | None, trailer: str = "") -> str:
    """The key of a film without an IMDb id: 40 bits of the hash of title and year, or of trailer too."""
    text = f"{normal_title(title)}/{year}" + (f"/{trailer}" if trailer else "")
    return "own-" + hashlib.sha256(text.encode()).hexdigest()[:10]


def films_of_trailers(trailers: list[str], root: Path) -> list[dict[str, Any]]:
    """The catalogue's row of each trailer's film (genres, year, imdb_id, ...) by link or name; {} of one without."""
    excels = Project(root).excels
    # The tables take seconds to read: only for a name that may have a key of a film.
    keys = [key for key in chain(*map(name_keys, trailers)) if key[0] != "file" or (excels / USER_TABLE).is_file()]
    films = load(Project(root)).films if keys and excels.is_dir() else None
    return [{} if films is None else find_film(trailer, films) for trailer in trailers]
