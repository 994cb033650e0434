"""D2: twenty files named like videos that are none, are odd ones, or tell the reader to fetch or open something else.

A canary server on loopback counts requests and a canary file shows by its access time whether it was opened. FFmpeg
left to itself takes the bait, which the first test shows, so that the others can fail.
"""

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import amount
from disguises import REFUSED, Canary, laid, make

from trailer_lib.video.container import VideoError
from trailer_lib.video.sampling import sample_frames


@pytest.fixture(scope="module")
def canary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Canary]:
    with laid(tmp_path_factory.mktemp("canary")) as canary:
        yield canary


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


ODD = [("one_pixel", (1, 1, 3)), ("still_of_8k", (360, 640, 3)), ("hundred_thousand_frames", (16, 16, 3))]


@pytest.mark.parametrize(("name", "shape"), ODD[: amount(3, 2)])
def test_an_odd_video_gives_frames(canary: Canary, tmp_path: Path, name: str, shape: tuple[int, int, int]) -> None:
    make(name, tmp_path / "odd.mp4", canary)
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
