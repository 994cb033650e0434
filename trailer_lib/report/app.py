"""The page: drop a trailer or paste a link, and see the answer. It asks no other host for anything."""

import ipaddress
import os
import re
import shutil
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trailer_lib import download, files
from trailer_lib.errors import TrailerError
from trailer_lib.predict import MOST_SECONDS, Predictor, html_alert, html_element, html_parts, refuse_long_video
from trailer_lib.scrape import VIDEO_SUFFIXES

LARGEST = 200_000_000  # bytes of an upload
FOLDERS = re.compile(r"(?<![\w:/.])(?:/|[A-Za-z]:\\)(?:[^\s/\\:'\"]+[/\\])+")  # before a file's name
NOTHING = "Drop a trailer, or paste a link to one."
OUR_FAULT = "This machine could not answer, and its console says why: try another trailer."

Parts = tuple[str, str, str]  # HTML: the answer, its frames, similar films


def keep_upload(upload: str | None, before: str | None) -> str | None:
    """An upload under a name of its own, in place of the one `before`; that one if it is of the same upload.

    The page's server gives equal files of two visitors one name, and the first one's answer would end the other's.
    """
    if upload and before and Path(before).parent.parent == Path(upload).parent:
        return before
    drop_upload(before)
    if upload is None:
        return None
    own = Path(tempfile.mkdtemp(dir=Path(upload).parent), Path(upload).name)
    os.link(upload, own)
    return str(own)


def drop_upload(own: str | None) -> None:
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
                refuse_long_video(Path(upload), Path(upload).name)
            elif not link.strip():
                raise TrailerError(NOTHING)
            trailer = upload or download.require_https(link.strip())
            strip = self.predictor.predict(trailer, progress=progress).strip()
            strip = replace(strip, alerts=[self.public(text) for text in strip.alerts])
            answer, frames, similar = map(html_element, html_parts(strip))
            return answer, frames, similar
        except TrailerError as error:
            return html_element(html_alert(self.public(str(error)))), "", ""
        except Exception:  # a visitor's file must not end the page, whatever it does to the libraries
            traceback.print_exc(file=sys.stderr)
            return html_element(html_alert(OUR_FAULT)), "", ""

    def public(self, text: str) -> str:
        """The text in one line and without this machine's folders."""
        for folder in filter(None, (self.predictor.root, self.scratch)):
            text = text.replace(f"{folder}{os.sep}", "").replace(str(folder), "")
        return FOLDERS.sub("", " ".join(text.split()))


if TYPE_CHECKING:
    import gradio as gr

WAITING = 8  # visitors at most
FORGOTTEN = 3600  # seconds after which an upload that nobody asked about is deleted
STEPS = {
    "fetch": "fetching the trailer",
    "frames": "drawing frames",
    "network": "asking the network",
    "similar": "looking for similar films",
}
PLACEHOLDER = "https://www.youtube.com/watch?v=..."
TITLE = "A trailer's IMDb score"
LIMITS = (
    f"Up to {LARGEST // 1_000_000} MB and {MOST_SECONDS / 60:.0f} minutes; links: YouTube's, and https ones to a video."
    " One trailer is answered at a time, others wait. Uploads are deleted after the answer."
)
CSS = """
footer {display: none !important}
.gradio-container {max-width: 60em !important; margin: auto !important}
.html-container {padding: 0 !important}
#answer {min-height: 7em}
"""


