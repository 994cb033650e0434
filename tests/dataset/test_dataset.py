"""images/ -> dataset/: what is in it, what is left out and why, the splits, the draws, and the original's pickle."""

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import FILMS, FRAMES, add_folder, add_new_films, fictional_film, write_tables
from PIL import Image

from trailer_lib import files
from trailer_lib.catalog import catalog
from trailer_lib.dataset import builder, dataset, frames
from trailer_lib.dataset.dataset import Dataset
from trailer_lib.dataset.frames import evenly_spaced
from trailer_lib.errors import TrailerError
from trailer_lib.project import Project
from trailer_lib.settings import DatasetSettings
from trailer_lib.training.batches import FilmBatches
from trailer_lib.video import frame_folder

Copy = Callable[[Path], Project]


def built(project: Project, **chosen: object) -> Dataset:
    return builder.build(project, project.settings("dataset", **chosen))


def opened(root: Path) -> Dataset:
    return Dataset.open(Project(root))


def folder_of(project: Project, number: int) -> Path:
    film = fictional_film(number)
    return project.images / frame_folder.folder_name(film["imdb_id"], film["title"], film["year"])


def ids(data: Dataset) -> set[str]:
    return set(data.films.imdb_id)


def keys(data: Dataset, *film_ids: str, epoch: int = 0) -> list[tuple[int, int]]:
    """What a FilmBatches is asked for: (epoch, row) of the films."""
    rows = {film_id: row for row, film_id in data.films.imdb_id.items()}
    return [(epoch, rows[film_id]) for film_id in film_ids]


