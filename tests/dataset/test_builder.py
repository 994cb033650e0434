"""images/ -> dataset/: what is in it, what is left out and why, what a second build decodes again."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import FILMS, FRAMES, add_folder, add_new_films, fictional_film, write_tables
from PIL import Image

from trailer_lib import files
from trailer_lib.catalog import load
from trailer_lib.dataset import Dataset, build, builder, frames, sizes
from trailer_lib.errors import TrailerError
from trailer_lib.project import Project
from trailer_lib.settings import DatasetSettings
from trailer_lib.video import folder_id, folder_name

Copy = Callable[[Path], Project]
FILES = ("frames.npy", "frames.jsonl", "films.csv", "dataset.json", "CARD.md")


def built(project: Project, **chosen: object) -> Dataset:
    return build(project, project.settings("dataset", **chosen))


def folder_of(project: Project, number: int) -> Path:
    film = fictional_film(number)
    return project.images / folder_name(film["imdb_id"], film["title"], film["year"])


def film_id(number: int) -> str:
    return fictional_film(number)["imdb_id"]


def content(root: Path) -> dict[str, bytes]:
    return {name: (root / "dataset" / name).read_bytes() for name in FILES}


def frames_by_film(data: Dataset) -> dict[str, bytes]:
    return {film: data.film_frames(row).tobytes() for row, film in data.films.imdb_id.items()}


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids of the films whose pictures are decoded, in order."""
    asked, load_film_frames = [], frames.load_film_frames

    def noted(folder: Path, *rest: object) -> np.ndarray:
        asked.append(folder_id(folder.name))
        return load_film_frames(folder, *rest)

    monkeypatch.setattr(builder, "load_film_frames", noted)
    return asked


def test_the_files_agree_and_hold_every_films_frames_in_order(frames_root: Path, copy_of: Copy) -> None:
    project = copy_of(frames_root)
    for number, count in ((3, 15), (11, 40)):
        shutil.rmtree(folder_of(project, number))
        add_folder(project.root, fictional_film(number), count)
    data = built(project)
    total = FILMS * FRAMES - 1 + 24
    assert data.frames.shape == tuple(data.card["shape"]) == (total, 32, 32, 3) and data.frames.dtype == np.uint8
    assert (len(data.films), data.card["frames"]) == (data.card["films"], total) == (FILMS, total)
    assert data.films["first"].tolist() == [0, *data.films["count"].cumsum()[:-1]]
    assert {name: len(data.split(name)) for name in ("train", "val", "test")} == data.card["splits"]
    for row, film in data.films.iterrows():
        expected = frames.load_film_frames(project.images / film.folder, DatasetSettings(size=32))
        assert np.array_equal(data.film_frames(row), expected)
    assert sizes(project).MB["frames.npy"] == pytest.approx(total * 32 * 32 * 3 / 1e6, abs=0.001)


def test_a_film_has_its_facts_from_the_catalogue(dataset_root: Path) -> None:
    films = Dataset.open(Project(dataset_root)).films.set_index("imdb_id")
    expected = load(Project(dataset_root)).films.set_index("imdb_id").loc[films.index]
    columns = ["title", "year", "score", "youtube_id", "genres"]
    assert films[columns].equals(expected[columns])


def test_the_card_has_the_facts_and_the_settings_of_both_stages(dataset_root: Path) -> None:
    project = Project(dataset_root)
    data, page = Dataset.open(project), (project.dataset / "CARD.md").read_text()
    assert data.card["settings"] == project.settings("dataset").as_dict()
    assert data.card["scrape"] == project.settings("scrape").as_dict()
    assert data.card["left_out"] == {}
    scores = data.split("train").score
    assert data.card["train_score"] == {"mean": scores.mean(), "sd": scores.std(ddof=0)}
    assert json.loads(page.partition("```json")[2].partition("```")[0]) == data.card


def test_folders_in_the_originals_layout_are_matched_by_title(frames_root: Path, copy_of: Copy) -> None:
    project = copy_of(frames_root)
    for number in range(FILMS):
        folder_of(project, number).rename(project.images / fictional_film(number)["title"].replace(":", "_"))
    data = built(project)
    assert "The Cedar 2_ Part" in set(data.films.folder)
    expected = {(film["imdb_id"], film["title"]) for film in map(fictional_film, range(FILMS))}
    assert set(zip(data.films.imdb_id, data.films.title)) == expected


