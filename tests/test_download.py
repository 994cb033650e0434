"""One file over HTTPS, from a server on loopback that cuts, stalls, lies and refuses."""

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from email.utils import formatdate
from pathlib import Path

import pytest
from server import MODIFIED, Answer, Site, file, first, redirect, status

from trailer_lib import TrailerError, download, files
from trailer_lib.errors import SourceError

LIMIT = 100_000_000
SIZES = {"10 KB": 10_000, "1 MB": 1_000_000, "20 MB": 20_000_000}
CHOSEN = [
    pytest.param(
        size, id=name, marks=pytest.mark.skipif(size > 2e6 and "TORTURE" not in os.environ, reason="TORTURE=1")
    )
    for name, size in SIZES.items()
]
SHARES = [0.01, 0.25, 0.5, 0.99]


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "here").mkdir()
    return tmp_path / "here" / "table.csv"


def body(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def get(site: Site, target: Path, answer: Answer, limit: int = LIMIT, **options: object) -> Path:
    site.pages["/file"] = answer
    return download.download(f"{site.url}/file", target, limit, **options)


def refusal(site: Site, target: Path, answer: Answer, **options: object) -> SourceError:
    """The SourceError that `answer` leads to; nothing may be in place after it."""
    with pytest.raises(SourceError) as caught:
        get(site, target, answer, **options)
    assert not target.exists()
    assert "\n" not in str(caught.value) and str(caught.value).startswith("https://127.0.0.1/file: ")
    return caught.value


def names(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir())


# The ten servers of the reliability tests, each with three sizes.


@pytest.mark.parametrize("size", CHOSEN)
def test_a_good_server_gives_the_file_its_date_and_nothing_beside_it(
    size: int, site: Site, target: Path, waits: list[float]
) -> None:
    assert get(site, target, file(body(size))).read_bytes() == body(size)
    assert target.stat().st_mtime == MODIFIED
    assert names(target) == ["table.csv"]
    assert (len(site.requests), waits) == (1, [])


@pytest.mark.parametrize("size", CHOSEN)
def test_a_server_that_tells_no_length_gives_the_file(size: int, site: Site, target: Path) -> None:
    assert get(site, target, file(body(size), length=False)).read_bytes() == body(size)
    assert len(site.requests) == 1


@pytest.mark.parametrize("size", CHOSEN)
def test_without_ranges_a_broken_download_starts_anew(size: int, site: Site, target: Path, waits: list[float]) -> None:
    data = body(size)
    broken, whole = file(data, ranges=False, upto=0.4), file(data, ranges=False)
    assert get(site, target, first(1, broken, whole)).read_bytes() == data
    assert site.ranges() == [None, f"bytes={int(0.4 * size)}-"]


@pytest.mark.parametrize("size", CHOSEN)
def test_other_bytes_than_asked_are_not_taken(size: int, site: Site, target: Path, waits: list[float]) -> None:
    data = body(size)
    assert get(site, target, first(1, file(data, upto=0.4), file(data, wrong_range=True))).read_bytes() == data
    assert site.ranges() == [None, f"bytes={int(0.4 * size)}-", None]


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("size", CHOSEN)
def test_a_cut_download_goes_on_where_it_was_cut(
    size: int, share: float, site: Site, target: Path, waits: list[float]
) -> None:
    data = body(size)
    assert get(site, target, first(1, file(data, upto=share), file(data))).read_bytes() == data
    assert site.ranges() == [None, f"bytes={int(share * size)}-"]
    assert site.requests[1].headers["If-Range"].startswith('"')
    assert len(waits) == 1


@pytest.mark.parametrize("size", CHOSEN)
def test_a_403_is_no_try_again(size: int, site: Site, target: Path, waits: list[float]) -> None:
    error = refusal(site, target, first(1, status(403), file(body(size))))
    assert (error.kind, error.permanent, len(site.requests), waits) == ("forbidden", False, 1, [])


@pytest.mark.parametrize("form", ["seconds", "date"])
@pytest.mark.parametrize("size", CHOSEN)
def test_a_429_waits_at_least_as_long_as_it_is_asked_to(
    size: int, form: str, site: Site, target: Path, waits: list[float]
) -> None:
    asked = "3600" if form == "seconds" else formatdate(time.time() + 3600, usegmt=True)
    assert get(site, target, first(2, status(429, Retry_After=asked), file(body(size)))).exists()
    assert len(waits) == 2 and all(3590 < wait <= 3600 for wait in waits)


@pytest.mark.parametrize("code", [500, 502, 503, 504])
@pytest.mark.parametrize("size", CHOSEN)
def test_a_server_in_trouble_is_asked_again_later_and_later(
    size: int, code: int, site: Site, target: Path, waits: list[float]
) -> None:
    assert get(site, target, first(4, status(code), file(body(size)))).read_bytes() == body(size)
    assert len(waits) == 4
    for number, wait in enumerate(waits, 1):
        assert 0.5 * 2**number <= wait <= 2**number


@pytest.mark.parametrize("size", CHOSEN)
def test_a_stall_ends_and_the_download_goes_on(size: int, site: Site, target: Path, waits: list[float]) -> None:
    data = body(size)
    assert get(site, target, first(1, file(data, upto=0.5, stall=True), file(data))).read_bytes() == data
    assert site.ranges() == [None, f"bytes={size // 2}-"]


@pytest.mark.parametrize("location", ["file:///etc/hostname", "ftp://127.0.0.1/x", "http://127.0.0.1:{port}/plain"])
@pytest.mark.parametrize("size", CHOSEN)
def test_a_redirect_to_anything_but_https_is_refused(
    size: int, location: str, site: Site, target: Path, waits: list[float]
) -> None:
    site.pages["/plain"] = file(body(size))
    error = refusal(site, target, redirect(location.format(port=site.port)))
    assert (error.kind, error.permanent, len(site.requests)) == ("refused", True, 1)
    assert location[:4] in str(error) and "only https" in str(error) and names(target) == []


# What else servers do.


@pytest.mark.parametrize(
    ("code", "kind", "permanent"),
    [(404, "unavailable", True), (410, "unavailable", True), (451, "unavailable", True), (401, "forbidden", False),
     (403, "forbidden", False), (408, "network", False), (429, "rate limit", False), (500, "network", False),
     (503, "network", False), (304, "unavailable", True)],
)  # fmt: skip
def test_each_status_has_its_kind(code: int, kind: str, permanent: bool, site: Site, target: Path) -> None:
    error = refusal(site, target, status(code, Retry_After="7"), tries=1)
    assert (error.kind, error.permanent) == (kind, permanent)
    assert error.retry_after == (7 if kind in download.PASSING else 0)
    assert f"HTTP {code}" in str(error)


def test_a_long_wait_is_said(site: Site, target: Path, waits: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    get(site, target, first(1, status(429, Retry_After="3600"), file(b"data")), title="the table")
    assert "HTTP 429 Too Many Requests; trying again in 3600 s\n" in capsys.readouterr().err
    target.unlink()
    get(site, target, first(3, status(503), file(b"data")))
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("", 0), ("17", 17), (" 3 ", 3), ("soon", 0), ("-5", 0), ("9" * 5000, 0), ("9" * 20, 21_600),
     ("Mon, 1 Jan 2999 0:0:0 GMT", 21_600)],
)  # fmt: skip
def test_a_retry_after_is_seconds_or_nothing(header: str, seconds: float) -> None:
    assert download.retry_after(header) == seconds
    assert download.retry_after(formatdate(0, usegmt=True)) == 0


