"""What a container says of its video, and an error in one line for what is no video, cut short, or too large."""

from pathlib import Path

import numpy as np
import pytest
from clips import FPS, FRAMES, SIZE, X264, ffmpeg, render

from trailer_lib.video import container
from trailer_lib.video.container import VideoError, probe

GOP = 12  # frames from keyframe to keyframe
FRAGMENTS = "-movflags frag_keyframe+delay_moov+global_sidx+dash"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render(tmp_path_factory.mktemp("clip") / "clip.mp4")


def test_a_probe_has_size_length_and_frame_times(clip: Path) -> None:
    info = probe(clip)
    assert (info.width, info.height, len(info.pts)) == (*SIZE, FRAMES)
    assert info.duration == pytest.approx(FRAMES / FPS)
    starts = [round((pts - info.pts[0]) * info.time_base * FPS) for pts in info.keyframes]
    assert starts == list(range(0, FRAMES, GOP))


NO_VIDEOS = {
    "head": lambda path, clip: path.write_bytes(clip.read_bytes()[:40]),
    "noise": lambda path, clip: path.write_bytes(clip.read_bytes()[:40] + np.random.default_rng(0).bytes(5000)),
    "picture": lambda path, clip: ffmpeg("-i", clip, "-frames:v", 1, "-f", "image2", "-c:v", "png", path),
    "folder": lambda path, clip: path.mkdir(),
    "missing": lambda path, clip: None,
}


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
@pytest.mark.parametrize("kind", NO_VIDEOS)
def test_what_is_no_video_is_an_error_with_its_name(clip: Path, tmp_path: Path, kind: str, suffix: str) -> None:
    path = tmp_path / "no_video.mp4"
    NO_VIDEOS[kind](path, clip)
    if path.exists():
        path = path.rename(path.with_suffix(suffix))
    with pytest.raises(VideoError, match="no_video"):
        probe(path)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6, 0.8])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("index-last.mp4", f"{X264} -g 12 -bf 3"),
        ("index-first.mp4", f"{X264} -g 12 -bf 3 -movflags +faststart"),
        ("fragments.mp4", f"{X264} -g 12 -bf 3 {FRAGMENTS}"),
        ("vp9.webm", "-c:v libvpx-vp9 -g 12 -b:v 500k -deadline realtime"),
    ],
)
def test_a_file_that_is_cut_off_is_an_error(tmp_path: Path, name: str, options: str, share: float) -> None:
    whole = render(tmp_path / name, options)
    assert probe(whole).duration == pytest.approx(FRAMES / FPS)
    whole.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * share)])
    with pytest.raises(VideoError, match="short"):
        probe(whole)


def test_a_codec_that_nobody_knows_is_the_reason(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "odd.mp4").write_bytes(clip.read_bytes().replace(b"avc1", b"zzz1"))
    with pytest.raises(VideoError, match=r"odd.mp4: .*codec"):
        probe(tmp_path / "odd.mp4")


def test_a_file_of_too_many_frames_is_refused(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "MAX_FRAMES", FRAMES)
    assert len(probe(clip).pts) == FRAMES
    monkeypatch.setattr(container, "MAX_FRAMES", FRAMES - 1)
    with pytest.raises(VideoError, match=f"more than {FRAMES - 1} frames"):
        probe(clip)


def test_a_video_of_too_many_pixels_is_refused_by_its_size(tmp_path: Path) -> None:
    source = "color=gray:size=9216x4096:rate=25:duration=0.04"
    ffmpeg("-f", "lavfi", "-i", source, "-c:v", "libx264", "-preset", "ultrafast", tmp_path / "giant.mp4")
    with pytest.raises(VideoError, match="9216x4096: at most"):
        probe(tmp_path / "giant.mp4")
