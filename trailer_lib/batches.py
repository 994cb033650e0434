"""A dataset -> batches of films for training and testing: which films, in which order, and which of their frames."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, DistributedSampler

from trailer_lib.dataset import Dataset, spread
from trailer_lib.settings import TrainSettings


@dataclass(frozen=True)
class FilmBatches:
    """Batches of films for a torch DataLoader: a key is (epoch, row of `films`), so a batch depends on nothing else.

    `count` frames of each film: drawn anew each epoch if `other_frames`, else the same ones; shuffled if `reorder`;
    spread evenly over the film when `seed` is None (validation and test).
    """

    data: Dataset
    count: int
    seed: int | None = None
    other_frames: bool = False
    reorder: bool = False

    def __getitems__(self, keys: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(frames uint8 [films, count, size, size, 3], scores float32 [films], rows int64 [films])."""
        rows = np.array([row for _, row in keys])
        places = np.stack([self._places(epoch, row) for epoch, row in keys])
        frames = self.data.frames[places.ravel()].reshape(*places.shape, *self.data.frames.shape[1:])
        return frames, self.data.films.score.to_numpy(np.float32)[rows], rows

    def _places(self, epoch: int, row: int) -> np.ndarray:
        film = self.data.films.loc[row]
        if self.seed is None:
            return film["first"] + spread(film["count"], self.count)
        key = int(film.imdb_id[2:])  # the film, not its row: more films change nothing for this one
        rng = np.random.default_rng([self.seed, epoch if self.other_frames else 0, key])
        chosen = rng.choice(film["count"], self.count, replace=film["count"] < self.count)
        if not self.reorder:
            return film["first"] + np.sort(chosen)
        return film["first"] + np.random.default_rng([self.seed, epoch, key, 1]).permutation(np.sort(chosen))


class EpochSampler(DistributedSampler):
    """(epoch, row) of the films in an order that (seed, epoch) alone decide; Lightning tells it the epoch."""

    def __init__(self, rows: np.ndarray, seed: int, shuffle: bool) -> None:
        super().__init__(rows, num_replicas=1, rank=0, shuffle=shuffle, seed=seed)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return ((self.epoch, int(self.dataset[index])) for index in super().__iter__())


def loader(data: Dataset, settings: TrainSettings, split: str) -> DataLoader:
    """Batches (frames uint8 [films, frames, 3, size, size], scores [films], rows [films]) of a split."""
    training = split == "train"
    batches = FilmBatches(
        data, settings.frames, settings.seed if training else None, settings.other_frames, settings.reorder_frames
    )
    sampler = EpochSampler(data.split(split).index.to_numpy(), settings.seed, shuffle=training)
    # A last batch of one film would break batch normalisation; which films are left over differs each epoch.
    drop_last = training and len(sampler) > settings.batch
    # A generator of its own: else each epoch's loader would draw from the one that seeds dropout.
    own = torch.Generator()
    return DataLoader(
        batches, settings.batch, sampler=sampler, collate_fn=_to_tensors, drop_last=drop_last, generator=own
    )


def _to_tensors(batch: tuple[np.ndarray, np.ndarray, np.ndarray]) -> tuple[Tensor, Tensor, Tensor]:
    frames, scores, rows = map(torch.from_numpy, batch)
    return frames.permute(0, 1, 4, 2, 3), scores, rows
