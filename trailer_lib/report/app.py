"""The page: drop a trailer or paste a link, and see its prediction. It makes no request to any other host."""

import os
import re
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from trailer_lib import download, files
from trailer_lib.catalog import LINK
from trailer_lib.errors import TrailerError
from trailer_lib.predict import MOST_SECONDS, Predictor, html_alert, html_element, html_parts, refuse_long_video
from trailer_lib.video import VIDEO_SUFFIXES

LARGEST = 200_000_000  # bytes of an upload
WAITING = 8  # visitors at most
KEPT_SECONDS = 1800  # after which gradio deletes an upload
FOLDERS = re.compile(r"(?<![\w:/.])(?:/|[A-Za-z]:\\)(?:[^\s/\\:'\"]+[/\\])+")  # before a file's name
UNEXPECTED = "This machine could not predict the score, and its console says why: try another trailer."
STEPS = {"fetch": "fetching", "frames": "sampling frames", "network": "running the network"}
TITLE = "A trailer's IMDb score"
LIMITS = (
    f"Up to {LARGEST // 1_000_000} MB and {MOST_SECONDS / 60:.0f} minutes; links: YouTube's, and https ones to a video."
    " One trailer at a time, others wait. Uploads are deleted within an hour."
)
CSS = """
footer {display: none !important}
.gradio-container {max-width: 60em !important; margin: auto !important}
.html-container {padding: 0 !important}
#prediction {min-height: 7em}
"""


@dataclass(frozen=True)
class Visits:
    """Predictions for a page whose uploads lie in `scratch`."""

    predictor: Predictor
    scratch: Path

    def predict(self, upload: str | None, link: str, film: dict[str, Any], progress: Callable) -> tuple[str, ...]:
        """HTML of the prediction for an upload, else for a link, of its frames and similar films; else of one line.

        `film`: genres, runtime_minutes, year, as far as the visitor named them.
        """
        try:
            if not upload and not (link := link.strip()):
                raise TrailerError("Drop a trailer, or paste a link to one.")
            if upload:
                refuse_long_video(Path(upload), Path(upload).name)
            trailer = upload or (link if LINK.match(link) else download.require_https(link))
            view = self.predictor.predict(trailer, film, progress).view()
            view = replace(view, alerts=[self.without_folders(text) for text in view.alerts])
            return tuple(map(html_element, html_parts(view)))
        except TrailerError as error:
            return html_element(html_alert(self.without_folders(str(error)))), "", ""
        except Exception:  # a visitor's file must not end the page, whatever it does to the libraries
            traceback.print_exc(file=sys.stderr)
            return html_element(html_alert(UNEXPECTED)), "", ""

    def without_folders(self, text: str) -> str:
        """The text in one line and without this machine's folders."""
        for folder in filter(None, (self.predictor.root, self.scratch)):
            text = text.replace(f"{folder}{os.sep}", "").replace(str(folder), "")
        return FOLDERS.sub("", " ".join(text.split()))


def run_app(model: Path, root: Path | None, host: str, port: int) -> None:
    """Serve the page until Ctrl-C. TrailerError for a bad model or a port that is taken."""
    with serving(Predictor.load(model, root), host, port) as address:
        if host not in ("127.0.0.1", "::1", "localhost"):
            print("warning: whoever reaches this machine can use the page: there is no password", file=sys.stderr)
        print(f"{address} (Ctrl-C stops it)", flush=True)
        with suppress(KeyboardInterrupt):
            threading.Event().wait()
        print("stopped")


@contextmanager
def serving(predictor: Predictor, host: str, port: int) -> Iterator[str]:
    """Serve the page while the block runs; yields its address."""
    with files.scratch_folder() as scratch:
        os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": str(scratch)}
        try:
            import gradio as gr
        except ImportError as error:
            raise TrailerError("the page needs gradio: pip install 'trailer_lib[app]'") from error
        page = build_page(gr, Visits(predictor, scratch))
        theme = gr.themes.Default(font=["system-ui"], font_mono=["monospace"])  # no font to fetch
        try:
            _, address, _ = page.launch(
                server_name=host, server_port=port, quiet=True, prevent_thread_lock=True, share=False, inbrowser=False,
                ssr_mode=False, footer_links=[], run_history=False, enable_monitoring=False, mcp_server=False,
                allowed_paths=[], max_file_size=LARGEST, app_kwargs={"openapi_url": None}, theme=theme, css=CSS,
            )  # fmt: skip
        except OSError as error:
            raise TrailerError(f"no page at {host}, port {port}: is the port taken? Name another (--port)") from error
        try:
            yield address
        finally:
            page.close(verbose=False)


def build_page(gr: ModuleType, visits: Visits) -> Any:
    """The page as gradio's Blocks, not served yet."""
    info, root = visits.predictor.info, visits.predictor.root
    genres = info.genres if "metadata" in info.settings.sources else []
    example = min((root / "held_out").glob("*.mp4"), default=None) if root else None  # the samples have one

    def predict(
        upload: str | None, link: str, genres: list[str], runtime: str, year: str,
        progress: Any = gr.Progress(),  # noqa: B008  # gradio looks there
    ) -> tuple[str, ...]:  # fmt: skip
        film = {"genres": genres, "runtime_minutes": runtime, "year": year}
        return visits.predict(upload, link, film, lambda share, step: progress(share, desc=STEPS[step]))

    def predict_example(progress: Any = gr.Progress()) -> tuple[str, ...]:  # noqa: B008
        return visits.predict(str(example), "", {}, lambda share, step: progress(share, desc=STEPS[step]))

    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(KEPT_SECONDS // 2, KEPT_SECONDS)) as page:
        gr.Markdown(f"# {TITLE}\nPredicted by a model trained on {info.train_films} films. {info.results['verdict']}")
        with gr.Row():
            upload = gr.File(label="Drop a trailer here", file_types=["video", *VIDEO_SUFFIXES], height=150)
            with gr.Column():
                link = gr.Textbox(label="or paste a link", max_lines=1, max_length=2000)
                button = gr.Button("Score it", variant="primary")
                example_button = gr.Button("Try an example", visible=example is not None)
        with gr.Row(visible=bool(genres)):
            film = [
                gr.Dropdown(genres, multiselect=True, label="Genres, if known"),
                gr.Textbox(label="Minutes, if known", max_lines=1, max_length=6),  # an empty gr.Number is a 0
                gr.Textbox(label="Year, if known", max_lines=1, max_length=6),
            ]
        gr.Markdown(LIMITS)
        parts = [gr.HTML(elem_id="prediction")]
        for name, element in (("Frames and sound", "frames"), ("Similar films", "similar")):
            with gr.Tab(name):
                parts.append(gr.HTML(elem_id=element))
        one = {"api_visibility": "private", "show_progress_on": parts[0], "concurrency_id": "one"}
        for event in (button.click, link.submit):
            event(predict, [upload, link, *film], parts, **one)
        example_button.click(predict_example, None, parts, **one)
    return page.queue(max_size=WAITING, api_open=False)
