"""The spectrogram of a file's sound: which track, where a tone is, what damage does; and why a file has none."""

from pathlib import Path

import av
import numpy as np
import pytest
from clips import ffmpeg
from PIL import Image
from threadpoolctl import threadpool_limits

from trailer_lib import TrailerError
from trailer_lib.video import SOUND, NoSound, load_sound, read_sound, save_sound, sound_clips
from trailer_lib.video.sampling import sample_frames

TONE = "0.9*sin(2*PI*{}*t)*between(t,2,3)"  # audible from second 2 to 3
ROWS = {1000: 85, 100: 124, 3900: 29}  # of the tone's band, by Slaney's formula
ONSET, END = 62.5, 93.75  # columns
PICTURE = ["-f", "lavfi", "-i", "color=gray:size=64x48:rate=10:duration=6"]


def tone(hertz: int = 1000, rate: int = 44100, seconds: float = 6, layout: str = "stereo") -> list[str]:
    channels = {"mono": 1, "stereo": 2, "5.1": 6}[layout]
    expression = "|".join([TONE.format(hertz)] * channels)
    return ["-f", "lavfi", "-i", f"aevalsrc='{expression}':d={seconds}:s={rate}:c={layout}"]


def is_tone(sound: np.ndarray, hertz: int = 1000) -> bool:
    """Whether the tone is in its band from second 2 to 3 at its level, and nowhere else."""
    inside = sound[:, int(ONSET) + 1 : int(END)]
    outside = np.delete(sound, np.s_[int(ONSET) - 2 : int(END) + 3], 1)
    level = -0.9 - 1.1  # dB of 0.9 of full scale, and of what the band's neighbours take at most
    return bool(
        (inside.argmax(0) == ROWS[hertz]).all()
        and np.abs(inside.max(0).astype(int) - 255 * (1 + level / 96)).max() <= 5
        and outside.max() < 100
    )


