"""Batches of films: which come when, which of their frames, and the same whoever reads them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from trailer_lib.dataset.dataset import Dataset
from trailer_lib.dataset.frames import evenly_spaced
from trailer_lib.project import Project
from trailer_lib.settings import TrainSettings
from trailer_lib.training.batches import EpochSampler, FilmBatches, Place, seed_of, split_loader, train_loader


def order(data: Dataset, split: str, epoch: int, seed: int = 0) -> list[int]:
    """The rows of a split's films in the order in which an epoch shows them."""
    settings = Project(Path("/")).settings("train", seed=seed, batch=5, frames=2)
    batches = train_loader(data, settings) if split == "train" else split_loader(data, settings, split)
    batches.sampler.set_epoch(epoch)
    return torch.cat([rows for _, _, rows, _ in batches]).tolist()


def test_training_films_come_in_another_order_each_epoch(dataset_root: Path) -> None:
    data = Dataset.open(Project(dataset_root))
    first, again, other, seeded = (order(data, "train", *key) for key in ((0, 0), (0, 0), (1, 0), (0, 1)))
    assert first == again
    assert first != other and first != seeded
    assert len(set(first)) == len(first) and set(first) <= set(data.split("train").index)


@pytest.mark.parametrize("split", ["val", "test"])
def test_every_film_that_measures_comes_once_in_the_same_order(dataset_root: Path, split: str) -> None:
    data = Dataset.open(Project(dataset_root))
    assert order(data, split, 0) == order(data, split, 1) == data.split(split).index.tolist()


@pytest.mark.parametrize("batch", [17, 18, 64])
def test_no_training_batch_is_a_single_film(dataset_root: Path, batch: int) -> None:
    data = Dataset.open(Project(dataset_root))
    assert len(data.split("train")) == 18
    settings = Project(Path("/")).settings("train", batch=batch, frames=2)
    assert [len(scores) for _, scores, *_ in train_loader(data, settings)] == [min(batch, 18)]


@pytest.fixture(scope="module")
def data(dataset_root: Path) -> Dataset:
    return Dataset.open(Project(dataset_root))


def batches_of(data: Dataset, epoch: int = 0, place: Place | None = None, **chosen: object) -> list:
    loader = train_loader(data, TrainSettings(**{"frames": 3, "batch": 4} | chosen), place or Place())
    loader.sampler.set_epoch(epoch)
    return list(loader)


def by_film(batches: list) -> dict[int, bytes]:
    """The bytes of each film's frames."""
    return {row.item(): frames[n].numpy().tobytes() for frames, _, rows, _ in batches for n, row in enumerate(rows)}


# T3: the same order and frames whoever reads them.


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_the_number_of_workers_changes_nothing(data: Dataset, workers: int, batch: int) -> None:
    chosen = {"batch": batch, "drop_frames": 0.3}
    for epoch in (0, 1):
        alone = batches_of(data, epoch, **chosen)
        helped = batches_of(data, epoch, loader_workers=workers, **chosen)
        assert [rows.tolist() for _, _, rows, _ in alone] == [rows.tolist() for _, _, rows, _ in helped]
        assert all(torch.equal(one[0], other[0]) and one[3] == other[3] for one, other in zip(alone, helped))


def test_a_films_frames_do_not_depend_on_its_batch(data: Dataset) -> None:
    small, large = by_film(batches_of(data, batch=1)), by_film(batches_of(data, batch=9))
    assert small.keys() == large.keys() and len(small) == 18
    assert small == large
    assert by_film(batches_of(data, epoch=1, batch=9)) != large


