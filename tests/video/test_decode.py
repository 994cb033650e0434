"""Pictures as a player displays them: upright, with square pixels, of one size; damage; and the decoders' threads."""

import struct
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import numpy as np
import pytest
from clips import FPS, SIZE, X264, as_ffmpeg_displays, ffmpeg, numbers, render, write

from trailer_lib.video import decode
from trailer_lib.video.container import MAX_PIXELS, VideoError
from trailer_lib.video.sampling import sample_frames

WIDTH, HEIGHT = SIZE
GOP, B_FRAMES, COUNT = 12, 3, 60
ROTATIONS = [
    *[["-display_rotation", degrees] for degrees in (0, 90, 180, 270)], ["-display_hflip"], ["-display_vflip"],
    ["-display_rotation", 90, "-display_hflip"], ["-display_rotation", 90, "-display_vflip"],
]  # fmt: skip


def made(path: Path, source: str, *options: object) -> Path:
    ffmpeg("-f", "lavfi", "-i", source, "-c:v", "libx264", "-pix_fmt", "yuv420p", "-g", 5, *options, path)
    return path


@pytest.fixture(scope="module")
def picture_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    return made(path, f"testsrc2=size={WIDTH}x{HEIGHT}:rate=25:duration=1")


def distance(path: Path, pictures: np.ndarray) -> float:
    """Mean difference in grey levels between 10 random frames and the same ones among `pictures`."""
    frames = sample_frames(path, 10, 0, "key")
    same = pictures[np.round(frames.seconds * 25).astype(int)]
    assert frames.pixels.shape == same.shape
    return float(np.abs(frames.pixels.astype(int) - same).mean())


@pytest.mark.parametrize("rotation", ROTATIONS, ids=lambda rotation: " ".join(map(str, rotation)))
def test_a_rotated_video_is_returned_upright(picture_clip: Path, tmp_path: Path, rotation: list) -> None:
    path = tmp_path / "rotated.mp4"
    ffmpeg(*rotation, "-i", picture_clip, "-c", "copy", path)
    size = (HEIGHT, WIDTH) if 90 in rotation or 270 in rotation else (WIDTH, HEIGHT)
    assert distance(path, as_ffmpeg_displays(path, size)) < 2
    if rotation != ROTATIONS[0]:  # the same without its matrix is another picture, so the test can fail
        stored = as_ffmpeg_displays(picture_clip, (WIDTH, HEIGHT)).reshape(-1, size[1], size[0], 3)
        assert distance(path, stored) > 10


@pytest.mark.parametrize(("aspect", "suffix"), [(Fraction(64, 45), ".mp4"), (Fraction(1, 2), ".mkv")])
def test_pixels_that_are_not_square_are_stretched(tmp_path: Path, aspect: Fraction, suffix: str) -> None:
    source = f"testsrc2=size={WIDTH}x{HEIGHT}:rate=25:duration=1,setsar={aspect}"
    path = made(tmp_path / f"wide{suffix}", source)
    size = (round(WIDTH * aspect), HEIGHT)
    assert distance(path, as_ffmpeg_displays(path, size, f"scale={size[0]}:{size[1]}:flags=bilinear")) < 6


def test_a_tall_picture_is_shrunk_in_proportion_and_none_enlarged(clip: Path) -> None:
    whole = numbers(sample_frames(clip, COUNT, 0, "key").pixels)
    for height, lines in ((16, 16), (20, 20), (HEIGHT, HEIGHT), (360, HEIGHT)):
        frames = sample_frames(clip, COUNT, 0, "key", height=height)
        assert frames.pixels.shape == (COUNT, lines, round(WIDTH * lines / HEIGHT), 3)
        assert numbers(frames.pixels) == whole


def test_frames_whose_size_changes_are_scaled_to_the_first(tmp_path: Path) -> None:
    for number, look in enumerate(["red:size=64x48", "blue:size=128x96"]):
        source = ["-f", "lavfi", "-i", f"color={look}:rate=25:duration=1"]
        ffmpeg(*source, "-c:v", "libvpx-vp9", "-deadline", "realtime", tmp_path / f"{number}.webm")
    path = tmp_path / "both.webm"
    (tmp_path / "list").write_text("file 0.webm\nfile 1.webm\n")
    ffmpeg("-f", "concat", "-i", tmp_path / "list", "-c", "copy", path)
    frames = sample_frames(path, 20, 0, "key")
    assert frames.pixels.shape == (20, 48, 64, 3)
    red, blue = frames.pixels[frames.seconds < 0.99], frames.pixels[frames.seconds > 0.99]
    assert len(red) and red[..., 0].min() > 200 and red[..., 2].max() < 50
    assert len(blue) and blue[..., 2].min() > 200 and blue[..., 0].max() < 50


