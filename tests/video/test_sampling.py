"""Frames at random times: exactly those that a player displays then, in every coding, until enough are informative."""

from collections.abc import Callable
from pathlib import Path

import av
import drawn
import numpy as np
import pytest
from clips import FPS, FRAMES, X264, numbers, render

from trailer_lib.errors import TrailerError
from trailer_lib.settings import ScrapeSettings
from trailer_lib.video import sampling
from trailer_lib.video.container import VideoError
from trailer_lib.video.sampling import Frames, random_times, sample_frames

COUNT = 60
FORMS = {
    "one-keyframe.mp4": f"{X264} -g 600 -bf 3",
    "short-groups.mp4": f"{X264} -g 4 -bf 3",
    "open-groups.mp4": f"{X264} -g 24 -bf 3 -x264-params open-gop=1",
    "fragments.mp4": f"{X264} -g 12 -bf 3 -movflags frag_keyframe+delay_moov+global_sidx+dash",
    "late-start.mp4": f"{X264} -g 12 -bf 3 -output_ts_offset 5",
    "h264.mkv": f"{X264} -g 48 -bf 3",
    "vp9.webm": "-c:v libvpx-vp9 -g 24 -b:v 500k -deadline realtime",
    "mpeg4.avi": "-c:v mpeg4 -g 12 -bf 2 -q:v 2",
    "mjpeg.avi": "-c:v mjpeg -q:v 2",
}


def expected_numbers(count: int = COUNT, length: int = FRAMES) -> list[int]:
    """The numbers of the pictures that a player displays at the random times."""
    return np.floor(random_times(0, "key", length / FPS, count) * FPS).astype(int).tolist()


@pytest.mark.parametrize("name", FORMS)
def test_each_frame_is_the_one_displayed_at_its_time_with_any_number_of_threads(tmp_path: Path, name: str) -> None:
    form = render(tmp_path / name, FORMS[name])
    frames, times = sample_frames(form, COUNT, 0, "key"), random_times(0, "key", FRAMES / FPS, COUNT)
    assert numbers(frames.pixels) == expected_numbers() == np.floor(frames.seconds * FPS + 1e-6).astype(int).tolist()
    assert np.all(frames.seconds <= times + 1e-6) and np.all(times < frames.seconds + 1 / FPS + 1e-6)
    assert np.all(np.diff(frames.seconds) >= 0)
    others = [sample_frames(form, COUNT, 0, "key", threads=threads) for threads in (1, 2, 4)]
    assert all(other.pixels.tobytes() == frames.pixels.tobytes() for other in others)


def test_h264_in_avi_which_stores_no_times_gives_right_frames_or_none(tmp_path: Path) -> None:
    plain, reordered = (render(tmp_path / f"{n}.avi", f"{X264} -g 12 -bf {n}") for n in (0, 3))
    assert numbers(sample_frames(plain, COUNT, 0, "key").pixels) == expected_numbers()
    with pytest.raises(VideoError, match="B-frames"):
        sample_frames(reordered, COUNT, 0, "key")


def test_times_depend_on_seed_and_film_alone_are_spread_evenly_and_contained_in_a_larger_sample() -> None:
    times = random_times(3, "tt1", 0.04, 1000)
    assert np.array_equal(times, random_times(3, "tt1", 0.04, 1000))
    for seed, key in ((4, "tt1"), (3, "tt2"), (3, ""), (0, "3/tt1")):
        assert not np.array_equal(times, random_times(seed, key, 0.04, 1000))
    assert np.all(np.diff(times) >= 0) and np.all((times >= 0) & (times < 0.04))
    counts, _ = np.histogram(times, bins=10, range=(0, 0.04))
    assert counts.min() > 50  # 100 are expected in each tenth; 50 is more than five standard deviations below
    assert set(random_times(3, "tt1", 0.04, 100)) < set(times)


@pytest.fixture
def film(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], list[int]]:
    """A function that makes a film of a minute of which the filter keeps a share; it returns the counts requested."""

    def make(share: float) -> list[int]:
        counts = []

        def sample(path: Path, count: int, seed: int, key: str, *rest: object) -> Frames:
            counts.append(count)
            return Frames(np.zeros((count, 4, 4, 3), np.uint8), random_times(seed, key, 60.0, count))

        def keep(frames: Frames, rule: str) -> tuple[Frames, list[str | None]]:
            return frames, [None if second < share * 60.0 else "card" for second in frames.seconds]

        monkeypatch.setattr(sampling, "sample_frames", sample)
        monkeypatch.setattr(sampling, "filter_frames", keep)
        return counts

    return make


def sampled(count: int = 100) -> sampling.FrameSample:
    return sampling.sample_informative(Path("film.mp4"), "tt0000001", ScrapeSettings(count=count), 360)


@pytest.mark.parametrize("share, times", [(0.7, 1), (0.3, 2), (0.2, 3), (0.1, 3)])
def test_more_frames_are_sampled_until_half_the_number_are_kept(film: Callable, share: float, times: int) -> None:
    requested, sample = film(share), sampled()
    kept = sample.reasons.count(None)
    assert requested == [100, 200, 300][:times]
    few = f"kept {kept} of 300 frames; asked for at least 50"
    assert sample.remark == ("" if kept >= 50 else few) and (share > 0.1) == (kept >= 50)
    assert len(sample.reasons) == len(sample.frames.seconds) == 100 * times


def test_a_video_of_few_frames_says_how_many(make_video: Callable, tmp_path: Path) -> None:
    path = make_video(tmp_path / "few.mp4", [drawn.scene(seed) for seed in range(3)])
    sample = sampling.sample_informative(path, "key", ScrapeSettings(count=20), 0)
    assert sample.remark == "kept 3 of 60 frames, 3 of them different; asked for at least 10"
    assert sample.frames.duration == pytest.approx(3 / 12)  # of the video, whatever frames were drawn
    thumbnail = make_video(tmp_path / "thumbnail.mp4", [drawn.CARDS["title"]])
    with pytest.raises(sampling.NoInformativeFrames, match=r"none of 60 frames, 1 of them .*: all card") as found:
        sampling.sample_informative(thumbnail, "key", ScrapeSettings(count=20), 0)
    assert found.value.reasons == ["card"] * 60
    with pytest.raises(TrailerError, match="height -5"):
        sampling.sample_informative(path, "key", ScrapeSettings(count=4), -5)


def test_frames_before_the_first_keyframe_are_not_there(tmp_path: Path) -> None:
    whole = render(tmp_path / "whole.mkv", f"{X264} -g 20 -bf 0")
    with av.open(str(whole)) as source, av.open(str(tmp_path / "cut.mkv"), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None and packet.pts >= 240:  # without the first keyframe
                packet.stream = stream
                target.mux(packet)
    frames = sample_frames(tmp_path / "cut.mkv", COUNT, 0, "key")
    times = random_times(0, "key", (FRAMES - 20) / FPS, COUNT)
    assert numbers(frames.pixels) == (20 + np.floor(times * FPS)).astype(int).tolist()


def test_a_worker_gets_memory_for_many_large_pictures() -> None:
    usual, large = sampling.memory_needed(ScrapeSettings()), sampling.memory_needed(ScrapeSettings(height=2160))
    assert usual == sampling.WORKER_MEMORY < 2 * 300 * 3 * 2160 * 3840 < large
