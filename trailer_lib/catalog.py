"""Which films: the spreadsheets in excels/ -> one table of films with score and trailer, and why rows were dropped."""

import re
import unicodedata
import warnings
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from trailer_lib import files
from trailer_lib.errors import TrailerError
from trailer_lib.project import Project

METADATA, TRAILERS = "movie_metadata.csv", "ml-youtube.csv"
COLUMNS = ["imdb_id", "title", "year", "score", "youtube_id", "genres", "runtime_minutes", "votes", "url"]
YOUTUBE_ID = re.compile(r"[0-9A-Za-z_-]{11}")
IMDB_ID = re.compile(r"tt\d{7,10}")
ARTICLES = "The|A|An|La|Le|Les|L'|Il|Lo|El|Los|Las|Die|Der|Das|Un|Une|Den|Det"


@dataclass(frozen=True)
class Catalog:
    """`films`: one row a film, columns COLUMNS, `imdb_id` unique. `dropped`: file, row, title, reason.

    `rows` counts the rows of each file.
    """

    films: pd.DataFrame
    dropped: pd.DataFrame
    rows: dict[str, int]

    def reasons(self) -> pd.DataFrame:
        """How many rows of each file were dropped for each reason."""
        counts = self.dropped.groupby(["file", "reason"], sort=True).size()
        return (
            counts.rename("rows")
            .reset_index()
            .sort_values(["file", "rows"], ascending=[True, False], ignore_index=True)
        )

    def shuffled(self, seed: int, count: int) -> pd.DataFrame:
        """`count` films drawn with `seed`, all of them if 0: the order depends on the films' ids, not on the files'."""
        films = self.films.sort_values("imdb_id").sample(frac=1, random_state=seed, ignore_index=True)
        return films.head(count) if count else films

    def save(self, path: Path) -> None:
        with files.atomic_path(path) as temporary:
            self.films.to_csv(temporary, index=False)


def load(project: Project) -> Catalog:
    """Join the score table and the trailer list of `project.excels` on title and year."""
    scores = _read(project.excels / METADATA, ["movie_title", "title_year", "imdb_score", "movie_imdb_link"])
    trailers = _read(project.excels / TRAILERS, ["youtubeId", "title"])
    dropped: list[tuple[str, int, str, str]] = []
    films = _films(scores, dropped)
    by_key = _trailers_by_key(trailers, dropped)
    _attach(films, by_key, dropped)
    table = pd.DataFrame([film for film in films if film["youtube_id"]], columns=COLUMNS)
    table = table.astype({"year": "int64", "score": "float64", "runtime_minutes": "Int64", "votes": "Int64"})
    if table.empty:
        raise TrailerError(
            f"{project.excels}: no film has both a score and a trailer: do the two tables speak of the same films?"
        )
    lost = pd.DataFrame(sorted(dropped), columns=["file", "row", "title", "reason"])
    return Catalog(table, lost, {METADATA: len(scores), TRAILERS: len(trailers)})


def normal_title(title: str) -> str:
    """A title for comparing: "Matrix, The" -> "the matrix"; no case, accents, punctuation or no-break spaces."""
    title = " ".join(title.split())
    moved = re.fullmatch(rf"(.*), ({ARTICLES})", title, re.IGNORECASE)
    if moved:
        title = f"{moved[2]} {moved[1]}".replace("' ", "'")
    # An apostrophe joins ("Ocean's" is "oceans"), every other sign parts; "_" is what the original put for ":".
    title = re.sub(r"['’‘`´]", "", title)
    plain = unicodedata.normalize("NFKD", title.replace("&", " and ")).casefold()
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    # A title of signs alone ("$") is compared as it stands.
    return " ".join(re.sub(r"[\W_]+", " ", plain).split()) or title


def _read(path: Path, columns: list[str]) -> pd.DataFrame:
    """A CSV as text, with its row numbers as a spreadsheet shows them; TrailerError when it is not there or not so."""
    if not path.exists():
        raise TrailerError(f"{path} is missing: put the table there (README, 'Where the data comes from')")
    try:
        with warnings.catch_warnings():
            # index_col=False: a comma at the end of every row must not shift the columns; pandas warns that it did not.
            warnings.simplefilter("ignore", pd.errors.ParserWarning)
            table = pd.read_csv(path, dtype=str, index_col=False, keep_default_na=False, encoding="utf-8-sig")
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        reason = " ".join(str(error).split())
        raise TrailerError(f"{path}: not a CSV table in UTF-8 ({reason}): save it as one") from error
    missing = [column for column in columns if column not in table]
    if missing:
        raise TrailerError(f"{path}: no column {missing[0]!r}; it has {', '.join(table.columns[:8])}")
    return table.assign(row=range(2, len(table) + 2))


