"""A film's folder of frames: its name, its pictures, its record, and the strip of what was dropped."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trailer_lib import TrailerError
from trailer_lib.video.decode import Frames
from trailer_lib.video.frame_folder import (
    folder_id,
    folder_name,
    picture_paths,
    read_dropped,
    read_picture,
    read_record,
    save_frames,
)

REASONS = [None, "dark", None, "flat", None, "black"]
COLOURS = [(250, 20, 20), (10, 60, 10), (20, 20, 250), (130, 130, 130), (250, 250, 20), (0, 0, 0)]
SECONDS = [0.5, 1.25, 2.0, 2.0, 7.75, 9.0]


def plain(*colours: tuple[int, int, int]) -> np.ndarray:
    return np.stack([np.full((48, 64, 3), colour, np.uint8) for colour in colours])


def close(picture: np.ndarray, colour: tuple[int, int, int]) -> bool:
    """Whether a picture that went through a JPEG has this one colour all over."""
    return bool(np.abs(picture.astype(int) - colour).max() <= 12)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of six frames of which three were dropped."""
    path = tmp_path / folder_name("tt0000001", "Film", 1999)
    save_frames(path, Frames(plain(*COLOURS), np.array(SECONDS)), REASONS, {"imdb_id": "tt0000001"})
    return path


def test_a_folder_of_another_layout_has_no_id() -> None:
    assert folder_id(folder_name("tt1234567890", "[tt0000001]", 1999)) == "tt1234567890"
    for name in ("Film", "Film (1999)", "[tt0000001] Film", "Film [tt00]", "Film tt1", "[nm0000001]"):
        assert folder_id(name) is None


def test_the_kept_pictures_are_numbered_and_recorded_in_the_order_of_the_film(folder: Path) -> None:
    kept = [index for index, reason in enumerate(REASONS) if reason is None]
    paths, record = picture_paths(folder), read_record(folder)
    assert [path.name for path in paths] == ["0.jpg", "1.jpg", "2.jpg"]
    assert all(close(read_picture(path), COLOURS[index]) for path, index in zip(paths, kept))
    assert (record["imdb_id"], record["seconds"]) == ("tt0000001", [SECONDS[index] for index in kept])


def test_the_dropped_frames_come_back_with_their_reasons(folder: Path) -> None:
    expected = [index for index, reason in enumerate(REASONS) if reason is not None]
    assert read_record(folder)["dropped"] == [[SECONDS[index], REASONS[index]] for index in expected]
    for (picture, reason), index in zip(read_dropped(folder), expected, strict=True):
        assert close(picture, COLOURS[index]) and picture.shape == (96, 128, 3) and reason == REASONS[index]
    (folder / "dropped.jpg").unlink()
    with pytest.raises(TrailerError, match=r"dropped\.jpg"):
        read_dropped(folder)


def test_six_hundred_frames_may_be_dropped(tmp_path: Path) -> None:
    frames = Frames(np.full((601, 24, 4, 3), 90, np.uint8), np.arange(601.0))
    save_frames(tmp_path / "film", frames, [None, *map(str, range(600))], {})
    assert [reason for _, reason in read_dropped(tmp_path / "film")] == [*map(str, range(600))]


def test_saving_again_replaces_the_folder_whole(folder: Path) -> None:
    save_frames(folder, Frames(plain(COLOURS[0]), np.array([3.0])), [None], {})
    assert sorted(path.name for path in folder.iterdir()) == ["0.jpg", "film.json"]  # nothing dropped, no strip
    save_frames(folder, Frames(plain(COLOURS[0]), np.array([3.0])), [None], {}, np.zeros((128, 200), np.uint8))
    assert sorted(path.name for path in folder.iterdir()) == ["0.jpg", "film.json", "sound.png"]
    assert read_record(folder)["seconds"] == [3.0] and read_dropped(folder) == []


