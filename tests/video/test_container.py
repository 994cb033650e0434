"""What a container says of its video, and an error in one line for what is no video, cut short, or too large."""

import re
import shlex
from pathlib import Path

import pytest
from clips import FPS, FRAMES, SIZE, X264, ffmpeg, render

from trailer_lib.video import container
from trailer_lib.video.container import VideoError, probe
from trailer_lib.video.sampling import sample_frames

GOP = 12  # frames from keyframe to keyframe
FRAGMENTS = "-movflags frag_keyframe+delay_moov+global_sidx+dash"


def test_a_probe_has_size_length_and_frame_times(clip: Path) -> None:
    info = probe(clip)
    assert (info.width, info.height, len(info.pts)) == (*SIZE, FRAMES)
    assert info.duration == pytest.approx(FRAMES / FPS)
    starts = [round((pts - info.pts[0]) * info.time_base * FPS) for pts in info.keyframes]
    assert starts == list(range(0, FRAMES, GOP))


def test_what_is_no_video_is_an_error_with_its_name(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "head.mp4").write_bytes(clip.read_bytes()[:40])
    (tmp_path / "folder.mp4").mkdir()
    for name in ("head.mp4", "folder.mp4", "missing.mp4"):
        with pytest.raises(VideoError, match=name):
            probe(tmp_path / name)


@pytest.mark.parametrize(("name", "options"), [
    ("index-last.mp4", f"{X264} -g 12 -bf 3"),
    ("index-first.mp4", f"{X264} -g 12 -bf 3 -movflags +faststart"),
    ("fragments.mp4", f"{X264} -g 12 -bf 3 {FRAGMENTS}"),
    ("vp9.webm", "-c:v libvpx-vp9 -g 12 -b:v 500k -deadline realtime"),
])  # fmt: skip
def test_a_file_that_is_cut_off_is_an_error(tmp_path: Path, name: str, options: str) -> None:
    path = render(tmp_path / name, options)
    assert probe(path).duration == pytest.approx(FRAMES / FPS)
    data = path.read_bytes()
    for share in (0.1, 0.3, 0.6, 0.8):
        path.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(VideoError, match="short"):
            probe(path)


def test_a_codec_that_nobody_knows_is_the_reason(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "odd.mp4").write_bytes(clip.read_bytes().replace(b"avc1", b"zzz1"))
    with pytest.raises(VideoError, match=r"odd.mp4: .*codec"):
        probe(tmp_path / "odd.mp4")


def test_too_many_frames_or_pixels_are_refused(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "MAX_FRAMES", FRAMES)
    assert len(probe(clip).pts) == FRAMES
    monkeypatch.setattr(container, "MAX_FRAMES", FRAMES - 1)
    with pytest.raises(VideoError, match=f"more than {FRAMES - 1} frames"):
        probe(clip)
    source = "color=gray:size=9216x4096:rate=25:duration=0.04"
    ffmpeg("-f", "lavfi", "-i", source, "-c:v", "libx264", "-preset", "ultrafast", tmp_path / "giant.mp4")
    with pytest.raises(VideoError, match="9216x4096: at most"):
        probe(tmp_path / "giant.mp4")


LONGER = {"sound": ["-f", "lavfi", "-i", "sine=duration=9"], "subtitles": ["-i", "subtitles.srt"]}


@pytest.mark.parametrize(("other", "tags", "start"), [
    ("sound", True, 5), ("sound", False, 0), ("subtitles", True, 0), ("subtitles", False, 3600),
])  # fmt: skip
def test_a_longer_other_track_or_a_late_start_is_not_a_longer_video(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: str, tags: bool, start: int
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("subtitles.srt").write_text("1\n00:00:00,500 --> 00:00:01,000\nA\n\n2\n00:00:08,500 --> 00:00:09,000\nB\n")
    path = tmp_path / "whole.mkv"
    ffmpeg("-i", clip, *LONGER[other], "-map", 0, "-map", 1, "-c:v", "copy", "-output_ts_offset", start, path)
    if not tags:  # as YouTube writes them
        path.write_bytes(path.read_bytes().replace(b"DURATION", b"SOMETHNG"))
    assert probe(path).duration == pytest.approx(FRAMES / FPS, abs=0.05)
    data = path.read_bytes()
    (tmp_path / "cut.mkv").write_bytes(data[: data.rindex(b"\xa3", 0, int(len(data) * 0.5))])
    with pytest.raises(VideoError, match="cut short"):
        probe(tmp_path / "cut.mkv")


SMALL, LARGE, TALL = (f"color=red:size={size}:rate=25:duration=" for size in ("64x48", "96x64", "48x64"))
FLAGS = {"second": (0, "default"), "both": ("default", "default"), "none": (0, 0)}


@pytest.mark.parametrize(("name", "first", "second", "flagged", "width"), [
    ("two.mp4", f"{LARGE}0.04", f"{SMALL}2", "both", 64), ("two.mkv", f"{SMALL}2", f"{LARGE}2", "second", 96),
    ("two.mp4", f"{LARGE}2", f"{SMALL}2", "second", 64), ("two.mp4", f"{SMALL}2", f"{LARGE}2", "both", 96),
    ("two.mkv", f"{LARGE}2", f"{SMALL}2", "none", 96), ("two.mkv", f"{SMALL}1", f"{TALL}2", "both", 48),
])  # fmt: skip
def test_the_stream_that_is_chosen(
    tmp_path: Path, name: str, first: str, second: str, flagged: str, width: int
) -> None:
    inputs = ["-f", "lavfi", "-i", first, "-f", "lavfi", "-i", second, "-map", 0, "-map", 1, "-c:v", "libx264"]
    flags = ["-disposition:v:0", FLAGS[flagged][0], "-disposition:v:1", FLAGS[flagged][1]]
    ffmpeg(*inputs, "-g", 10, *flags, tmp_path / name)
    assert probe(tmp_path / name).width == width
    assert sample_frames(tmp_path / name, 20, 0, "key", threads=3).pixels.shape[2] == width


def test_a_quicktime_file_may_begin_with_another_box(clip: Path, tmp_path: Path) -> None:
    for box in (b"wide", b"mdat", b"free", b"skip", b"pnot"):
        (tmp_path / "old.mov").write_bytes(clip.read_bytes().replace(b"ftyp", box, 1))
        assert len(probe(tmp_path / "old.mov").pts) == FRAMES


def test_another_container_is_refused_with_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = render(tmp_path / "it's a film.mpg", "-c:v mpeg2video -g 12 -bf 2")
    with pytest.raises(VideoError, match="not a video") as refusal:
        probe(path)
    command = str(refusal.value).partition(": if it is another kind of video, ")[2]
    assert shlex.split(command)[0] == "ffmpeg"
    ffmpeg(*shlex.split(command)[1:])
    assert len(probe(path.with_suffix(".mkv")).pts) >= FRAMES - 1


def test_packed_b_frames_are_refused(tmp_path: Path) -> None:
    path = render(tmp_path / "packed.avi", "-c:v mpeg4 -g 12 -bf 2")
    assert len(probe(path).pts) >= FRAMES - 1
    encoder = re.search(rb"Lavc[0-9.]+", path.read_bytes())[0]  # as DivX and Xvid sign: the p is for packed
    path.write_bytes(path.read_bytes().replace(encoder, b"DivX5b".ljust(len(encoder) - 1, b"1") + b"p"))
    with pytest.raises(VideoError, match=r"packed.*: mpeg4 with packed B-frames .* convert it"):
        probe(path)
