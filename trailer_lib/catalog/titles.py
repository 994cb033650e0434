"""Titles for comparing, and which films and trailers meet by title and year."""

import math
import re
import unicodedata
from collections import Counter, defaultdict
from urllib.parse import parse_qs, urlsplit

from trailer_lib import download
from trailer_lib.catalog.read_table import Row, parse_whole
from trailer_lib.errors import TrailerError

IMDB_ID = re.compile(r"tt[0-9]{7,10}")
# A film of the user's own table without an IMDb id: see `own_table.own_id`.
OWN_ID = re.compile(r"own-[0-9a-f]{10}")
FILM_ID = re.compile(f"{IMDB_ID.pattern}|{OWN_ID.pattern}")
YOUTUBE_ID = re.compile(r"[0-9A-Za-z_-]{11}")

YOUTUBE = ("youtube.com", "youtu.be", "youtube-nocookie.com")
LINK = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


def youtube_id(link: str) -> str:
    """The id of the video that a link to YouTube shows, "" for another site's link."""
    parts = urlsplit(download.require_https(link))
    if not any(parts.hostname == host or parts.hostname.endswith(f".{host}") for host in YOUTUBE):
        return ""
    words = [*parse_qs(parts.query).get("v", []), *parts.path.split("/")]
    found = [word for word in words if YOUTUBE_ID.fullmatch(word)]
    if not found:
        raise TrailerError(f"{download.printable_url(link)}: no video's id in this link: copy the link of one video")
    return found[0]


ARTICLES = "The|A|An|La|Le|Les|L'|Il|Lo|El|Los|Las|Die|Der|Das|Un|Une|Den|Det"
# Letters that no decomposition takes apart, and signs that stand for something read aloud.
LETTERS = str.maketrans(
    {"æ": "ae", "Æ": "ae", "œ": "oe", "Œ": "oe", "ø": "o", "Ø": "o", "¢": "c", "½": " 1/2", "&": " and "}
)
NUMERALS = {"ii": "2", "iii": "3", "iv": "4", "vi": "6", "vii": "7", "viii": "8", "ix": "9"}
END = 20  # rows of the list's last year; with fewer, that the list stops there tells nothing
SEVERAL = "several films have this title and year"
DAMAGED = "the YouTube id of its trailer is damaged"
MISSING = "no trailer of this title and year in the list"
CHOSEN = "first of several"
SECOND = "another row gave the film its trailer"


def normal_title(title: str) -> str:
    """A title for comparing: "Matrix, The" -> "the matrix"; no case, accents, punctuation or no-break spaces."""
    title = " ".join(title.split())
    moved = re.fullmatch(rf"(.*), ({ARTICLES})", title, re.IGNORECASE)
    if moved:
        title = f"{moved[2]} {moved[1]}".replace("' ", "'")
    # An apostrophe joins ("Ocean's" is "oceans"), every other sign parts; "_" is what the original put for ":".
    title = re.sub(r"['’‘`´]", "", title)
    plain = unicodedata.normalize("NFKD", title.translate(LETTERS)).casefold()
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    # A title of signs alone ("$") is compared as it stands.
    return " ".join(re.sub(r"[\W_]+", " ", plain).split()) or title


def title_key(title: str) -> str:
    """What the spellings of a title share: "Part II" is "part 2", "Old Boy" is "oldboy"."""
    return "".join(NUMERALS.get(word, word) for word in normal_title(title).split())


def split_year(title: str) -> tuple[str, int | None]:
    """ "Alien (1979)" -> "Alien", 1979; None where no year stands at the end."""
    match = re.fullmatch(r"(.*?)\s*\(([0-9]{4})\)\s*", title, re.DOTALL)
    return (match[1], int(match[2])) if match else (title, None)


def title_variants(title: str) -> list[str]:
    """A title without its brackets, then what else it goes by: "Seven (a.k.a. Se7en)" -> Seven, Se7en."""
    bracketed = [re.sub(r"^a\.?k\.?a\.?\s+", "", name) for name in re.findall(r"\(([^()]*)\)", title)]
    # Its brackets may belong to it: "(500) Days of Summer".
    found = [re.sub(r"\([^()]*\)", " ", title), *bracketed, title]
    return [name for name in found if name.strip()]


