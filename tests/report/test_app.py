"""The page, used in headless Chromium as a person would: an answer, a bad file, two visitors at once, no other host."""

import os
import re
import shutil
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import disguises
import pytest
import requests
from conftest import pictures
from disguises import REFUSED, Canary
from server import Site, file

from trailer_lib.__main__ import main
from trailer_lib.errors import TrailerError
from trailer_lib.predict import trailer_input
from trailer_lib.predict.predictor import Predictor
from trailer_lib.report import app
from trailer_lib.report.app import Visits, drop_upload, keep_upload
from trailer_lib.training.callbacks import BEST

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
QUIET = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
QUIET = [*QUIET.split(), "--disable-component-update", "--disable-sync"]
LARGEST = 5_000_000  # bytes of an upload to the page of the tests
WAITING = 3  # visitors at most
SECONDS = 20_000  # milliseconds, in truth: what a step of the page may take


@dataclass
class Served:
    """A page that is up: its address, the predictor behind it, and when each answer began and ended."""

    address: str
    predictor: Predictor
    slow: float = 0.0
    spans: list[tuple[float, float]] = field(default_factory=list)


class Watched(Predictor):
    """A predictor that says when it answers, and takes `slow` seconds longer."""

    served: Served

    def predict(self, *arguments: Any, **keywords: Any) -> Any:
        began = time.monotonic()
        time.sleep(self.served.slow)
        try:
            return super().predict(*arguments, **keywords)
        finally:
            self.served.spans.append((began, time.monotonic()))


