"""What identifies a film or a trailer: IMDb and YouTube ids, and titles, by which films and trailers are matched."""

import math
import re
import unicodedata
from collections import Counter, defaultdict
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from trailer_lib import download
from trailer_lib.catalog.read_table import Row, parse_whole
from trailer_lib.errors import TrailerError

if TYPE_CHECKING:
    import pandas as pd

# An id within a longer word is no id. For "own-..." see `catalog.own_id`.
IMDB_ID = re.compile(r"(?<![0-9A-Za-z])tt[0-9]{7,10}(?![0-9A-Za-z])")
FILM_ID = re.compile(rf"{IMDB_ID.pattern}|(?<![0-9A-Za-z])own-[0-9a-f]{{10}}(?![0-9A-Za-z])")
YOUTUBE_ID = re.compile(r"(?!videoseries|live_stream)[0-9A-Za-z_-]{11}")
YOUTUBE = re.compile(r"(?i:(https?:)?(//)?([a-z0-9-]+\.)*(youtube(-nocookie)?\.com|youtu\.be)(:[0-9]+)?(?=[/?#]|$))")
LINK = re.compile(rf"[A-Za-z][A-Za-z0-9+.-]*://|{YOUTUBE.pattern}")
NO_VIDEO = "no video's id in this link: copy the link of one video, not of a channel, playlist, hashtag or live stream"
# Files of trailers: "ID.mp4", yt-dlp's "Title [ID].mp4", youtube-dl's "Title-ID.mp4", "Title (Year).mp4".
SUFFIX = re.compile(r"(\.f[0-9]+)?\.[0-9A-Za-z]{2,5}$")
ID_IN_NAME = re.compile(rf"(?:^|\[|-)({YOUTUBE_ID.pattern})\]?$")
TITLE_IN_NAME = re.compile(r"(.+)\(([0-9]{4})\)", re.DOTALL)
ARTICLES = "The|A|An|La|Le|Les|L'|Il|Lo|El|Los|Las|Die|Der|Das|Un|Une|Den|Det"
LETTERS = str.maketrans({"æ": "ae", "œ": "oe", "þ": "th"} | dict(zip("øłđðı¢", "olddic")))  # Unicode keeps them whole
NUMERALS = {"ii": "2", "iii": "3", "iv": "4", "vi": "6", "vii": "7", "viii": "8", "ix": "9"}
LAST_YEAR_ROWS = 20  # rows of the list's last year; with fewer, it may not be the year when the list was made
EXACT = "title and year"
SEVERAL = "several films have this title and year"
DAMAGED = "the YouTube id of its trailer is damaged"
MISSING = "no trailer of this title and year in the list"
SECOND = "another row gave the film its trailer"
Listed = tuple[Row, int, str, bool]  # a row of the trailer list, its year, a name of it, and whether the first


def youtube_id(link: str) -> str:
    """The video id of a YouTube link, "" for a link to another site; TrailerError for a YouTube link to no video."""
    if not (site := YOUTUBE.match(link)):
        download.require_https(link)
        return ""
    parts = urlsplit(link[site.end() :])
    first, second, *_ = [*parts.path.strip("/").split("/"), ""]
    if first in ("", "watch", "watch_popup"):
        second = parse_qs(parts.query).get("v", [second])[0]
    elif first not in ("shorts", "embed", "live", "v", "e"):
        second = first if site[4].lower() == "youtu.be" else ""
    if not YOUTUBE_ID.fullmatch(second):
        raise TrailerError(f"{download.printable_url(link)}: {NO_VIDEO}")
    return second


def video_id(text: str) -> str:
    """The YouTube id of a cell that has an id or a link to YouTube, "" where it has neither."""
    try:
        return text if YOUTUBE_ID.fullmatch(text) else youtube_id(text)
    except TrailerError:
        return ""


def normal_title(title: str) -> str:
    """A title for comparing: "Matrix, The" -> "the matrix"; no case, accents, punctuation or no-break spaces."""
    title = " ".join(title.split())
    if moved := re.fullmatch(rf"(.*), ({ARTICLES})", title, re.IGNORECASE):
        title = f"{moved[2]} {moved[1]}".replace("' ", "'")
    # An apostrophe joins ("Ocean's" is "oceans"), every other sign parts.
    title = re.sub(r"['’‘`´\ufe0f]", "", title).replace("½", " 1/2").replace("&", " and ")
    letters = unicodedata.normalize("NFKD", title).casefold().translate(LETTERS)
    # Latin and Greek accents go; in other scripts a mark may be a vowel, or make another letter.
    letters = re.sub(r"([a-zα-ω])[\u0300-\u036f]+", r"\1", letters)
    plain = "".join(sign if sign.isalnum() or unicodedata.category(sign)[0] == "M" else " " for sign in letters)
    # A title of signs alone ("$") is compared as it stands.
    return " ".join(plain.split()) or title


def title_key(title: str) -> str:
    """What the spellings of a title share: "Part II" is "part 2", "Old Boy" is "oldboy"."""
    return "".join(NUMERALS.get(word, word) for word in normal_title(title).split())


def split_year(title: str) -> tuple[str, int | None]:
    """ "Alien (1979)" -> "Alien", 1979; None where no year stands at the end."""
    match = re.fullmatch(r"(.*?)\s*\(([0-9]{4})\)\s*", title, re.DOTALL)
    return (match[1], int(match[2])) if match else (title, None)


