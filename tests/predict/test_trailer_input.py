"""What a user calls a trailer becomes frames: videos, folders and links; the rest is refused in one line."""

import math
import os
import re
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
from clips import ffmpeg
from conftest import add_folder, fictional_film, pictures
from PIL import Image
from server import Site, file

from trailer_lib import download, scrape
from trailer_lib.errors import SourceError, TrailerError
from trailer_lib.predict import trailer_input
from trailer_lib.predict.trailer_input import TrailerFrames, read_trailer, refuse_input
from trailer_lib.settings import ScrapeSettings


def read(trailer: str | Path, begin: Callable = print, **settings: object) -> TrailerFrames:
    return read_trailer(trailer, ScrapeSettings(**({"count": 20, "filter": "none"} | settings)), begin)


def test_a_video_gives_frames_with_their_seconds(trailer: Path) -> None:
    frames = read(trailer)
    assert frames.name == "trailer.mp4" and frames.pixels.shape == (20, 36, 64, 3) and frames.sampled_frames == 20
    assert frames.seconds.min() >= 0 and frames.seconds.max() <= 12.0
    assert frames.warnings == ()


def test_odd_lengths_and_few_good_frames_are_doubted(
    trailer: Path, make_video: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for count, seconds in ((1, 0.1), (24, 2.0)):
        short = make_video(tmp_path / "short.mp4", list(pictures(5.0, count, seed=1)))
        assert read(short).warnings == (f"The video is {seconds} s long: too short for a trailer.",)
    assert "Only 4 of 4 frames passed the filter" in read(short, count=4).warnings[-1]
    early = read(trailer, count=1).warnings  # whose only frame is an early one
    assert not any("too short" in warning for warning in early)
    monkeypatch.setattr(trailer_input, "LONGEST", 11.0)
    assert "is it the whole film?" in read(trailer).warnings[0]


def test_a_scraped_folder_is_taken_as_it_is_and_other_pictures_are_filtered_and_made_alike(tmp_path: Path) -> None:
    scraped = read(add_folder(tmp_path / "root", fictional_film(4)), filter="percentile")
    assert len(scraped.pixels) == scraped.sampled_frames == 16
    assert scraped.seconds.tolist() == [1.5 * n for n in range(16)]
    for n, picture in enumerate([*pictures(5.0, 8, seed=1), np.zeros((36, 64, 3), np.uint8)]):
        Image.fromarray(picture).resize((64 + n, 36)).save(tmp_path / f"frame {n}.png")
    frames = read(tmp_path, filter="percentile")
    assert frames.sampled_frames == 9 and 3 <= len(frames.pixels) < 9 and frames.pixels.mean((1, 2, 3)).min() > 50
    assert frames.pixels.shape[1:] == (36, 64, 3) and np.isnan(frames.seconds).all()


def test_a_video_or_folder_without_a_good_picture_is_refused(make_video: Callable, tmp_path: Path) -> None:
    black = make_video(tmp_path / "black.mp4", [np.zeros((36, 64, 3), np.uint8)])
    with pytest.raises(TrailerError, match="60 frames, 1 of them different: all black"):
        read(black, filter="informative")
    black.unlink()
    picture = tmp_path / "0.jpg"
    with pytest.raises(TrailerError, match="no pictures"):
        read(tmp_path)
    Image.fromarray(np.zeros((36, 64, 3), np.uint8)).save(picture)
    with pytest.raises(TrailerError, match="kept none of 1 pictures"):
        read(tmp_path, filter="percentile")
    picture.write_bytes(b"hello")
    with pytest.raises(TrailerError, match="not a readable picture"):
        read(tmp_path)
    picture.rename(tmp_path / "clip.mp4")
    with pytest.raises(TrailerError, match=r"no pictures .* its videos are for --csv"):
        read(tmp_path)


def test_a_link_to_youtube_is_fetched_by_its_id(trailer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def fetch(
        youtube_id: str, scratch: Path, height: int, cookies: Path | None = None, longest: float = math.inf
    ) -> download.Fetched:
        calls.append((youtube_id, height, cookies, longest))
        return download.Fetched(trailer)

    monkeypatch.setattr(scrape, "fetch_youtube", fetch)
    for link in ("https://youtu.be/abcdefghij1?si=x", "www.youtube.com/watch?v=abcdefghij1"):
        frames = read(link, cookies="secret.txt")  # which a stranger's model file may name
        assert frames.name == "abcdefghij1" and len(frames.pixels) == 20
    assert calls == [("abcdefghij1", 360, None, trailer_input.MOST_SECONDS)] * 2
    with pytest.raises(TrailerError, match="no video's id"):
        read("https://www.youtube.com/@channel")
    with pytest.raises(TrailerError, match="No such file"):
        read("notyoutu.be/abcdefghij1")


@pytest.mark.parametrize("link", [
    "https://localhost/a.mp4", "https://[::1]/a", "https://169.254.169.254/latest/meta-data",
    "https://user:pw@127.0.0.1:8443/a", "http://example.com/a.mp4", "file:///etc/passwd",
])  # fmt: skip
def test_this_machine_and_its_network_get_no_request(link: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrape, "fetch_trailer", lambda *_: pytest.fail("fetched"))
    with pytest.raises(SourceError, match=r"leads to a private address|only https: links are fetched") as caught:
        read(link)
    assert "pw" not in str(caught.value)


def test_a_link_gives_frames_unless_it_is_too_long(site: Site, trailer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site.pages["/a.mp4"] = file(trailer.read_bytes())
    link, steps = f"{site.url}/a.mp4?key=secret", []
    with pytest.raises(SourceError, match="private"):
        read(link)
    assert site.requests == []
    monkeypatch.setattr(download, "is_public", lambda host: True)
    frames = read(link, steps.append)
    assert steps == ["fetch", "frames"] and "secret" not in frames.name
    assert np.array_equal(frames.pixels, read(trailer).pixels)
    monkeypatch.setattr(trailer_input, "MOST_SECONDS", 6.0)
    with pytest.raises(TrailerError, match=r"/a\.mp4: 0 minutes long: at most 0 are taken"):
        read(link)
    assert len(read(trailer).pixels)  # a file of one's own may be as long as it is


def test_a_model_file_can_not_ask_for_more_pictures_than_fit(trailer: Path) -> None:
    with pytest.raises(TrailerError, match="the model asks for 179 GB of frames"):
        read(trailer, count=600, height=4320)


def test_a_damaged_picture_is_named_and_hidden_files_are_ignored(tmp_path: Path) -> None:
    for number, picture in enumerate(pictures(5.0, 6, seed=1)):
        Image.fromarray(picture).save(tmp_path / f"{number}.{('jpg', 'webp', 'JPEG')[number % 3]}")
        (tmp_path / f"._{number}.jpg").write_bytes(b"\0\5\x16\7")  # a Mac's
    assert read(tmp_path).warnings == () and read(tmp_path).sampled_frames == 6
    (tmp_path / "3.png").write_bytes(b"hello")
    frames = read(tmp_path)
    assert len(frames.pixels) == 6
    assert re.fullmatch("1 of 7 pictures left out: .*/3.png: not a readable.*", *frames.warnings)


def test_another_container_is_refused_with_the_remedy(trailer: Path, tmp_path: Path) -> None:
    other = tmp_path / "my clip.ts"
    ffmpeg("-i", trailer, "-c", "copy", other)
    with pytest.raises(TrailerError, match=r"ffmpeg .*-i 'my clip\.\w+' -c copy 'my clip\.mkv'"):
        read(other)


@pytest.mark.parametrize(("out", "refused"), [
    ("a.mp4", True), ("same.mp4", True), ("pictures/0.png", True), ("pictures/1.png", True), ("b.png", False),
    ("new/0.png", False),
])  # fmt: skip
def test_no_output_goes_over_an_input_or_among_its_pictures(tmp_path: Path, out: str, refused: bool) -> None:
    (tmp_path / "pictures").mkdir()
    for name in ("a.mp4", "pictures/0.png"):
        (tmp_path / name).touch()
    os.link(tmp_path / "a.mp4", tmp_path / "same.mp4")
    with pytest.raises(TrailerError, match="over an input") if refused else nullcontext():
        refuse_input(tmp_path / out, tmp_path / "a.mp4", tmp_path / "pictures", Path("https://youtu.be/abcdefghij1"))