@pytest.fixture(scope="module")
def larger(frames_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The dataset of frames_root and eight more films, which come first in every table."""
    root = tmp_path_factory.mktemp("larger") / "root"
    shutil.copytree(frames_root, root)
    add_new_films(root)
    return built(Project(root))


# What is in a dataset.


def test_the_three_files_agree(dataset_root: Path) -> None:
    data = opened(dataset_root)
    assert data.frames.shape == tuple(data.card["shape"]) == (FILMS * FRAMES, 32, 32, 3)
    assert data.frames.dtype == np.uint8
    assert len(data.films) == data.card["films"] == FILMS
    assert data.films["first"].tolist() == [0, *data.films["count"].cumsum()[:-1]]
    assert {name: len(data.split(name)) for name in dataset.SPLITS} == data.card["splits"]


def test_a_films_rows_are_the_pictures_of_its_folder(dataset_root: Path) -> None:
    data, settings = opened(dataset_root), DatasetSettings(size=32)
    for row, film in data.films.iterrows():
        folder = dataset_root / "images" / film.folder
        assert np.array_equal(data.film_frames(row), frames.load_film_frames(folder, settings))


def test_films_of_different_lengths_keep_their_own_frames(frames_root: Path, copy_of: Copy) -> None:
    project = copy_of(frames_root)
    for number, count in ((3, 15), (11, 40)):
        shutil.rmtree(folder_of(project, number))
        add_folder(project.root, fictional_film(number), count)
    data = built(project)
    for row, film in data.films.iterrows():
        expected = frames.load_film_frames(project.images / film.folder, DatasetSettings(size=32))
        assert np.array_equal(data.film_frames(row), expected)


def test_frames_stay_in_the_order_of_their_numbers(frames_root: Path, copy_of: Copy) -> None:
    project = copy_of(frames_root)
    folder = folder_of(project, 4)
    for number in range(FRAMES):
        Image.new("RGB", (64, 36), (10 * number, 10 * number, 10 * number)).save(folder / f"{number}.jpg")
    data = built(project)
    [(_, row)] = keys(data, fictional_film(4)["imdb_id"])
    assert (np.diff(data.film_frames(row).mean((1, 2, 3))) > 0).all()


def test_a_film_keeps_its_facts_from_the_catalogue(dataset_root: Path) -> None:
    data = opened(dataset_root)
    known = catalog.load(Project(dataset_root)).films.set_index("imdb_id")
    for film in data.films.itertuples():
        assert (film.score, film.year, film.youtube_id) == tuple(
            known.loc[film.imdb_id, ["score", "year", "youtube_id"]]
        )


def test_the_card_holds_the_settings_of_both_stages(dataset_root: Path) -> None:
    project = Project(dataset_root)
    card = Dataset.open(project).card
    assert card["settings"] == project.settings("dataset").as_dict()
    assert card["scrape"] == project.settings("scrape").as_dict()
    assert card["left_out"] == {}


def test_building_again_gives_the_same_bytes(dataset_root: Path, copy_of: Copy) -> None:
    project = copy_of(dataset_root)
    built(project)
    for name in (frames.FRAMES, dataset.FILMS, dataset.CARD):
        assert (project.dataset / name).read_bytes() == (dataset_root / "dataset" / name).read_bytes()


def test_sizes_names_the_files(dataset_root: Path) -> None:
    table = dataset.sizes(Project(dataset_root))
    assert sorted(table.index) == ["dataset.json", "films.csv", "frames.jsonl", "frames.npy"]
    assert table.MB["frames.npy"] == pytest.approx(FILMS * FRAMES * 32 * 32 * 3 / 1e6, abs=0.001)


def flag() -> Image.Image:
    """A wide picture with a red left and a blue right end, green between."""
    pixels = np.zeros((32, 96, 3), np.uint8)
    pixels[:, :32, 0], pixels[:, 32:64, 1], pixels[:, 64:, 2] = 255, 255, 255
    return Image.fromarray(pixels)


def test_squash_keeps_the_whole_picture() -> None:
    shrunk = frames.resize_frame(flag(), DatasetSettings(size=16, fit="squash"))
    assert shrunk.shape == (16, 16, 3)
    assert shrunk[:, 1].tolist() == [[255, 0, 0]] * 16
    assert shrunk[:, -2].tolist() == [[0, 0, 255]] * 16


@pytest.mark.parametrize("picture", [flag(), flag().rotate(90, expand=True)])
def test_crop_keeps_the_middle_square(picture: Image.Image) -> None:
    shrunk = frames.resize_frame(picture, DatasetSettings(size=16, fit="crop"))
    assert (shrunk == [0, 255, 0]).all()


@pytest.mark.parametrize("fit", ["squash", "crop"])
def test_the_setting_fit_reaches_the_array(frames_root: Path, copy_of: Copy, fit: str) -> None:
    project = copy_of(frames_root)
    for number in range(FRAMES):
        flag().save(folder_of(project, 4) / f"{number}.jpg", quality=95)
    data = built(project, fit=fit)
    [(_, row)] = keys(data, fictional_film(4)["imdb_id"])
    red, green = data.film_frames(row)[..., 0].max(), data.film_frames(row)[..., 1].max()
    assert (red > 200) == (fit == "squash")
    assert green > 200


# Black bars.


def barred(folder: Path, count: int = FRAMES, bar: int = 12) -> np.ndarray:
    """Pictures 128 wide and 72 high with black bars above and below; what they show, uint8 [count, 72 - 2 bar, ...]."""
    ramp = np.linspace(100, 200, 128)[:, None] + np.arange(count)[:, None, None, None]
    shown = np.broadcast_to(ramp + np.array([0, 20, 40]), (count, 72 - 2 * bar, 128, 3)).astype(np.uint8)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for number, picture in enumerate(np.pad(shown, ((0, 0), (bar, bar), (0, 0), (0, 0)))):
        Image.fromarray(picture).save(folder / f"{number}.jpg", quality=98)
    return shown


@pytest.mark.parametrize("fit", ["squash", "crop"])
def test_bars_that_a_films_frames_share_are_cut_off(tmp_path: Path, fit: str) -> None:
    settings = DatasetSettings(size=16, fit=fit)
    shown = barred(tmp_path / "film")
    expected = np.stack([frames.resize_frame(Image.fromarray(picture), settings) for picture in shown])
    cut, left = (frames.load_film_frames(tmp_path / "film", settings, bars) for bars in (True, False))
    assert np.abs(cut.astype(int) - expected).mean() < 6 and cut[:, 0].min() > 60
    assert left[:, 0].max() < 30


def test_one_dark_frame_does_not_widen_the_cut(tmp_path: Path) -> None:
    barred(tmp_path / "film")
    before = frames.load_film_frames(tmp_path / "film", DatasetSettings(size=16), True)
    Image.new("RGB", (128, 72)).save(tmp_path / "film" / "5.jpg")
    after = frames.load_film_frames(tmp_path / "film", DatasetSettings(size=16), True)
    assert np.array_equal(np.delete(before, 5, 0), np.delete(after, 5, 0)) and not after[5].any()


def test_a_few_pictures_keep_their_black_edges(tmp_path: Path) -> None:
    barred(tmp_path / "film", count=7)
    whole, asked = (
        frames.load_film_frames(tmp_path / "film", DatasetSettings(size=16), bars) for bars in (False, True)
    )
    assert np.array_equal(whole, asked) and whole[:, 0].max() < 30


@pytest.mark.parametrize(
    "rule, record, cut", [("informative", True, False), ("informative", False, True), ("none", True, True)]
)
def test_bars_are_looked_for_where_scraping_did_not_cut_them(
    frames_root: Path, copy_of: Copy, rule: str, record: bool, cut: bool
) -> None:
    project = copy_of(frames_root)
    files.write_json(project.images / "settings.json", {"filter": rule})
    barred(folder_of(project, 4))
    if record:
        files.write_json(folder_of(project, 4) / "film.json", {})
    data = built(project)
    [(_, row)] = keys(data, fictional_film(4)["imdb_id"])
    assert (data.film_frames(row)[:, 0].min() > 60) == cut


# Which folders are used.


def test_folders_in_the_originals_layout_are_matched_by_title(frames_root: Path, copy_of: Copy) -> None:
    project = copy_of(frames_root)
    for number in range(FILMS):
        (folder_of(project, number) / "film.json").unlink()
        folder_of(project, number).rename(project.images / fictional_film(number)["title"].replace(":", "_"))
    data = built(project)
    assert data.card["films"] == FILMS
    assert "The Cedar 2_ Part" in set(data.films.folder)
    assert Counter(zip(data.films.imdb_id, data.films.title)) == Counter(
        (film["imdb_id"], film["title"]) for film in map(fictional_film, range(FILMS))
    )


def test_a_folder_whose_title_two_films_have_is_left_out(frames_root: Path, copy_of: Copy) -> None:
    project = copy_of(frames_root)
    twin = fictional_film(4) | {"imdb_id": "tt8899999", "year": 1950, "youtube_id": "twin0000000"}
    write_tables(project.root, [*map(fictional_film, range(FILMS)), twin])
    folder_of(project, 4).rename(project.images / twin["title"])
    data = built(project)
    assert data.card["left_out"] == {"several films have this title": 1}
    assert ids(data) == {fictional_film(number)["imdb_id"] for number in range(FILMS) if number != 4}


def few_frames(project: Project, folder: Path) -> None:
    for number in range(5, FRAMES):
        (folder / f"{number}.jpg").unlink()


def unknown_id(project: Project, folder: Path) -> None:
    folder.rename(project.images / "Nobody Knows (1999) [tt7777777]")


def unknown_title(project: Project, folder: Path) -> None:
    folder.rename(project.images / "Nobody Knows")


def cut_short(project: Project, folder: Path) -> None:
    whole = (folder / "9.jpg").read_bytes()
    (folder / "9.jpg").write_bytes(whole[: len(whole) // 2])


def no_picture(project: Project, folder: Path) -> None:
    (folder / "0.jpg").write_text("<!DOCTYPE html>")


def empty_picture(project: Project, folder: Path) -> None:
    (folder / "15.jpg").write_bytes(b"")


@pytest.mark.parametrize(
    "spoil, reason",
    [
        (few_frames, "under 15 frames"),
        (unknown_id, "not in the catalogue"),
        (unknown_title, "not in the catalogue"),
        (cut_short, "a picture is damaged"),
        (no_picture, "a picture is damaged"),
        (empty_picture, "a picture is damaged"),
    ],
)
def test_a_folder_that_can_not_be_used_is_left_out_alone(
    dataset_root: Path, copy_of: Copy, spoil: Callable[[Project, Path], None], reason: str
) -> None:
    project = copy_of(dataset_root)
    spoil(project, folder_of(project, 7))
    data, before = built(project), opened(dataset_root)
    assert data.card["left_out"] == {reason: 1}
    assert ids(data) == ids(before) - {fictional_film(7)["imdb_id"]}
    for old, new in zip(keys(before, *sorted(ids(data))), keys(data, *sorted(ids(data)))):
        assert np.array_equal(before.film_frames(old[1]), data.film_frames(new[1]))


def test_a_second_folder_of_a_film_is_left_out(frames_root: Path, copy_of: Copy) -> None:
    project = copy_of(frames_root)
    shutil.copytree(folder_of(project, 7), project.images / f"Zz {folder_of(project, 7).name}")
    data = built(project)
    assert data.card["left_out"] == {"a fuller folder holds the same film": 1}
    assert data.films.imdb_id.is_unique and len(data.films) == FILMS


def test_a_film_is_not_lost_to_an_earlier_folder_that_can_not_be_used(frames_root: Path, copy_of: Copy) -> None:
    project = copy_of(frames_root)
    folder = folder_of(project, 7)
    earlier = Path(shutil.copytree(folder, project.images / f"A {folder.name}"))
    few_frames(project, earlier)
    assert fictional_film(7)["imdb_id"] in ids(built(project))


def test_files_and_unfinished_folders_in_images_are_passed_over(frames_root: Path, copy_of: Copy) -> None:
    project = copy_of(frames_root)
    shutil.copytree(folder_of(project, 7), project.images / ".tmp-1-Nobody")
    (project.images / "notes.txt").write_text("hello")
    data = built(project)
    assert data.card["left_out"] == {} and len(data.films) == FILMS


def test_min_frames_decides_who_has_too_few(frames_root: Path, copy_of: Copy) -> None:
    project = copy_of(frames_root)
    few_frames(project, folder_of(project, 7))
    assert len(built(project, min_frames=5).films) == FILMS
    assert len(built(project, min_frames=6).films) == FILMS - 1


# What is no dataset.


def test_empty_images_is_an_error(frames_root: Path, copy_of: Copy) -> None:
    project = copy_of(frames_root)
    shutil.rmtree(project.images)
    project.images.mkdir()
    with pytest.raises(TrailerError, match="no folder with 15 frames"):
        built(project)


def test_no_dataset_is_an_error_that_says_how_to_make_one(frames_root: Path) -> None:
    with pytest.raises(TrailerError, match=r"no dataset in .*trailer_lib dataset"):
        opened(frames_root)


def test_films_that_are_all_damaged_are_an_error(frames_root: Path, copy_of: Copy) -> None:
    project = copy_of(frames_root)
    for number in range(FILMS):
        no_picture(project, folder_of(project, number))
    with pytest.raises(TrailerError, match="damaged"):
        built(project)


def test_a_split_without_films_is_an_error_that_names_it(frames_root: Path, copy_of: Copy) -> None:
    with pytest.raises(TrailerError, match=r"'val'.*salt"):
        built(copy_of(frames_root), val=0.0)


def fewer_rows(folder: Path) -> None:
    lines = (folder / "films.csv").read_text().splitlines(keepends=True)
    (folder / "films.csv").write_text("".join(lines[:-1]))


def other_array(folder: Path) -> None:
    np.save(folder / "frames.npy", np.zeros((10, 32, 32, 3), np.uint8))


def cut_array(folder: Path) -> None:
    whole = (folder / "frames.npy").read_bytes()
    (folder / "frames.npy").write_bytes(whole[: len(whole) // 2])


def text_array(folder: Path) -> None:
    (folder / "frames.npy").write_text("hello")


def no_array(folder: Path) -> None:
    (folder / "frames.npy").unlink()


def no_table(folder: Path) -> None:
    (folder / "films.csv").unlink()


def other_card(folder: Path) -> None:
    card = json.loads((folder / "dataset.json").read_text())
    (folder / "dataset.json").write_text(json.dumps(card | {"films": 12}))


def text_card(folder: Path) -> None:
    (folder / "dataset.json").write_text("{")


@pytest.mark.parametrize(
    "spoil", [fewer_rows, other_array, cut_array, text_array, no_array, no_table, other_card, text_card]
)
def test_files_that_do_not_belong_together_are_an_error(
    dataset_root: Path, copy_of: Copy, spoil: Callable[[Path], None]
) -> None:
    project = copy_of(dataset_root)
    spoil(project.dataset)
    with pytest.raises((TrailerError, FileNotFoundError)):
        Dataset.open(project)


def test_a_damaged_record_of_the_scrape_is_an_error(frames_root: Path, copy_of: Copy) -> None:
    project = copy_of(frames_root)
    (project.images / "settings.json").write_text("{")
    with pytest.raises(TrailerError, match=r"settings\.json"):
        built(project)


# Which frames go into a batch.


@pytest.mark.parametrize(
    "available, count, expected",
    [
        (15, 5, [1, 4, 7, 10, 13]),
        (4, 4, [0, 1, 2, 3]),
        (9, 1, [4]),
        (2, 4, [0, 0, 1, 1]),
        (1, 3, [0, 0, 0]),
        (5, 0, []),
    ],
)
def test_spread_is_even_and_in_order(available: int, count: int, expected: list[int]) -> None:
    assert evenly_spaced(available, count).tolist() == expected


@pytest.mark.parametrize("count", [1, 3, 5, 16, 40])
def test_without_a_seed_frames_are_spread_over_the_film(dataset_root: Path, count: int) -> None:
    data = opened(dataset_root)
    pictures, scores, rows, _ = FilmBatches(data, count).__getitems__([(0, 5), (3, 2)])
    assert pictures.shape == (2, count, 32, 32, 3)
    assert np.array_equal(pictures[0], data.film_frames(5)[evenly_spaced(FRAMES, count)])
    assert rows.tolist() == [5, 2]
    assert scores == pytest.approx(data.films.score[[5, 2]].to_numpy())


def drawn(data: Dataset, epoch: int, row: int = 5, seed: int = 1, **options: bool) -> list[int]:
    """Which of its own frames a film gives for a key."""
    pictures = FilmBatches(data, 6, seed, **options).__getitems__([(epoch, row)])[0][0]
    own = data.film_frames(row)
    return [next(n for n, frame in enumerate(own) if np.array_equal(frame, picture)) for picture in pictures]


@pytest.mark.parametrize("other_frames", [True, False])
@pytest.mark.parametrize("reorder", [True, False])
def test_the_key_decides_the_draw(dataset_root: Path, other_frames: bool, reorder: bool) -> None:
    options = {"other_frames": other_frames, "reorder": reorder}
    first, again = (drawn(opened(dataset_root), 2, **options) for _ in range(2))
    assert first == again
    assert len(set(first)) == 6


def test_other_frames_are_drawn_each_epoch_only_if_asked_for(dataset_root: Path) -> None:
    data = opened(dataset_root)
    assert len({tuple(drawn(data, epoch, other_frames=True)) for epoch in range(6)}) == 6
    assert len({tuple(drawn(data, epoch, other_frames=False)) for epoch in range(6)}) == 1


def test_frames_stay_in_the_films_order_unless_reordered(dataset_root: Path) -> None:
    data = opened(dataset_root)
    for epoch in range(6):
        plain, shuffled = (drawn(data, epoch, reorder=reorder) for reorder in (False, True))
        assert plain == sorted(plain) == sorted(shuffled)
        assert shuffled != plain


def test_the_order_is_another_each_epoch_even_of_the_same_frames(dataset_root: Path) -> None:
    data = opened(dataset_root)
    assert len({tuple(drawn(data, epoch, reorder=True)) for epoch in range(6)}) == 6


def test_another_seed_and_another_film_draw_other_frames(dataset_root: Path) -> None:
    data = opened(dataset_root)
    first = drawn(data, 0)
    assert drawn(data, 0, seed=2) != first
    assert any(drawn(data, 0, row=row) != first for row in (6, 7))


def test_a_film_with_too_few_frames_repeats_some(dataset_root: Path) -> None:
    pictures = FilmBatches(opened(dataset_root), 40, seed=1).__getitems__([(0, 5)])[0]
    assert pictures.shape == (1, 40, 32, 32, 3)


@pytest.mark.parametrize("options", [{}, {"other_frames": True}, {"other_frames": True, "reorder": True}])
def test_a_films_frames_do_not_depend_on_the_rest_of_the_batch(dataset_root: Path, options: dict) -> None:
    batches = FilmBatches(opened(dataset_root), 5, 3, **options)
    alone = batches.__getitems__([(4, 9)])[0][0]
    together = batches.__getitems__([(4, 2), (1, 9), (4, 9), (4, 11)])[0]
    assert np.array_equal(together[2], alone)
    assert not np.array_equal(together[0], alone)


@pytest.mark.parametrize("seed", [None, 3])
def test_a_films_frames_do_not_depend_on_films_added_later(
    dataset_root: Path, larger: Dataset, seed: int | None
) -> None:
    small = opened(dataset_root)
    chosen = [fictional_film(number)["imdb_id"] for number in (0, 8, 21)]
    options = {"seed": seed, "other_frames": True, "reorder": True}
    before, after = (FilmBatches(data, 5, **options) for data in (small, larger))
    assert keys(small, *chosen) != keys(larger, *chosen)
    first, scores, *_ = before.__getitems__(keys(small, *chosen, epoch=2))
    second, same_scores, *_ = after.__getitems__(keys(larger, *chosen, epoch=2))
    assert np.array_equal(first, second) and np.array_equal(scores, same_scores)
