"""D1: 1,850 broken videos, 370 of each of five small clips. Each gives frames of the right shape or a VideoError.

A mutant runs in a worker process that may take 20 seconds and 1 GB; its crash, hang or other exception is a failure.
TORTURE=1 runs all of them, else every 50th.
"""

import re
import resource
import struct
from concurrent.futures import as_completed
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from clips import write
from conftest import amount
from pebble import ProcessPool

from trailer_lib.video.container import VideoError
from trailer_lib.video.sampling import sample_frames

STEP = amount(1, 50)
SECONDS, MEGABYTES, COUNT = 20, 1000, 12
CLIPS = {
    "plain.mp4": "-c:v libx264 -g 12 -bf 3 -pix_fmt yuv420p",
    "faststart.mp4": "-c:v libx264 -g 48 -bf 0 -pix_fmt yuv420p -movflags +faststart",
    "fragments.mp4": "-c:v libx264 -g 12 -bf 2 -pix_fmt yuv420p -movflags frag_keyframe+empty_moov",
    "hevc.mp4": "-c:v libx265 -x265-params log-level=none:keyint=24 -pix_fmt yuv420p",
    "vp9.mp4": "-c:v libvpx-vp9 -g 24 -b:v 200k -deadline realtime -cpu-used 8 -pix_fmt yuv420p",
}
BOXES = [b"moov", b"trak", b"mdia", b"stbl", b"stsz"]


def boxes(data: bytes) -> list[bytes]:
    """The boxes of the file's outermost level."""
    parts, start = [], 0
    while start + 8 <= len(data):
        stop = start + struct.unpack(">I", data[start : start + 4])[0]
        parts.append(data[start:stop])
        start = stop
    return parts


def resized(data: bytes, name: bytes, size: bytes) -> bytes:
    """`data` with another size before the box `name`; one of 2^63 takes the eight bytes that follow the name."""
    at = data.find(name)
    if at < 0:
        return data[: len(data) // 2]
    if len(size) == 8:
        return data[: at - 4] + struct.pack(">I", 1) + name + size + data[at + 12 :]
    return data[: at - 4] + size + data[at:]


def structural(data: bytes, number: int) -> bytes:
    """The `number`th of 20: 15 box sizes, then boxes without the index, swapped, doubled, lost and in reverse."""
    if number < 15:
        size = [struct.pack(">I", 0), struct.pack(">I", 2**32 - 1), struct.pack(">Q", 2**63)][number % 3]
        return resized(data, BOXES[number // 3], size)
    parts = boxes(data)
    changed = {
        15: [part for part in parts if part[4:8] != b"moov"],
        16: [parts[0], *parts[2:], parts[1]],
        17: [part for part in parts for _ in range(2)],
        18: [part for part in parts if part[4:8] != b"mdat"],
        19: parts[::-1],
    }
    return b"".join(changed[number])


def mutant(data: bytes, number: int) -> bytes:
    """The `number`th of 370: 100 cut off, 200 with 1-64 bits flipped, 50 with 4 KB of zeros, 20 with broken boxes."""
    rng = np.random.default_rng(number)
    if number < 100:
        return data[: len(data) * number // 100]
    changed = bytearray(data)
    if number < 300:
        for at in rng.integers(0, len(data), rng.integers(1, 65)):
            changed[at] ^= int(rng.integers(1, 256))
    elif number < 350:
        at = int(rng.integers(0, max(1, len(data) - 4096)))
        changed[at : at + 4096] = bytes(len(changed[at : at + 4096]))
    else:
        return structural(data, number - 350)
    return bytes(changed)


def no_core_dumps() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def attempt(path: str, number: int, scratch: str) -> tuple[str, tuple[int, ...], int]:
    """("ok" or the refusal, the frames' shape, the worker's peak memory so far in MB)."""
    target = Path(scratch) / f"{Path(path).stem}-{number}.mp4"
    target.write_bytes(mutant(Path(path).read_bytes(), number))
    try:
        frames = sample_frames(target, COUNT, number, "key", height=48)
        verdict, shape = "ok", frames.pixels.shape
    except VideoError as error:
        verdict, shape = str(error), ()
    target.unlink()
    # Linux's own count: ru_maxrss would start from what the parent process held.
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return verdict, shape, int(peak[1]) // 1024


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder, rng = tmp_path_factory.mktemp("clips"), np.random.default_rng(0)
    noise = [rng.integers(0, 40, (64, 96, 3), np.uint8) + np.uint8(60 + number) for number in range(72)]
    return [write(folder / name, noise, options, rate=24) for name, options in CLIPS.items()]


def test_broken_videos_give_frames_or_a_reason_and_harm_nothing(clips: list[Path], tmp_path: Path) -> None:
    for path in clips:
        assert sample_frames(path, COUNT, 0, "key", height=48).pixels.shape == (COUNT, 48, 72, 3)
    jobs = [(str(path), number) for path in clips for number in range(370)][::STEP]
    failures, outcomes, peak = [], [], 0
    with ProcessPool(2, max_tasks=200, initializer=no_core_dumps, context=get_context("spawn")) as pool:
        futures = {pool.schedule(attempt, args=[*job, str(tmp_path)], timeout=SECONDS): job for job in jobs}
        for future in as_completed(futures):
            try:
                verdict, shape, megabytes = future.result()
            except Exception as error:  # a crash, a hang, or what sample_frames should not raise
                failures.append((futures[future], repr(error)))
                continue
            outcomes.append(verdict == "ok")
            peak = max(peak, megabytes)
            if verdict == "ok" and not (1 <= shape[0] <= COUNT and 1 <= shape[1] <= 48 and shape[3:] == (3,)):
                failures.append((futures[future], f"shape {shape}"))
            if megabytes > MEGABYTES:
                failures.append((futures[future], f"{megabytes} MB"))
    print(f"{len(jobs)} broken videos: {sum(outcomes)} give frames, {outcomes.count(False)} refused, peak {peak} MB")
    assert not failures, failures[:20]
    assert any(outcomes) and not all(outcomes)
