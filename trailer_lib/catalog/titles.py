"""What identifies a film or a trailer: IMDb and YouTube ids, and titles, by which films and trailers are matched."""

import math
import re
import unicodedata
from collections import Counter, defaultdict
from urllib.parse import parse_qs, urlsplit

from trailer_lib import download
from trailer_lib.catalog.read_table import Row, parse_whole
from trailer_lib.errors import TrailerError

IMDB_ID = re.compile(r"tt[0-9]{7,10}")
# A film of the user's own table without an IMDb id: see `catalog.own_id`.
FILM_ID = re.compile(rf"{IMDB_ID.pattern}|own-[0-9a-f]{{10}}")
YOUTUBE_ID = re.compile(r"[0-9A-Za-z_-]{11}")
YOUTUBE = ("youtube.com", "youtu.be", "youtube-nocookie.com")
LINK = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")

ARTICLES = "The|A|An|La|Le|Les|L'|Il|Lo|El|Los|Las|Die|Der|Das|Un|Une|Den|Det"
# Letters that no decomposition takes apart, and signs that stand for something read aloud.
LETTERS = str.maketrans({"æ": "ae", "œ": "oe", "ø": "o", "¢": "c", "½": " 1/2", "&": " and "})
NUMERALS = {"ii": "2", "iii": "3", "iv": "4", "vi": "6", "vii": "7", "viii": "8", "ix": "9"}
LAST_YEAR_ROWS = 20  # rows of the list's last year; with fewer, it may not be the year when the list was made
# How a film and its trailer were matched, or why they were not.
EXACT, NEAR, CHOSEN = "title and year", "year off by one", "first of several"
SEVERAL = "several films have this title and year"
DAMAGED = "the YouTube id of its trailer is damaged"
MISSING = "no trailer of this title and year in the list"
SECOND = "another row gave the film its trailer"
Listed = tuple[Row, int, str, bool]  # a row of the trailer list, its year, a name of it, and whether the first


def youtube_id(link: str) -> str:
    """The id of the video that a link to YouTube shows, "" for another site's link."""
    parts = urlsplit(download.require_https(link))
    if not any(parts.hostname == host or parts.hostname.endswith(f".{host}") for host in YOUTUBE):
        return ""
    words = [*parse_qs(parts.query).get("v", []), *parts.path.split("/")]
    ids = [word for word in words if YOUTUBE_ID.fullmatch(word)]
    if not ids:
        raise TrailerError(f"{download.printable_url(link)}: no video's id in this link: copy the link of one video")
    return ids[0]


def normal_title(title: str) -> str:
    """A title for comparing: "Matrix, The" -> "the matrix"; no case, accents, punctuation or no-break spaces."""
    title = " ".join(title.split())
    if moved := re.fullmatch(rf"(.*), ({ARTICLES})", title, re.IGNORECASE):
        title = f"{moved[2]} {moved[1]}".replace("' ", "'")
    # An apostrophe joins ("Ocean's" is "oceans"), every other sign parts.
    title = re.sub(r"['’‘`´]", "", title)
    letters = unicodedata.normalize("NFKD", title.casefold().translate(LETTERS))
    plain = "".join(letter for letter in letters if not unicodedata.combining(letter))
    # A title of signs alone ("$") is compared as it stands.
    return " ".join(re.sub(r"[\W_]+", " ", plain).split()) or title


def title_key(title: str) -> str:
    """What the spellings of a title share: "Part II" is "part 2", "Old Boy" is "oldboy"."""
    return "".join(NUMERALS.get(word, word) for word in normal_title(title).split())


def split_year(title: str) -> tuple[str, int | None]:
    """ "Alien (1979)" -> "Alien", 1979; None where no year stands at the end."""
    match = re.fullmatch(r"(.*?)\s*\(([0-9]{4})\)\s*", title, re.DOTALL)
    return (match[1], int(match[2])) if match else (title, None)


def match_titles(films: list[Row], rows: list[Row]) -> tuple[list[tuple[Row | None, str]], dict[int, str]]:
    """For each film (title, year) its row of the trailer list and how they were matched, or None and the reason.

    `rows`: row, title, movieId, youtubeId. Also, by row number, why a row that a film matched did not become its
    trailer. The year may be off by one where title and neighbour are unique on both sides. No row serves two films.
    """
    by_title, last_year = _by_title(rows)
    years = Counter((title_key(film["title"]), film["year"]) for film in films)
    titles = Counter(title for title, _ in years.elements())
    matches, reasons = [], {}
    for film in films:
        title, year = title_key(film["title"]), film["year"]
        listed = [(row, first) for row, other, _, first in by_title[title] if other == year]
        # A first name goes before one in brackets.
        candidates, how = [row for row, first in listed if first] or [row for row, _ in listed], EXACT
        if not candidates and titles[title] == 1 and year <= last_year:
            candidates, how = _near(by_title[title], film["title"], year), NEAR
        row, remark = (None, SEVERAL) if years[title, year] > 1 else _choose(candidates)
        reasons |= {other["row"]: SECOND if row else remark for other in candidates}
        matches.append((row, remark or how))
    # Two films may match one row by different names of it: which is meant can't be told.
    times = Counter(row["row"] for row, _ in matches if row)
    reasons |= {number: SEVERAL for number, count in times.items() if count > 1}
    return [(None, SEVERAL) if row and times[row["row"]] > 1 else (row, how) for row, how in matches], reasons


def _by_title(rows: list[Row]) -> tuple[defaultdict[str, list[Listed]], float]:
    """title_key -> the rows of that title, and the last year of films that the list has.

    A row whose YouTube id is damaged is among them: it shows that there is another film of its title.
    """
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
    if len({row["row"] for row, *_ in listed}) != 1:
        return []
    row, other, name, _ = listed[0]
    same_signs = re.findall("[!?]", name) == re.findall("[!?]", title)
    return [row] if same_signs and abs(other - year) == 1 else []


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
    return usable[0], CHOSEN if others - {usable[0]["youtubeId"]} else ""
