"""Pictures come out as a player shows them: turned by the display matrix, with square pixels, of one size."""

import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from clips import FFMPEG, ffmpeg

from trailer_lib.video import sampling
from trailer_lib.video.container import VideoError

WIDTH, HEIGHT = 64, 48
TURNS = [
    *[["-display_rotation", degrees] for degrees in (0, 90, 180, 270)],
    ["-display_hflip"],
    ["-display_vflip"],
    ["-display_rotation", 90, "-display_hflip"],
    ["-display_rotation", 90, "-display_vflip"],
]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    return made(path, f"testsrc2=size={WIDTH}x{HEIGHT}:rate=25:duration=1")


def made(path: Path, source: str, *options: object) -> Path:
    ffmpeg("-f", "lavfi", "-i", source, "-c:v", "libx264", "-pix_fmt", "yuv420p", "-g", 5, *options, path)
    return path


def as_ffmpeg_shows(path: Path, size: tuple[int, int], *filters: str) -> np.ndarray:
    """uint8 [frames, height, width, 3] by the ffmpeg program, which turns pictures itself."""
    chain = ["-vf", ",".join(filters)] if filters else []
    command = [FFMPEG, "-v", "error", "-i", str(path), *chain, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    done = subprocess.run(command, capture_output=True, check=True)
    return np.frombuffer(done.stdout, np.uint8).reshape(-1, size[1], size[0], 3)


def distance(path: Path, pictures: np.ndarray, **options: int) -> float:
    """Mean difference in grey levels between 10 random frames and the same ones among `pictures`."""
    frames = sampling.sample_frames(path, 10, 0, "key", **options)
    same = pictures[np.round(frames.seconds * 25).astype(int)]
    assert frames.pixels.shape == same.shape
    return float(np.abs(frames.pixels.astype(int) - same).mean())


@pytest.mark.parametrize("container", ["mp4", "mov"])
@pytest.mark.parametrize("turn", TURNS, ids=lambda turn: " ".join(map(str, turn)))
def test_a_turned_video_is_given_upright(clip: Path, tmp_path: Path, turn: list, container: str) -> None:
    path = tmp_path / f"turned.{container}"
    ffmpeg(*turn, "-i", clip, "-c", "copy", path)
    size = (HEIGHT, WIDTH) if 90 in turn or 270 in turn else (WIDTH, HEIGHT)
    assert distance(path, as_ffmpeg_shows(path, size)) < 2
    if turn != TURNS[0]:  # the same without its matrix is another picture, so the test can fail
        stored = as_ffmpeg_shows(clip, (WIDTH, HEIGHT)).reshape(-1, size[1], size[0], 3)
        assert distance(path, stored) > 10


@pytest.mark.parametrize("aspect", [Fraction(4, 3), Fraction(1, 2), Fraction(64, 45)])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_pixels_that_are_not_square_are_stretched(tmp_path: Path, aspect: Fraction, suffix: str) -> None:
    wide = f"testsrc2=size={WIDTH}x{HEIGHT}:rate=25:duration=1,setsar={aspect}"
    path = made(tmp_path / f"wide{suffix}", wide)
    size = (round(WIDTH * aspect), HEIGHT)
    assert distance(path, as_ffmpeg_shows(path, size, f"scale={size[0]}:{size[1]}:flags=bilinear")) < 6


def test_a_turned_video_with_wide_pixels_is_shrunk_as_it_is_shown(tmp_path: Path) -> None:
    whole = made(tmp_path / "whole.mp4", f"testsrc2=size={WIDTH}x{HEIGHT}:rate=25:duration=1,setsar=3/2")
    ffmpeg("-display_rotation", 90, "-i", whole, "-c", "copy", tmp_path / "turned.mp4")
    # 96x48 as shown, turned to 48x96, shrunk to 32 lines.
    assert sampling.sample_frames(tmp_path / "turned.mp4", 3, 0, "key", height=32).pixels.shape == (3, 32, 16, 3)


def h264_of_two_sizes(folder: Path, sources: list[str]) -> Path:
    parts = []
    for number, source in enumerate(sources):
        ffmpeg("-f", "lavfi", "-i", source, "-c:v", "libx264", "-bf", 0, folder / f"{number}.h264")
        parts.append((folder / f"{number}.h264").read_bytes())
    (folder / "both.h264").write_bytes(b"".join(parts))
    ffmpeg("-r", 25, "-i", folder / "both.h264", "-c", "copy", folder / "both.mp4")
    return folder / "both.mp4"


def vp9_of_two_sizes(folder: Path, sources: list[str]) -> Path:
    for number, source in enumerate(sources):
        ffmpeg("-f", "lavfi", "-i", source, "-c:v", "libvpx-vp9", "-deadline", "realtime", folder / f"{number}.webm")
    (folder / "list").write_text("file 0.webm\nfile 1.webm\n")
    ffmpeg("-f", "concat", "-i", folder / "list", "-c", "copy", folder / "both.webm")
    return folder / "both.webm"


@pytest.mark.parametrize("join", [h264_of_two_sizes, vp9_of_two_sizes])
def test_frames_whose_size_changes_are_scaled_to_the_first(
    tmp_path: Path, join: Callable[[Path, list[str]], Path]
) -> None:
    path = join(tmp_path, [f"color={look}:rate=25:duration=1" for look in ("red:size=64x48", "blue:size=128x96")])
    frames = sampling.sample_frames(path, 20, 0, "key")
    assert frames.pixels.shape == (20, 48, 64, 3)
    red, blue = frames.pixels[frames.seconds < 0.99], frames.pixels[frames.seconds > 0.99]
    assert len(red) and red[..., 0].min() > 200 and red[..., 2].max() < 50
    assert len(blue) and blue[..., 2].min() > 200 and blue[..., 0].max() < 50


def test_pixels_stretched_beyond_all_measure_are_refused(tmp_path: Path) -> None:
    path = made(tmp_path / "band.mp4", "color=gray:size=640x480:rate=25:duration=0.2,setsar=200:max=1000")
    with pytest.raises(VideoError, match="at most 36000000 pixels"):
        sampling.sample_frames(path, 3, 0, "key")


def test_more_pictures_than_memory_should_hold_are_refused_before_they_are_made(tmp_path: Path) -> None:
    path = made(tmp_path / "large.mp4", "color=gray:size=4096x2160:rate=25:duration=0.2", "-preset", "ultrafast")
    with pytest.raises(VideoError, match="100 pictures of 4096x2160 take more than"):
        sampling.sample_frames(path, 100, 0, "key")
    assert sampling.sample_frames(path, 100, 0, "key", height=360).pixels.shape == (100, 360, 683, 3)


def test_a_video_of_too_many_pixels_is_refused_by_its_size(tmp_path: Path) -> None:
    path = made(tmp_path / "giant.mp4", "color=gray:size=9216x4096:rate=25:duration=0.04", "-preset", "ultrafast")
    with pytest.raises(VideoError, match="9216x4096: at most"):
        sampling.sample_frames(path, 3, 0, "key", height=360)