@pytest.mark.parametrize("films, batch", [(18, 8), (17, 8), (18, 4), (117, 8)])
@pytest.mark.parametrize("processes", [2, 4])
def test_the_processes_batches_together_are_those_of_one(films: int, batch: int, processes: int) -> None:
    def steps(count: int) -> list[list[set[int]]]:
        settings, found = TrainSettings(batch=batch), []
        for rank in range(count):
            sampler = EpochSampler(np.arange(films), settings, True, Place(rank, count), drop_last=True)
            rows, share = [row for _, row in sampler], batch // count
            found.append([set(rows[k : k + share]) for k in range(0, len(rows) - share + 1, share)])
        return found

    together = [set.union(*parts) for parts in zip(*steps(processes))]
    assert together == steps(1)[0]
    assert len(set.union(*together)) == films // batch * batch


def test_no_film_is_lost_among_processes_when_one_batch_holds_them_all(data: Dataset) -> None:
    seen = [by_film(batches_of(data, batch=64, place=Place(rank, 4))) for rank in range(4)]
    assert set().union(*seen) == set(data.split("train").index)
    assert [len(films) for films in seen] == [5, 5, 5, 5]  # 18 films, two of them twice


# Which frames.


def places(data: Dataset, row: int, epoch: int = 0, **chosen: object) -> np.ndarray:
    return FilmBatches(data, **{"count": 8, "seed": 0} | chosen).places(epoch, row) - data.films["first"][row]


def test_other_frames_are_drawn_from_all_kept_ones_each_epoch(data: Dataset) -> None:
    drawn = [places(data, 3, epoch, other_frames=True).tolist() for epoch in range(40)]
    assert set().union(*drawn) == set(range(data.films["count"][3]))
    assert all(frames == sorted(set(frames)) for frames in drawn)
    same = [places(data, 3, epoch).tolist() for epoch in range(40)]
    assert len(set(map(tuple, drawn))) > 35 and len(set(map(tuple, same))) == 1


def test_reordered_frames_are_the_same_ones_in_another_order(data: Dataset) -> None:
    plain, shuffled = places(data, 3), [places(data, 3, epoch, reorder=True) for epoch in range(9)]
    assert all(sorted(frames) == plain.tolist() for frames in shuffled)
    assert len({tuple(frames) for frames in shuffled}) > 5


def test_hidden_frames_have_others_of_the_film_in_their_place(data: Dataset) -> None:
    whole = set(places(data, 3))
    shown = [places(data, 3, epoch, drop=0.5) for epoch in range(300)]
    assert all(len(frames) == 8 and set(frames) <= whole and list(frames) == sorted(frames) for frames in shown)
    assert np.mean([len(set(frames)) for frames in shown]) == pytest.approx(4, abs=0.3)
    counts = np.bincount(np.concatenate(shown), minlength=16)[sorted(whole)]
    assert counts.min() > 0.8 * counts.mean()  # no frame is favoured


def test_one_frame_stays_however_many_are_hidden(data: Dataset) -> None:
    shown = [set(places(data, 3, epoch, count=2, drop=0.9)) for epoch in range(200)]
    assert {len(frames) for frames in shown} == {1, 2}
    assert np.mean([len(frames) == 1 for frames in shown]) == pytest.approx(0.99, abs=0.02)


def test_tests_see_frames_spread_evenly_or_the_draw_asked_for(data: Dataset) -> None:
    settings = TrainSettings(frames=4)
    batches = {draw: by_film(split_loader(data, settings, "test", draw)) for draw in (None, 0, 1)}
    row = data.split("test").index[0]
    even = data.film_frames(row)[evenly_spaced(data.films["count"][row], 4)].transpose(0, 3, 1, 2)
    assert batches[None][row] == np.ascontiguousarray(even).tobytes()
    assert len({batches[draw][row] for draw in batches}) == 3
    assert by_film(split_loader(data, settings, "test", 1)) == batches[1]


def test_a_seed_is_decided_by_all_of_its_numbers() -> None:
    seeds = {seed_of(seed, epoch, film) for seed in range(5) for epoch in range(5) for film in range(5)}
    assert len(seeds) == 125 and all(0 <= seed < 2**63 for seed in seeds)
