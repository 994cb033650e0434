"""Frames of a video: exactly those of the drawn times, in every coding, and an error for what is no video."""

from collections.abc import Callable
from pathlib import Path

import av
import clips
import numpy as np
import pandas as pd
import pytest
from clips import ffmpeg, number_of, numbered

from trailer_lib.__main__ import main
from trailer_lib.project import Project
from trailer_lib.scrape import run
from trailer_lib.settings import ScrapeSettings
from trailer_lib.video import container as container_file
from trailer_lib.video import decode, sampling
from trailer_lib.video.container import VideoError

WIDTH, HEIGHT, FPS, FRAMES = 64, 48, 25, 100
GOP, B_FRAMES = 12, 3  # of the clip that most tests share
DRAWS = 60
FORMS = [
    ("plain.mp4", "libx264", "-g 12 -bf 0"),
    ("b-frames.mp4", "libx264", "-g 12 -bf 3"),
    ("longer.mp4", "libx264", "-g 48 -bf 3"),
    ("one-keyframe.mp4", "libx264", "-g 600 -bf 3"),
    ("short-groups.mp4", "libx264", "-g 4 -bf 3"),
    ("all-keyframes.mp4", "libx264", "-g 1 -bf 0"),
    ("open-groups.mp4", "libx264", "-g 24 -bf 3 -x264-params open-gop=1"),
    ("faststart.mp4", "libx264", "-g 12 -bf 3 -movflags +faststart"),
    ("fragments.mp4", "libx264", "-g 12 -bf 3 -movflags frag_keyframe+delay_moov+global_sidx+dash"),
    ("late-start.mp4", "libx264", "-g 12 -bf 3 -output_ts_offset 5"),
    ("h264.mkv", "libx264", "-g 48 -bf 3"),
    ("h264.mov", "libx264", "-g 48 -bf 3"),
    ("vp9.webm", "libvpx-vp9", "-g 24 -b:v 500k -deadline realtime"),
    ("mpeg4.avi", "mpeg4", "-g 12 -bf 2 -q:v 2"),
    ("mjpeg.avi", "mjpeg", "-q:v 2"),
]


def numbers(frames: sampling.Frames) -> list[int]:
    return [number_of(picture) for picture in frames.pixels]


def render(path: Path, codec: str = "libx264", options: str = f"-g {GOP} -bf {B_FRAMES}") -> Path:
    """A clip of FRAMES numbered pictures; x264 makes keyframes where `options` say and nowhere else."""
    steady = "-sc_threshold 0" if codec == "libx264" else ""
    form = "" if codec == "mjpeg" else "-pix_fmt yuv420p"
    return clips.render(path, FRAMES, f"-c:v {codec} {form} {options} {steady}", FPS, (WIDTH, HEIGHT))


def drawn_numbers(count: int = DRAWS, seed: int = 0, key: str = "key", length: int = FRAMES) -> list[int]:
    """The numbers of the pictures that a player shows at the drawn times."""
    return np.floor(sampling.draw_times(seed, key, length / FPS, count) * FPS).astype(int).tolist()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render(tmp_path_factory.mktemp("clip") / "clip.mp4")


@pytest.fixture(scope="module")
def webm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return render(tmp_path_factory.mktemp("clip") / "clip.webm", "libvpx-vp9", "-g 12 -b:v 500k -deadline realtime")


