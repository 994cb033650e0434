"""Batches of films: which come when, which of their frames, and the same whoever reads them."""

from pathlib import Path

import pytest
import torch

from trailer_lib.batches import test_loader, train_loader
from trailer_lib.dataset import Dataset
from trailer_lib.project import Project


def order(data: Dataset, split: str, epoch: int, seed: int = 0) -> list[int]:
    """The rows of a split's films in the order in which an epoch shows them."""
    settings = Project(Path("/")).settings("train", seed=seed, batch=5, frames=2)
    batches = train_loader(data, settings) if split == "train" else test_loader(data, settings, split)
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