@pytest.fixture(scope="module")
def trailer(make_video: Callable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_video(tmp_path_factory.mktemp("video") / "trailer.mp4", list(pictures(7.0, 144, seed=1)))


@pytest.fixture(scope="module")
def root(trained_root: Path, trailer: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with a model and an example."""
    root = Path(shutil.copytree(trained_root, tmp_path_factory.mktemp("app") / "root"))
    (root / "held_out").mkdir()
    shutil.copy(trailer, root / "held_out" / "example.mp4")
    return root


@pytest.fixture(scope="module")
def served(root: Path) -> Iterator[Served]:
    pytest.importorskip("gradio", reason="the extra app (gradio) is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_ANALYTICS_ENABLED", "False")  # `serving` sets both: put back what was there
        patch.setenv("GRADIO_TEMP_DIR", "")
        patch.setattr(app, "LARGEST", LARGEST)
        patch.setattr(app, "WAITING", WAITING)
        predictor = Watched.load(root / "models" / BEST, root)
        with app.serving(predictor, "127.0.0.1", free_port()) as address:
            predictor.served = Served(address, predictor)
            yield predictor.served


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def visitor(served: Served, browser: Any) -> Iterator[Callable[[], Any]]:
    """A function that opens the page as one more visitor."""
    with ExitStack() as stack:

        def open_page() -> Any:
            context = browser.new_context()
            stack.callback(context.close)
            page = context.new_page()
            page.set_default_timeout(SECONDS)
            page.asked = []
            page.on("request", lambda request: page.asked.append(request.url))
            page.goto(served.address)
            return page

        yield open_page


@pytest.fixture
def page(visitor: Callable[[], Any]) -> Any:
    return visitor()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def drop(page: Any, path: Path) -> None:
    page.set_input_files("input[type=file]", path)
    page.locator("a[download]").wait_for()


def ask(page: Any) -> None:
    page.get_by_role("button", name="Score it").click()


def score(page: Any) -> str:
    return page.locator("#answer h3").inner_text()


def line(page: Any) -> str:
    """The one line in place of an answer."""
    page.locator("#answer [role=alert]").wait_for()
    assert page.locator("#answer h3").count() == 0
    return page.locator("#answer").inner_text().strip()


def uploads() -> list[Path]:
    """What is left of any upload; gradio also leaves empty files of its own."""
    scratch = Path(os.environ["GRADIO_TEMP_DIR"])
    return [path for path in scratch.rglob("*") if path.is_file() and path.stat().st_size]


def test_a_trailer_gets_the_librarys_answer(page: Any, served: Served, trailer: Path, root: Path) -> None:
    drop(page, trailer)
    assert uploads()
    ask(page)
    expected = served.predictor.predict(trailer)
    assert score(page) == f"trailer.mp4: {expected.score:.1f} of 10"
    captions = page.locator("#frames figcaption").all_inner_texts()
    assert captions[:3] == [shot.caption for shot in expected.strip().frames]
    page.get_by_role("tab", name="Similar films").click()
    assert page.locator("#similar figure").count() == 5
    assert page.locator("#similar figcaption").first.inner_text() == expected.strip().similar[0].caption
    assert not uploads()
    shown = page.content()
    assert str(root) not in shown and str(root.parent) not in shown and "scratch" not in shown


def test_the_page_asks_no_other_host_for_anything(page: Any, served: Served) -> None:
    page.get_by_role("button", name="Try an example").click()
    assert score(page).startswith("example.mp4: ")
    asked = [url for url in page.asked if not url.startswith(("data:", "blob:"))]
    assert len(asked) > 10
    assert [url for url in asked if not url.startswith(served.address)] == []


def test_another_host_would_be_noticed(page: Any) -> None:
    page.evaluate("fetch('https://fonts.googleapis.com/css').catch(() => 0)")
    assert "https://fonts.googleapis.com/css" in page.asked


def test_a_bad_file_costs_one_line_and_the_page_lives_on(page: Any, trailer: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"\0\0\0\x18ftypisom" + bytes(500))
    drop(page, tmp_path / "bad.mp4")
    ask(page)
    assert re.fullmatch(r"bad\.mp4: not readable as video .*", line(page))
    assert not uploads()
    drop(page, trailer)
    ask(page)
    assert score(page).startswith("trailer.mp4: ")


def test_nothing_given_is_said(page: Any) -> None:
    ask(page)
    assert line(page) == app.NOTHING


def test_too_large_a_file_is_refused(page: Any, tmp_path: Path) -> None:
    (tmp_path / "large.mp4").write_bytes(bytes(LARGEST + 1))
    page.set_input_files("input[type=file]", tmp_path / "large.mp4")
    page.get_by_text("maximum allowed size").first.wait_for()
    assert requests.post(f"{page.url}gradio_api/upload", files={"files": bytes(LARGEST + 1)}).status_code == 413
    assert not uploads()


def test_two_at_once_are_answered_one_after_the_other(
    visitor: Callable[[], Any], served: Served, trailer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served, "slow", 0.7)
    served.spans.clear()
    pages = [visitor(), visitor()]
    for page in pages:
        drop(page, trailer)  # the same file: the first answer must not take it from the second visitor
    for page in pages:
        ask(page)
    asked = time.monotonic()
    assert [score(page).split(":")[0] for page in pages] == ["trailer.mp4", "trailer.mp4"]
    (_, first_end), (second_begin, _) = served.spans
    assert asked < first_end <= second_begin
    assert not uploads()


def test_a_full_queue_is_said_in_a_sentence_and_passes(
    visitor: Callable[[], Any], served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = [visitor() for _ in range(WAITING + 2)]  # one is answered, and one is too many
    buttons = [page.get_by_role("button", name="Try an example") for page in pages]
    monkeypatch.setattr(served, "slow", 5.0)
    for place, (page, button) in enumerate(zip(pages, buttons)):
        button.click()
        page.get_by_text(re.compile("processing" if place == 0 else "queue: |currently busy")).wait_for()
        if place:  # the first one's answer has begun
            monkeypatch.setattr(served, "slow", 0.0)
    assert pages[-1].get_by_text("This application is currently busy. Please try again.").is_visible()
    assert all(score(page).startswith("example.mp4: ") for page in pages[:-1])
    buttons[-1].click()
    assert score(pages[-1]).startswith("example.mp4: ")


@pytest.fixture(scope="module")
def canary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Canary]:
    with disguises.laid(tmp_path_factory.mktemp("canary")) as canary:
        yield canary


@pytest.fixture(scope="module")
def disguised(canary: Canary, tmp_path_factory: pytest.TempPathFactory) -> dict[Path, str]:
    """The 14 files, each with what the page says of it."""
    folder = tmp_path_factory.mktemp("disguises")
    odd = {"one_pixel": "of 10", "still_of_8k": "of 10", "hundred_thousand_frames": "67 minutes long: at most 30"}
    found = {folder / f"{name}.mp4": said for name, said in (REFUSED | odd).items()}
    for path in found:
        disguises.make(path.stem, path, canary)
    return found


def test_disguises_touch_nothing_and_the_page_lives_on(
    page: Any, canary: Canary, disguised: dict[Path, str], trailer: Path
) -> None:
    assert len(disguised) == 14
    for path, said in disguised.items():
        canary.set_up()
        drop(page, path)
        ask(page)
        page.locator("#answer", has_text=path.name).wait_for()
        shown = page.locator("#answer").inner_text()
        assert re.search(said, shown), shown
        assert not canary.touched(), path.name
        assert str(path.parent) not in shown and "/" not in shown.replace("https://", "")
    drop(page, trailer)
    ask(page)
    page.locator("#answer h3", has_text="trailer.mp4").wait_for()


@pytest.mark.parametrize("name", ["-i.mp4", "concat:a|b.mp4", "$(touch x)${1+1}{{2}}.mp4", "<img src=x>.mp4"])
def test_an_odd_name_is_just_a_name(page: Any, trailer: Path, name: str) -> None:
    page.set_input_files("input[type=file]", {"name": name, "mimeType": "video/mp4", "buffer": trailer.read_bytes()})
    page.locator("a[download]").wait_for()
    ask(page)
    assert re.fullmatch(r"\S.*\.mp4: [\d.]+ of 10", score(page))
    assert page.locator("#answer img").count() == 0


def test_a_link_into_the_own_network_is_refused(page: Any, canary: Canary) -> None:
    canary.requests.clear()
    for link in (canary.url.replace("http:", "https:"), canary.url, "/etc/passwd", "https://169.254.169.254/x.mp4"):
        page.get_by_label("or paste a link").fill(link)
        ask(page)
        page.locator("#answer", has_text=link.rpartition("/")[2]).wait_for()
        assert re.search("leads to a private address|only https: links", line(page))
    assert canary.requests == []


def test_nobody_reads_this_machines_files(served: Served, root: Path) -> None:
    for path in (root / "held_out" / "example.mp4", Path("/etc/passwd"), root / "models" / BEST):
        assert requests.get(f"{served.address}gradio_api/file={path}").status_code == 403
    assert str(root) not in requests.get(f"{served.address}config").text


def test_the_pages_interface_for_programs_is_off(served: Served) -> None:
    found = requests.get(f"{served.address}gradio_api/info").json()
    assert found == {"named_endpoints": {}, "unnamed_endpoints": {}}
    assert requests.get(f"{served.address}openapi.json").status_code == 404


@pytest.fixture(scope="module")
def visits(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Visits:
    return Visits(Predictor.load(root / "models" / BEST, root), tmp_path_factory.mktemp("scratch"))


def told(visits: Visits, trailer: object, link: str = "") -> str:
    """What a visitor reads in place of an answer, "" when there is an answer."""
    answer, frames, similar = visits.answer(trailer and str(trailer), link, lambda share, step: None)
    return "" if "<h3>" in answer and frames and similar else re.search('role="alert">(.*)</p>', answer)[1]


def test_a_private_link_is_followed_only_where_that_is_allowed(visits: Visits, site: Site, trailer: Path) -> None:
    site.pages["/a.mp4"] = file(trailer.read_bytes())
    assert "leads to a private address" in told(visits, None, f"{site.url}/a.mp4")
    assert site.requests == []
    trusting = Visits(replace(visits.predictor, private_links=True), visits.scratch)
    assert told(trusting, None, f"{site.url}/a.mp4") == ""
    assert len(site.requests) == 1


def test_too_long_a_video_is_refused(visits: Visits, trailer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(visits, trailer) == ""
    monkeypatch.setattr(trailer_input, "MOST_SECONDS", 6.0)
    assert "trailer.mp4: 0 minutes long: at most 0 are taken" in told(visits, trailer)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (TrailerError("{root}/excels/a b.csv: no column\nof scores"), "excels/a b.csv: no column of scores"),
        (TrailerError("/usr/lib/x/y.py and /opt/z.so are old: see https://a.org/b/c"), "y.py and z.so are old: see https://a.org/b/c"),
        (TrailerError("C:\\Users\\me\\a.mp4: 3/4 of it is lost"), "a.mp4: 3/4 of it is lost"),
        (MemoryError("in {root}/models"), app.OUR_FAULT),
        (FileNotFoundError(2, "No such file", "{root}/x"), app.OUR_FAULT),
    ],
)  # fmt: skip
def test_what_went_wrong_is_one_line_without_a_folder(
    visits: Visits, trailer: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, line: str
) -> None:
    error.args = tuple(str(part).format(root=visits.predictor.root) for part in error.args)

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(Predictor, "predict", fail)
    assert told(visits, trailer) == line


def test_a_warning_names_no_folder(visits: Visits, trailer: Path, tmp_path: Path) -> None:
    (tmp_path / "excels").mkdir()
    lost = Visits(replace(visits.predictor, root=tmp_path), visits.scratch)
    named = Path(shutil.copy(trailer, tmp_path / "Film [tt8800003].mp4"))
    assert "could not be looked up" in "".join(Predictor.predict(lost.predictor, named).warnings)
    assert str(tmp_path) in "".join(Predictor.predict(lost.predictor, named).warnings)
    answer, *_ = lost.answer(str(named), "", lambda share, step: None)
    assert "could not be looked up" in answer and str(tmp_path) not in answer


def test_equal_uploads_do_not_share_their_fate(tmp_path: Path) -> None:
    upload = tmp_path / "hash" / "same.mp4"
    upload.parent.mkdir()
    upload.write_bytes(b"video")
    first, second = keep_upload(str(upload), None), keep_upload(str(upload), None)
    assert keep_upload(str(upload), first) == first
    drop_upload(first)
    assert Path(second).read_bytes() == b"video" and not Path(first).exists()
    drop_upload(second)
    assert list(tmp_path.iterdir()) == []


def test_another_upload_replaces_the_one_before(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.mp4").write_bytes(b"video")
    before = keep_upload(str(tmp_path / "one" / "a.mp4"), None)
    after = keep_upload(str(tmp_path / "two" / "a.mp4"), before)
    assert Path(after).is_file() and not (tmp_path / "one").exists()
    assert keep_upload(None, after) is None and list(tmp_path.iterdir()) == []


@pytest.fixture
def command(root: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """A function that runs the command until the page is up, as if Ctrl-C came then."""
    monkeypatch.setenv("GRADIO_ANALYTICS_ENABLED", "False")
    monkeypatch.setenv("GRADIO_TEMP_DIR", "")

    def stop() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(app, "threading", SimpleNamespace(Event=lambda: SimpleNamespace(wait=stop)))
    before = signal.getsignal(signal.SIGTERM)
    yield lambda *words: main(["app", "--model", str(root / "models" / BEST), *map(str, words)])
    signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(("host", "warned"), [("127.0.0.1", False), ("localhost", False), ("0.0.0.0", True)])
def test_only_a_page_for_others_warns(
    command: Callable[..., int], capsys: pytest.CaptureFixture[str], host: str, warned: bool
) -> None:
    pytest.importorskip("gradio", reason="the extra app (gradio) is not installed")
    port = free_port()
    assert command("--host", host, "--port", port) == 0
    printed = capsys.readouterr()
    assert f":{port}/ (Ctrl-C stops it)" in printed.out
    assert ("warning: " in printed.err) == warned


def test_a_port_that_is_taken_is_named(command: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("gradio", reason="the extra app (gradio) is not installed")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert command("--port", port) == 1
    assert capsys.readouterr().err.strip().endswith(f"port {port}: is the port taken? Name another (--port)")


def test_without_gradio_its_install_line_is_named(
    command: Callable[..., int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert command() == 1
    assert capsys.readouterr().err.strip() == "error: the page needs gradio: pip install 'trailer_lib[app]'"