def too_few(project: Project, folder: Path) -> None:
    for number in range(5, FRAMES):
        (folder / f"{number}.jpg").unlink()


def gone(project: Project, folder: Path) -> None:
    shutil.rmtree(folder)


def unknown_id(project: Project, folder: Path) -> None:
    folder.rename(project.images / "Nobody Knows (1999) [tt7777777]")


def title_of_two(project: Project, folder: Path) -> None:
    twin = fictional_film(7) | {"imdb_id": "tt8899999", "year": 1950, "youtube_id": "twin0000000"}
    write_tables(project.root, [*map(fictional_film, range(FILMS)), twin])
    folder.rename(project.images / twin["title"])


def cut_short(project: Project, folder: Path) -> None:
    (folder / "9.jpg").write_bytes((folder / "9.jpg").read_bytes()[:900])


def no_picture(project: Project, folder: Path) -> None:
    (folder / "0.jpg").write_text("<!DOCTYPE html>")


SPOILED = {
    too_few: "under 15 frames", unknown_id: "not in the catalogue", title_of_two: "several films have this title",
    cut_short: "a picture is damaged", no_picture: "a picture is damaged", gone: "",
}  # fmt: skip


@pytest.mark.parametrize("spoil, reason", SPOILED.items())
def test_a_folder_that_cannot_be_used_is_left_out_alone(
    dataset_root: Path, copy_of: Copy, spoil: Callable[[Project, Path], None], reason: str
) -> None:
    project = copy_of(dataset_root)
    expected = frames_by_film(Dataset.open(project))
    spoil(project, folder_of(project, 7))
    data = built(project)
    assert data.card["left_out"] == ({reason: 1} if reason else {})
    assert frames_by_film(data) == {film: pixels for film, pixels in expected.items() if film != film_id(7)}


def test_of_two_folders_of_a_film_the_fuller_one_is_used(frames_root: Path, copy_of: Copy) -> None:
    project = copy_of(frames_root)
    folder = folder_of(project, 7)
    too_few(project, Path(shutil.copytree(folder, project.images / f"A {folder.name}")))
    shutil.copytree(folder, project.images / ".tmp-1-Nobody")
    (project.images / "notes.txt").write_text("hello")
    data = built(project)
    assert data.card["left_out"] == {"a fuller folder holds the same film": 1}
    assert len(data.films) == FILMS and folder.name in set(data.films.folder)


def test_images_without_a_usable_film_are_an_error(frames_root: Path, copy_of: Copy) -> None:
    project = copy_of(frames_root)
    for number in range(FILMS):
        no_picture(project, folder_of(project, number))
    with pytest.raises(TrailerError, match="all 30 films have a damaged picture"):
        built(project)
    for number in range(FILMS):
        too_few(project, folder_of(project, number))
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


@pytest.mark.parametrize("chosen", [{}, {"salt": "another"}, {"val": 0.3, "test": 0.3}, {"min_frames": 3}])
def test_unchanged_pictures_are_not_decoded_again(
    dataset_root: Path, copy_of: Copy, decoded: list[str], chosen: dict
) -> None:
    project = copy_of(dataset_root)
    data = built(project, **chosen)
    assert decoded == [] and frames_by_film(data) == frames_by_film(Dataset.open(Project(dataset_root)))
    assert data.card["settings"] == project.settings("dataset", **chosen).as_dict()
    assert (content(project.root) == content(dataset_root)) == (not chosen)


@pytest.mark.parametrize("chosen", [{"size": 24}, {"fit": "crop"}])
def test_other_picture_settings_decode_all(
    frames_root: Path, dataset_root: Path, copy_of: Copy, decoded: list[str], chosen: dict, tmp_path: Path
) -> None:
    project = copy_of(dataset_root)
    assert built(project, **chosen).frames.shape == (FILMS * FRAMES, *[chosen.get("size", 32)] * 2, 3)
    assert len(decoded) == FILMS
    fresh = Project(Path(shutil.copytree(frames_root, tmp_path / "fresh")))
    built(fresh, **chosen)
    assert content(fresh.root) == content(project.root)


