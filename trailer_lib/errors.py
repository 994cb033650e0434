"""The errors that a user can fix: one line each, with the value, the place and the remedy."""

import difflib
from collections.abc import Iterable


class TrailerError(Exception):
    """Something the user can fix; its text is shown as it is, without a traceback."""

    def _render_traceback_(self) -> list[str]:  # IPython shows this in place of a traceback
        return [f"{type(self).__name__}: {self}"]


class SourceError(TrailerError):
    """What could not be fetched. `kind` is for the ledger; `retry_after`: seconds, as the server asks."""

    def __init__(self, kind: str, text: str, permanent: bool, retry_after: float = 0.0) -> None:
        super().__init__(text)
        self.kind, self.permanent, self.retry_after = kind, permanent, retry_after


class Stopped(KeyboardInterrupt):
    """Ctrl-C or a notebook's stop button; the text says what is saved and how to resume."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


def suggestion(word: object, choices: Iterable[str]) -> str:
    """', did you mean X?' for the choice closest to `word`, or the list of choices."""
    choices = list(choices)
    close = difflib.get_close_matches(str(word), choices, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"choose from {', '.join(choices)}"
