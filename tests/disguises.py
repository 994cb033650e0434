"""Files named like videos that are none, are odd ones, or tell the reader to fetch or open something else.

A canary server on loopback counts requests and a canary file shows by its access time whether it was opened.
"""

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from clips import ffmpeg, render

X264 = "-c:v libx264 -pix_fmt yuv420p -g 12"


@dataclass
class Canary:
    """What must not be touched: `file`, a real video with a text in it, and `url`, which serves it and counts."""

    file: Path
    url: str = ""
    requests: list[str] = field(default_factory=list)

    def set_up(self) -> None:
        self.requests.clear()
        os.utime(self.file, (0, 1))  # read long before it was written: the next reading is recorded (relatime)

    def touched(self) -> bool:
        return bool(self.requests) or self.file.stat().st_atime != 0


@contextmanager
def laid(folder: Path) -> Iterator[Canary]:
    """A canary whose file lies in `folder`, on loopback while the block runs."""
    bait = Canary(render(folder / "canary.mp4", 25, X264))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            bait.requests.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(bait.file.read_bytes())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    bait.url = f"http://127.0.0.1:{server.server_port}/canary.mp4"
    yield bait
    server.shutdown()
    server.server_close()


def playlist_of_a_file(path: Path, canary: Canary) -> None:
    path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{canary.file}\n#EXT-X-ENDLIST\n")


def playlist_of_a_url(path: Path, canary: Canary) -> None:
    path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{canary.url}\n#EXT-X-ENDLIST\n")


def concat_script(path: Path, canary: Canary) -> None:
    path.write_text(f"ffconcat version 1.0\nfile '{canary.file}'\nfile '{canary.url}'\n")


def manifest(path: Path, canary: Canary) -> None:
    stream = f"<AdaptationSet><Representation id='0'><BaseURL>{canary.url}</BaseURL></Representation></AdaptationSet>"
    path.write_text(f"<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011'><Period>{stream}</Period></MPD>")


def drawing(path: Path, canary: Canary) -> None:
    images = f"<image xlink:href='{canary.url}'/><image xlink:href='file://{canary.file}'/>"
    path.write_text(f"<svg xmlns='http://www.w3.org/2000/svg' width='64' height='48'>{images}</svg>")


def error_page(path: Path, canary: Canary) -> None:
    path.write_text(f"<!DOCTYPE html><title>429</title><video src='{canary.url}'></video>")


def nothing(path: Path, canary: Canary) -> None:
    path.write_bytes(b"")


def playlist_behind_a_mark(path: Path, canary: Canary) -> None:
    path.write_bytes(b"\0\0\0\x18ftypisom\n" + f"#EXTM3U\n#EXTINF:1,\n{canary.url}\n#EXT-X-ENDLIST\n".encode())


def sound(path: Path, canary: Canary) -> None:
    ffmpeg("-f", "lavfi", "-i", "sine=duration=1", path)


def sound_with_a_cover(path: Path, canary: Canary) -> None:
    tracks = ["-f", "lavfi", "-i", "sine=duration=1", "-f", "lavfi", "-i", "color=size=64x48:duration=0.04:rate=25"]
    ffmpeg(*tracks, "-map", 0, "-map", 1, "-c:v", "png", "-disposition:v:0", "attached_pic", path)


def film_kept_elsewhere(path: Path, canary: Canary) -> None:
    """An mp4 whose data reference is a Macintosh alias to the canary (QuickTime file format, data reference atoms)."""
    data = bytearray(canary.file.read_bytes())
    target = str(canary.file).encode()
    target += b"\0" * (len(target) % 2)
    alias = bytes(10) + bytes(28) + bytes(12) + bytes(64) + bytes(16) + bytes(4) + bytes(16)
    alias += struct.pack(">hh", 2, len(target)) + target + struct.pack(">hh", -1, 0)
    at = data.find(b"url \0\0\0\x01")
    entry = struct.pack(">I", 12 + len(alias)) + b"alis" + bytes(4) + alias
    data[at - 4 : at + 8] = entry
    for name in (b"dref", b"dinf", b"minf", b"mdia", b"trak", b"moov"):
        start = data.rfind(name, 0, at) - 4
        size = struct.unpack(">I", data[start : start + 4])[0]
        data[start : start + 4] = struct.pack(">I", size + len(entry) - 12)
    path.write_bytes(data)


REFUSED = [
    (playlist_of_a_file, "not a video"),
    (playlist_of_a_url, "not a video"),
    (concat_script, "not a video"),
    (manifest, "not a video"),
    (drawing, "not a video"),
    (error_page, "not a video"),
    (nothing, "not a video"),
    (playlist_behind_a_mark, "not readable as video"),
    (sound, "no video stream"),
    (sound_with_a_cover, "no video stream"),
    (film_kept_elsewhere, "holds no frames|not one frame|not readable"),
]


def one_pixel(path: Path) -> None:
    ffmpeg("-f", "lavfi", "-i", "color=red:size=1x1:rate=25:duration=1", *"-c:v libx264 -pix_fmt yuv444p".split(), path)


def still_of_8k(path: Path) -> None:
    source = "testsrc2=size=7680x4320:rate=25:duration=0.04"
    ffmpeg("-f", "lavfi", "-i", source, *"-c:v libx264 -preset ultrafast -pix_fmt yuv420p".split(), path)


def hundred_thousand_frames(path: Path) -> None:
    ffmpeg("-f", "lavfi", "-i", "color=red:size=16x16:rate=25:duration=4000", "-c:v", "mpeg4", "-g", 300, path)