def test_pixels_stretched_beyond_the_limit_are_refused(tmp_path: Path) -> None:
    path = made(tmp_path / "band.mp4", "color=gray:size=640x480:rate=25:duration=0.2,setsar=200:max=1000")
    with pytest.raises(VideoError, match=f"at most {MAX_PIXELS} pixels"):
        sample_frames(path, 3, 0, "key")


def test_more_pictures_than_memory_should_hold_are_refused_before_they_are_made(tmp_path: Path) -> None:
    path = made(tmp_path / "large.mp4", "color=gray:size=4096x2160:rate=25:duration=0.04", "-preset", "ultrafast")
    with pytest.raises(VideoError, match=r"large\.mp4: 100 pictures of 4096x2160 take more than"):
        sample_frames(path, 100, 0, "key")
    assert sample_frames(path, 2, 0, "key", height=90).pixels.shape == (2, 90, 171, 3)


def with_clap(path: Path, target: Path, *fields: int) -> Path:
    """`path`, whose moov is last, with a clean aperture: width, height, offset right, offset down (ISO 14496-12)."""
    data, box = bytearray(path.read_bytes()), struct.pack(">I4s8i", 40, b"clap", *chain(*((n, 1) for n in fields)))
    entry = data.find(b"avc1", data.find(b"stsd"))
    end = entry - 4 + struct.unpack(">I", data[entry - 4 : entry])[0]
    data[end:end] = box
    for name in (b"avc1", b"stsd", b"stbl", b"minf", b"mdia", b"trak", b"moov"):
        start = data.rfind(name, 0, entry + 4)
        data[start - 4 : start] = struct.pack(">I", struct.unpack(">I", data[start - 4 : start])[0] + len(box))
    target.write_bytes(data)
    return target


