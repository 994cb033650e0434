"""A film's folder of frames: its name, its pictures, its record, and the strip of what was dropped."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trailer_lib import TrailerError
from trailer_lib.video import frame_folder
from trailer_lib.video.decode import Frames

HOSTILE = ["..", "../../etc/x", "a" * 300, "é" * 300, "-rf", "-.tmp-1-x", "nul\0", "\u202e", "", "[tt0000001]", "x (1)"]
REASONS = [None, "dark", None, "flat", None, "black"]
COLOURS = [(250, 20, 20), (10, 60, 10), (20, 20, 250), (130, 130, 130), (250, 250, 20), (0, 0, 0)]
SECONDS = [0.5, 1.25, 2.0, 2.0, 7.75, 9.0]


def plain(*colours: tuple[int, int, int], width: int = 64, height: int = 48) -> np.ndarray:
    return np.stack([np.full((height, width, 3), colour, np.uint8) for colour in colours])


def close(picture: np.ndarray, colour: tuple[int, int, int]) -> bool:
    """Whether a picture that went through a JPEG has this one colour all over."""
    return bool(np.abs(picture.astype(int) - colour).max() <= 12)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of six frames of which three were dropped."""
    path = tmp_path / frame_folder.folder_name("tt0000001", "Film", 1999)
    frame_folder.save_frames(path, Frames(plain(*COLOURS), np.array(SECONDS)), REASONS, {"imdb_id": "tt0000001"})
    return path


@pytest.mark.parametrize("imdb_id", ["tt0000001", "tt12345678", "tt1234567890"])
@pytest.mark.parametrize("title", ["Film", "Amélie", *HOSTILE])
def test_the_id_of_a_folder_is_read_from_its_name(title: str, imdb_id: str) -> None:
    assert frame_folder.folder_id(frame_folder.folder_name(imdb_id, title, 1999)) == imdb_id


@pytest.mark.parametrize("title", HOSTILE)
def test_a_folder_name_is_one_short_visible_part_of_a_path(title: str) -> None:
    name = frame_folder.folder_name("tt1234567890", title, 1999)
    assert len(name.encode()) <= 150
    assert Path(name).name == name
    assert not name.startswith((".", "-"))


def test_a_folder_name_shows_title_and_year() -> None:
    assert frame_folder.folder_name("tt0000001", "The Film", 1999) == "The Film (1999) [tt0000001]"


@pytest.mark.parametrize(
    "name", ["Film", "Film (1999)", "[tt0000001] Film", "Film [tt00]", "Film tt0000001", "[nm0000001]"]
)
def test_a_folder_of_another_layout_has_no_id(name: str) -> None:
    assert frame_folder.folder_id(name) is None


def test_the_kept_pictures_are_numbered_in_the_order_of_the_film(folder: Path) -> None:
    paths = frame_folder.picture_paths(folder)
    kept = [colour for colour, reason in zip(COLOURS, REASONS) if reason is None]
    assert [path.name for path in paths] == ["0.jpg", "1.jpg", "2.jpg"]
    assert all(close(frame_folder.read_picture(path), colour) for path, colour in zip(paths, kept))


def test_the_record_has_the_facts_and_the_kept_seconds(folder: Path) -> None:
    record = frame_folder.read_record(folder)
    assert record["imdb_id"] == "tt0000001"
    assert record["seconds"] == [second for second, reason in zip(SECONDS, REASONS) if reason is None]


def test_the_dropped_frames_come_back_with_their_seconds_and_reasons(folder: Path) -> None:
    dropped = frame_folder.read_dropped(folder)
    lost = [item for item in zip(COLOURS, SECONDS, REASONS) if item[2] is not None]
    assert [(item.seconds, item.reason) for item in dropped] == [(second, reason) for _, second, reason in lost]
    assert all(close(item.pixels, colour) for item, (colour, _, _) in zip(dropped, lost))
    assert {item.pixels.shape for item in dropped} == {(96, 128, 3)}


def test_nothing_dropped_leaves_no_strip(tmp_path: Path) -> None:
    frame_folder.save_frames(tmp_path / "film", Frames(plain(*COLOURS), np.array(SECONDS)), [None] * len(COLOURS), {})
    assert frame_folder.read_dropped(tmp_path / "film") == []
    assert not (tmp_path / "film" / "dropped.jpg").exists()
    assert len(frame_folder.picture_paths(tmp_path / "film")) == len(COLOURS)


