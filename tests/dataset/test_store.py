"""dataset/ brought up to date: what is decoded again, where frames go, what a hash check finds, what a build mends."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import FILMS, FRAMES, add_folder, add_new_films, amount, fictional_film
from PIL import Image

from trailer_lib.dataset import builder, dataset, frames
from trailer_lib.dataset.dataset import Dataset
from trailer_lib.dataset.frames import FrameArray
from trailer_lib.errors import TrailerError
from trailer_lib.project import Project
from trailer_lib.video import frame_folder

Copy = Callable[[Path], Project]
FILES = ("frames.npy", "frames.jsonl", "films.csv", "dataset.json", "CARD.md")
FLIPS = amount(200, 30)


def built(project: Project, **chosen: object) -> Dataset:
    return builder.build(project, project.settings("dataset", **chosen))


def folder_of(project: Project, number: int) -> Path:
    film = fictional_film(number)
    return project.images / frame_folder.folder_name(film["imdb_id"], film["title"], film["year"])


def film_id(number: int) -> str:
    return fictional_film(number)["imdb_id"]


def content(root: Path) -> dict[str, bytes]:
    return {name: (root / "dataset" / name).read_bytes() for name in FILES}


def frames_by_film(data: Dataset) -> dict[str, bytes]:
    return {film: data.film_frames(row).tobytes() for row, film in data.films.imdb_id.items()}


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The folders that are decoded, in the order of being asked for."""
    asked, whole = [], frames.load_film_frames

    def noted(folder: Path, *rest: object) -> np.ndarray | None:
        asked.append(folder.name)
        return whole(folder, *rest)

    monkeypatch.setattr(dataset, "load_film_frames", noted)
    yield asked


# What is decoded again.


def test_what_has_not_changed_is_not_decoded_again(dataset_root: Path, copy_of: Copy, decoded: list[str]) -> None:
    project = copy_of(dataset_root)
    built(project)
    assert decoded == [] and content(project.root) == content(dataset_root)


@pytest.mark.parametrize("chosen", [{"salt": "another"}, {"val": 0.3, "test": 0.3}, {"min_frames": 3}])
def test_another_split_decodes_nothing(dataset_root: Path, copy_of: Copy, decoded: list[str], chosen: dict) -> None:
    project = copy_of(dataset_root)
    data = built(project, **chosen)
    assert decoded == [] and frames_by_film(data) == frames_by_film(Dataset.open(Project(dataset_root)))
    assert data.card["settings"] == project.settings("dataset", **chosen).as_dict()


@pytest.mark.parametrize("chosen", [{"size": 24}, {"fit": "crop"}])
def test_other_pictures_decode_all(dataset_root: Path, copy_of: Copy, decoded: list[str], chosen: dict) -> None:
    project = copy_of(dataset_root)
    data = built(project, **chosen)
    assert len(decoded) == FILMS
    fresh = Project(project.root.parent / "fresh")
    shutil.copytree(dataset_root, fresh.root, ignore=shutil.ignore_patterns("dataset"))
    built(fresh, **chosen)
    assert content(fresh.root) == content(project.root)
    assert data.frames.shape == (FILMS * FRAMES, *[chosen.get("size", 32)] * 2, 3)


def test_new_films_are_appended_and_no_other_is_touched(dataset_root: Path, copy_of: Copy, decoded: list[str]) -> None:
    project = copy_of(dataset_root)
    before = Dataset.open(project)
    new = add_new_films(project.root)
    data = built(project)
    assert {frame_folder.folder_id(name) for name in decoded} == set(new)
    assert data.films.imdb_id.tolist() == before.films.imdb_id.tolist() + sorted(new)
    old, grown = content(dataset_root)["frames.npy"], content(project.root)["frames.npy"]
    assert grown[frames.HEADER : len(old)] == old[frames.HEADER :]
    assert np.array_equal(np.load(project.dataset / "frames.npy")[: len(before.frames)], before.frames)


