"""D2: twenty files named like videos that are none, are odd ones, or tell the reader to fetch or open something else.

A canary server on loopback counts requests and a canary file shows by its access time whether it was opened. FFmpeg
left to itself takes the bait, which the first test shows, so that the others can fail.
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import pytest
from clips import ffmpeg, render
from conftest import amount
from server import Request, raw, serving

from trailer_lib.video.container import VideoError
from trailer_lib.video.sampling import sample_frames


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
ODD = [  # and the shape of their pictures
    ("color=red:size=1x1:rate=25:duration=1 -c:v libx264 -pix_fmt yuv444p", (1, 1, 3)),
    ("testsrc2=size=7680x4320:rate=25:duration=0.04 -c:v libx264 -preset ultrafast -pix_fmt yuv420p", (360, 640, 3)),
    ("color=red:size=16x16:rate=25:duration=4000 -c:v mpeg4 -g 300", (16, 16, 3)),  # 100,000 of them
]


def make(name: str, path: Path, canary: Canary) -> None:
    """Write the disguise of this name."""
    if name in TEXTS:
        path.write_text(TEXTS[name].format(file=canary.file, url=canary.url))
    else:
        VIDEOS[name](path, canary)


@pytest.fixture(scope="module")
def canary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Canary]:
    path = render(tmp_path_factory.mktemp("canary") / "canary.mp4", frames=25)
    with serving() as site:
        site.pages["/canary.mp4"] = raw(path.read_bytes())
        yield Canary(path, f"{site.url}/canary.mp4", site.requests)


@pytest.mark.parametrize(("name", "options"), [
    ("playlist_of_a_file", {"allowed_extensions": "ALL", "extension_picky": "0"}),
    ("playlist_of_a_url", {"allowed_extensions": "ALL", "extension_picky": "0"}),
    ("concat_script", {"safe": "0"}),
    ("film_kept_elsewhere", {"enable_drefs": "1", "use_absolute_path": "1"}),
])  # fmt: skip
def test_the_baits_work(canary: Canary, tmp_path: Path, name: str, options: dict[str, str]) -> None:
    path = tmp_path / ("bait.m3u8" if "playlist" in name else "bait.mp4")
    make(name, path, canary)
    canary.set_up()
    whitelist = {"protocol_whitelist": "file,http,tcp"}
    with av.open(str(path), options=options | whitelist) as container:
        next(container.decode(video=0))
    assert canary.touched()


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".m3u8"])
@pytest.mark.parametrize(("name", "reason"), REFUSED.items(), ids=list(REFUSED))
def test_a_disguise_is_refused_and_touches_nothing(
    canary: Canary, tmp_path: Path, name: str, reason: str, suffix: str
) -> None:
    make(name, tmp_path / "made.mp4", canary)
    path = (tmp_path / "made.mp4").rename(tmp_path / f"disguise{suffix}")
    canary.set_up()
    with pytest.raises(VideoError, match=reason) as refusal:
        sample_frames(path, 5, 0, "key", height=360)
    assert not canary.touched() and path.name in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.parametrize(("source", "shape"), ODD[: amount(3, 2)])
def test_an_odd_video_gives_frames(tmp_path: Path, source: str, shape: tuple[int, int, int]) -> None:
    ffmpeg("-f", "lavfi", "-i", *source.split(), tmp_path / "odd.mp4")
    frames = sample_frames(tmp_path / "odd.mp4", 100, 0, "key", height=360)
    assert frames.pixels.shape == (100, *shape)
    assert frames.pixels.mean() > 20


@pytest.mark.parametrize("name", ["-i.mp4", "concat:a|b", "http:127.0.0.1", "crypto:x.mp4", "pipe:0", "$(touch x).mp4"])
def test_an_odd_name_is_just_a_name(canary: Canary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (tmp_path / name).write_bytes(canary.file.read_bytes())
    monkeypatch.chdir(tmp_path)
    frames = sample_frames(Path(name), 5, 0, "key")
    assert np.array_equal(frames.pixels, sample_frames(canary.file, 5, 0, "key").pixels)
    assert [path.name for path in tmp_path.iterdir()] == [name]
