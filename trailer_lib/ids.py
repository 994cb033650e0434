"""The keys of films and trailers: their one definition, for the spreadsheets, the folders and the sources."""

import re

IMDB_ID = re.compile(r"tt[0-9]{7,10}")
# A film of the user's own table without an IMDb id: see `own_table.own_id`.
OWN_ID = re.compile(r"own-[0-9a-f]{10}")
FILM_ID = re.compile(f"{IMDB_ID.pattern}|{OWN_ID.pattern}")
YOUTUBE_ID = re.compile(r"[0-9A-Za-z_-]{11}")