def test_a_changed_film_alone_is_decoded_and_its_old_rows_wait_for_the_next(
    dataset_root: Path, copy_of: Copy, decoded: list[str]
) -> None:
    project = copy_of(dataset_root)
    before = frames_by_film(Dataset.open(project))
    Image.new("RGB", (64, 36), (255, 255, 255)).save(folder_of(project, 4) / "3.jpg")
    data = built(project)
    assert decoded == [folder_of(project, 4).name]
    after = frames_by_film(data)
    assert {film for film in before if before[film] != after[film]} == {film_id(4)}
    assert len(data.frames) == data.card["shape"][0] == (FILMS + 1) * FRAMES != data.card["frames"]
    [new] = add_new_films(project.root, 1)
    data = built(project)
    assert len(data.frames) == (FILMS + 1) * FRAMES == data.card["frames"]
    assert data.films.imdb_id.tolist().index(new) < FILMS
    assert frames_by_film(Dataset.open(project)) == after | {new: frames_by_film(data)[new]}


def test_pictures_that_were_only_copied_change_nothing_but_the_index(
    dataset_root: Path, copy_of: Copy, decoded: list[str]
) -> None:
    project = copy_of(dataset_root)
    for path in folder_of(project, 4).glob("*.jpg"):
        path.touch()
    built(project)
    now, before = content(project.root), content(dataset_root)
    assert decoded == [folder_of(project, 4).name]
    assert [name for name in FILES if now[name] != before[name]] == ["frames.jsonl"]


def test_a_film_that_is_gone_leaves_the_table_and_its_rows_free(dataset_root: Path, copy_of: Copy) -> None:
    project = copy_of(dataset_root)
    shutil.rmtree(folder_of(project, 4))
    data, before = built(project), Dataset.open(Project(dataset_root))
    assert set(before.films.imdb_id) - set(data.films.imdb_id) == {film_id(4)}
    assert data.card["frames"] == (FILMS - 1) * FRAMES
    kept = frames_by_film(before)
    kept.pop(film_id(4))
    assert frames_by_film(data) == kept
    add_folder(project.root, fictional_film(4))
    assert frames_by_film(built(project)) == frames_by_film(before)