def test_new_films_are_appended_and_no_other_is_touched(dataset_root: Path, copy_of: Copy, decoded: list[str]) -> None:
    project = copy_of(dataset_root)
    before = Dataset.open(project)
    new = add_new_films(project.root)
    data = built(project)
    assert decoded == sorted(new)
    assert data.films.imdb_id.tolist() == before.films.imdb_id.tolist() + sorted(new)
    assert data.films.split[: len(before.films)].equals(before.films.split)
    old, grown = content(dataset_root)["frames.npy"], content(project.root)["frames.npy"]
    assert grown[frames.HEADER : len(old)] == old[frames.HEADER :]


def test_a_changed_film_alone_is_decoded_and_goes_to_the_end(
    dataset_root: Path, copy_of: Copy, decoded: list[str]
) -> None:
    project = copy_of(dataset_root)
    before = frames_by_film(Dataset.open(project))
    for path in folder_of(project, 9).glob("*.jpg"):
        path.touch()  # decoded, and found to be the same
    Image.new("RGB", (64, 36), (255, 255, 255)).save(folder_of(project, 4) / "3.jpg")
    data = built(project)
    after = frames_by_film(data)
    assert sorted(decoded) == [film_id(4), film_id(9)]
    assert {film for film in before if before[film] != after[film]} == {film_id(4)}
    assert data.films.imdb_id.iloc[-1] == film_id(4) and data.films["first"].iloc[-1] == FILMS * FRAMES
    assert len(data.frames) == (FILMS + 1) * FRAMES == data.card["frames"] + FRAMES


