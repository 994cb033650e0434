"""One file over HTTPS, from a server on loopback that cuts, stalls, lies and refuses."""

import os
import random
import time
from email.utils import formatdate
from pathlib import Path

import pytest
from server import MODIFIED, Answer, Site, file, first, raw, redirect, status

from trailer_lib import download
from trailer_lib.errors import SourceError

LIMIT = 100_000_000
DATA = random.Random(0).randbytes(20_000_000 if os.environ.get("TORTURE") == "1" else 600_000)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "here").mkdir()
    return tmp_path / "here" / "table.csv"


def get(site: Site, target: Path, answer: Answer, limit: int = LIMIT, **options: object) -> Path:
    site.pages["/file"] = answer
    return download.download(f"{site.url}/file", target, limit, **options)


def refusal(site: Site, target: Path, answer: Answer, **options: object) -> SourceError:
    """The SourceError that `answer` leads to; nothing may be left after it."""
    with pytest.raises(SourceError) as caught:
        get(site, target, answer, **options)
    assert names(target) == []
    assert str(caught.value).isprintable()
    return caught.value


def names(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir())


@pytest.mark.parametrize("length", [True, False])
def test_the_file_its_date_and_nothing_beside_it(length: bool, site: Site, target: Path, waits: list[float]) -> None:
    assert get(site, target, file(DATA, length=length)) == target and target.read_bytes() == DATA
    assert target.stat().st_mtime == MODIFIED
    assert (names(target), len(site.requests), waits) == (["table.csv"], 1, [])


def test_a_broken_download_starts_again_later_and_later(site: Site, target: Path, waits: list[float]) -> None:
    broken = [file(DATA, upto=0.5, stall=True), file(DATA, upto=0.0), file(DATA, upto=0.999), status(503)]
    answer = file(DATA)
    for times in (4, 3, 2, 1):
        answer = first(times, broken[times - 1], answer)
    assert get(site, target, answer).read_bytes() == DATA
    assert names(target) == ["table.csv"] and site.ranges() == [None] * 5
    assert [0.5 * 2**number <= wait <= 2**number for number, wait in enumerate(waits, 1)] == [True] * 4


def test_a_429_waits_at_least_as_long_as_the_server_asks_and_says_so(
    site: Site, target: Path, waits: list[float], capsys: pytest.CaptureFixture
) -> None:
    asked = formatdate(time.time() + 3600, usegmt=True)
    get(site, target, first(2, status(429, Retry_After=asked), file(DATA)), title="the table")
    assert len(waits) == 2 and all(3000 < wait <= 3600 for wait in waits)
    assert capsys.readouterr().err.count("HTTP 429 Too Many Requests; trying again in 3") == 2


@pytest.mark.parametrize(("header", "seconds"), [
    ("", 0), (" 17 ", 17), ("soon", 0), ("-5", 0), ("9" * 5000, 0), ("9" * 20, 21_600),
    ("Mon, 1 Jan 2999 0:0:0 GMT", 21_600), (formatdate(0, usegmt=True), 0),
])  # fmt: skip
def test_a_retry_after_is_seconds_or_nothing(header: str, seconds: float) -> None:
    assert download.retry_after(header) == seconds


@pytest.mark.parametrize(("code", "kind", "permanent"), [
    (404, "unavailable", True), (403, "forbidden", False), (408, "network", False), (429, "rate limit", False),
    (500, "network", False), (304, "unavailable", True), (206, "unavailable", True),
])  # fmt: skip
def test_each_status_has_a_kind(
    code: int, kind: str, permanent: bool, site: Site, target: Path, waits: list[float]
) -> None:
    temporary = kind in download.TEMPORARY
    error = refusal(site, target, status(code, Retry_After="7"))
    assert (error.kind, error.permanent, error.retry_after) == (kind, permanent, 7 * temporary)
    assert f"HTTP {code}" in str(error) and len(site.requests) == (download.TRIES if temporary else 1)