class TrailerList:
    """The rows of a trailer list (row, title, movieId, youtubeId) by title and year.

    A row whose YouTube id is damaged is among them: it says that there is another film of its title.
    """

    def __init__(self, rows: list[Row]) -> None:
        self.own, self.other = defaultdict(list), defaultdict(list)
        self.by_title: defaultdict[str, dict[int, tuple[Row, int, str]]] = defaultdict(dict)
        years: Counter[int] = Counter()
        for row in rows:
            title, year = split_year(row["title"])
            if year is None:
                continue
            years[year] += 1
            for place, name in enumerate(title_variants(title)):
                (self.other if place else self.own)[title_key(name), year].append(row)
                self.by_title[title_key(name)].setdefault(row["row"], (row, year, name))
        last = max(years, default=0)
        self.end = last if years[last] >= END else math.inf

    def exact(self, title: str, year: int) -> list[Row]:
        """The rows of this title and year; a title of its own goes before one in brackets."""
        both = title_key(title), year
        return self.own.get(both) or self.other.get(both) or []

    def near(self, title: str, year: int) -> list[Row]:
        """The row of this title with the year off by one, if the list has the title just once.

        Here "!" and "?" count: "Barfi!" (2012) is not "Barfi" (2013). A film made after the list's end is not in it.
        """
        found = list(self.by_title.get(title_key(title), {}).values())
        if len(found) != 1 or year > self.end:
            return []
        row, other, name = found[0]
        same = re.findall("[!?]", name) == re.findall("[!?]", title)
        return [row] if same and abs(other - year) == 1 else []


def match_titles(films: list[Row], rows: list[Row]) -> tuple[list[tuple[Row | None, str]], dict[int, str]]:
    """For each film (title, year) its row of the trailer list and how they met, or None and why it has none.

    Also why a row of the list that a film asked for did not become its trailer, by row number. The year may be off by
    one where title and neighbour are unique on both sides. No row serves two films.
    """
    listed = TrailerList(rows)
    years = Counter((title_key(film["title"]), film["year"]) for film in films)
    titles = Counter(title for title, _ in years.elements())
    answers, asked = [], {}
    for film in films:
        title, year = title_key(film["title"]), film["year"]
        found, how = listed.exact(film["title"], year), "title and year"
        if not found and titles[title] == 1:
            found, how = listed.near(film["title"], year), "year off by one"
        row, told = (None, SEVERAL) if years[title, year] > 1 else _one(found)
        asked |= {other["row"]: SECOND if row else told for other in found}
        answers.append((row, told or how))
    return _unshared(answers, asked), asked


def _one(found: list[Row]) -> tuple[Row | None, str]:
    """The row to take of those that fit, or None; with it what is to be told: why none, or that it was a choice."""
    if not found:
        return None, MISSING
    # MovieLens numbered the better known films first; rows of one number are trailers of one film.
    first = min(found, key=lambda row: (parse_whole(row["movieId"]) or 0, row["row"]))
    usable = [row for row in found if row["movieId"] == first["movieId"] and YOUTUBE_ID.fullmatch(row["youtubeId"])]
    if not usable:
        return None, DAMAGED
    others = {row["youtubeId"] for row in found if row["movieId"] != first["movieId"]}
    return usable[0], CHOSEN if others - {usable[0]["youtubeId"]} else ""


def _unshared(answers: list[tuple[Row | None, str]], asked: dict[int, str]) -> list[tuple[Row | None, str]]:
    """Two films that met the same row, by different names of it: which is meant can't be told."""
    times = Counter(row["row"] for row, _ in answers if row)
    asked |= {number: SEVERAL for number, count in times.items() if count > 1}
    return [(None, SEVERAL) if row and times[row["row"]] > 1 else (row, how) for row, how in answers]
