"""One answer in a fresh process: another one draws the frames while this one imports torch and reads the model."""

import gc
import os
import pickle
import signal
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trailer_lib import interrupts
from trailer_lib.errors import TrailerError
from trailer_lib.settings import ScrapeSettings, TrainSettings

if TYPE_CHECKING:
    from trailer_lib.answer import Prediction

MOST = 64_000_000  # bytes of the facts in a model file; 2000 films take 0.5 MB
Drawn = tuple[ScrapeSettings, TrainSettings]  # how frames are drawn, and which of them are shown


def predict(trailer: str, model: Path, root: Path | None, film: dict[str, Any] | None) -> "Prediction":
    """What `Predictor.load(model, root).predict(trailer, film)` gives, sooner."""
    settings = drawn_by(model)
    with _drawing(trailer, settings) as taken, _uncollected():
        from trailer_lib.predict import Predictor

        predictor = Predictor.load(model, root, mapped=True)
        same = settings == (predictor.learned.scrape, predictor.learned.settings)
        return predictor.predict(trailer, film, taken=taken if same else None)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without Python's search for cycles, which takes a third of torch's import and of the process's end."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


@contextmanager
def _drawing(trailer: str, settings: Drawn | None) -> Iterator[Callable | None]:
    """Begin to draw the frames; the function that is given waits for them. None without settings.

    A process and not a thread: importing holds Python's lock, for which decoding would wait a thousand times.
    """
    if settings is None:
        yield None
        return
    context = get_context("spawn")
    there, here = context.Pipe(duplex=False)
    process = context.Process(target=_draw, args=(here, trailer, *settings), daemon=True)
    with interrupts.unseen():
        process.start()
    here.close()  # so that the pipe ends with the process
    try:
        yield partial(_received, there)
    finally:
        process.terminate()
        process.join()


def _draw(pipe: Connection, trailer: str, scrape: ScrapeSettings, train: TrainSettings) -> None:
    try:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what was downloaded is cleared away
        from trailer_lib import intake, shown

        others = max(1, (os.cpu_count() or 1) - 1)  # a core is busy with torch
        pipe.send(shown.dealt(intake.take_in(trailer, scrape, lambda step: None, threads=others), train))
    except KeyboardInterrupt:
        pass
    except shown.FAILURES as error:
        pipe.send(shown.in_a_line(error))
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # nothing is left to clear


def _received(pipe: Connection) -> Any:
    try:
        found = pipe.recv()
    except EOFError:
        raise TrailerError("the process that draws the frames died: see that memory is left, and run again") from None
    if isinstance(found, str):
        raise TrailerError(found)
    return found


def drawn_by(model: Path) -> Drawn | None:
    """How the model's frames are drawn, out of its file without torch; None where that can't be read so."""
    try:
        with zipfile.ZipFile(model) as archive:
            (entry,) = (entry for entry in archive.infolist() if entry.filename.endswith("/data.pkl"))
            if entry.file_size > MOST or entry.compress_type != zipfile.ZIP_STORED:
                return None
            with archive.open(entry) as file:
                facts = _Facts(file).load()["trailer_lib"]
        source = "the model file"
        return ScrapeSettings.layered({source: facts["scrape"]}), TrainSettings.layered({source: facts["settings"]})
    except Exception:  # a damaged or hostile file, which Predictor.load tells of
        return None


class _Facts(pickle.Unpickler):
    """Numbers, texts, lists and dicts; whatever else is in the pickle becomes None, and nothing is looked up."""

    def find_class(self, module: str, name: str) -> Any:
        return OrderedDict if (module, name) == ("collections", "OrderedDict") else _nothing

    def persistent_load(self, pid: object) -> None:
        return None


def _nothing(*args: object) -> None:
    return None