def test_a_save_that_fails_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(TypeError):
        save_frames(tmp_path / "film", Frames(plain(COLOURS[0]), np.array([3.0])), [None], {"x": object()})
    assert list(tmp_path.iterdir()) == []


def test_pictures_are_sorted_as_numbers_then_by_name_without_hidden_files(tmp_path: Path) -> None:
    others = "dropped.jpg sound.png ._9.jpg .hidden.jpg notes.txt 3.gif"
    for name in f"10.jpg 9.jpg 0.JPG 0.png poster.jpeg 7.webp {others}".split():
        (tmp_path / name).write_bytes(b"")
    every = ["0.JPG", "0.png", "7.webp", "9.jpg", "10.jpg", "poster.jpeg"]
    assert [path.name for path in picture_paths(tmp_path)] == every
    (tmp_path / "film.json").write_text("{}")  # of a scraped film the numbered ones
    assert [path.name for path in picture_paths(tmp_path)] == every[:-1]


def test_a_missing_or_damaged_record_is_empty(tmp_path: Path) -> None:
    assert read_record(tmp_path) == {} and read_dropped(tmp_path) == []
    for text in (b"", b"{", b"[1]", b"3", b"\xff\xfe"):
        (tmp_path / "film.json").write_bytes(text)
        assert read_record(tmp_path) == {} and read_dropped(tmp_path) == []


@pytest.mark.parametrize(("kind", "mode"), [("JPEG", "L"), ("PNG", "P"), ("PNG", "RGBA"), ("WEBP", "RGB")])
def test_a_picture_of_any_kind_is_read_as_rgb_and_turned_upright(tmp_path: Path, kind: str, mode: str) -> None:
    exif, stored = Image.Exif(), Image.new("L", (60, 40), 20)
    exif[0x0112] = 6  # orientation: the top of the picture is stored at its left
    stored.paste(200, (0, 0, 30, 40))
    stored.convert(mode).save(tmp_path / "0.jpg", kind, exif=exif)
    picture = read_picture(tmp_path / "0.jpg")
    assert (picture.shape, picture.dtype) == ((60, 40, 3), np.uint8)
    assert close(picture[:28], (200, 200, 200)) and close(picture[32:], (20, 20, 20))


def test_sixteen_bits_of_grey_are_scaled_and_inks_are_converted(tmp_path: Path) -> None:
    levels = np.linspace(0, 65535, 60).astype(np.uint16)[None].repeat(40, 0)
    Image.fromarray(levels).save(tmp_path / "grey.png")
    Image.new("CMYK", (60, 40), (0, 255, 255, 0)).save(tmp_path / "red.jpg")
    assert np.array_equal(read_picture(tmp_path / "grey.png")[0, :, 0], levels[0] >> 8)
    assert close(read_picture(tmp_path / "red.jpg"), (254, 0, 0))


def cut_picture() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(buffer, "JPEG")
    return buffer.getvalue()[: buffer.tell() // 2]


def huge_picture() -> bytes:
    """The head of a PNG that would fill 600 MB when opened."""
    buffer = io.BytesIO()
    Image.new("1", (10, 10)).save(buffer, "PNG")
    head = b"IHDR" + struct.pack(">II", 14_500, 14_500) + buffer.getvalue()[24:29]
    return buffer.getvalue()[:12] + head + struct.pack(">I", zlib.crc32(head)) + buffer.getvalue()[33:]


def test_what_is_no_harmless_picture_is_an_error_that_names_film_and_file(tmp_path: Path) -> None:
    path = tmp_path / "Film (1999) [tt0000001]" / "7.jpg"
    path.parent.mkdir()
    for content in (None, b"", b"text\n", b"GIF89a", cut_picture(), huge_picture()):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(TrailerError, match=r"Film \(1999\) \[tt0000001\]/7\.jpg: not a readable") as refusal:
            read_picture(path)
    assert "DecompressionBomb" in repr(refusal.value.__cause__)  # the last one by its size alone
