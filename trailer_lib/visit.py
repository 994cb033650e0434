"""One visitor's trailer, answered for a page: HTML in parts, or one line that names no folder of this machine."""

import os
import re
import shutil
import sys
import tempfile
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from trailer_lib import answer_html, intake, links
from trailer_lib.errors import TrailerError
from trailer_lib.predict import Predictor

LARGEST = 200_000_000  # bytes of an upload
FOLDERS = re.compile(r"(?<![\w:/.])(?:/|[A-Za-z]:\\)(?:[^\s/\\:'\"]+[/\\])+")  # before a file's name
NOTHING = "Drop a trailer, or paste a link to one."
OUR_FAULT = "This machine could not answer, and its console says why: try another trailer."

Parts = tuple[str, str, str]  # HTML: the answer, its frames, similar films


def keep(upload: str | None, before: str | None) -> str | None:
    """An upload under a name of its own, in place of the one `before`; that one if it is of the same upload.

    The page's server gives equal files of two visitors one name, and the first one's answer would end the other's.
    """
    if upload and before and Path(before).parent.parent == Path(upload).parent:
        return before
    drop(before)
    if upload is None:
        return None
    own = Path(tempfile.mkdtemp(dir=Path(upload).parent), Path(upload).name)
    os.link(upload, own)
    return str(own)


def drop(own: str | None) -> None:
    """Delete what `keep` made, and the upload itself."""
    if own is None:
        return
    folder, name = Path(own).parent, Path(own).name
    shutil.rmtree(folder, ignore_errors=True)
    (folder.parent / name).unlink(missing_ok=True)
    with suppress(OSError):  # another visitor's equal file is in it
        folder.parent.rmdir()


@dataclass(frozen=True)
class Visits:
    """Answers for a page whose uploads lie in `scratch`."""

    predictor: Predictor
    scratch: Path

    def answer(self, upload: str | None, link: str, progress: Callable[[float, str], object]) -> Parts:
        """The answer to an upload, else to a link; in its place one line when there is none."""
        try:
            if upload:
                intake.refuse_long(Path(upload), Path(upload).name)
            elif not link.strip():
                raise TrailerError(NOTHING)
            trailer = upload or links.checked(link.strip())
            strip = self.predictor.predict(trailer, progress=progress).strip()
            strip = replace(strip, alerts=[self.public(text) for text in strip.alerts])
            answer, frames, similar = map(answer_html.element, answer_html.parts(strip))
            return answer, frames, similar
        except TrailerError as error:
            return answer_html.element(answer_html.alert(self.public(str(error)))), "", ""
        except Exception:  # a visitor's file must not end the page, whatever it does to the libraries
            traceback.print_exc(file=sys.stderr)
            return answer_html.element(answer_html.alert(OUR_FAULT)), "", ""

    def public(self, text: str) -> str:
        """The text in one line and without this machine's folders."""
        for folder in filter(None, (self.predictor.root, self.scratch)):
            text = text.replace(f"{folder}{os.sep}", "").replace(str(folder), "")
        return FOLDERS.sub("", " ".join(text.split()))