def test_a_server_that_never_recovers_is_given_up_and_what_came_is_kept(
    site: Site, target: Path, waits: list[float]
) -> None:
    error = refusal(site, target, first(1, file(body(10_000), upto=0.3), status(503)))
    assert (error.kind, error.permanent) == ("network", False)
    assert len(site.requests) == 1 + download.TRIES - 1  # the one that brought bytes counts as a failure too
    assert (target.parent / "table.csv.part").stat().st_size == 3000


def test_as_long_as_bytes_come_it_goes_on(site: Site, target: Path, waits: list[float]) -> None:
    data = body(10_000)
    assert get(site, target, first(30, file(data, upto=0.2), file(data))).read_bytes() == data
    assert len(site.requests) == 31 > download.TRIES


def test_the_next_call_goes_on_with_what_the_last_one_left(site: Site, target: Path, waits: list[float]) -> None:
    data = body(10_000)
    refusal(site, target, file(data, upto=0.5), tries=1)
    assert names(target) == ["table.csv.part", "table.csv.part.json"]
    assert get(site, target, file(data), tries=1).read_bytes() == data
    assert site.ranges() == [None, "bytes=5000-"]
    assert names(target) == ["table.csv"]


def test_another_version_on_the_server_is_taken_whole(site: Site, target: Path) -> None:
    refusal(site, target, file(body(10_000), upto=0.5), tries=1)
    assert get(site, target, file(body(10_001))).read_bytes() == body(10_001)
    assert site.ranges() == [None, "bytes=5000-"]


