"""Which films: the spreadsheets in excels/ -> one table of films with score and trailer, and why rows were dropped."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from trailer_lib import files, joins, own_table
from trailer_lib.errors import TrailerError
from trailer_lib.joins import METADATA, TRAILERS, Draft
from trailer_lib.project import Project

__all__ = ["COLUMNS", "METADATA", "TRAILERS", "Catalog", "load", "trailer_keys"]
COLUMNS = [
    "imdb_id", "title", "year", "score", "youtube_id", "genres", "runtime_minutes", "votes", "url",
    "joined_by", "shared",
]  # fmt: skip
NUMBERS = {"year": "int64", "score": "float64", "runtime_minutes": "Int64", "votes": "Int64"}


@dataclass(frozen=True)
class Catalog:
    """`films`: one row a film, columns COLUMNS, `imdb_id` unique. `dropped`: file, row, title, reason.

    `joined_by` is "id", "title and year", "first of several" (the list has other films of this title and year), "year
    off by one" or "own table". `shared` says that another row has the same
    trailer, which may then be of either film. `rows` counts the rows of each spreadsheet: each is of a film or in
    `dropped`; IMDb's own tables, in which films are only looked up, are not counted. `scores_from` names the table
    that the scores are from and its day.
    """

    films: pd.DataFrame
    dropped: pd.DataFrame
    rows: dict[str, int]
    scores_from: str

    def reasons(self) -> pd.DataFrame:
        """How many rows of each file were dropped for each reason."""
        counts = self.dropped.groupby(["file", "reason"], sort=True).size()
        return (
            counts.rename("rows")
            .reset_index()
            .sort_values(["file", "rows"], ascending=[True, False], ignore_index=True)
        )

    def summary(self) -> str:
        """What was read, what came of it, and the table of reasons."""
        joined = ", ".join(f"{how}: {count}" for how, count in self.films.joined_by.value_counts().items())
        lines = [f"{name}: {rows} rows" for name, rows in self.rows.items()]
        lines += [f"{len(self.films)} films with a score and a trailer (joined by {joined})"]
        lines += [f"{self.films.shared.sum()} of them have a trailer that another row has too"]
        lines += [f"scores from {self.scores_from}"]
        return "\n".join([*lines, "no row dropped" if self.dropped.empty else self.reasons().to_string(index=False)])

    def shuffled(self, seed: int, count: int) -> pd.DataFrame:
        """`count` films drawn with `seed`, all of them if 0: the order depends on the films' ids, not on the files'."""
        films = self.films.sort_values("imdb_id").sample(frac=1, random_state=seed, ignore_index=True)
        return films.head(count) if count else films

    def save(self, path: Path) -> None:
        """Write the films as CSV, with a column `scores_from`; as excels/films.csv it is a catalogue by itself."""
        _write_csv(self.films.assign(scores_from=self.scores_from), path)

    def save_dropped(self, path: Path) -> None:
        """Write every dropped row as CSV: file, row, title, reason."""
        _write_csv(self.dropped, path)


def _write_csv(table: pd.DataFrame, path: Path) -> None:
    with files.atomic_path(path) as temporary:
        table.to_csv(temporary, index=False)


def load(project: Project, min_votes: int = 0) -> Catalog:
    """The films of excels/: the user's own films.csv where it is there, else the join of score table and trailer list.

    Films with fewer than `min_votes` votes, or an unknown number, are dropped; 0 takes all.
    """
    folder = project.excels
    draft = own_table.read(folder) if (folder / own_table.OWN).is_file() else joins.join(folder)
    if min_votes:
        draft.sift(lambda film: f"fewer than {min_votes} votes" if (film["votes"] or 0) < min_votes else "")
    dropped = pd.DataFrame(sorted(draft.dropped), columns=["file", "row", "title", "reason"])
    if not draft.films:
        often = f"; {dropped.reason.mode()[0]}: {dropped.reason.value_counts().iloc[0]} rows" if len(dropped) else ""
        raise TrailerError(f"{folder}: no film has both a score and a trailer (read {', '.join(draft.rows)}{often})")
    return Catalog(_table(draft), dropped, draft.rows, draft.scores_from)


def _table(draft: Draft) -> pd.DataFrame:
    films = pd.DataFrame([{"url": ""} | film for film in draft.films])
    films["shared"] = [draft.trailers[trailer] > 1 for trailer in trailer_keys(films)]
    return films[COLUMNS].astype(NUMBERS)


def trailer_keys(films: pd.DataFrame) -> pd.Series:
    """What stands for each film's trailer: its YouTube id, else its link; the film's own id where it has neither."""
    trailers = films.youtube_id.where(films.youtube_id != "", films.url)
    return trailers.where(trailers != "", films.imdb_id)
