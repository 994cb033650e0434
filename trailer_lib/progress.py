"""A progress bar: tqdm's, on stderr in a terminal, and in a notebook as an output that is empty at the end."""

import html
import io
import sys
from typing import Any

from tqdm import tqdm


class NotebookBar(tqdm):
    """tqdm's line in an output of its own: its widget would leave a dead reference in the saved notebook."""

    def __init__(self, *args: Any, **options: Any) -> None:
        from IPython.display import HTML, display

        self.html, self.handle = HTML, display(HTML(""), display_id=True)
        super().__init__(*args, file=io.StringIO(), ncols=120, **options)

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        text = str(self) if msg is None else msg
        self.handle.update(self.html(f"<pre>{html.escape(text)}</pre>" if text else ""))


def bar(*args: Any, **options: Any) -> tqdm:
    """A tqdm over the arguments, gone when it is done."""
    kind = NotebookBar if in_notebook() and not options.get("disable") else tqdm
    return kind(*args, leave=False, **options)


def in_notebook() -> bool:
    # Not imported, IPython is not running; a terminal's IPython has no kernel.
    return "IPython" in sys.modules and hasattr(sys.modules["IPython"].get_ipython(), "kernel")
