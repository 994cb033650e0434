"""A web server on loopback whose answers a test chooses, and which keeps what it was asked."""

import gzip
import io
import re
import ssl
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import trustme

MODIFIED = 1_600_000_000  # 2020-09-13
Answer = Callable[["Handler", int], None]


class Handler(BaseHTTPRequestHandler):
    """Answers with `server.pages[path](self, how many requests for it came before)`."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        site: Site = self.server.site
        path = self.path.partition("?")[0]
        before = sum(request.path == path for request in site.requests)
        site.requests.append(Request(path, dict(self.headers)))
        self.close_connection = True
        site.pages.get(path, status(404))(self, before)

    def head(self, code: int, **headers: object) -> None:
        self.send_response(code)
        for name, value in ({"Connection": "close"} | headers).items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@dataclass
class Request:
    path: str
    headers: dict[str, str]


@dataclass
class Site:
    """`url` begins every link to it; `pages` is path -> answer; `waiting` lets stalled answers go at the end."""

    url: str
    port: int
    pages: dict[str, Answer] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    waiting: threading.Event = field(default_factory=threading.Event)

    def ranges(self) -> list[str | None]:
        return [request.headers.get("Range") for request in self.requests]


class Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        pass  # a client that hangs up is part of the tests


@contextmanager
def serving(authority: trustme.CA | None = None) -> Iterator[Site]:
    """A site on 127.0.0.1, over TLS with a certificate of `authority` if there is one."""
    server = Quiet(("127.0.0.1", 0), Handler)
    if authority:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    port = server.server_address[1]
    server.site = Site(f"{'https' if authority else 'http'}://127.0.0.1:{port}", port)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server.site
    finally:
        server.site.waiting.set()
        server.shutdown()
        server.server_close()


def status(code: int, **headers: object) -> Answer:
    """Always `code`, with nothing in it."""
    return lambda handler, _: handler.head(code, Content_Length=0, **headers)


def redirect(location: str) -> Answer:
    return status(302, Location=location)


def raw(body: bytes, **headers: object) -> Answer:
    """200 with exactly these headers and bytes."""
    return lambda handler, _: (handler.head(200, **headers), handler.wfile.write(body))


def first(times: int, answer: Answer, then: Answer) -> Answer:
    """`answer` the first `times` times, and from then on `then`."""
    return lambda handler, before: (answer if before < times else then)(handler, before)


def file(
    body: bytes, length: bool = True, ranges: bool = True, kind: str = "application/octet-stream",
    upto: float | None = None, stall: bool = False,
) -> Answer:  # fmt: skip
    """`body`, as a good server gives it; the connection is cut after the share `upto`, or with `stall` stays silent."""

    def answer(handler: Handler, _: int) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", "")) if ranges else None
        start = int(asked[1]) if asked else 0
        sent = body[start:]
        headers = {"Last_Modified": formatdate(MODIFIED, usegmt=True), "Content_Type": kind}
        if length:
            headers |= {"Content_Length": len(sent)}
        if start:
            headers |= {"Content_Range": f"bytes {start}-{len(body) - 1}/{len(body)}"}
        handler.head(206 if start else 200, **headers)
        handler.wfile.write(sent if upto is None else sent[: int(len(sent) * upto)])
        handler.wfile.flush()
        if stall:
            handler.server.site.waiting.wait(30)

    return answer


def zipped(**members: str) -> bytes:
    """A zip file of texts."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return buffer.getvalue()


def gzipped(text: str) -> bytes:
    return gzip.compress(text.encode(), mtime=0)
