"""One answer in a fresh process: the frames are drawn while torch is being imported and the model read."""

import pickle
import zipfile
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trailer_lib.intake import Intake, take_in
from trailer_lib.settings import ScrapeSettings

if TYPE_CHECKING:
    from trailer_lib.answer import Prediction

MOST = 64_000_000  # bytes of the facts in a model file; 2000 films take 0.5 MB


def predict(trailer: str, model: Path, root: Path | None, film: dict[str, Any] | None) -> "Prediction":
    """What `Predictor.load(model, root).predict(trailer, film)` gives, sooner."""
    settings = scrape_settings(model)
    with ThreadPoolExecutor(1) as pool:
        taken: Future[Intake] | None = None
        if settings:
            taken = pool.submit(take_in, trailer, settings, root or Path.cwd(), lambda step: None)
        from trailer_lib.predict import Predictor  # torch: decoding does without Python's lock most of the time

        predictor = Predictor.load(model, root)
        same = settings == predictor.learned.scrape
        return predictor.predict(trailer, film, taken=taken.result if taken and same else None)


def scrape_settings(model: Path) -> ScrapeSettings | None:
    """How the model's frames are drawn, out of its file without torch; None where that can't be read so."""
    try:
        with zipfile.ZipFile(model) as archive:
            (entry,) = (entry for entry in archive.infolist() if entry.filename.endswith("/data.pkl"))
            if entry.file_size > MOST or entry.compress_type != zipfile.ZIP_STORED:
                return None
            with archive.open(entry) as file:
                facts = _Facts(file).load()["trailer_lib"]["scrape"]
        return ScrapeSettings.layered({"the model file": facts})
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
