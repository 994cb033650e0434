"""images/ -> dataset/: what is in it, what is left out and why, what a second build decodes again."""

import json
import math
import os
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import FILMS, FRAMES, add_folder, add_new_films, fictional_film, write_tables
from PIL import Image
from sounds import add_sound, built, by_film, folder_of, note_reads, with_dataset, with_sound

from trailer_lib import files
from trailer_lib.catalog import load
from trailer_lib.dataset import Dataset, arrays, builder, sizes
from trailer_lib.dataset.arrays import HEADER, read_index
from trailer_lib.dataset.dataset import card_hash
from trailer_lib.errors import TrailerError
from trailer_lib.project import Project
from trailer_lib.settings import DatasetSettings
from trailer_lib.training.batches import FilmBatches
from trailer_lib.video import SOUND, folder_id, load_sound, sound_clips

Copy = Callable[[Path], Project]
FILES = ("frames.npy", "frames.jsonl", "sound.npy", "sound.jsonl", "films.csv", "dataset.json", "CARD.md")


@pytest.fixture(scope="module")
def frames_root(frames_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_sound(frames_root, tmp_path_factory.mktemp("with_sound") / "root")


@pytest.fixture(scope="module")
def dataset_root(frames_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_dataset(frames_root, tmp_path_factory.mktemp("with_dataset") / "root")


def film_id(number: int) -> str:
    return fictional_film(number)["imdb_id"]


def content(root: Path) -> dict[str, bytes]:
    return {name: (root / "dataset" / name).read_bytes() for name in FILES}


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the films whose pictures are decoded, and "sound of ID", in order."""
    return note_reads(monkeypatch)


def test_the_files_agree_and_hold_every_films_frames_and_sound_in_order(frames_root: Path, copy_of: Copy) -> None:
    project = copy_of(frames_root)
    for number, count in ((3, 15), (11, 40)):
        shutil.rmtree(folder_of(project.root, number))
        add_folder(project.root, fictional_film(number), count)
    data = built(project)
    total = FILMS * FRAMES - 1 + 24
    shapes = {"frames": (total, 32, 32, 3), "sound": (data.films.sound_count.sum(), 128, 128)}
    for name, shape in shapes.items():
        array = getattr(data, name)
        assert array.shape == tuple(data.card["shapes"][name]) == shape and array.dtype == np.uint8
        assert sizes(project).MB[f"{name}.npy"] == pytest.approx(math.prod(shape) / 1e6, abs=0.001)
    assert (len(data.films), data.card["frames"]) == (data.card["films"], total) == (FILMS, total)
    assert data.films["first"].tolist() == [0, *data.films["count"].cumsum()[:-1]]
    assert {name: len(data.split(name)) for name in ("train", "val", "test")} == data.card["splits"]
    for row, film in data.films.iterrows():
        expected = arrays.load_film_frames(project.images / film.folder, DatasetSettings(size=32))
        assert np.array_equal(data.film_frames(row), expected)
        sound = load_sound(project.images / film.folder)
        clips = np.empty((0, 128, 128)) if sound is None else sound_clips(sound, 30)[0]
        assert np.array_equal(data.film_sound(row), clips) and bool(film.sound_sha256) == (len(clips) > 0)
    count = data.films.sound_count
    assert (data.card["clips"], data.card["films_with_sound"], count.max()) == (count.sum(), 19, 30)


def test_the_card_and_the_table_have_the_facts_of_the_films_and_the_settings_of_both_stages(dataset_root: Path) -> None:
    project = Project(dataset_root)
    data, page = Dataset.open(project), (project.dataset / "CARD.md").read_text()
    films = data.films.set_index("imdb_id")[["title", "year", "score", "youtube_id", "genres"]]
    assert films.equals(load(project).films.set_index("imdb_id").loc[films.index, films.columns])
    assert data.card["settings"] == project.settings("dataset").as_dict()
    assert data.card["scrape"] == project.settings("scrape").as_dict()
    assert data.card["left_out"] == {}
    scores = data.split("train").score
    assert data.card["train_score"] == {"mean": scores.mean(), "sd": scores.std(ddof=0)}
    assert json.loads(page.partition("```json")[2].partition("```")[0]) == data.card


def test_folders_in_the_originals_layout_are_matched_by_title(frames_root: Path, copy_of: Copy) -> None:
    project = copy_of(frames_root)
    for number in range(FILMS):
        folder_of(project.root, number).rename(project.images / fictional_film(number)["title"].replace(":", "_"))
    data = built(project)
    assert "The Cedar 2_ Part" in set(data.films.folder)
    expected = {(film["imdb_id"], film["title"]) for film in map(fictional_film, range(FILMS))}
    assert set(zip(data.films.imdb_id, data.films.title)) == expected


def too_few(folder: Path) -> None:
    for number in range(5, FRAMES):
        (folder / f"{number}.jpg").unlink()


def no_picture(folder: Path) -> None:
    (folder / "0.jpg").write_text("<!DOCTYPE html>")


def test_folders_that_cannot_be_used_are_left_out_with_their_reasons(dataset_root: Path, copy_of: Copy) -> None:
    project = copy_of(dataset_root)
    expected = by_film(Dataset.open(project))
    names = [folder_of(project.root, number) for number in range(FILMS)]
    twin = fictional_film(3) | {"imdb_id": "tt8899999", "year": 1950, "youtube_id": "twin0000000"}
    write_tables(project.root, [*map(fictional_film, range(FILMS)), twin])
    too_few(names[1])
    names[2].rename(project.images / "Nobody Knows (1999) [tt7777777]")
    names[3].rename(project.images / twin["title"])
    os.rename(names[4], os.fsencode(project.images) + b"/Am\xe9lie (2001) [tt8800004]")
    shutil.rmtree(names[5])
    for folder in names[6:12]:
        no_picture(folder)
    too_few(Path(shutil.copytree(names[12], project.images / f"A {names[12].name}")))
    shutil.copytree(names[13], project.images / ".tmp-1-Nobody")
    (names[14] / SOUND).write_text("<!DOCTYPE html>")
    (project.images / "notes.txt").write_text("hello")
    data = built(project)
    left_out = {
        "under 15 frames": 1, "not in the catalogue": 1, "several films have this title": 1,
        "its name is not UTF-8, rename it": 1, "a picture is damaged": 6, "a fuller folder holds the same film": 1,
    }  # fmt: skip
    assert data.card["left_out"] == left_out
    expected[film_id(14)] = (expected[film_id(14)][0], b"")
    assert by_film(data) == {film_id(number): expected[film_id(number)] for number in [0, *range(12, FILMS)]}
    table = pd.read_csv(project.dataset / "left_out.csv", keep_default_na=False).set_index("folder")
    assert "sound.png: not a spectrogram" in table.detail[names[14].name] and not table.reason[names[14].name]
    assert len(table) == 12 and "0.jpg: not a readable picture" in table.detail[names[7].name]
    assert table.reason["Am?lie (2001) [tt8800004]"] == "its name is not UTF-8, rename it"
    assert len(data.card["left_out_first"]) == 10
    assert all(line in (project.dataset / "CARD.md").read_text() for line in data.card["left_out_first"])


def test_images_without_a_usable_film_are_an_error(frames_root: Path, copy_of: Copy) -> None:
    project = copy_of(frames_root)
    for number in range(FILMS):
        no_picture(folder_of(project.root, number))
    with pytest.raises(TrailerError, match="all 30 films have a damaged picture"):
        built(project)
    for number in range(FILMS):
        too_few(folder_of(project.root, number))
    with pytest.raises(TrailerError, match=r"15 frames of a film in it, \{'under 15 frames': 30\}: scrape first"):
        built(project)
    assert len(pd.read_csv(project.dataset / "left_out.csv")) == FILMS
    shutil.rmtree(project.images)
    project.images.mkdir()
    with pytest.raises(TrailerError, match="no folder with 15 frames"):
        built(project)


def test_a_split_without_films_is_refused_before_anything_is_changed(dataset_root: Path, copy_of: Copy) -> None:
    project = copy_of(dataset_root)
    with pytest.raises(TrailerError, match=r"'val'.*salt"):
        built(project, val=0.0, size=16)
    assert content(project.root) == content(dataset_root)


def test_two_builds_at_once_and_a_damaged_record_of_the_scrape_are_errors(dataset_root: Path, copy_of: Copy) -> None:
    project = copy_of(dataset_root)
    with files.single_run(project.dataset), pytest.raises(TrailerError, match="is filling it"):
        built(project)
    (project.images / "settings.json").write_text("{")
    with pytest.raises(TrailerError, match=r"settings\.json"):
        built(project)


@pytest.mark.parametrize("chosen", [{}, {"salt": "another", "val": 0.3, "test": 0.3, "min_frames": 3}])
def test_unchanged_pictures_are_not_decoded_again(
    dataset_root: Path, copy_of: Copy, decoded: list[str], chosen: dict
) -> None:
    project = copy_of(dataset_root)
    data = built(project, **chosen)
    assert decoded == [] and by_film(data) == by_film(Dataset.open(Project(dataset_root)))
    assert data.card["settings"] == project.settings("dataset", **chosen).as_dict()
    assert (content(project.root) == content(dataset_root)) == (not chosen)


@pytest.mark.parametrize("chosen", [{"size": 16}, {"fit": "crop"}])
def test_other_picture_settings_decode_all(dataset_root: Path, copy_of: Copy, decoded: list[str], chosen: dict) -> None:
    project = copy_of(dataset_root)
    assert built(project, **chosen).frames.shape == (FILMS * FRAMES, *[chosen.get("size", 32)] * 2, 3)
    assert len(decoded) == FILMS
    before = content(project.root)
    shutil.rmtree(project.dataset)
    built(project, **chosen)
    assert content(project.root) == before


def test_new_films_are_appended_and_no_other_is_touched(dataset_root: Path, copy_of: Copy, decoded: list[str]) -> None:
    project = copy_of(dataset_root)
    before = Dataset.open(project)
    new = add_new_films(project.root)
    add_sound(next(project.images.glob(f"*{max(new)}*")))
    data = built(project)
    assert decoded == [*sorted(new), f"sound of {max(new)}"]
    assert data.films.imdb_id.tolist() == before.films.imdb_id.tolist() + sorted(new)
    assert data.films.split[: len(before.films)].equals(before.films.split)
    for name in ("frames.npy", "sound.npy"):
        old, grown = content(dataset_root)[name], content(project.root)[name]
        assert grown[HEADER : len(old)] == old[HEADER:] and len(grown) > len(old)
    # Nor do the frames that training sees of a film depend on films added later: only on it and the epoch.
    options = {"seed": 3, "other_frames": True, "reorder": True}
    alone = FilmBatches(Dataset.open(Project(dataset_root)), 5, **options).__getitems__([(4, 9)])[0][0]
    other_epoch, same = FilmBatches(data, 5, **options).__getitems__([(1, 9), (4, 9)])[0]
    assert np.array_equal(same, alone) and not np.array_equal(other_epoch, alone)


def test_what_changed_alone_is_decoded_and_goes_to_the_end(
    dataset_root: Path, copy_of: Copy, decoded: list[str]
) -> None:
    project = copy_of(dataset_root)
    before = by_film(Dataset.open(project))
    for path in folder_of(project.root, 9).glob("*.jpg"):
        path.touch()  # decoded, and found to be the same
    Image.new("RGB", (64, 36), (255, 255, 255)).save(folder_of(project.root, 4) / "3.jpg")
    add_sound(folder_of(project.root, 6))
    (folder_of(project.root, 11) / SOUND).unlink()
    data = built(project)
    after = by_film(data)
    assert sorted(decoded) == [f"sound of {film_id(6)}", film_id(4), film_id(9)]
    assert {film for film in before if before[film][0] != after[film][0]} == {film_id(4)}
    assert {film for film in before if before[film][1] != after[film][1]} == {film_id(6), film_id(11)}
    assert after[film_id(11)][1] == b"" == before[film_id(6)][1]
    assert data.films.imdb_id.iloc[-1] == film_id(4) and data.films["first"].iloc[-1] == FILMS * FRAMES
    assert len(data.frames) == (FILMS + 1) * FRAMES == data.card["frames"] + FRAMES


def test_a_build_that_is_stopped_leaves_the_dataset_as_it_was_and_is_resumed(
    dataset_root: Path, copy_of: Copy, monkeypatch: pytest.MonkeyPatch, decoded: list[str]
) -> None:
    project, load_film_frames = copy_of(dataset_root), arrays.load_film_frames
    before, new = by_film(Dataset.open(project)), add_new_films(project.root)

    def interrupted(folder: Path, *rest: object) -> np.ndarray:
        if folder_id(folder.name) == new[5]:
            raise KeyboardInterrupt
        return load_film_frames(folder, *rest)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(builder, "load_film_frames", interrupted)
        built(project)
    assert not list(project.dataset.glob(".tmp-*"))
    done = len(read_index(project.dataset / "frames.jsonl"))
    assert done > FILMS and by_film(Dataset.open(project)) == before
    built(project)
    assert len(decoded) == FILMS + len(new) - done


def test_a_dataset_of_the_version_before_sound_is_refused_and_its_frames_are_not_decoded_again(
    dataset_root: Path, copy_of: Copy, decoded: list[str]
) -> None:
    project = copy_of(dataset_root)
    for name in ("sound.npy", "sound.jsonl"):
        (project.dataset / name).unlink()
    entries = read_index(project.dataset / "frames.jsonl")
    texts = [json.dumps(entry._asdict()).replace('"source"', '"pictures"').encode() for entry in entries]
    index = b"".join(b"%08x %s\n" % (zlib.crc32(text), text) for text in texts)
    (project.dataset / "frames.jsonl").write_bytes(index)
    card = json.loads((project.dataset / "dataset.json").read_text())
    del card["hash"], card["shapes"]
    files.write_json(project.dataset / "dataset.json", card | {"hash": card_hash(card)})
    with pytest.raises(TrailerError, match=r"an earlier version's.*: build the dataset again"):
        Dataset.open(project)
    built(project)
    assert {name[:8] for name in decoded} == {"sound of"} and content(project.root) == content(dataset_root)


def test_pictures_of_four_kinds_are_read_and_others_are_named(frames_root: Path, tmp_path: Path) -> None:
    project = Project(Path(shutil.copytree(frames_root, tmp_path / "My Films ü (1)")))
    settings = project.images / "settings.json"
    settings.write_bytes(b"\xef\xbb\xbf" + settings.read_bytes().replace(b"\n", b"\r\n"))
    mine, scraped, few = (folder_of(project.root, number) for number in (4, 5, 6))
    (mine / "film.json").unlink()
    for index, name in enumerate("0.JPG 1.jpeg 2.png 3.webp 4.jpg poster.jpg".split()):
        (mine / f"{index}.jpg").unlink()
        Image.new("RGB", (64, 36), (40 * index, 0, 0)).save(mine / name)
    for path in (mine / "._0.jpg", mine / ".hidden.png", scraped / "poster.jpg"):
        path.write_bytes(b"\x00\x05\x16\x07")
    for number, kind in zip(range(12, 16), ("bmp", "gif", "tiff", "bmp")):
        (few / f"{number}.jpg").unlink()
        Image.new("RGB", (64, 36)).save(few / f"{number}.{kind}")
    data = built(project)
    assert data.card["scrape"] == project.settings("scrape").as_dict()
    [row] = data.films.index[data.films.imdb_id == film_id(4)]
    red = data.film_frames(row)[..., 0].mean((1, 2))
    assert len(red) == FRAMES and red[[*range(5), -1]] == pytest.approx(40 * np.arange(6), abs=3)
    few_text = f"{few.name}: under 15 frames: not read: 12.bmp, 13.gif, 14.tiff and 1 more"
    assert sorted(data.card["left_out_first"]) == sorted([f"{scraped.name}: not read: poster.jpg", few_text])