@pytest.mark.parametrize("length", [True, False])
def test_more_than_the_limit_is_refused(length: bool, site: Site, target: Path) -> None:
    error = refusal(site, target, file(DATA, length=length), limit=len(DATA) - 1)
    assert (error.kind, error.permanent) == ("too large", True) and f"{len(DATA) / 1e6:.0f} MB" in str(error)
    assert get(site, target, file(DATA, length=length), limit=len(DATA)).exists()


@pytest.mark.parametrize("headers", [
    {"Last_Modified": "yesterday"}, {"Last_Modified": "Fri, 01 Jan 2999 00:00:00 GMT"}, {"Content_Encoding": "gzip"},
])  # fmt: skip
def test_an_impossible_date_is_not_set_and_nothing_is_unpacked(headers: dict, site: Site, target: Path) -> None:
    got = get(site, target, raw(b"\x1f\x8b\x08\x00", Content_Length=4, **headers))
    assert got.read_bytes() == b"\x1f\x8b\x08\x00" and abs(got.stat().st_mtime - time.time()) < 600
    assert site.requests[0].headers["Accept-Encoding"] == "identity"


def test_redirects_between_https_pages_are_followed_up_to_five(site: Site, target: Path) -> None:
    site.pages["/there"] = file(b"here")
    assert get(site, target, redirect("/there")).read_bytes() == b"here"
    assert [request.path for request in site.requests] == ["/file", "/there"]
    target.unlink()
    error = refusal(site, target, redirect("/file"))
    assert (error.kind, error.permanent, len(site.requests)) == ("refused", True, 2 + 6)


@pytest.mark.parametrize("location", ["file:///etc/hostname", "http://x/\x1b[2J", "//[x", "private"])
def test_a_redirect_to_anything_but_public_https_is_refused(location: str, site: Site, target: Path) -> None:
    site.pages["/canary"] = file(b"secret")
    private = f"https://localhost:{site.port}/canary?key=secret"
    error = refusal(site, target, redirect(private if location == "private" else location))
    assert (error.kind, error.permanent, [request.path for request in site.requests]) == ("refused", True, ["/file"])
    assert ("localhost/canary, a private address" in str(error)) == (location == "private")
    assert "secret" not in str(error)


@pytest.mark.parametrize(("address", "public"), [
    ("93.184.216.34", True), ("2606:4700::1111", True), ("127.0.0.1", False), ("10.1.2.3", False), ("::1", False),
    ("192.168.0.1", False), ("169.254.169.254", False), ("fe80::1", False), ("0.0.0.0", False), ("100.64.0.1", False),
    ("::ffff:127.0.0.1", False), ("2130706433", False), ("0x7f.1", False),
])  # fmt: skip
def test_private_addresses_are_recognised_in_every_spelling(address: str, public: bool) -> None:
    assert download.is_public(address) is public


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/x", "/etc/hostname", "", "https://", "https://[x", "https://*/x", "data:text/plain,x"]
)
def test_what_is_no_https_link_is_refused(url: str, target: Path, no_network: None) -> None:
    with pytest.raises(SourceError) as caught:
        download.download(url, target, LIMIT, tries=1)
    assert (caught.value.kind, caught.value.permanent, names(target)) == ("refused", True, [])


def test_unknown_certificates_fail(
    site: Site, target: Path, monkeypatch: pytest.MonkeyPatch, waits: list[float]
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    error = refusal(site, target, file(DATA))
    assert error.kind == "network" and "certificate" in str(error) and site.requests == []


@pytest.mark.parametrize(("port", "kind"), [(None, "unavailable"), (1, "network")])  # at port 1 no server is
def test_a_message_holds_no_password_and_no_query(port: int | None, kind: str, site: Site, target: Path) -> None:
    with pytest.raises(SourceError) as caught:
        download.download(f"https://me:pass%77ord@127.0.0.1:{port or site.port}/gone?key=secret", target, LIMIT, 1)
    assert caught.value.kind == kind
    assert not any(word in str(caught.value) for word in ("me:", "pass", "key", "secret"))