def _films(scores: pd.DataFrame, dropped: list) -> list[dict]:
    """One record a film, its youtube_id still empty."""
    films: dict[str, dict] = {}
    for row in scores.to_dict("records"):
        film, reason = _film(row)
        if film["imdb_id"] in films:
            reason = "the film is in an earlier row"
        if reason:
            dropped.append((METADATA, film["row"], film["title"], reason))
        else:
            films[film["imdb_id"]] = film
    return list(films.values())


def _film(row: dict) -> tuple[dict, str]:
    """A row of the score table as a film, and why it can't be one ("" when it can)."""
    imdb_id = IMDB_ID.search(row["movie_imdb_link"])
    film = {
        "row": row["row"],
        "imdb_id": imdb_id[0] if imdb_id else "",
        "title": " ".join(row["movie_title"].split()),
        "year": _number(row["title_year"]),
        "score": _number(row["imdb_score"]),
        "youtube_id": "",
        "url": "",
        "genres": row.get("genres", ""),
        "runtime_minutes": _number(row.get("duration", "")),
        "votes": _number(row.get("num_voted_users", "")),
    }
    if not imdb_id:
        return film, "no IMDb id in the link"
    if film["year"] is None:
        return film, "no year (a series?)"
    if film["score"] is None or not 1 <= film["score"] <= 10:
        return film, "no score from 1 to 10"
    return film, ""


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) < 1e12 else None  # no infinity, and nan compares false


def _trailers_by_key(trailers: pd.DataFrame, dropped: list) -> dict[tuple[str, int], list[str]]:
    """(normal title, year) -> the trailers' ids. Titles in brackets are keys too, unless a film has them first."""
    own, other = defaultdict(list), defaultdict(list)
    for row in trailers.to_dict("records"):
        title, year = _split_year(row["title"])
        if not YOUTUBE_ID.fullmatch(row["youtubeId"]):
            dropped.append((TRAILERS, row["row"], row["title"], "the YouTube id is not 11 letters, digits, - or _"))
        elif year is None:
            dropped.append((TRAILERS, row["row"], row["title"], "no (year) at the end of the title"))
        else:
            first, *others = _alternatives(title)
            own[first, year].append(row["youtubeId"])
            for name in others:
                other[name, year].append(row["youtubeId"])
    return {**other, **own}


def _split_year(title: str) -> tuple[str, int | None]:
    match = re.fullmatch(r"(.*?)\s*\((\d{4})\)\s*", title, re.DOTALL)
    return (match[1], int(match[2])) if match else (title, None)


def _alternatives(title: str) -> list[str]:
    """The normal forms of a title and of those in its brackets: "Seven (a.k.a. Se7en)" -> seven, se7en."""
    bracketed = re.findall(r"\(([^()]*)\)", title)
    names = [re.sub(r"\([^()]*\)", " ", title), *(re.sub(r"^a\.?k\.?a\.?\s+", "", name) for name in bracketed)]
    return [normal_title(name) for name in names if name.strip()]


def _attach(films: list[dict], by_key: dict[tuple[str, int], list[str]], dropped: list) -> None:
    """Give each film its trailer: exact year first; a year off by one only where nothing else can be meant."""
    keys = Counter((normal_title(film["title"]), film["year"]) for film in films)
    titles = Counter(title for title, _ in keys.elements())
    years = defaultdict(list)
    for title, year in by_key:
        years[title].append(year)
    for film in films:
        title, year = normal_title(film["title"]), film["year"]
        near = [other for other in years[title] if abs(other - year) == 1]
        if keys[title, year] > 1:
            dropped.append((METADATA, film["row"], film["title"], "another film has this title and year"))
        elif (title, year) in by_key:
            film["youtube_id"] = by_key[title, year][0]
        elif len(near) == 1 and len(years[title]) == 1 and titles[title] == 1 and len(by_key[title, near[0]]) == 1:
            film["youtube_id"] = by_key[title, near[0]][0]
        else:
            dropped.append((METADATA, film["row"], film["title"], "no trailer of this title and year in the list"))