@pytest.mark.parametrize(
    ("name", "source", "coding"),
    [
        ("a.mp4", tone(), "aac"), ("a.mkv", tone(layout="5.1"), "aac"), ("a.mov", tone(layout="5.1"), "ac3"),
        ("a.mkv", tone(rate=8000, layout="mono"), "pcm_s16le"), ("a.avi", tone(100, 16000, layout="mono"), "pcm_s16le"),
        ("a.webm", tone(3900, 48000), "libopus"), ("a.webm", tone(), "libvorbis"), ("a.mkv", tone(), "libmp3lame"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("picture", [True, False])
def test_a_tone_is_in_its_band_at_its_time_and_level(
    tmp_path: Path, name: str, source: list[str], coding: str, picture: bool
) -> None:
    video = ["-c:v", "libvpx" if name.endswith("webm") else "libx264"] if picture else ["-vn"]
    ffmpeg(*PICTURE, *source, *video, "-c:a", coding, "-b:a", "256k", tmp_path / name)
    sound = read_sound(tmp_path / name)
    assert (sound.dtype, sound.shape[0]) == (np.uint8, 128) and 186 <= sound.shape[1] <= 189
    assert is_tone(sound, int(source[-1].split("*PI*")[1].split("*")[0]))


@pytest.mark.parametrize("name", ["two.mp4", "two.mkv"])
@pytest.mark.parametrize("default", [0, 1])
def test_the_default_one_of_several_tracks_is_heard(tmp_path: Path, name: str, default: int) -> None:
    maps = ["-map", 0, "-map", 1, "-map", 2, f"-disposition:a:{default}", "default", f"-disposition:a:{1 - default}", 0]
    ffmpeg(*PICTURE, *tone(1000), *tone(3900, layout="5.1"), *maps, "-c:a", "aac", tmp_path / name)
    assert is_tone(read_sound(tmp_path / name), [1000, 3900][default])


@pytest.mark.parametrize(("seconds", "columns"), [(9, 187), (4.5, 140)])
@pytest.mark.parametrize("offset", [0, 5])
def test_sound_begins_and_ends_with_the_video_or_sooner(
    tmp_path: Path, seconds: float, columns: int, offset: int
) -> None:
    path = tmp_path / "clip.mkv"
    ffmpeg(*PICTURE, *tone(seconds=seconds), "-c:a", "flac", "-output_ts_offset", offset, path)
    frames = sample_frames(path, 2, 0, "key", threads=1)
    sound = read_sound(path, frames.start, frames.duration)
    assert abs(sound.shape[1] - columns) <= 1 and is_tone(sound)
    assert is_tone(read_sound(path, frames.start - 1)[:, 31:])  # the second before is silent


def test_a_damaged_packet_leaves_silence_and_moves_nothing(tmp_path: Path) -> None:
    expression = "0.9*sin(2*PI*1000*t)*(gte(t,1)-between(t,4,5))"
    source = ["-f", "lavfi", "-i", f"aevalsrc='{expression}':d=7:s=44100"]
    ffmpeg(*PICTURE, *source, "-c:a", "aac", tmp_path / "whole.mkv")
    with av.open(tmp_path / "whole.mkv") as whole, av.open(tmp_path / "damaged.mkv", "w") as damaged:
        stream = damaged.add_stream_from_template(whole.streams.audio[0])
        for packet in whole.demux(whole.streams.audio[0]):
            if packet.dts is not None:
                copy = av.Packet(b"\xff" * packet.size if 2 < packet.pts * packet.time_base < 2.5 else bytes(packet))
                copy.pts, copy.dts, copy.time_base, copy.stream = packet.pts, packet.dts, packet.time_base, stream
                damaged.mux(copy)
    whole, damaged = (read_sound(tmp_path / name).astype(int) for name in ("whole.mkv", "damaged.mkv"))
    assert whole.shape == damaged.shape and whole[:, 66:76].max() > 200 and damaged[:, 66:76].max() == 0
    same = np.abs(whole - damaged)[85]  # the tone's row
    assert same[:60].max() == 0 and same[82:].max() <= 3


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [("no sound", PICTURE), ("too short", [*PICTURE, *tone(seconds=0.1)]), ("too short", [*PICTURE, *tone(seconds=4)]),
     ("silent", [*PICTURE, *tone(seconds=6), "-af", "volume=0"])],
)  # fmt: skip
def test_a_file_without_sound_says_why(tmp_path: Path, kind: str, arguments: list[str]) -> None:
    ffmpeg(*arguments, tmp_path / "clip.mp4")
    with pytest.raises(NoSound, match=r"clip.mp4: ") as caught:
        read_sound(tmp_path / "clip.mp4")
    assert caught.value.kind == kind


def test_a_damaged_or_foreign_file_is_no_sound(tmp_path: Path) -> None:
    ffmpeg(*PICTURE, *tone(), "-c:a", "aac", tmp_path / "good.mkv")
    data = (tmp_path / "good.mkv").read_bytes()
    (tmp_path / "head.mkv").write_bytes(data[:40])
    (tmp_path / "codec.mkv").write_bytes(data.replace(b"A_AAC", b"A_ZZZ"))
    (tmp_path / "list.m3u8").write_text("#EXTM3U\n#EXTINF:10,\ngood.mkv\n")
    for name in ("head.mkv", "codec.mkv", "list.m3u8", "missing.mkv"):
        with pytest.raises(NoSound, match=name) as caught:
            read_sound(tmp_path / name)
        assert caught.value.kind == "damaged"


def test_the_bytes_do_not_depend_on_the_number_of_threads(tmp_path: Path) -> None:
    ffmpeg("-f", "lavfi", "-i", "anoisesrc=d=30:seed=1", "-c:a", "aac", tmp_path / "noise.m4a")
    with threadpool_limits(1):
        one = read_sound(tmp_path / "noise.m4a")
    with threadpool_limits(8):
        assert (read_sound(tmp_path / "noise.m4a") == one).all()


def test_a_folder_gives_its_sound_back_or_says_that_it_is_damaged(tmp_path: Path) -> None:
    sound = np.random.default_rng(0).integers(0, 256, (128, 300), np.uint8)
    assert load_sound(tmp_path) is None
    save_sound(tmp_path, sound, "ok")
    assert (load_sound(tmp_path) == sound).all() and [path.name for path in tmp_path.iterdir()] == [SOUND]
    data = (tmp_path / SOUND).read_bytes()
    (tmp_path / SOUND).write_bytes(data[: len(data) // 2])
    with pytest.raises(TrailerError, match=r"sound.png: not a spectrogram .*scrape --sound"):
        load_sound(tmp_path)
    for picture in (Image.new("RGB", (300, 128)), Image.new("L", (300, 127)), Image.new("I;16", (300, 128))):
        picture.save(tmp_path / SOUND)
        with pytest.raises(TrailerError, match="not a spectrogram"):
            load_sound(tmp_path)


@pytest.mark.parametrize(
    ("columns", "most", "starts"), [(127, 30, []), (128, 30, [0]), (5 * 128 + 3, 3, [0, 2, 4]), (400, 9, [0, 1, 2])]
)
def test_clips_are_disjoint_and_spread_over_the_film(columns: int, most: int, starts: list[int]) -> None:
    sound = np.tile((np.arange(columns) // 128).astype(np.uint8), (128, 1))
    clips, seconds = sound_clips(sound, most)
    assert clips.shape == (len(starts), 128, 128) and [clip.min() for clip in clips] == starts
    assert seconds.tolist() == pytest.approx([4.096 * start for start in starts])
    assert [clip.max() for clip in clips] == starts
