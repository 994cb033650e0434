"""What a user calls a trailer becomes frames: videos, folders and links; the rest is refused in one line."""

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import add_folder, fictional_film, pictures
from PIL import Image
from server import Site, file

from trailer_lib.catalog.titles import youtube_id
from trailer_lib.errors import SourceError, TrailerError
from trailer_lib.predict import trailer_input
from trailer_lib.predict.trailer_input import TrailerFrames, read_trailer
from trailer_lib.scrape import sources, youtube
from trailer_lib.settings import ScrapeSettings

SETTINGS = ScrapeSettings(count=20, filter="none")


def taken(trailer: str | Path, **chosen: object) -> TrailerFrames:
    return read_trailer(trailer, ScrapeSettings(**({"count": 20, "filter": "none"} | chosen)), lambda step: None)


@pytest.fixture(scope="module")
def clip(make_video: Callable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_video(tmp_path_factory.mktemp("clip") / "clip.mp4", list(pictures(5.0, 150, seed=1)))


def test_a_video_gives_frames_with_their_seconds(clip: Path) -> None:
    found = taken(clip)
    assert found.name == "clip.mp4" and found.pixels.shape == (20, 36, 64, 3) and found.sampled == 20
    assert found.seconds.min() >= 0 and found.seconds.max() <= 12.5
    assert found.warnings == ()


def test_a_short_video_and_few_good_frames_are_told(make_video: Callable, tmp_path: Path) -> None:
    short = taken(make_video(tmp_path / "short.mp4", list(pictures(5.0, 24, seed=1))))
    assert short.warnings == ("The video is about 2 s long: too short for a trailer.",)
    few = taken(make_video(tmp_path / "few.mp4", list(pictures(5.0, 24, seed=1))), count=4)
    assert "Only 4 good frames in it, of 4" in few.warnings[-1]


def test_a_film_is_no_trailer(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trailer_input, "LONGEST", 11.0)
    assert "is it the film instead of its trailer?" in taken(clip).warnings[0]


def test_a_scraped_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    folder = add_folder(tmp_path, fictional_film(4))
    found = taken(folder, filter="percentile")
    assert len(found.pixels) == found.sampled == 16
    assert found.seconds.tolist() == [1.5 * n for n in range(16)]


def test_other_pictures_are_filtered_and_made_alike(tmp_path: Path) -> None:
    for n, picture in enumerate([*pictures(5.0, 8, seed=1), np.zeros((36, 64, 3), np.uint8)]):
        Image.fromarray(picture).resize((64 + n, 36)).save(tmp_path / f"shot {n}.png")
    found = taken(tmp_path, filter="percentile")
    assert found.sampled == 9 and 3 <= len(found.pixels) < 9 and found.pixels.mean((1, 2, 3)).min() > 50
    assert found.pixels.shape[1:] == (36, 64, 3) and np.isnan(found.seconds).all()


@pytest.mark.parametrize("shown", [None, np.zeros((36, 64, 3), np.uint8)], ids=["none", "black"])
def test_a_folder_without_a_good_picture_is_refused(tmp_path: Path, shown: np.ndarray | None) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    if shown is not None:
        Image.fromarray(shown).save(tmp_path / "0.jpg")
    with pytest.raises(TrailerError, match="no pictures" if shown is None else "kept none of 1 pictures"):
        taken(tmp_path, filter="percentile")


def test_a_picture_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "0.jpg").write_bytes(b"hello")
    with pytest.raises(TrailerError, match="not a readable picture"):
        taken(tmp_path)


@pytest.mark.parametrize(
    "link",
    [
        "https://www.youtube.com/watch?v=abcdefghij1",
        "https://m.youtube.com/watch?feature=share&v=abcdefghij1&t=3",
        "https://youtu.be/abcdefghij1?si=x",
        "https://www.youtube.com/shorts/abcdefghij1",
        "https://www.youtube-nocookie.com/embed/abcdefghij1",
    ],
)
def test_a_link_to_youtube_is_fetched_by_its_id(
    link: str, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def fetch(
        youtube_id: str, scratch: Path, height: int, cookies: Path | None = None, longest: float = math.inf
    ) -> Path:
        asked.append((youtube_id, height, cookies, longest))
        return clip

    monkeypatch.setattr(youtube, "fetch_youtube", fetch)
    found = taken(link, cookies="secret.txt")  # which a stranger's model file may name
    assert found.name == "abcdefghij1" and len(found.pixels) == 20
    assert asked == [("abcdefghij1", 360, None, trailer_input.MOST_SECONDS)]


@pytest.mark.parametrize("link", ["https://notyoutube.com/watch?v=abcdefghij1", "https://youtube.com.evil.example/x"])
def test_another_sites_link_is_not_youtubes(link: str) -> None:
    assert youtube_id(link) == ""


def test_a_link_to_youtube_without_a_video_is_refused() -> None:
    with pytest.raises(TrailerError, match="no video's id"):
        taken("https://www.youtube.com/@channel")


@pytest.mark.parametrize(
    "link", ["http://example.com/a.mp4", "file:///etc/passwd", "ftp://example.com/a.mp4", "https://"]
)
def test_only_https_is_fetched(link: str, no_network: None) -> None:
    with pytest.raises(SourceError, match="only https: links are fetched") as caught:
        taken(link)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "link",
    ["https://localhost/a.mp4", "https://127.0.0.1/a.mp4", "https://[::1]/a", "https://10.0.0.7/a", "https://192.168.1.1/",
     "https://169.254.169.254/latest/meta-data", "https://0x7f000001/", "https://user:pw@127.0.0.1:8443/a"],
)  # fmt: skip
def test_this_machine_and_its_network_are_not_asked(link: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "fetch_trailer", lambda *_: pytest.fail("asked"))
    with pytest.raises(SourceError, match="leads to a private address") as caught:
        taken(link)
    assert "pw" not in str(caught.value)


def test_a_link_gives_the_frames_of_its_file(site: Site, clip: Path) -> None:
    site.pages["/a.mp4"] = file(clip.read_bytes())
    link, steps = f"{site.url}/a.mp4?key=secret", []
    found = read_trailer(link, SETTINGS, steps.append, private_links=True)
    assert steps == ["fetch", "frames"] and "secret" not in found.name
    assert np.array_equal(found.pixels, taken(clip).pixels)
    with pytest.raises(SourceError, match="private"):
        taken(link)
    assert len(site.requests) == 1


def test_a_link_to_too_long_a_video_is_refused(site: Site, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site.pages["/a.mp4"] = file(clip.read_bytes())
    monkeypatch.setattr(trailer_input, "MOST_SECONDS", 6.0)
    with pytest.raises(TrailerError, match=r"/a\.mp4: 0 minutes long: at most 0 are taken from a link or an upload"):
        read_trailer(f"{site.url}/a.mp4", SETTINGS, lambda step: None, private_links=True)
    assert len(taken(clip).pixels)  # a file of one's own may be as long as it is


def test_a_model_file_can_not_ask_for_more_pictures_than_fit(clip: Path) -> None:
    with pytest.raises(TrailerError, match="the model file asks for 600 frames of 4320 lines"):
        taken(clip, count=600, height=4320)
