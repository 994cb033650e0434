"""Ways to take the frames shown at given times out of a video: each gives uint8 RGB [n, height, width, 3].

All get every core, by the default of each; the count of threads is FFmpeg's own choice except where it is said.
"""

import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
from decord import VideoReader
from torchcodec.decoders import VideoDecoder

from trailer_lib.video import container, sampling

COUNT, SEED, KEY = 100, 0, "benchmark"
Method = Callable[[Path], np.ndarray]


@cache
def indices(path: Path) -> list[int]:
    """Numbers of the frames of ours_exact for the tools that count frames; worked out once, not in their time."""
    facts = container.probe(path)
    rate = len(facts.pts) / facts.duration
    return np.floor(sampling.draw_times(SEED, KEY, facts.duration, COUNT) * rate).astype(int).tolist()


@cache
def keyframe_count(path: Path) -> int:
    return len(container.probe(path).keyframes)


def ours_exact(path: Path) -> np.ndarray:
    return sampling.sample_frames(path, COUNT, SEED, KEY).pixels


def ours_keyframes(path: Path) -> np.ndarray:
    return sampling.sample_frames(path, COUNT, SEED, KEY, mode="keyframes").pixels


def ours_keyframes_alone(path: Path) -> np.ndarray:
    """As many as the clip has, so that none is topped up."""
    count = keyframe_count(path)
    return sampling.sample_frames(path, count, SEED, KEY, mode="keyframes").pixels


def torchcodec(path: Path) -> np.ndarray:
    # 0: FFmpeg takes a thread a core; the decoder's default is one thread
    decoder = VideoDecoder(str(path), seek_mode="exact", num_ffmpeg_threads=0, dimension_order="NHWC")
    return decoder.get_frames_at(indices(path)).data.numpy()


def opencv_seek(path: Path) -> np.ndarray:
    reader, pictures = cv2.VideoCapture(str(path)), []
    for index in indices(path):
        reader.set(cv2.CAP_PROP_POS_FRAMES, index)
        pictures.append(cv2.cvtColor(reader.read()[1], cv2.COLOR_BGR2RGB))
    return np.stack(pictures)


def opencv_one_pass(path: Path) -> np.ndarray:
    reader, wanted, pictures = cv2.VideoCapture(str(path)), indices(path), []
    for index in range(wanted[-1] + 1):
        reader.grab()
        if index in wanted:
            picture = cv2.cvtColor(reader.retrieve()[1], cv2.COLOR_BGR2RGB)
            pictures += [picture] * wanted.count(index)
    return np.stack(pictures)


def decord(path: Path) -> np.ndarray:
    return VideoReader(str(path), num_threads=0).get_batch(indices(path)).asnumpy()


def ffmpeg_select(path: Path) -> np.ndarray:
    wanted = indices(path)
    once = sorted(set(wanted))
    choice = "select=" + "+".join(f"eq(n\\,{index})" for index in once)
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(path), "-vf", choice, "-fps_mode"]
    command += ["passthrough", "-frames:v", str(len(once)), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    done = subprocess.run(command, capture_output=True, check=True)
    size = cv2.VideoCapture(str(path)).read()[1].shape
    pictures = np.frombuffer(done.stdout, np.uint8).reshape(-1, *size)
    return pictures[np.searchsorted(once, wanted)]


def imageio_generator(path: Path) -> np.ndarray:
    reader = imageio_ffmpeg.read_frames(str(path))
    width, height = next(reader)["size"]
    wanted, pictures = indices(path), []
    for index, picture in enumerate(reader):
        if index in wanted:
            pictures += [np.frombuffer(picture, np.uint8).reshape(height, width, 3)] * wanted.count(index)
    return np.stack(pictures)


# name in the table: function, whether it must give the same pictures as ours_exact
METHODS: dict[str, tuple[Method, bool]] = {
    "ours, exact": (ours_exact, True),
    "ours, keyframes topped up": (ours_keyframes, False),
    "ours, keyframes alone": (ours_keyframes_alone, False),
    "torchcodec, exact": (torchcodec, True),
    "decord, get_batch": (decord, True),
    "OpenCV, one pass": (opencv_one_pass, True),
    "OpenCV, seek per frame": (opencv_seek, True),
    "ffmpeg, select pipe": (ffmpeg_select, True),
    "imageio-ffmpeg, generator": (imageio_generator, True),
}