def match_titles(films: list[Row], rows: list[Row]) -> tuple[list[tuple[Row | None, str]], dict[int, str]]:
    """Match films (title, year) to `rows` of the trailer list (row, title, movieId, youtubeId).

    For each film its row and how, or None and why not; by row number why a row that a film matched is not its trailer.
    """
    by_title, last_year = _by_title(rows)
    years = Counter((title_key(film["title"]), film["year"]) for film in films)
    titles = Counter(title for title, _ in years.elements())
    matches, reasons = [], {}
    for film in films:
        title, year = title_key(film["title"]), film["year"]
        listed = [(row, first) for row, other, _, first in by_title[title] if other == year]
        # The main title goes before one in brackets.
        candidates, how = [row for row, first in listed if first] or [row for row, _ in listed], EXACT
        if not candidates and titles[title] == 1 and year <= last_year:
            candidates, how = _near(by_title[title], film["title"], year), "year off by one"
        row, remark = (None, SEVERAL) if years[title, year] > 1 else _choose(candidates)
        reasons |= {other["row"]: SECOND if row else remark for other in candidates}
        matches.append((row, remark or how))
    # Two films may match one row by different names of it.
    times = Counter(row["row"] for row, _ in matches if row)
    reasons |= {number: SEVERAL for number, count in times.items() if count > 1}
    return [(None, SEVERAL) if row and times[row["row"]] > 1 else (row, how) for row, how in matches], reasons


def _by_title(rows: list[Row]) -> tuple[defaultdict[str, list[Listed]], float]:
    """title_key -> the rows of that title, also those with a damaged YouTube id; and the last year of the list."""
    by_title, years = defaultdict(list), Counter()
    for row in rows:
        title, year = split_year(row["title"])
        if year is not None:
            years[year] += 1
            bracketed = [re.sub(r"^a\.?k\.?a\.?\s+", "", name) for name in re.findall(r"\(([^()]*)\)", title)]
            # "Seven (a.k.a. Se7en)" is Seven and Se7en. The brackets may belong to it: "(500) Days of Summer".
            for place, name in enumerate([re.sub(r"\([^()]*\)", " ", title), *bracketed, title]):
                if name.strip():
                    by_title[title_key(name)].append((row, year, name, place == 0))
    last = max(years, default=0)
    return by_title, last if years[last] >= LAST_YEAR_ROWS else math.inf


def _near(listed: list[Listed], title: str, year: int) -> list[Row]:
    """The row of this title with the year off by one, if the list has the title once; "Barfi!" is not "Barfi" here."""
    rows = {row["row"] for row, *_ in listed}
    signs = re.findall("[!?]", title)
    near = [row for row, other, name, _ in listed if abs(other - year) == 1 and re.findall("[!?]", name) == signs]
    return near[:1] if len(rows) == 1 else []


def _choose(candidates: list[Row]) -> tuple[Row | None, str]:
    """The row to take, or None; and a remark: why there is none, or that it was a choice."""
    if not candidates:
        return None, MISSING
    # MovieLens numbered the better known films first; rows of one number are trailers of one film.
    first = min(candidates, key=lambda row: (parse_whole(row["movieId"]) or 0, row["row"]))
    usable = [r for r in candidates if r["movieId"] == first["movieId"] and YOUTUBE_ID.fullmatch(r["youtubeId"])]
    if not usable:
        return None, DAMAGED
    others = {row["youtubeId"] for row in candidates if row["movieId"] != first["movieId"]}
    return usable[0], "first of several" if others - {usable[0]["youtubeId"]} else ""


def explain_files(names: list[str], films: "pd.DataFrame") -> dict[str, tuple[str, str]]:
    """imdb_id -> which of `names` is its trailer's file, and how it matched: "file", "YouTube id", "IMDb id", EXACT."""
    # "file" is the column of the user's table. Title and year match only where one film has them.
    index = {key: name for name in reversed(names) for key in name_keys(name)}  # the first of two names counts
    years, titles, matches = {key[1][1] for key in index if key[0] == EXACT}, Counter(), {}
    for film in films.itertuples():
        file = _base_name(getattr(film, "file", "")).casefold()
        keys = [("file", file), ("YouTube id", film.youtube_id), ("IMDb id", film.imdb_id)]
        if film.year in years:
            keys.append((EXACT, (title_key(film.title), film.year)))
            titles[keys[-1]] += 1
        if key := next((key for key in keys if key in index), None):
            matches[film.imdb_id] = key
    return {imdb_id: (index[key], key[0]) for imdb_id, key in matches.items() if titles[key] < 2}


def find_film(trailer: str, films: "pd.DataFrame") -> dict[str, Any]:
    """The row of the catalogue's `films` that matches a trailer's link or file name, {} when none or several do."""
    matches = explain_files([trailer], films)
    rows = films[films.imdb_id.isin(matches)].to_dict("records")
    # A shared YouTube id may be of another row's film.
    certain = len(rows) == 1 and not (rows[0]["shared"] and matches[rows[0]["imdb_id"]][1] == "YouTube id")
    return rows[0] if certain else {}


def name_keys(name: str) -> list[tuple[str, Any]]:
    """The keys of the film in a link or a file's name: the kind of key, and an id, or (title_key, year)."""
    if LINK.match(name):
        return [("YouTube id", video)] if (video := youtube_id(name)) else []
    name = _base_name(name)
    stem, keys = SUFFIX.sub("", name), [("file", name.casefold())]
    keys += [("YouTube id", video) for video in ID_IN_NAME.findall(stem)]
    keys += [("IMDb id", imdb_id) for imdb_id in FILM_ID.findall(stem)]
    return keys + [(EXACT, (title_key(title), int(year))) for title, year in TITLE_IN_NAME.findall(stem)]


def _base_name(path: str) -> str:
    return unicodedata.normalize("NFC", PurePosixPath(path.replace("\\", "/")).name)