@pytest.mark.parametrize("spoil", ["version", "url", "note", "json"])
def test_a_part_of_unknown_origin_is_not_gone_on_with(spoil: str, site: Site, target: Path) -> None:
    part, note = target.parent / "table.csv.part", target.parent / "table.csv.part.json"
    data = body(10_000)
    refusal(site, target, file(data, upto=0.5, version="" if spoil == "version" else None), tries=1)
    if spoil == "url":
        files.write_json(note, json.loads(note.read_text()) | {"url": f"{site.url}/other"})
    if spoil in ("note", "json"):
        note.unlink() if spoil == "note" else note.write_text('["torn')
        part.write_bytes(b"?" * 5000)
    assert get(site, target, file(data)).read_bytes() == data
    assert site.ranges() == [None, None]


def test_a_date_will_do_where_there_is_no_strong_tag(site: Site, target: Path, waits: list[float]) -> None:
    data = body(10_000)
    assert get(site, target, first(1, file(data, version='W/"1"', upto=0.5), file(data))).read_bytes() == data
    assert site.requests[1].headers["If-Range"] == formatdate(MODIFIED, usegmt=True)


def test_a_download_that_was_killed_before_the_rename_asks_for_nothing_more(site: Site, target: Path) -> None:
    data = body(10_000)
    refusal(site, target, file(data, upto=0.5), tries=1)
    (target.parent / "table.csv.part").write_bytes(data)
    assert get(site, target, status(404)).read_bytes() == data
    assert len(site.requests) == 1


@pytest.mark.parametrize("length", [True, False])
def test_more_than_the_limit_is_not_kept(length: bool, site: Site, target: Path) -> None:
    error = refusal(site, target, file(body(1_000_000), length=length), limit=999_999)
    assert (error.kind, error.permanent) == ("too large", True)
    assert names(target) == [] and "1 MB" in str(error)
    assert get(site, target, file(body(1_000_000), length=length), limit=1_000_000).exists()


def test_a_file_that_is_not_what_it_should_be_never_gets_in_place(site: Site, target: Path) -> None:
    def check(path: Path) -> None:
        if not path.read_bytes().startswith(b"title"):
            raise TrailerError(f"{path.name}: no title")

    target.write_text("the old one")
    with pytest.raises(TrailerError, match="no title"):
        get(site, target, file(b"<html>"), check=check)
    assert (names(target), target.read_text()) == (["table.csv"], "the old one")
    assert get(site, target, file(b"title"), check=check).read_text() == "title"


def test_redirects_between_https_pages_are_followed_up_to_five(site: Site, target: Path) -> None:
    site.pages["/there"] = file(b"here")
    assert get(site, target, redirect("/there")).read_bytes() == b"here"
    assert [request.path for request in site.requests] == ["/file", "/there"]
    target.unlink()
    error = refusal(site, target, redirect("/file"))
    assert (error.kind, error.permanent, len(site.requests)) == ("refused", True, 2 + 6)


def test_a_redirect_to_another_host_of_the_own_network_is_refused(site: Site, target: Path) -> None:
    site.pages["/canary"] = file(b"secret")
    error = refusal(site, target, redirect(f"https://localhost:{site.port}/canary"))
    assert (error.kind, error.permanent) == ("refused", True)
    assert "localhost, a private address" in str(error)
    assert [request.path for request in site.requests] == ["/file"]


@pytest.mark.parametrize(
    ("address", "public"),
    [("93.184.216.34", True), ("2606:4700::1111", True), ("127.0.0.1", False), ("10.1.2.3", False), ("::1", False),
     ("192.168.0.1", False), ("169.254.169.254", False), ("fe80::1", False), ("0.0.0.0", False), ("100.64.0.1", False),
     ("::ffff:127.0.0.1", False), ("2130706433", False), ("0x7f.1", False)],
)  # fmt: skip
def test_private_addresses_are_known_in_every_spelling(address: str, public: bool) -> None:
    assert download.is_public(address) is public


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/x", "file:///etc/hostname", "ftp://a/b", "/etc/hostname", "", "https://", "https://[x",
            "javascript:alert(1)", "//host/x", "https://*/x", "data:text/plain,x"],
)  # fmt: skip
def test_what_is_no_https_link_is_refused(url: str, target: Path, no_network: None) -> None:
    with pytest.raises(SourceError) as caught:
        download.download(url, target, LIMIT, tries=1)
    assert (caught.value.kind, caught.value.permanent) == ("refused", True)
    assert names(target) == []