@pytest.mark.parametrize("dropped", [1, 600])
def test_as_many_frames_may_be_dropped_as_the_settings_allow(tmp_path: Path, dropped: int) -> None:
    pixels = np.broadcast_to(plain((90, 90, 90), width=4, height=24), (dropped + 1, 24, 4, 3))
    reasons = [None, *["dark"] * dropped]
    frame_folder.save_frames(tmp_path / "film", Frames(pixels, np.arange(dropped + 1.0)), reasons, {})
    assert [item.seconds for item in frame_folder.read_dropped(tmp_path / "film")] == list(range(1, dropped + 1))


def test_saving_again_replaces_the_folder_whole(folder: Path) -> None:
    frame_folder.save_frames(folder, Frames(plain(COLOURS[0]), np.array([3.0])), [None], {})
    assert sorted(path.name for path in folder.iterdir()) == ["0.jpg", "film.json"]
    assert frame_folder.read_record(folder)["seconds"] == [3.0]


def test_a_save_that_fails_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        frame_folder.save_frames(tmp_path / "film", Frames(plain(COLOURS[0]), np.array([3.0])), [None], {"x": object()})
    assert list(tmp_path.iterdir()) == []


def test_pictures_are_sorted_as_numbers_and_others_passed_over(tmp_path: Path) -> None:
    for name in ("10.jpg", "9.jpg", "0.jpg", "cover.jpg", "dropped.jpg", "1.png", "²3.jpg", "-1.jpg"):
        (tmp_path / name).write_bytes(b"")
    assert [path.name for path in frame_folder.picture_paths(tmp_path)] == ["0.jpg", "9.jpg", "10.jpg"]


@pytest.mark.parametrize("text", [None, b"", b"{", b"[1]", b"3", b"\xff\xfe"])
def test_a_missing_or_damaged_record_is_empty(tmp_path: Path, text: bytes | None) -> None:
    if text is not None:
        (tmp_path / "film.json").write_bytes(text)
    assert frame_folder.read_record(tmp_path) == {}
    assert frame_folder.read_dropped(tmp_path) == []


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("mode", ["RGB", "L", "P"])
def test_a_picture_of_any_kind_is_read_as_rgb(tmp_path: Path, kind: str, mode: str) -> None:
    path = tmp_path / "0.jpg"
    Image.new("L", (30, 20), 77).convert("RGB" if (kind, mode) == ("JPEG", "P") else mode).save(path, kind)
    picture = frame_folder.read_picture(path)
    assert (picture.shape, picture.dtype) == ((20, 30, 3), np.uint8)
    assert close(picture, (77, 77, 77))


def cut_picture() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()[: buffer.tell() // 2]


def huge_picture() -> bytes:
    """A sound PNG of some kilobytes that would fill 600 MB when opened."""
    buffer = io.BytesIO()
    Image.new("1", (14_500, 14_500)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


@pytest.mark.parametrize("make", [lambda: b"", lambda: b"I am a text.\n", lambda: b"GIF89a", cut_picture, huge_picture])
def test_what_is_no_harmless_picture_is_an_error_that_names_film_and_file(tmp_path: Path, make: object) -> None:
    path = tmp_path / "Film (1999) [tt0000001]" / "7.jpg"
    path.parent.mkdir()
    path.write_bytes(make())
    with pytest.raises(TrailerError, match=r"Film \(1999\) \[tt0000001\]/7\.jpg: not a readable picture"):
        frame_folder.read_picture(path)


def test_a_large_picture_within_the_limit_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "0.jpg"
    Image.new("L", (64, 48)).save(path, "PNG")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64 * 48)
    assert frame_folder.read_picture(path).shape == (48, 64, 3)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64 * 48 // 3)
    with pytest.raises(TrailerError, match=r"0\.jpg"):
        frame_folder.read_picture(path)


def test_a_missing_picture_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TrailerError, match=r"0\.jpg"):
        frame_folder.read_picture(tmp_path / "0.jpg")


def test_a_missing_strip_is_an_error(folder: Path) -> None:
    (folder / "dropped.jpg").unlink()
    with pytest.raises(TrailerError, match=r"dropped\.jpg"):
        frame_folder.read_dropped(folder)
