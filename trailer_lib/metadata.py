"""What is known of a film before its release, beyond genres, running time and year: from the score table, by IMDb id.

Left out: votes, reviews, gross and users' keywords, which come after it, and Facebook's likes, which the table's
authors counted in 2016, when a film's success had already made its people known.
"""

import numpy as np
import pandas as pd

from trailer_lib import tables
from trailer_lib.catalog import METADATA
from trailer_lib.ids import IMDB_ID
from trailer_lib.project import Project

TEXTS = {
    "content_rating": "content_rating", "country": "country", "language": "language", "colour": "color",
    "director": "director_name", "actor_1": "actor_1_name", "actor_2": "actor_2_name", "actor_3": "actor_3_name",
}  # fmt: skip
NUMBERS = {"budget": "budget", "aspect_ratio": "aspect_ratio", "poster_faces": "facenumber_in_poster"}
COLUMNS = [*TEXTS, *NUMBERS]


def read(project: Project) -> pd.DataFrame:
    """A row a film of excels/movie_metadata.csv, by imdb_id, columns COLUMNS: text ("" where unknown), float (nan).

    `budget` is the log10 of the sum in the country's own currency. Of what the file lacks, there is no column.
    """
    path = project.excels / METADATA
    if not path.is_file():
        return pd.DataFrame(index=pd.Index([], name="imdb_id", dtype=str))
    table = tables.read(path, ["movie_imdb_link"], [*TEXTS.values(), *NUMBERS.values()])
    ids = [match[0] if (match := IMDB_ID.search(row["movie_imdb_link"])) else "" for row in table.rows]
    columns = {name: [row[there] for row in table.rows] for name, there in TEXTS.items() if there in table.columns}
    for name, there in NUMBERS.items():
        if there in table.columns:
            columns[name] = np.array([tables.number(row[there]) for row in table.rows], np.float64)
    films = pd.DataFrame(columns, index=pd.Index(ids, name="imdb_id", dtype=str))
    if "budget" in films:
        films["budget"] = np.log10(films.budget.where(films.budget > 0))
    return films[(films.index != "") & ~films.index.duplicated()]


def join(project: Project, films: pd.DataFrame) -> pd.DataFrame:
    """`films` (column imdb_id) with the columns of `read` that they lack; unknown where the table has not the film."""
    known = read(project).reindex(films.imdb_id).set_axis(films.index)
    known = known.fillna({name: "" for name in TEXTS if name in known})
    return films.join(known[known.columns.difference(films.columns, sort=False)])