def test_a_certificate_of_nobody_known_is_refused(
    site: Site, target: Path, monkeypatch: pytest.MonkeyPatch, waits: list[float]
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    error = refusal(site, target, file(b"data"))
    assert error.kind == "network" and "certificate" in str(error).lower()
    assert site.requests == []


def test_a_server_that_is_not_there_is_a_network_error(
    site: Site, target: Path, waits: list[float], no_network: None
) -> None:
    error = refusal(site, target, file(b"data"))
    assert (error.kind, error.permanent, len(waits)) == ("network", False, download.TRIES - 1)


def test_a_message_holds_no_password_and_no_query(site: Site, target: Path) -> None:
    url = site.url.replace("https://", "https://me:pass%77ord@") + "/gone?key=secret"
    with pytest.raises(SourceError) as caught:
        download.download(url, target, LIMIT, tries=1)
    assert caught.value.kind == "unavailable"
    assert not any(word in str(caught.value) for word in ("me:", "pass", "key", "secret"))


def test_a_message_holds_no_sign_that_a_terminal_would_obey(site: Site, target: Path) -> None:
    error = refusal(site, target, redirect("http://x/\x1b[2J"), tries=1)
    assert str(error).isprintable() and "http://x/" in str(error)


@pytest.mark.parametrize("date", ["", "yesterday", "Fri, 01 Jan 2999 00:00:00 GMT", "Thu, 01 Jan 1960 00:00:00 GMT"])
def test_a_date_that_can_not_be_is_not_set(date: str, site: Site, target: Path) -> None:
    def answer(handler: object, _: int) -> None:
        handler.head(200, Content_Length=4, Last_Modified=date)
        handler.wfile.write(b"data")

    assert abs(get(site, target, answer).stat().st_mtime - time.time()) < 600


@pytest.mark.parametrize("length", ["9" * 5000, "-1", "4, 4", "x"])
def test_a_length_that_is_no_number_is_not_believed(length: str, site: Site, target: Path) -> None:
    def answer(handler: object, _: int) -> None:
        handler.head(200, Content_Length=length)
        handler.wfile.write(b"data")

    site.pages["/file"] = answer
    try:
        assert download.download(f"{site.url}/file", target, LIMIT, tries=1).read_bytes() == b"data"
    except SourceError as error:
        assert error.kind in ("network", "too large")


def test_a_body_in_a_content_encoding_is_kept_as_it_is(site: Site, target: Path) -> None:
    answer = lambda handler, _: (  # noqa: E731
        handler.head(200, Content_Length=4, Content_Encoding="gzip"),
        handler.wfile.write(b"\x1f\x8b\x08\x00"),
    )
    assert get(site, target, answer).read_bytes() == b"\x1f\x8b\x08\x00"
    assert site.requests[0].headers["Accept-Encoding"] == "identity"


def test_a_full_disk_is_named_and_loses_nothing(site: Site, target: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, hard))  # no file may grow beyond: EFBIG, as ENOSPC elsewhere
    try:
        with pytest.raises(OSError) as caught:
            get(site, target, file(body(1_000_000)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.filename == str(target.parent / "table.csv.part")
    assert not isinstance(caught.value, TrailerError) and len(site.requests) == 1
    assert get(site, target, file(body(1_000_000))).read_bytes() == body(1_000_000)
    assert site.ranges() == [None, "bytes=600000-"]


INTERRUPTED = """
import sys
from pathlib import Path
from trailer_lib import download
download.download(sys.argv[1], Path(sys.argv[2]), 10**9, title="table")
"""


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_stopped_download_leaves_a_part_that_the_next_call_goes_on_with(
    stop: signal.Signals, site: Site, target: Path
) -> None:
    data = body(1_000_000)
    site.pages["/file"] = file(data, upto=0.5, stall=True)
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, f"{site.url}/file", str(target)], stderr=subprocess.PIPE, text=True
    )
    part = target.parent / "table.csv.part"
    while process.poll() is None and not (part.exists() and part.stat().st_size == 500_000):
        time.sleep(0.02)
    process.send_signal(stop)
    errors = process.communicate(timeout=30)[1]
    assert process.returncode != 0 and not target.exists()
    assert "table:" in errors and "/1.00M" in errors  # the bar, in bytes
    site.requests.clear()
    assert get(site, target, file(data)).read_bytes() == data
    assert site.ranges() == ["bytes=500000-"]
    assert names(target) == ["table.csv"]
