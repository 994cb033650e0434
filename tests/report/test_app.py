"""The page, used in headless Chromium as a person would: a prediction, a bad file, two visitors, no other host."""

import os
import re
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
import requests
from server import Site, file

from trailer_lib import download, scrape
from trailer_lib.errors import TrailerError
from trailer_lib.predict import Predictor, trailer_input
from trailer_lib.predict.predictor import ModelInfo
from trailer_lib.report import app
from trailer_lib.training import BEST

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = "--no-sandbox --disable-gpu --disable-background-networking --disable-component-update".split()
LARGEST = 5_000_000  # bytes of an upload to the page of the tests
WAITING = 1  # visitor at most


class Watched(Predictor):
    """A predictor that notes when it began and ended, and waits while the gate is shut; and the page's address."""

    address, gate, spans = "", threading.Event(), []

    def predict(self, *arguments: Any, **keywords: Any) -> Any:
        began = time.monotonic()
        self.gate.wait(60)
        prediction = super().predict(*arguments, **keywords)
        self.spans.append((began, time.monotonic()))
        return prediction


@pytest.fixture(scope="module")
def root(trained_root: Path, trailer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = Path(shutil.copytree(trained_root, tmp_path_factory.mktemp("app") / "root"))
    (root / "held_out").mkdir()
    shutil.copy(trailer, root / "held_out" / "example.mp4")
    return root


@pytest.fixture(scope="module")
def served(root: Path) -> Iterator[Watched]:
    pytest.importorskip("gradio", reason="the extra app (gradio) is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")  # `serving` sets both: put back what was there
        patch.setenv("GRADIO_TEMP_DIR", "")
        patch.setattr(app, "LARGEST", LARGEST)
        patch.setattr(app, "WAITING", WAITING)
        predictor = Watched.load(root / "models" / BEST, root)
        predictor.gate.set()
        with app.serving(predictor, "127.0.0.1", free_port()) as predictor.address:
            yield predictor


@pytest.fixture(scope="module")
def visitor(served: Watched) -> Iterator[Callable[[], Any]]:
    """A function that opens the page as one more visitor."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM:
        pytest.skip("no Chromium on this machine: apt-get install chromium")

    def open_page() -> Any:
        page = browser.new_page()  # with cookies of its own
        page.set_default_timeout(240_000)
        page.requested = []
        page.on("request", lambda request: page.requested.append(request.url))
        page.goto(served.address)
        return page

    with (
        playwright.sync_playwright() as driver,
        driver.chromium.launch(executable_path=CHROMIUM, args=QUIET) as browser,
    ):
        yield open_page


@pytest.fixture
def page(visitor: Callable[[], Any]) -> Any:
    return visitor()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def click(page: Any, name: str = "Score it", upload: object = None) -> None:
    if upload is not None:
        page.set_input_files("input[type=file]", upload)
        page.locator("a[download]").wait_for()
    page.get_by_role("button", name=name).click()


def title(page: Any) -> str:
    return page.locator("#prediction h3").inner_text()


def alert(page: Any, text: str) -> str:
    page.locator("#prediction [role=alert]", has_text=text).wait_for()
    return page.locator("#prediction").inner_text().strip()


def uploads() -> list[Path]:
    return [path for path in Path(os.environ["GRADIO_TEMP_DIR"]).rglob("*") if path.is_file() and path.stat().st_size]


def test_a_trailer_gets_the_librarys_prediction(page: Any, served: Watched, trailer: Path, root: Path) -> None:
    click(page, upload=trailer)
    expected = Predictor.predict(served, trailer)
    assert title(page) == f"trailer.mp4: {expected.score:.1f} of 10"
    captions = page.locator("#frames figcaption").all_inner_texts()
    assert captions[:3] == [frame.caption for frame in expected.view().frames]
    page.get_by_role("tab", name="Similar films").click()
    assert page.locator("#similar figure").count() == 5
    assert page.locator("#similar figcaption").first.inner_text() == expected.view().similar[0].caption
    content = page.content()
    assert f"Model {served.model_hash}, trailer_lib " in content
    assert str(root.parent) not in content and "scratch" not in content


def test_what_a_visitor_knows_of_the_film_is_in_the_prediction(page: Any, served: Watched, trailer: Path) -> None:
    page.get_by_label("Genres").click()
    page.get_by_role("option", name="Horror", exact=True).click()
    page.keyboard.press("Escape")
    page.get_by_label("Year").fill("3")
    click(page, upload=trailer)
    assert alert(page, "year") == "year = '3': expected a number from 1880 to 2100"
    for label, number in (("Year", "1999"), ("Minutes", "100")):
        page.get_by_label(label).fill(number)
    click(page)  # the trailer is still there
    expected = Predictor.predict(served, trailer, {"genres": ["Horror"], "runtime_minutes": 100, "year": 1999})
    assert f"(from the trailer alone {expected.trailer_score:.1f})" in title(page)
    captions = page.locator("#prediction .sources span").all_inner_texts()
    assert captions == [*expected.view().sources] and "genres, running time and year" in captions[1]


def test_the_page_makes_no_request_to_another_host(page: Any, served: Watched) -> None:
    click(page, "Try an example")
    assert title(page).startswith("example.mp4: ")
    requested = [url for url in page.requested if not url.startswith(("data:", "blob:"))]
    assert len(requested) > 10 and all(url.startswith(served.address) for url in requested)
    page.evaluate("fetch('https://fonts.googleapis.com/css').catch(() => 0)")
    assert "https://fonts.googleapis.com/css" in page.requested  # it would be noticed


def test_a_bad_file_costs_one_line_and_the_page_lives_on(page: Any, trailer: Path) -> None:
    click(page)
    alert(page, "Drop a trailer, or paste a link to one.")
    click(page, upload={"name": "bad.mp4", "mimeType": "video/mp4", "buffer": b"\0\0\0\x18ftypisom" + bytes(500)})
    assert re.fullmatch(r"bad\.mp4: not readable as video .*", alert(page, "bad.mp4"))
    page.get_by_label("Clear").click()
    click(page, upload=trailer)
    assert title(page).startswith("trailer.mp4: ")


def test_too_large_a_file_is_refused(page: Any) -> None:
    large, before = bytes(LARGEST + 1), uploads()
    page.set_input_files("input[type=file]", {"name": "large.mp4", "mimeType": "video/mp4", "buffer": large})
    page.get_by_text("maximum allowed size").first.wait_for()
    assert requests.post(f"{page.url}gradio_api/upload", files={"files": large}).status_code == 413
    assert uploads() == before


def test_uploads_are_deleted_after_a_while(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("gradio", reason="the extra app (gradio) is not installed")
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")  # which `serving` sets: put back what was there
    for seconds, kept in ((600, True), (2, False)):
        monkeypatch.setattr(app, "KEPT_SECONDS", seconds)
        with app.serving(Predictor.load(root / "models" / BEST), "127.0.0.1", free_port()) as address:
            answer = requests.post(f"{address}gradio_api/upload", files={"files": ("a.mp4", b"a trailer")})
            assert answer.status_code == 200
            for _ in range(15 if kept else 600):
                time.sleep(0.1 * bool(uploads()))
            assert bool(uploads()) == kept


def test_two_visitors_are_served_one_after_the_other(
    visitor: Callable[[], Any], served: Watched, trailer: Path
) -> None:
    pages = [visitor(), visitor()]
    served.spans.clear()
    served.gate.clear()
    for page in pages:
        click(page, upload=trailer)  # the same file
    served.gate.set()
    assert [title(page).split(":")[0] for page in pages] == ["trailer.mp4", "trailer.mp4"]
    (_, first_end), (second_begin, _) = served.spans
    assert first_end <= second_begin


def test_a_full_queue_is_said_in_a_sentence_and_passes(visitor: Callable[[], Any], served: Watched) -> None:
    pages = [visitor() for _ in range(WAITING + 2)]  # one is served, and one is too many
    served.gate.clear()
    for place, page in enumerate(pages):
        click(page, "Try an example")
        page.get_by_text(re.compile("queue: |currently busy" if place else "processing")).wait_for()
    assert pages[-1].get_by_text("This application is currently busy. Please try again.").is_visible()
    served.gate.set()
    assert all(title(page).startswith("example.mp4: ") for page in pages[:-1])
    click(pages[-1], "Try an example")
    assert title(pages[-1]).startswith("example.mp4: ")


def test_nobody_reads_this_machines_files_nor_uses_an_interface_for_programs(served: Watched, root: Path) -> None:
    for path in (root / "held_out" / "example.mp4", Path("/etc/passwd"), root / "models" / BEST):
        assert requests.get(f"{served.address}gradio_api/file={path}").status_code == 403
    assert str(root) not in requests.get(f"{served.address}config").text
    interface = requests.get(f"{served.address}gradio_api/info").json()
    assert interface == {"named_endpoints": {}, "unnamed_endpoints": {}}
    assert requests.get(f"{served.address}openapi.json").status_code == 404


@pytest.fixture
def visits(root: Path) -> app.Visits:
    return app.Visits(Predictor.load(root / "models" / BEST, root), root / "scratch")


def line(visits: app.Visits, upload: object, link: str = "") -> str:
    """What a visitor reads in place of a prediction, "" when there is one."""
    prediction, frames, similar = visits.predict(upload and str(upload), link, {}, lambda share, step: None)
    return "" if "<h3>" in prediction and frames and similar else re.search('role="alert">(.*)</p>', prediction)[1]


def test_links_and_long_videos(visits: app.Visits, site: Site, trailer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site.pages["/a.mp4"] = file(trailer.read_bytes())
    for link in (f"{site.url}/a.mp4", "/etc/passwd"):
        assert re.search("leads to a private address|only https: links", line(visits, None, link))
    assert site.requests == []
    monkeypatch.setattr(download, "is_public", lambda host: True)
    assert line(visits, None, f"{site.url}/a.mp4") == line(visits, trailer) == ""
    monkeypatch.setattr(scrape, "fetch_youtube", lambda *_, **__: download.Fetched(trailer))
    assert line(visits, None, " youtu.be/abcdefghij1 ") == ""
    monkeypatch.setattr(trailer_input, "MOST_SECONDS", 6.0)
    assert "trailer.mp4: 0 minutes long: at most 0 are taken" in line(visits, trailer)


@pytest.mark.parametrize(("text", "public"), [
    ("{root}/excels/a b.csv: no column\nof scores", "excels/a b.csv: no column of scores"),
    ("/usr/lib/x/y.py and /opt/z.so: see https://a.org/b/c", "y.py and z.so: see https://a.org/b/c"),
    ("C:\\Users\\me\\a.mp4: 3/4 of it is lost", "a.mp4: 3/4 of it is lost"),
])  # fmt: skip
def test_errors_and_warnings_are_one_line_without_a_folder(
    visits: app.Visits, trailer: Path, monkeypatch: pytest.MonkeyPatch, text: str, public: str
) -> None:
    text = text.format(root=visits.predictor.root)
    with monkeypatch.context() as patch:
        patch.setattr(ModelInfo, "warnings", lambda info, case: [text])
        assert f'role="alert">{public}</p>' in visits.predict(str(trailer), "", {}, lambda share, step: None)[0]
    for error, expected in ((TrailerError(text), public), (MemoryError(text), app.UNEXPECTED)):
        monkeypatch.setattr(Predictor, "predict", Mock(side_effect=error))
        assert line(visits, trailer) == expected


def test_the_command_serves_until_stopped(
    root: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("gradio", reason="the extra app (gradio) is not installed")
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")  # which `serving` sets: put back what was there
    stop = SimpleNamespace(wait=lambda: signal.raise_signal(signal.SIGINT))
    monkeypatch.setattr(app, "threading", SimpleNamespace(Event=lambda: stop))
    model = root / "models" / BEST
    for host, warned in (("localhost", False), ("0.0.0.0", True)):
        port = free_port()
        app.run_app(model, root, host, port)
        printed = capsys.readouterr()
        assert f":{port}/ (Ctrl-C stops it)" in printed.out and ("warning: " in printed.err) == warned
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(TrailerError, match=r"is the port taken\?"):
        app.run_app(model, root, "127.0.0.1", taken.getsockname()[1])
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(TrailerError, match="the page needs gradio: pip install"):
        app.run_app(model, root, "127.0.0.1", port)
