"""Ways to take the frames displayed at given times out of a video: each gives uint8 RGB [n, height, width, 3].

All get every core, by the default of each; the count of threads is FFmpeg's own choice except where it is said.
A peer is imported in its function, so that the others run where it is not installed.
"""

import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np

from trailer_lib.video import container, sampling

COUNT, SEED, KEY = 100, 0, "benchmark"
Method = Callable[[Path], np.ndarray]


@cache
def indices(path: Path) -> list[int]:
    """Numbers of the frames of ours_exact for the tools that count frames; worked out once, not in their time."""
    info = container.probe(path)
    rate = len(info.pts) / info.duration
    return np.floor(sampling.random_times(SEED, KEY, info.duration, COUNT) * rate).astype(int).tolist()


def ours_exact(path: Path) -> np.ndarray:
    return sampling.sample_frames(path, COUNT, SEED, KEY).pixels


def keyframes_alone(path: Path) -> np.ndarray:
    """PyAV on the keyframes, as many as the clip has: the least that any method can take."""
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.skip_frame = "NONKEY"
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def torchcodec(path: Path) -> np.ndarray:
    from torchcodec.decoders import VideoDecoder

    # 0: FFmpeg takes a thread a core; the decoder's default is one thread
    decoder = VideoDecoder(str(path), seek_mode="exact", num_ffmpeg_threads=0, dimension_order="NHWC")
    return decoder.get_frames_at(indices(path)).data.numpy()


def opencv_seek(path: Path) -> np.ndarray:
    import cv2

    reader, pictures = cv2.VideoCapture(str(path)), []
    for index in indices(path):
        reader.set(cv2.CAP_PROP_POS_FRAMES, index)
        pictures.append(cv2.cvtColor(reader.read()[1], cv2.COLOR_BGR2RGB))
    return np.stack(pictures)


def opencv_one_pass(path: Path) -> np.ndarray:
    import cv2

    reader, wanted, pictures = cv2.VideoCapture(str(path)), indices(path), []
    for index in range(wanted[-1] + 1):
        reader.grab()
        if index in wanted:
            picture = cv2.cvtColor(reader.retrieve()[1], cv2.COLOR_BGR2RGB)
            pictures += [picture] * wanted.count(index)
    return np.stack(pictures)


def decord(path: Path) -> np.ndarray:
    from decord import VideoReader

    return VideoReader(str(path), num_threads=0).get_batch(indices(path)).asnumpy()


def ffmpeg_select(path: Path) -> np.ndarray:
    wanted = indices(path)
    once = sorted(set(wanted))
    choice = "select=" + "+".join(f"eq(n\\,{index})" for index in once)
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(path), "-vf", choice, "-fps_mode"]
    command += ["passthrough", "-frames:v", str(len(once)), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    done = subprocess.run(command, capture_output=True, check=True)
    info = container.probe(path)
    pictures = np.frombuffer(done.stdout, np.uint8).reshape(-1, info.height, info.width, 3)
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
    "PyAV, keyframes alone": (keyframes_alone, False),
    "torchcodec, exact": (torchcodec, True),
    "decord, get_batch": (decord, True),
    "OpenCV, one pass": (opencv_one_pass, True),
    "OpenCV, seek per frame": (opencv_seek, True),
    "ffmpeg, select pipe": (ffmpeg_select, True),
    "imageio-ffmpeg, generator": (imageio_generator, True),
}
