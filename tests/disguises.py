"""Files named like videos that are none, are odd ones, or tell the reader to fetch or open something else.

A canary server on loopback counts requests and a canary file shows by its access time whether it was opened.
"""

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from clips import ffmpeg, render
from server import Request, raw, serving


@dataclass
class Canary:
    """What must not be touched: `file`, a real video with a text in it, and `url`, which serves it and counts."""

    file: Path
    url: str
    requests: list[Request]

    def set_up(self) -> None:
        self.requests.clear()
        os.utime(self.file, (0, 1))  # read long before it was written: the next reading is recorded (relatime)

    def touched(self) -> bool:
        return bool(self.requests) or self.file.stat().st_atime != 0


@contextmanager
def laid(folder: Path) -> Iterator[Canary]:
    """A canary whose file lies in `folder`, on loopback while the block runs."""
    path = render(folder / "canary.mp4", frames=25)
    with serving() as site:
        site.pages["/canary.mp4"] = raw(path.read_bytes())
        yield Canary(path, f"{site.url}/canary.mp4", site.requests)


TEXTS = {
    "playlist_of_a_file": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile://{file}\n#EXT-X-ENDLIST\n",
    "playlist_of_a_url": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{url}\n#EXT-X-ENDLIST\n",
    "playlist_behind_a_mark": "\0\0\0\x18ftypisom\n#EXTM3U\n#EXTINF:1,\n{url}\n#EXT-X-ENDLIST\n",
    "concat_script": "ffconcat version 1.0\nfile '{file}'\nfile '{url}'\n",
    "manifest": "<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011'><Period><AdaptationSet>"
    "<Representation id='0'><BaseURL>{url}</BaseURL></Representation></AdaptationSet></Period></MPD>",
    "drawing": "<svg xmlns='http://www.w3.org/2000/svg' width='64' height='48'>"
    "<image xlink:href='{url}'/><image xlink:href='file://{file}'/></svg>",
    "error_page": "<!DOCTYPE html><title>429</title><video src='{url}'></video>",
    "nothing": "",
}


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


VIDEOS = {function.__name__: function for function in (sound, sound_with_a_cover, film_kept_elsewhere)}
REFUSED = dict.fromkeys(TEXTS, "not a video") | {
    "playlist_behind_a_mark": "not readable as video",
    "sound": "no video stream",
    "sound_with_a_cover": "no video stream",
    "film_kept_elsewhere": "holds no frames|not one frame|not readable",
}
ODD = {
    "one_pixel": "color=red:size=1x1:rate=25:duration=1 -c:v libx264 -pix_fmt yuv444p",
    "still_of_8k": "testsrc2=size=7680x4320:rate=25:duration=0.04 -c:v libx264 -preset ultrafast -pix_fmt yuv420p",
    "hundred_thousand_frames": "color=red:size=16x16:rate=25:duration=4000 -c:v mpeg4 -g 300",
}


def make(name: str, path: Path, canary: Canary) -> None:
    """Write the disguise or the odd video of this name."""
    if name in TEXTS:
        path.write_text(TEXTS[name].format(file=canary.file, url=canary.url))
    elif name in ODD:
        ffmpeg("-f", "lavfi", "-i", *ODD[name].split(), path)
    else:
        VIDEOS[name](path, canary)