def run_app(model: Path, root: Path | None, host: str, port: int) -> None:
    """Serve the page until Ctrl-C. TrailerError for a bad model or a port that is taken."""
    with serving(Predictor.load(model, root), host, port) as address:
        if not _is_loopback(host):
            print("warning: whoever reaches this machine can use the page: there is no password", file=sys.stderr)
        print(f"{address} (Ctrl-C stops it)", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print("stopped")


@contextmanager
def serving(predictor: Predictor, host: str, port: int) -> Iterator[str]:
    """Serve the page while the block runs; yields its address."""
    with files.scratch_folder() as scratch:
        # Read by gradio when it is imported and when it makes a page.
        os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": str(scratch)}
        page = build_page(Visits(predictor, scratch))
        try:
            _, address, _ = page.launch(
                server_name=host, server_port=port, quiet=True, prevent_thread_lock=True, share=False, inbrowser=False,
                ssr_mode=False, footer_links=[], run_history=False, enable_monitoring=False, mcp_server=False,
                allowed_paths=[], max_file_size=LARGEST, app_kwargs={"openapi_url": None}, theme=_theme(), css=CSS,
            )  # fmt: skip
        except OSError as error:
            raise TrailerError(f"no page at {host}, port {port}: is the port taken? Name another (--port)") from error
        try:
            yield address
        finally:
            page.close(verbose=False)


def build_page(visits: Visits) -> "gr.Blocks":
    """The page, not served yet."""
    gr = _gradio()
    with gr.Blocks(title=TITLE, analytics_enabled=False, delete_cache=(FORGOTTEN // 4, FORGOTTEN)) as page:
        gr.Markdown(f"# {TITLE}\n{_introduction(visits.predictor)}")
        kept = gr.State(None, time_to_live=FORGOTTEN, delete_callback=drop_upload)
        with gr.Row():
            upload = gr.File(label="Drop a trailer here", file_types=["video", *VIDEO_SUFFIXES], height=150)
            with gr.Column():
                link = gr.Textbox(label="or paste a link", placeholder=PLACEHOLDER, max_lines=1, max_length=2000)
                ask = gr.Button("Score it", variant="primary")
                example = gr.Button("Try an example", visible=_example(visits.predictor.root) is not None)
        gr.Markdown(LIMITS)
        answer = gr.HTML(elem_id="answer")
        with gr.Tab("Frames"):
            frames = gr.HTML(elem_id="frames")
        with gr.Tab("Similar films"):
            similar = gr.HTML(elem_id="similar")
        _wire(gr, visits, upload, link, kept, ask, example, [answer, frames, similar])
    return page.queue(max_size=WAITING, api_open=False)


def _wire(gr: Any, visits: Visits, upload: Any, link: Any, kept: Any, ask: Any, example: Any, shown: list) -> None:
    """What happens on an upload and on the buttons."""

    def answer(own: str | None, link: str, progress: Any = gr.Progress()) -> tuple:  # noqa: B008  # gradio looks there
        try:
            return *visits.answer(own, link, lambda share, step: progress(share, desc=STEPS[step])), None, None
        finally:
            drop_upload(own)

    def try_example(progress: Any = gr.Progress()) -> Parts:  # noqa: B008
        trailer = str(_example(visits.predictor.root))
        return visits.answer(trailer, "", lambda share, step: progress(share, desc=STEPS[step]))

    quiet = {"api_visibility": "private", "show_progress": "hidden", "queue": False}
    one = {"api_visibility": "private", "show_progress_on": shown[0], "concurrency_id": "one", "concurrency_limit": 1}
    for event in (upload.upload, upload.clear):
        event(keep_upload, [upload, kept], kept, **quiet)
    for event in (ask.click, link.submit):  # perhaps before the upload's own event is through
        event(keep_upload, [upload, kept], kept, **quiet).success(answer, [kept, link], [*shown, upload, kept], **one)
    example.click(try_example, None, shown, **one)


def _introduction(predictor: Predictor) -> str:
    learned = predictor.info
    return f"Answered by a model that learnt from {learned.films} films. {learned.verdict}"


def _example(root: Path | None) -> Path | None:
    """A trailer that the samples held out of training."""
    return min((root / "held_out").glob("*.mp4"), default=None) if root else None


def _theme() -> Any:
    """The machine's own fonts: nothing to fetch."""
    return _gradio().themes.Default(font=["system-ui", "sans-serif"], font_mono=["monospace"])


def _gradio() -> Any:
    try:
        import gradio
    except ImportError as error:
        raise TrailerError("the page needs gradio: pip install 'trailer_lib[app]'") from error
    return gradio


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
