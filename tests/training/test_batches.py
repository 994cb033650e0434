"""Batches of films: which come when, which of their frames, and the same whoever reads them."""

import numpy as np
import pytest
import torch

from trailer_lib.dataset.arrays import evenly_spaced
from trailer_lib.dataset.dataset import Dataset
from trailer_lib.settings import TrainSettings
from trailer_lib.training import batches
from trailer_lib.training.batches import EpochSampler, FilmBatches, augmented_batch, film_loader, train_loader


def order(data: Dataset, split: str, epoch: int, seed: int = 0) -> list[int]:
    """The rows of a split's films in the order of an epoch."""
    settings = TrainSettings(seed=seed, batch=5, frames=2)
    batches = train_loader(data, settings) if split == "train" else film_loader(data, settings, data.split(split).index)
    batches.sampler.set_epoch(epoch)
    return torch.cat([rows for _, _, rows, _ in batches]).tolist()


def test_training_films_come_in_another_order_each_epoch(data: Dataset) -> None:
    first, again, other, seeded = (order(data, "train", *key) for key in ((0, 0), (0, 0), (1, 0), (0, 1)))
    assert first == again
    assert first != other and first != seeded
    assert len(set(first)) == len(first) and set(first) <= set(data.split("train").index)
    for split in ("val", "test"):  # once each, always in the same order
        assert order(data, split, 0) == order(data, split, 1) == data.split(split).index.tolist()
    for batch in (17, 18, 64):  # of 18 films: none is alone in a batch
        assert [len(scores) for _, scores, *_ in train_loader(data, TrainSettings(batch=batch))] == [min(batch, 18)]


def batches_of(data: Dataset, epoch: int = 0, **chosen: object) -> list:
    loader = train_loader(data, TrainSettings(**{"frames": 3, "batch": 4} | chosen))
    loader.sampler.set_epoch(epoch)
    return list(loader)


def by_film(batches: list) -> dict[int, bytes]:
    """The bytes of each film's frames."""
    return {row.item(): frames[n].numpy().tobytes() for frames, _, rows, _ in batches for n, row in enumerate(rows)}


@pytest.mark.parametrize("workers, batch", [(1, 4), (3, 1)])
def test_the_number_of_workers_changes_nothing(data: Dataset, workers: int, batch: int) -> None:
    for epoch in (0, 1):
        alone = batches_of(data, epoch, batch=batch)
        helped = batches_of(data, epoch, batch=batch, loader_workers=workers)
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
        share, processes = batch // count, []
        for rank in range(count):
            sampler = EpochSampler(np.arange(films), count, rank, drop_last=True)
            rows = [row for _, row in sampler]
            processes.append([set(rows[k : k + share]) for k in range(0, len(rows) - share + 1, share)])
        return processes

    together = [set.union(*parts) for parts in zip(*steps(processes))]
    assert together == steps(1)[0]
    assert len(set.union(*together)) == films // batch * batch


def test_no_film_is_lost_among_processes_when_one_batch_holds_them_all(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = iter(batches.Place(rank, 4) for rank in range(4))
    monkeypatch.setattr(batches, "process_place", lambda: next(places))
    seen = [by_film(batches_of(data, batch=64)) for _ in range(4)]
    assert set().union(*seen) == set(data.split("train").index)
    assert [len(films) for films in seen] == [5, 5, 5, 5]  # 18 films, two of them twice


def places(data: Dataset, row: int, epoch: int = 0, **chosen: object) -> np.ndarray:
    return FilmBatches(data, **{"count": 8, "seed": 0} | chosen).places(epoch, row) - data.films["first"][row]


def test_other_frames_come_from_all_frames_of_the_film_each_epoch(data: Dataset) -> None:
    epochs = [places(data, 3, epoch, other_frames=True).tolist() for epoch in range(40)]
    assert set().union(*epochs) == set(range(data.films["count"][3]))
    assert all(frames == sorted(set(frames)) for frames in epochs)
    same = [places(data, 3, epoch).tolist() for epoch in range(40)]
    assert len(set(map(tuple, epochs))) > 35 and len(set(map(tuple, same))) == 1


def test_reordered_frames_are_the_same_ones_in_another_order(data: Dataset) -> None:
    plain, shuffled = places(data, 3), [places(data, 3, epoch, reorder=True) for epoch in range(9)]
    assert all(sorted(frames) == plain.tolist() for frames in shuffled)
    assert len({tuple(frames) for frames in shuffled}) > 5


def test_films_are_evaluated_by_evenly_spaced_frames_or_random_views(data: Dataset) -> None:
    settings, rows = TrainSettings(frames=4), data.split("test").index
    [even] = batches.film_views(data, settings, rows[:1], 1)[0]
    assert (even == data.films["first"][rows[0]] + evenly_spaced(data.films["count"][rows[0]], 4)).all()
    frames = data.frames[even].transpose(0, 3, 1, 2)
    assert by_film(film_loader(data, settings, rows))[rows[0]] == np.ascontiguousarray(frames).tobytes()
    views = batches.film_views(data, settings, rows, 3)[0].tolist()
    assert len({*map(tuple, views)}) == 3
    assert views[:2] == batches.film_views(data, settings, rows[:1], 2)[0].tolist()


def test_the_batch_to_look_at_is_augmented_and_says_how_much(data: Dataset) -> None:
    chosen = {"frames": 2, "batch": 6, "other_frames": False}
    pictures, films = augmented_batch(data, TrainSettings(flip=False, **chosen))
    frames, *_ = next(iter(train_loader(data, TrainSettings(flip=False, **chosen))))
    assert np.array_equal(pictures, frames.permute(0, 1, 3, 4, 2)) and films.change.tolist() == [0] * 6
    mirrored, films = augmented_batch(data, TrainSettings(**chosen))
    assert 0 < (films.change > 0).sum() < 6
    for film, (one, other) in enumerate(zip(mirrored, pictures)):
        assert np.array_equal(one, other if films.change.iloc[film] == 0 else other[:, :, ::-1])
    _, noisy = augmented_batch(data, TrainSettings(flip=False, noise=0.3, **chosen))
    assert (noisy.change > 5).all()