def test_when_less_than_half_is_left_the_array_is_written_anew(
    dataset_root: Path, copy_of: Copy, decoded: list[str]
) -> None:
    project = copy_of(dataset_root)
    for number in range(0, FILMS, 2):
        shutil.rmtree(folder_of(project, number))
    shutil.rmtree(folder_of(project, 1))
    data = built(project, val=0.3, test=0.3)
    assert len(decoded) == len(data.films) == FILMS // 2 - 1
    assert len(data.frames) == data.card["frames"] == (FILMS // 2 - 1) * FRAMES


def stopped_at(number: int, monkeypatch: pytest.MonkeyPatch, project: Project) -> None:
    """A build of `project` that Ctrl-C ends when the film `number` is to be loaded."""
    whole = frames.load_film_frames

    def interrupted(folder: Path, *rest: object) -> np.ndarray | None:
        if frame_folder.folder_id(folder.name) == film_id(number):
            raise KeyboardInterrupt
        return whole(folder, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(dataset, "load_film_frames", interrupted)
        with pytest.raises(KeyboardInterrupt):
            built(project)
    assert not list(project.dataset.glob(".tmp-*"))


def test_a_first_build_that_is_stopped_is_no_dataset_and_goes_on(
    frames_root: Path, dataset_root: Path, copy_of: Copy, monkeypatch: pytest.MonkeyPatch, decoded: list[str]
) -> None:
    project = copy_of(frames_root)
    stopped_at(20, monkeypatch, project)
    with pytest.raises(TrailerError, match="no dataset"):
        Dataset.open(project)
    done = frames.read_index(project.dataset / "frames.jsonl")
    decoded.clear()
    built(project)
    assert 0 < len(done) < FILMS and len(decoded) == FILMS - len(done)
    assert content(project.root) == content(dataset_root)


def test_while_films_are_added_the_dataset_is_as_it_was(
    dataset_root: Path, copy_of: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = copy_of(dataset_root)
    before = frames_by_film(Dataset.open(project))
    add_new_films(project.root)
    stopped_at(FILMS + 5, monkeypatch, project)
    assert len(frames.read_index(project.dataset / "frames.jsonl")) > FILMS
    assert frames_by_film(Dataset.open(project)) == before
    built(project)
    fresh = Project(project.root.parent / "fresh")
    shutil.copytree(dataset_root, fresh.root)
    shutil.copytree(project.images, fresh.images, dirs_exist_ok=True)
    shutil.copytree(project.excels, fresh.excels, dirs_exist_ok=True)
    built(fresh)
    assert content(project.root) == content(fresh.root)


def test_a_split_without_films_is_refused_before_anything_is_changed(dataset_root: Path, copy_of: Copy) -> None:
    project = copy_of(dataset_root)
    with pytest.raises(TrailerError, match=r"'val'.*salt"):
        built(project, val=0.0, size=16)
    assert content(project.root) == content(dataset_root)


def test_two_builds_at_once_are_refused(dataset_root: Path, copy_of: Copy) -> None:
    project = copy_of(dataset_root)
    with dataset.files.only_run(project.dataset), pytest.raises(TrailerError, match="is filling it"):
        built(project)


# Free rows.


def made(count: int, value: int) -> np.ndarray:
    return np.full((count, 8, 8, 3), value, np.uint8)


def new_store(tmp_path: Path, *counts: int) -> FrameArray:
    opened = FrameArray(tmp_path, 8)
    opened.clear()
    for number, count in enumerate(counts):
        opened.put(f"film{number}", "print", made(count, number))
    return opened


def places(opened: FrameArray) -> dict[str, tuple[int, int]]:
    return {film: (entry.first, entry.count) for film, entry in opened.films.items()}


def test_frames_go_to_the_first_gap_that_holds_them(tmp_path: Path) -> None:
    new_store(tmp_path, 3, 5, 2, 4, 1).close(["film0", "film2", "film4"])
    again = FrameArray(tmp_path, 8)
    for name, count in (("four", 4), ("two", 2), ("three", 3), ("one", 1)):
        again.put(name, "print", made(count, 9))
    held = places(again)
    assert [held[name] for name in ("four", "two", "three", "one")] == [(3, 4), (10, 2), (15, 3), (7, 1)]
    again.close(again.films)
    assert again.damaged() == set()


def test_rows_of_a_replaced_film_are_free_only_after_the_build(tmp_path: Path) -> None:
    opened = new_store(tmp_path, 3, 3)
    opened.put("film0", "other", made(3, 7))
    opened.put("new", "print", made(3, 8))
    again = FrameArray(tmp_path, 8)
    assert places(again) == places(opened) == {"film0": (6, 3), "film1": (3, 3), "new": (9, 3)}
    again.close(again.films)
    later = FrameArray(tmp_path, 8)
    later.put("more", "print", made(2, 1))
    assert places(later)["more"] == (0, 2)


def test_free_rows_at_the_end_are_given_back(tmp_path: Path) -> None:
    opened = new_store(tmp_path, 3, 5)
    opened.close(["film0"])
    assert (tmp_path / "frames.npy").stat().st_size == frames.HEADER + 3 * 192
    assert np.array_equal(np.load(tmp_path / "frames.npy"), made(3, 0))


@pytest.mark.parametrize("rows", [0, 1, 10**12])
@pytest.mark.parametrize("side", [8, 1024])
def test_the_head_of_the_array_has_one_length(rows: int, side: int) -> None:
    assert len(frames.header(rows, side)) == frames.HEADER


@pytest.mark.parametrize("tail", [b'0badbad0 {"film', b"\xff\xff", b"\n\n"])
def test_a_torn_line_is_no_line_and_spoils_no_other(tmp_path: Path, tail: bytes) -> None:
    opened = new_store(tmp_path, 3, 5)
    with open(tmp_path / "frames.jsonl", "ab") as file:
        file.write(tail)
    again = FrameArray(tmp_path, 8)
    assert again.films == opened.films
    again.put("new", "print", made(2, 2))
    assert FrameArray(tmp_path, 8).films == again.films and len(again.films) == 3


# D7: a flipped byte.


def flip(path: Path, place: int, bit: int = 0) -> None:
    with open(path, "r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ (1 << bit)]))


def test_a_flipped_byte_is_found_named_and_mended_alone(dataset_root: Path, copy_of: Copy, decoded: list[str]) -> None:
    project, rng = copy_of(dataset_root), np.random.default_rng(7)
    whole = content(dataset_root)
    films = Dataset.open(project).films
    for number in range(FLIPS):
        name = ("frames.npy", "films.csv", "dataset.json", "frames.jsonl")[number % 4]
        place = int(rng.integers(len(whole[name])))
        flip(project.dataset / name, place, int(rng.integers(8)))
        row = (place - frames.HEADER) // 3072
        hit = films[(films["first"] <= row) & (films["first"] + films["count"] > row)]
        if name != "frames.jsonl":  # read by builds alone
            in_a_film = name == "frames.npy" and len(hit)
            said = rf"frames of .* \({hit.imdb_id.iloc[0]}\) are damaged" if in_a_film else "damaged"
            with pytest.raises(TrailerError, match=said):
                Dataset.open(project)
        decoded.clear()
        built(project)
        assert content(project.root) == whole
        if name == "frames.npy":
            assert decoded == hit.folder.tolist()
        assert len(decoded) <= {"frames.npy": 1, "frames.jsonl": 2}.get(name, 0)


def test_the_message_counts_the_other_damaged_films(dataset_root: Path, copy_of: Copy) -> None:
    project = copy_of(dataset_root)
    for film in (2, 7, 9):
        flip(project.dataset / "frames.npy", frames.HEADER + film * FRAMES * 3072)
    first = Dataset.open(project, verify=False).films.iloc[2]
    with pytest.raises(TrailerError, match=rf"frames of {first.title} \({first.imdb_id}\) and 2 more are damaged"):
        Dataset.open(project)


def test_a_card_of_an_earlier_version_asks_for_a_build(dataset_root: Path, copy_of: Copy) -> None:
    project = copy_of(dataset_root)
    card = json.loads((project.dataset / "dataset.json").read_text())
    (project.dataset / "dataset.json").write_text(json.dumps({key: card[key] for key in card if key != "hash"}))
    with pytest.raises(TrailerError, match=r"earlier version's.*build the dataset again"):
        Dataset.open(project)
    (project.dataset / "frames.jsonl").unlink()
    built(project)
    assert content(project.root) == content(dataset_root)


# The card.


def test_the_card_says_what_the_dataset_is(dataset_root: Path) -> None:
    text, data = (dataset_root / "dataset" / "CARD.md").read_text(), Dataset.open(Project(dataset_root))
    card = data.card
    for said in (f"{FILMS} films, {FILMS * FRAMES} frames", card["scores_from"], card["split_hash"], "| size | `32` |"):
        assert said in text
    assert f"| test | `{card['splits']['test']}` |" in text and f"mean {data.split('train').score.mean():.3f}" in text
    assert all(digest in text for digest in card["hashes"].values())


def test_the_card_says_what_was_left_out(dataset_root: Path, copy_of: Copy) -> None:
    project = copy_of(dataset_root)
    (folder_of(project, 3) / "1.jpg").write_text("<!DOCTYPE html>")
    built(project)
    assert "| a picture is damaged | `1` |" in (project.dataset / "CARD.md").read_text()
