"""D3: of ten clips with their frames' numbers drawn in them, 100 random times each: the right frame, every time.

The truth comes from another decoder: the ffmpeg program lists every shown frame's time, and its number is read from its
pixels.
"""

import re
import subprocess
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from clips import FFMPEG, X264, ffmpeg, number_of, render
from conftest import amount

from trailer_lib.video import container, sampling

COUNT = 100
CLIPS = {  # name: rate, size, options
    "24-gop30-b3.mp4": (24, (64, 48), f"{X264} -g 30 -bf 3"),
    "25-gop1.mkv": (25, (64, 48), f"{X264} -g 1 -bf 0"),
    "ntsc-gop600-b3.mp4": ("30000/1001", (64, 48), f"{X264} -g 600 -bf 3"),
    "60-gop30.mp4": (60, (64, 48), f"{X264} -g 30 -bf 0"),
    "variable-1-60-1.mp4": (
        25, (64, 48), f"{X264} -g 30 -bf 3 -fps_mode passthrough -enc_time_base 1:600 -video_track_timescale 600"
        " -vf settb=1/600,setpts='(if(lt(N,10),N,if(lt(N,250),10+(N-10)/60,14+N-250)))/TB'",
    ),
    "edit-list.mp4": (25, (64, 48), f"{X264} -g 48 -bf 3"),
    "odd-size-hevc.mp4": (25, (67, 49), "-c:v libx265 -x265-params log-level=none:keyint=30 -pix_fmt yuv444p"),
    "odd-size-vp9.webm": (25, (65, 47), "-c:v libvpx-vp9 -g 30 -b:v 900k -deadline realtime -cpu-used 8"),
    "av1.mp4": (25, (64, 64), "-c:v libsvtav1 -preset 12 -g 30 -crf 20 -svtav1-params enable-overlays=0"),
    "no-order-info.mp4": (25, (64, 48), f"{X264} -g 250 -bf 3 -b-pyramid strict -bsf:v h264_metadata=level=5.2"),
}  # fmt: skip
FEW = ["variable-1-60-1.mp4", "edit-list.mp4", "odd-size-hevc.mp4"]  # tests/video/test_sampling.py has the other kinds


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder, made = tmp_path_factory.mktemp("clips"), {}
    for name in amount(list(CLIPS), FEW):
        rate, size, options = CLIPS[name]
        made[name] = render(folder / name, options, 260, rate, size)
    whole = made["edit-list.mp4"].rename(folder / "whole.mp4")
    ffmpeg("-ss", 1.3, "-i", whole, "-c", "copy", made["edit-list.mp4"])  # the frames before stay in, hidden
    return made


def every_frame(path: Path) -> list[tuple[float, int]]:
    """(seconds from the first, number) of every frame that the ffmpeg program shows."""
    command = [FFMPEG, "-i", str(path), "-fps_mode", "passthrough", "-vf", "showinfo", "-f", "rawvideo", "-pix_fmt"]
    done = subprocess.run([*command, "rgb24", "-"], capture_output=True, check=True)
    log = done.stderr.decode()
    width, height = map(int, re.search(r"s:(\d+)x(\d+)", log).groups())
    seconds = [float(time) for time in re.findall(r"pts_time:(-?[\d.]+)", log)]
    pixels = np.frombuffer(done.stdout, np.uint8).reshape(-1, height, width, 3)
    assert len(seconds) == len(pixels)
    return [(time - seconds[0], number_of(picture)) for time, picture in zip(seconds, pixels)]


def shown_at(frames: list[tuple[float, int]], times: np.ndarray) -> list[int]:
    starts = np.array([start for start, _ in frames])
    return [frames[max(int(np.searchsorted(starts, time + 1e-9, "right")) - 1, 0)][1] for time in times]


def given(path: Path, threads: int = 0) -> sampling.Frames:
    return sampling.sample_frames(path, COUNT, 0, path.stem, threads=threads)


def test_every_frame_is_the_one_that_another_decoder_shows(clips: dict[str, Path]) -> None:
    right = {}
    for name, path in clips.items():
        frames, truth = given(path), every_frame(path)
        times = sampling.random_times(0, path.stem, container.probe(path).duration, COUNT)
        pairs = zip([number_of(picture) for picture in frames.pixels], shown_at(truth, times))
        right[name] = sum(one == other for one, other in pairs)
        assert len(set(truth)) == len(truth) > 200, f"{name}: the truth is not clear"
        assert np.all(np.diff(frames.seconds) >= 0), name
        assert frames.pixels.shape[1:3] == CLIPS[name][1][::-1], name
    print(f"{sum(right.values())} of {COUNT * len(clips)} frames right")
    assert right == dict.fromkeys(clips, COUNT)


def bytes_of(path: Path) -> bytes:
    return given(path, threads=1).pixels.tobytes()


def test_the_bytes_are_the_same_with_one_process_or_four_and_again(clips: dict[str, Path]) -> None:
    first = [given(path).pixels.tobytes() for path in clips.values()]
    assert [bytes_of(path) for path in clips.values()] == first
    for workers in (1, 4) if amount(1, 0) else (2,):
        with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
            assert list(pool.map(bytes_of, clips.values())) == first