@pytest.fixture(scope="module", params=FORMS, ids=[name for name, _, _ in FORMS])
def form(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    name, codec, options = request.param
    return render(tmp_path_factory.mktemp("form") / name, codec, options)


def test_the_pictures_of_these_tests_can_be_told_apart() -> None:
    assert [number_of(numbered(number)) for number in range(FRAMES)] == list(range(FRAMES))


def test_each_frame_is_the_one_shown_at_its_drawn_time(form: Path) -> None:
    assert numbers(sampling.sample_frames(form, DRAWS, 0, "key")) == drawn_numbers()


def test_each_frame_is_the_one_shown_at_its_own_time(form: Path) -> None:
    frames = sampling.sample_frames(form, DRAWS, 0, "key")
    assert numbers(frames) == np.floor(frames.seconds * FPS + 1e-6).astype(int).tolist()


def test_each_drawn_time_falls_within_its_frame(form: Path) -> None:
    frames = sampling.sample_frames(form, DRAWS, 0, "key")
    times = sampling.draw_times(0, "key", container_file.probe(form).duration, DRAWS)
    assert len(frames) == DRAWS
    assert np.all(frames.seconds <= times + 1e-6)
    assert np.all(times < frames.seconds + 1 / FPS + 1e-6)


@pytest.mark.parametrize("options", ["-g 12 -bf 0", "-g 12 -bf 3", "-g 24 -bf 3 -x264-params open-gop=1"])
def test_h264_in_avi_which_keeps_no_times_gives_right_frames_or_none(tmp_path: Path, options: str) -> None:
    path = render(tmp_path / "h264.avi", options=options)
    try:
        found = numbers(sampling.sample_frames(path, DRAWS, 0, "key"))
    except VideoError:
        return
    assert found == drawn_numbers()


def test_a_clip_cut_without_recoding_begins_where_a_player_begins(tmp_path: Path) -> None:
    whole = render(tmp_path / "whole.mp4", options="-g 48 -bf 3")
    # The first second stays in the file, for decoding, and an edit list hides it.
    ffmpeg("-ss", 1, "-i", whole, "-c", "copy", tmp_path / "cut.mp4")
    frames = sampling.sample_frames(tmp_path / "cut.mp4", DRAWS, 0, "key")
    assert numbers(frames) == [number + FPS for number in drawn_numbers(length=FRAMES - FPS)]
    assert numbers(frames) == (np.floor(frames.seconds * FPS + 1e-6) + FPS).astype(int).tolist()


def test_frames_come_in_the_order_of_the_film(clip: Path) -> None:
    seconds = sampling.sample_frames(clip, DRAWS, 0, "key").seconds
    assert np.all(np.diff(seconds) >= 0)
    assert seconds[0] < seconds[-1]


def test_a_frame_drawn_twice_is_given_twice(clip: Path) -> None:
    assert numbers(sampling.sample_frames(clip, 300, 0, "key")) == drawn_numbers(300)


def test_the_same_arguments_give_the_same_frames(clip: Path) -> None:
    first, second = (sampling.sample_frames(clip, DRAWS, 0, "key") for _ in range(2))
    assert np.array_equal(first.pixels, second.pixels)
    assert np.array_equal(first.seconds, second.seconds)


@pytest.mark.parametrize(("seed", "key"), [(1, "key"), (0, "other")])
def test_another_seed_or_film_gives_other_frames(clip: Path, seed: int, key: str) -> None:
    first, other = sampling.sample_frames(clip, DRAWS, 0, "key"), sampling.sample_frames(clip, DRAWS, seed, key)
    assert not np.array_equal(first.seconds, other.seconds)


def test_keyframes_mode_gives_a_keyframe_near_each_time(clip: Path) -> None:
    times = sampling.draw_times(0, "key", FRAMES / FPS, 5)
    last = (FRAMES - 1) // GOP
    nearest = {min(last, round(time * FPS / GOP)) * GOP for time in times}
    frames = sampling.sample_frames(clip, 5, 0, "key", mode="keyframes")
    found = numbers(frames)
    assert len(set(found)) == 5
    assert nearest <= set(found) <= set(range(0, FRAMES, GOP))
    assert found == sorted(found)
    assert frames.note == ""


def test_too_few_keyframes_are_said_and_topped_up_with_exact_frames(clip: Path) -> None:
    frames = sampling.sample_frames(clip, 30, 0, "key", mode="keyframes")
    found, keyframes = numbers(frames), set(range(0, FRAMES, GOP))
    drawn = sampling.draw_times(0, "key", FRAMES / FPS, 90) * FPS
    assert len(set(found)) == 30
    assert keyframes < set(found)
    assert set(found) - keyframes <= set(drawn.astype(int))
    assert found == sorted(found) == np.floor(frames.seconds * FPS + 1e-6).astype(int).tolist()
    assert frames.note.startswith(f"only {len(keyframes)} keyframes: {30 - len(keyframes)} of the 30")


@pytest.mark.parametrize("count", [FRAMES, 300])
def test_more_frames_than_the_video_has_are_given_in_keyframes_mode_too(clip: Path, count: int) -> None:
    found = numbers(sampling.sample_frames(clip, count, 0, "key", mode="keyframes"))
    assert len(found) == count
    assert found == sorted(found)


def test_a_top_up_decodes_less_than_the_drawn_frames_would(clip: Path) -> None:
    def decoded(mode: str) -> int:
        found = np.array(numbers(sampling.sample_frames(clip, 30, 0, "key", mode=mode)))
        return sum(int((found[found // GOP == group] % GOP).max(initial=-1)) + 1 for group in range(FRAMES // GOP + 1))

    assert decoded("keyframes") < 0.7 * decoded("exact")


@pytest.mark.parametrize("mode", ["exact", "keyframes"])
def test_the_number_of_threads_changes_no_byte_and_no_note(form: Path, mode: str) -> None:
    one, *others = (sampling.sample_frames(form, DRAWS, 0, "key", mode, threads=threads) for threads in (1, 2, 4, 0))
    assert all(other.pixels.tobytes() == one.pixels.tobytes() for other in others)
    assert all(other.seconds.tobytes() == one.seconds.tobytes() for other in others)
    assert {other.note for other in others} == {one.note}


def test_damage_costs_the_same_frames_with_any_number_of_threads(clip: Path, tmp_path: Path) -> None:
    path = damaged(clip, 0, GOP, damaged(clip, 3 * GOP + 4, 4 * GOP, tmp_path / "scratched.mp4"))
    one, *others = (sampling.sample_frames(path, DRAWS, 0, "key", threads=threads) for threads in (1, 2, 4))
    assert "damaged" in one.note
    assert all(other.pixels.tobytes() == one.pixels.tobytes() for other in others)
    assert {other.note for other in others} == {one.note}


def decoders(
    monkeypatch: pytest.MonkeyPatch, path: Path, threads: int, pixels: int = container_file.MAX_PIXELS
) -> list:
    """The thread counts of the decoders that a call takes, when frames of so many pixels are the largest allowed."""
    counts, decode_groups = [], decode._decode

    def counted(box: object, stream: av.VideoStream, *rest: object) -> object:
        counts.append(stream.codec_context.thread_count)
        return decode_groups(box, stream, *rest)

    monkeypatch.setattr(decode, "_decode", counted)
    monkeypatch.setattr(decode, "MAX_PIXELS", pixels)
    sampling.sample_frames(path, DRAWS, 0, "key", threads=threads)
    return counts


@pytest.mark.parametrize(("threads", "counts"), [(1, [1]), (2, [1, 1]), (4, [1] * 4), (100, [1] * 8)])
def test_each_thread_has_a_decoder_of_its_own(
    clip: Path, monkeypatch: pytest.MonkeyPatch, threads: int, counts: list[int]
) -> None:
    assert decoders(monkeypatch, clip, threads) == counts


def test_one_long_group_is_decoded_by_one_decoder_with_all_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = render(tmp_path / "one-keyframe.mp4", options="-g 600 -bf 3")
    assert decoders(monkeypatch, path, threads=4) == [4]


def test_frames_so_large_that_two_decoders_hold_too_much_get_fewer(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert decoders(monkeypatch, clip, threads=4, pixels=WIDTH * HEIGHT * 3 - 1) == [1, 1]


def test_an_error_in_one_of_the_threads_is_the_error_of_the_call(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(path: Path) -> object:
        raise VideoError(f"{path.name}: gone")

    monkeypatch.setattr(decode, "opened", refused)
    with pytest.raises(VideoError, match=r"clip.mp4: gone"):
        sampling.sample_frames(clip, DRAWS, 0, "key", threads=2)


def test_the_frames_command_says_what_was_topped_up(clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    command = ["frames", str(clip), "--out", str(tmp_path / "out"), "--mode", "keyframes", "--no-filter", "--count"]
    assert main([*command, "30"]) == 0
    assert "only 9 keyframes: 21 of the 30 frames" in capsys.readouterr().out
    assert main([*command, "5"]) == 0
    assert "only" not in capsys.readouterr().out


def test_the_ledger_says_what_was_topped_up(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "trailers").mkdir()
    (tmp_path / "trailers" / "abcdefghijk.mp4").write_bytes(clip.read_bytes())
    columns = ["imdb_id", "youtube_id", "url", "title", "year"]
    films = pd.DataFrame([["tt0000001", "abcdefghijk", "", "Film", 2000]], columns=columns)
    settings = ScrapeSettings(source="folder:trailers", count=30, mode="keyframes", filter="none", workers=1)
    status = run.scrape(Project.open(tmp_path), films, settings)
    assert status.status.tolist() == ["ok"]
    assert status.detail[0].startswith("only 9 keyframes: 21 of the 30")


def test_exact_mode_gives_frames_between_the_keyframes_too(clip: Path) -> None:
    assert {number % GOP for number in numbers(sampling.sample_frames(clip, DRAWS, 0, "key"))} != {0}


@pytest.mark.parametrize("height", [16, 24, 20])
def test_a_tall_picture_is_shrunk_in_proportion(clip: Path, height: int) -> None:
    _, lines, columns, colours = sampling.sample_frames(clip, 3, 0, "key", height=height).pixels.shape
    assert (lines, colours) == (height, 3)
    assert abs(columns - WIDTH * height / HEIGHT) <= 1


def test_a_shrunk_picture_still_shows_its_number(clip: Path) -> None:
    assert numbers(sampling.sample_frames(clip, DRAWS, 0, "key", height=24)) == drawn_numbers()


@pytest.mark.parametrize("height", [0, HEIGHT, 360])
def test_a_picture_is_never_enlarged(clip: Path, height: int) -> None:
    frames = sampling.sample_frames(clip, 3, 0, "key", height=height)
    assert frames.pixels.shape == (3, HEIGHT, WIDTH, 3)
    assert frames.pixels.dtype == np.uint8


def test_probe_tells_size_length_and_frames(form: Path) -> None:
    facts = container_file.probe(form)
    assert (facts.width, facts.height, len(facts.pts)) == (WIDTH, HEIGHT, FRAMES)
    assert facts.duration == pytest.approx(FRAMES / FPS)
    assert set(facts.keyframes) <= set(facts.pts)


def test_probe_finds_the_keyframes(clip: Path) -> None:
    facts = container_file.probe(clip)
    starts = [round((pts - facts.pts[0]) * facts.time_base * FPS) for pts in facts.keyframes]
    assert starts == list(range(0, FRAMES, GOP))


@pytest.mark.parametrize("name", ["-x.mp4", "concat:a|b.mp4", "http:x.mp4", "a%03d.mp4", "a b?c#d&é'.mp4", "x.jpg"])
def test_any_file_name_is_just_a_name(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (tmp_path / name).write_bytes(clip.read_bytes())
    monkeypatch.chdir(tmp_path)
    assert numbers(sampling.sample_frames(Path(name), DRAWS, 0, "key")) == drawn_numbers()


def sound(path: Path, clip: Path) -> None:
    ffmpeg("-f", "lavfi", "-i", "sine=duration=1", path)


def playlist_of_a_secret(path: Path, clip: Path) -> None:
    path.write_text("#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n")


def playlist_of_a_clip(path: Path, clip: Path) -> None:
    path.write_text(f"#EXTM3U\n#EXTINF:4,\nfile://{clip}\n#EXT-X-ENDLIST\n")


def list_of_a_clip(path: Path, clip: Path) -> None:
    path.write_text(f"ffconcat version 1.0\nfile '{clip}'\n")


def text(path: Path, clip: Path) -> None:
    path.write_text("This is no trailer.\n")


def page(path: Path, clip: Path) -> None:
    path.write_text("<!DOCTYPE html><title>Video unavailable</title>")


def picture(path: Path, clip: Path) -> None:
    ffmpeg("-i", clip, "-frames:v", 1, "-f", "image2", "-c:v", "png", path)


def nothing(path: Path, clip: Path) -> None:
    path.write_bytes(b"")


def head_alone(path: Path, clip: Path) -> None:
    path.write_bytes(clip.read_bytes()[:40])


def head_and_noise(path: Path, clip: Path) -> None:
    path.write_bytes(clip.read_bytes()[:40] + np.random.default_rng(0).bytes(5000))


def folder(path: Path, clip: Path) -> None:
    path.mkdir()


def missing(path: Path, clip: Path) -> None:
    pass


NO_VIDEOS = [
    sound,
    playlist_of_a_secret,
    playlist_of_a_clip,
    list_of_a_clip,
    text,
    page,
    picture,
    nothing,
    head_alone,
    head_and_noise,
    folder,
    missing,
]


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
@pytest.mark.parametrize("make", NO_VIDEOS)
def test_what_is_no_video_is_an_error_with_its_name(
    clip: Path, tmp_path: Path, make: Callable[[Path, Path], None], suffix: str
) -> None:
    make(tmp_path / "no_video.mp4", clip)
    path = tmp_path / f"no_video{suffix}"
    if (tmp_path / "no_video.mp4").exists():
        (tmp_path / "no_video.mp4").rename(path)
    with pytest.raises(VideoError, match="no_video"):
        container_file.probe(path)
    with pytest.raises(VideoError, match="no_video"):
        sampling.sample_frames(path, 3, 0, "key")


def cut(path: Path, share: float, target: Path) -> Path:
    """The first `share` of the bytes of `path`."""
    data = path.read_bytes()
    target.write_bytes(data[: int(len(data) * share)])
    return target


@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.85, 0.95])
def test_a_cut_off_mp4_is_an_error(clip: Path, tmp_path: Path, share: float) -> None:
    with pytest.raises(VideoError, match="short"):
        sampling.sample_frames(cut(clip, share, tmp_path / "short.mp4"), 3, 0, "key")


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6, 0.8])
@pytest.mark.parametrize("name", ["faststart.mp4", "fragments.mp4"])
def test_a_cut_off_mp4_with_its_index_in_front_is_an_error(tmp_path: Path, name: str, share: float) -> None:
    options = {form[0]: form[2] for form in FORMS}[name]
    whole = render(tmp_path / name, options=options)
    with pytest.raises(VideoError, match="short"):
        sampling.sample_frames(cut(whole, share, tmp_path / "short.mp4"), 3, 0, "key")


@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.8])
def test_a_cut_off_webm_is_an_error(webm: Path, tmp_path: Path, share: float) -> None:
    with pytest.raises(VideoError, match="short"):
        sampling.sample_frames(cut(webm, share, tmp_path / "short.webm"), 3, 0, "key")


def test_a_codec_that_nobody_knows_is_named_as_the_reason(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "odd.mp4").write_bytes(clip.read_bytes().replace(b"avc1", b"zzz1"))
    with pytest.raises(VideoError, match=r"odd.mp4: .*codec"):
        sampling.sample_frames(tmp_path / "odd.mp4", 3, 0, "key")


def test_a_file_of_too_many_frames_is_refused_by_their_number(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container_file, "MAX_FRAMES", FRAMES)
    assert len(container_file.probe(clip).pts) == FRAMES
    monkeypatch.setattr(container_file, "MAX_FRAMES", FRAMES - 1)
    with pytest.raises(VideoError, match=f"more than {FRAMES - 1} frames"):
        container_file.probe(clip)


def test_reading_stops_at_the_last_wanted_frame_of_a_group(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = []
    decode_group = decode._decode_group

    def counted(box: object, stream: object, keyframe: int, left: set[int], skip: bool) -> object:
        facts, last = container_file.probe(clip), max(left)
        yield from decode_group(box, stream, keyframe, left, skip)
        sent.append((last, box.demux(stream).__next__().dts, facts.pts[1] - facts.pts[0]))

    monkeypatch.setattr(decode, "_decode_group", counted)
    sampling.sample_frames(clip, 5, 0, "key")
    # The next packet in line, when a group is through, is at most the reordering delay past the last wanted frame.
    assert len(sent) > 1
    assert all(upcoming <= last + (B_FRAMES + 1) * step for last, upcoming, step in sent)


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
    path = damaged(clip, 2 * GOP, 3 * GOP, tmp_path / "scratched.mp4")
    frames = sampling.sample_frames(path, DRAWS, 0, "key")
    found, drawn = numbers(frames), drawn_numbers()
    assert found == [number for number in drawn if number in found]
    # The decoder still holds B_FRAMES pictures back when it meets the damage.
    assert set(found) >= {number for number in drawn if not 2 * GOP - B_FRAMES <= number < 3 * GOP}
    assert set(found).isdisjoint(range(2 * GOP, 3 * GOP))
    assert frames.note == f"{DRAWS - len(found)} of {DRAWS} frames are damaged and left out"
    assert found == np.floor(frames.seconds * FPS + 1e-6).astype(int).tolist()


def test_a_clip_damaged_all_through_is_an_error(clip: Path, tmp_path: Path) -> None:
    path = damaged(clip, 0, FRAMES, tmp_path / "scratched.mp4")
    with pytest.raises(VideoError, match="scratched"):
        sampling.sample_frames(path, DRAWS, 0, "key")


def test_times_are_the_same_for_the_same_arguments() -> None:
    assert np.array_equal(sampling.draw_times(3, "tt1", 90.0, 100), sampling.draw_times(3, "tt1", 90.0, 100))


@pytest.mark.parametrize(("seed", "key"), [(4, "tt1"), (3, "tt2"), (3, ""), (0, "3/tt1")])
def test_times_differ_by_seed_and_by_film(seed: int, key: str) -> None:
    assert not np.array_equal(sampling.draw_times(3, "tt1", 90.0, 100), sampling.draw_times(seed, key, 90.0, 100))


@pytest.mark.parametrize("duration", [0.04, 4.0, 7200.0])
def test_times_are_sorted_and_within_the_film(duration: float) -> None:
    times = sampling.draw_times(0, "tt1", duration, 1000)
    assert len(times) == 1000
    assert np.all(np.diff(times) >= 0)
    assert np.all((times >= 0) & (times < duration))


def test_times_are_spread_over_the_whole_film() -> None:
    counts, _ = np.histogram(sampling.draw_times(0, "tt1", 100.0, 1000), bins=10, range=(0, 100))
    assert counts.min() > 50  # 100 are expected in each tenth; 50 is more than five standard deviations below


def test_drawing_leaves_the_global_random_state_alone() -> None:
    np.random.seed(0)
    expected = np.random.random()
    np.random.seed(0)
    sampling.draw_times(0, "tt1", 100.0, 10)
    assert np.random.random() == expected