@pytest.mark.parametrize(("size", "offset"), [((32, 24), (-8, 4)), ((60, 48), (0, 0)), ((64, 48), (0, 0))])
def test_what_the_container_crops_is_cropped(picture_clip: Path, tmp_path: Path, size: tuple, offset: tuple) -> None:
    path = with_clap(picture_clip, tmp_path / "cropped.mp4", *size, *offset)
    ffmpeg("-i", path, "-c", "copy", path.with_suffix(".mkv"))
    displayed = as_ffmpeg_displays(path, size)
    for cropped in (path, path.with_suffix(".mkv")):
        assert distance(cropped, displayed) < 2
        half = sample_frames(cropped, 3, 0, "key", height=size[1] // 2).pixels
        assert half.shape == (3, size[1] // 2, size[0] // 2, 3)


def test_one_rotation_a_file_also_where_the_stream_has_it_at_its_start_only(tmp_path: Path) -> None:
    clip = render(tmp_path / "clip.mp4", f"{X264} -g {GOP} -bf 0")
    for name, change in (("rotated", "display_orientation=insert:rotate=90"), ("plain", "level=3")):
        change = f"h264_mp4toannexb,h264_metadata={change}"
        ffmpeg("-i", clip, "-c", "copy", "-bsf:v", change, tmp_path / f"{name}.h264")
    (tmp_path / "both.h264").write_bytes(b"".join((tmp_path / f"{n}.h264").read_bytes() for n in ("rotated", "plain")))
    ffmpeg("-r", FPS, "-i", tmp_path / "both.h264", "-c", "copy", tmp_path / "both.mp4")
    shapes = {sample_frames(tmp_path / "both.mp4", 1, seed, "key").pixels.shape for seed in range(8)}
    assert shapes == {(1, WIDTH, HEIGHT, 3)}


def moving(fields: bool) -> list[np.ndarray]:
    """25 pictures of stripes that move to the right; of `fields` every other line is of the moment between two."""
    columns = np.arange(160)
    pictures = [np.repeat(np.where((columns - 4 * moment) % 40 < 20, 40, 210)[None], 96, 0) for moment in range(50)]
    for whole, other in zip(pictures[::2], pictures[1::2]):
        whole[1::2] = other[1::2] if fields else whole[1::2]
    return [np.repeat(picture[..., None], 3, 2).astype(np.uint8) for picture in pictures[::2]]


def test_interlaced_pictures_have_no_combs_and_others_stay_as_they_are(tmp_path: Path) -> None:
    def combs(options: str) -> float:
        path = write(tmp_path / "fields.mkv", moving(True), f"{options} -pix_fmt yuv420p")
        pixels = sample_frames(path, 10, 0, "key").pixels.astype(float)
        return float(np.abs(pixels[:, 1:-1] - (pixels[:, :-2] + pixels[:, 2:]) / 2).mean())

    assert combs("-c:v libx264 -x264-params interlaced=1:tff=1") < 4
    assert combs("-c:v mpeg2video -flags +ildct+ilme -q:v 2") < 4
    assert combs("-c:v libx264") > 20  # the combs are there, and nothing says so
    write(tmp_path / "plain.mkv", moving(False), "-c:v libx264 -pix_fmt yuv420p")
    assert distance(tmp_path / "plain.mkv", as_ffmpeg_displays(tmp_path / "plain.mkv", (160, 96))) < 2


# Signals of 203 and 26 cd/m2, of black and of the brightest (ITU-R BT.2408), and what they become.
HDR = {
    "smpte2084": {0.58: 247, 0.3795: 100, 0: 0, 1: 255},
    "arib-std-b67": {0.75: 247, 0.38: 100, 0: 0, 1: 255},
    "bt709": {0.58: 148, 0.3795: 97, 0: 0, 1: 255},
}


@pytest.mark.parametrize("transfer", HDR)
def test_hdr_is_tone_mapped_and_sdr_is_not(tmp_path: Path, transfer: str) -> None:
    levels = [round(64 + 876 * signal) for signal in HDR[transfer]]
    quarters = "if(lt(X,W/4),{},if(lt(X,W/2),{},if(lt(X,W*3/4),{},{})))".format(*levels)
    colours = f"setparams=color_primaries=bt2020:colorspace=bt2020nc:color_trc={transfer}"
    grey = f"format=yuv420p10le,geq=lum='{quarters}':cb=512:cr=512,{colours}"
    source = ["-f", "lavfi", "-i", f"color=black:size=64x48:rate=25:duration=0.08,{grey}"]
    ffmpeg(*source, "-c:v", "libx265", "-x265-params", "log-level=none", tmp_path / "grey.mkv")
    pixels = sample_frames(tmp_path / "grey.mkv", 3, 0, "key").pixels
    middles = pixels[:, :, [8, 24, 40, 56]].astype(int)
    assert middles.mean((0, 1, 3)) == pytest.approx([*HDR[transfer].values()], abs=6)
    assert np.ptp(middles, axis=3).max() <= 4


def damaged(path: Path, first: int, stop: int, target: Path) -> Path:
    """`path` with the coded pictures first..stop overwritten."""
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        for packet in container.demux(stream):
            if packet.pts is not None and first <= round(packet.pts * float(stream.time_base) * FPS) < stop:
                data[packet.pos : packet.pos + packet.size] = b"\xff" * packet.size
    target.write_bytes(data)
    return target


def test_a_damaged_stretch_loses_its_frames_and_the_others_stand(clip: Path, tmp_path: Path) -> None:
    frames = sample_frames(damaged(clip, 2 * GOP, 3 * GOP, tmp_path / "scratched.mp4"), COUNT, 0, "key")
    decoded, whole = numbers(frames.pixels), numbers(sample_frames(clip, COUNT, 0, "key").pixels)
    assert decoded == [number for number in whole if number in decoded]
    # The decoder still holds B_FRAMES pictures back when it meets the damage.
    assert set(decoded) >= {number for number in whole if not 2 * GOP - B_FRAMES <= number < 3 * GOP}
    assert set(decoded).isdisjoint(range(2 * GOP, 3 * GOP))
    assert frames.note == f"{COUNT - len(decoded)} of {COUNT} frames are damaged and left out"
    assert decoded == np.floor(frames.seconds * FPS + 1e-6).astype(int).tolist()
    others = [sample_frames(tmp_path / "scratched.mp4", COUNT, 0, "key", threads=threads) for threads in (1, 2, 4)]
    assert all(other.pixels.tobytes() == frames.pixels.tobytes() for other in others)


def test_an_error_in_one_of_the_threads_is_the_error_of_the_call(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path, index: int) -> object:
        raise VideoError(f"{path.name}: gone")

    monkeypatch.setattr(decode, "open_video", refused)
    with pytest.raises(VideoError, match=r"clip.mp4: gone"):
        sample_frames(clip, COUNT, 0, "key", threads=2)