def test_when_under_half_is_left_the_array_is_written_anew(dataset_root: Path, copy_of: Copy, decoded: list) -> None:
    project = copy_of(dataset_root)
    for number in {1, *range(0, FILMS, 2)}:
        shutil.rmtree(folder_of(project, number))
    data = built(project, val=0.3, test=0.3)
    assert len(decoded) == len(data.films) == FILMS // 2 - 1
    assert len(data.frames) == data.card["frames"] == (FILMS // 2 - 1) * FRAMES


def stopped_at(number: int, monkeypatch: pytest.MonkeyPatch, project: Project) -> int:
    """A build of `project` that Ctrl-C ends at the film `number`; the films that are in the index after it."""
    load_film_frames = frames.load_film_frames

    def interrupted(folder: Path, *rest: object) -> np.ndarray:
        if folder_id(folder.name) == film_id(number):
            raise KeyboardInterrupt
        return load_film_frames(folder, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(builder, "load_film_frames", interrupted)
        with pytest.raises(KeyboardInterrupt):
            built(project)
    assert not list(project.dataset.glob(".tmp-*"))
    return len(frames.read_index(project.dataset / "frames.jsonl"))


def test_a_first_build_that_is_stopped_is_no_dataset_and_resumes(
    frames_root: Path, dataset_root: Path, copy_of: Copy, monkeypatch: pytest.MonkeyPatch, decoded: list[str]
) -> None:
    project = copy_of(frames_root)
    done = stopped_at(20, monkeypatch, project)
    with pytest.raises(TrailerError, match=r"no dataset in .*trailer_lib dataset"):
        Dataset.open(project)
    decoded.clear()
    built(project)
    assert 0 < done < FILMS and len(decoded) == FILMS - done
    assert content(project.root) == content(dataset_root)


def test_while_films_are_added_the_dataset_is_as_it_was(
    dataset_root: Path, copy_of: Copy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    project = copy_of(dataset_root)
    before = frames_by_film(Dataset.open(project))
    add_new_films(project.root)
    unbroken = Project(Path(shutil.copytree(project.root, tmp_path / "unbroken")))
    assert stopped_at(FILMS + 5, monkeypatch, project) > FILMS
    assert frames_by_film(Dataset.open(project)) == before
    built(project)
    built(unbroken)
    assert content(project.root) == content(unbroken.root)


def own_pictures(project: Project, number: int) -> Path:
    """The film's folder without the record of a scrape, its pictures of several kinds and names."""
    folder = folder_of(project, number)
    (folder / "film.json").unlink()
    for index, (name, kind) in enumerate([("0.JPG", "JPEG"), ("1.jpeg", "JPEG"), ("2.png", "PNG"), ("3.webp", "WEBP"),
                                          ("4.jpg", "WEBP"), ("5.Jpg", "PNG"), ("poster.jpg", "JPEG")]):  # fmt: skip
        (folder / f"{index}.jpg").unlink()
        Image.new("RGB", (64, 36), (40 * index, 0, 0)).save(folder / name, kind)
    for name in ("._0.jpg", ".hidden.png"):
        (folder / name).write_bytes(b"\x00\x05\x16\x07")
    return folder


def test_pictures_of_any_kind_are_read_and_hidden_files_are_not(frames_root: Path, copy_of: Copy) -> None:
    project = copy_of(frames_root)
    own_pictures(project, 4)
    (folder_of(project, 5) / "poster.jpg").write_bytes(b"")
    data = built(project)
    [row] = data.films.index[data.films.imdb_id == film_id(4)]
    red = data.film_frames(row)[..., 0].mean((1, 2))
    assert len(red) == FRAMES and red[[*range(6), -1]] == pytest.approx(40 * np.arange(7), abs=3)
    assert data.card["left_out"] == {}
    assert data.card["left_out_first"] == [f"{folder_of(project, 5).name}: not read: poster.jpg"]


@pytest.mark.parametrize("kind", ["bmp", "gif", "tiff"])
def test_pictures_that_are_not_read_are_named(frames_root: Path, copy_of: Copy, kind: str) -> None:
    project = copy_of(frames_root)
    folder = own_pictures(project, 4)
    for number in range(9, 13):
        Image.new("RGB", (64, 36)).save(folder / f"{number}.{kind}")
        (folder / f"{number}.jpg").unlink()
    [line] = built(project).card["left_out_first"]
    assert line == f"{folder.name}: under 15 frames: not read: 10.{kind}, 11.{kind}, 12.{kind} and 1 more"


def test_the_first_ten_left_out_are_named_and_a_file_has_all(frames_root: Path, copy_of: Copy) -> None:
    project = copy_of(frames_root)
    for number in range(11):
        no_picture(project, folder_of(project, number))
    unknown_id(project, folder_of(project, 20))
    data = built(project, val=0.3, test=0.3)
    table = pd.read_csv(project.dataset / "left_out.csv").set_index("folder")
    assert len(table) == 12 and data.card["left_out"] == {"a picture is damaged": 11, "not in the catalogue": 1}
    assert "0.jpg: not a readable picture" in table.detail[folder_of(project, 7).name]
    assert len(data.card["left_out_first"]) == 10
    assert all(line in (project.dataset / "CARD.md").read_text() for line in data.card["left_out_first"])


def test_a_folder_whose_name_is_not_utf_8_is_left_out_with_its_reason(frames_root: Path, copy_of: Copy) -> None:
    project = copy_of(frames_root)
    os.rename(folder_of(project, 4), os.fsencode(project.images) + b"/Am\xe9lie (2001) [tt8800004]")
    assert built(project).card["left_out_first"] == ["Am?lie (2001) [tt8800004]: its name is not UTF-8, rename it"]


@pytest.mark.parametrize("score, told", [(7.0, True), (None, False)])
def test_equal_scores_are_told(
    frames_root: Path, copy_of: Copy, capsys: pytest.CaptureFixture[str], score: float | None, told: bool
) -> None:
    project = copy_of(frames_root)
    write_tables(project.root, [fictional_film(n) | ({"score": score} if score else {}) for n in range(FILMS)])
    built(project)
    lines = [line for line in capsys.readouterr().err.splitlines() if "have the score 7.0: " in line and "nMSE" in line]
    assert len(lines) == 2 * told


def test_a_path_with_spaces_a_byte_order_mark_and_crlf_change_nothing(
    frames_root: Path, dataset_root: Path, tmp_path: Path
) -> None:
    project = Project(Path(shutil.copytree(frames_root, tmp_path / "My Films ü (1)")))
    for path in (project.images / "settings.json", *project.images.glob("*/film.json"), *project.excels.glob("*.csv")):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    data = built(project)
    assert frames_by_film(data) == frames_by_film(Dataset.open(Project(dataset_root)))
    assert data.card["scrape"] == Dataset.open(Project(dataset_root)).card["scrape"]
