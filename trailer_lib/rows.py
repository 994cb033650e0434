"""OUT.csv of many answers: a row a trailer, appended as they come, and read again to go on after a stop."""

import csv
import io
import os
from pathlib import Path

from trailer_lib import files
from trailer_lib.errors import TrailerError

ENDS = ("low80", "high80", "low95", "high95")
COLUMNS = (
    "trailer", "imdb_id", "score", *ENDS, "constant", "warnings", "reason", "sampled", "kept", "seconds", "model",
)  # fmt: skip


class Rows:
    """The table at `path`. `done`: the trailers that `model` has scored already.

    Rows without a score are taken out, to be tried again; a last line that a crash tore is taken out, too.
    TrailerError when the file is another table: it is left as it is.
    """

    def __init__(self, path: Path, model: str) -> None:
        kept = [row for row in _read(path) if row["score"] or row["model"] != model]
        self.path, self.done = path, {row["trailer"] for row in kept if row["model"] == model}
        files.write_text(path, _text([dict(zip(COLUMNS, COLUMNS)), *kept]))

    def append(self, rows: list[dict]) -> None:
        """Add rows with one write that outlives a power cut."""
        data = _text(rows).encode("utf-8", "surrogateescape")
        with files.room(self.path, lambda: len(data)), open(self.path, "ab") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())


def _read(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    text = path.read_bytes().decode("utf-8", "replace")
    whole = text[: text.rfind("\n") + 1]
    table = csv.DictReader(io.StringIO(whole, newline=""), restkey="more")
    if text and tuple(table.fieldnames or ()) != COLUMNS:
        raise TrailerError(f"{path}: another table, without the columns of answers: name a new file for --csv")
    return [row for row in table if "more" not in row and None not in row.values()]


def _text(rows: list[dict]) -> str:
    text = io.StringIO(newline="")
    csv.DictWriter(text, COLUMNS, lineterminator="\n").writerows(rows)
    return text.getvalue()
