"""A dataset -> batches of films for training and testing: which films, in which order, and which of their frames."""

import hashlib
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed
from torch import Tensor
from torch.utils.data import DataLoader, DistributedSampler
from torchvision.transforms.v2 import functional

from trailer_lib.dataset import Dataset, evenly_spaced
from trailer_lib.settings import TrainSettings

CHANCES = 5  # numbers a film draws: flip, the crop's area, shape, top and left
RATIOS = (3 / 4, 4 / 3)  # of a crop's width to its height, as torchvision's RandomResizedCrop
RAW_SD = 57.5  # sd of ImageNet's pixels where they go from 0 to 255


def augment(frames: Tensor, settings: TrainSettings, seeds: list[int]) -> Tensor:
    """uint8 frames [films, frames, 3, height, width] -> the same, cropped and mirrored by `settings`."""
    frames = frames.contiguous()  # the loader's are height by width by channel
    chances = np.stack([np.random.default_rng(seed).random(CHANCES) for seed in seeds])
    if settings.crop < 1:
        frames = torch.stack([_cropped(film, settings.crop, *c[1:5]) for film, c in zip(frames, chances)])
    if settings.flip:
        mirrored = torch.from_numpy(chances[:, 0] < 0.5).to(frames.device)
        frames = torch.where(mirrored.view(-1, 1, 1, 1, 1), frames.flip(-1), frames)
    return frames


def _cropped(film: Tensor, smallest: float, area: float, shape: float, top: float, left: float) -> Tensor:
    """A box of a random share of the picture's area and a random shape, at the picture's size again."""
    height, width = film.shape[-2:]
    share = smallest + (1 - smallest) * area
    ratio = math.exp(math.log(RATIOS[0]) + (math.log(RATIOS[1]) - math.log(RATIOS[0])) * shape)
    tall = min(height, round(math.sqrt(share / ratio) * height))
    wide = min(width, round(math.sqrt(share * ratio) * width))
    corner = int(top * (height - tall + 1)), int(left * (width - wide + 1))
    return functional.resized_crop(film, *corner, tall, wide, [height, width], antialias=True)


def add_noise(pictures: Tensor, settings: TrainSettings, seeds: list[int]) -> Tensor:
    """Normalised pictures [films, frames, 3, height, width] with Gaussian noise of `settings.noise`."""
    if not settings.noise:
        return pictures
    sd = settings.noise * (RAW_SD if settings.pixels == "raw" else 1)
    # Not empty_like: its strides would be the pictures', and numbers drawn across memory take eight times as long.
    noise = torch.empty(pictures.shape, dtype=pictures.dtype, device=pictures.device)
    for film, seed in zip(noise, seeds):
        film.normal_(0, sd, generator=torch.Generator(pictures.device).manual_seed(seed))
    return pictures + noise


@dataclass(frozen=True)
class Place:
    """This process among all: its number `rank` of `count`, of which `here` run on this machine."""

    rank: int = 0
    count: int = 1
    here: int = 1


def process_place() -> Place:
    if not torch.distributed.is_torchelastic_launched():
        return Place()
    return Place(*(int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")))


Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, list[int]]


@dataclass(frozen=True)
class FilmBatches:
    """Batches of films for a torch DataLoader: a key is (epoch, row of `films`), so a batch depends on nothing else.

    `count` frames of each film: drawn anew each epoch if `other_frames`, else the same ones; shuffled if
    `reorder`; spread evenly over the film when `seed` is None.
    """

    data: Dataset
    count: int
    seed: int | None = None
    other_frames: bool = False
    reorder: bool = False

    def __post_init__(self) -> None:
        films = self.data.films  # as arrays: looking up a row of a table costs more than reading a film's frames
        for name, column in (("first", films["first"]), ("available", films["count"]), ("scores", films.score)):
            object.__setattr__(self, name, column.to_numpy())
        # The film, not its row: more films change nothing for this one.
        object.__setattr__(self, "ids", [seed_of(imdb_id) for imdb_id in films.imdb_id])

    def __getitems__(self, keys: list[tuple[int, int]]) -> Arrays:
        """(frames uint8 [films, count, size, size, 3], scores float32 [films], rows int64 [films], seeds [films]).

        A film's seed is a number that (seed, epoch, film) decide.
        """
        rows = np.array([row for _, row in keys])
        places = np.stack([self.places(epoch, row) for epoch, row in keys])
        frames = self.data.frames[places.ravel()].reshape(*places.shape, *self.data.frames.shape[1:])
        seeds = [seed_of(self.seed or 0, epoch, self.ids[row]) for epoch, row in keys]
        return frames, self.scores[rows].astype(np.float32), rows, seeds

    def places(self, epoch: int, row: int) -> np.ndarray:
        """Which of data.frames are the film's in `row` this epoch: int [count]."""
        first, available = self.first[row], self.available[row]
        if self.seed is None:
            return first + evenly_spaced(available, self.count)
        rng = np.random.default_rng([self.seed, epoch if self.other_frames else 0, self.ids[row]])
        chosen = np.sort(rng.choice(available, self.count, replace=available < self.count))
        rng = np.random.default_rng([self.seed, epoch, self.ids[row], 1])
        return first + (rng.permutation(chosen) if self.reorder else chosen)


def seed_of(*parts: int | str) -> int:
    """A seed from 0 to 2^63 that numbers and names decide."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "big") >> 1


class EpochSampler(DistributedSampler):
    """(epoch, row) of the films in an order that (seed, epoch) alone decide; Lightning tells it the epoch.

    Of several processes the k-th takes every k-th film, so that their batches together are those of one process.
    """

    def __init__(self, rows: np.ndarray, settings: TrainSettings, shuffle: bool, place: Place, drop_last: bool) -> None:
        super().__init__(rows, place.count, place.rank, shuffle, settings.seed, drop_last)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return ((self.epoch, int(self.dataset[index])) for index in super().__iter__())


def train_loader(data: Dataset, settings: TrainSettings, place: Place = Place()) -> DataLoader:  # noqa: B008
    """The train films' batches, in this process's share: augmentation's draws of frames, another order each epoch.

    A batch: frames uint8 [films, frames, 3, size, size], scores float32 [films], rows int64 [films], a list of seeds.
    """
    films = FilmBatches(data, settings.frames, settings.seed, settings.other_frames, settings.reorder_frames)
    rows = data.split("train").index.to_numpy()
    # A last batch of one film would break batch normalisation; which films are left over differs each epoch.
    drop_last = len(rows) > settings.batch
    sampler = EpochSampler(rows, settings, True, place, drop_last)
    return _loader(films, sampler, settings, settings.batch // place.count, drop_last)


def tested(data: Dataset, settings: TrainSettings, draw: int | None = None) -> FilmBatches:
    """Films with frames spread evenly, or random draw `draw`, which is these batches' epoch."""
    return FilmBatches(data, settings.frames, None if draw is None else settings.seed, other_frames=True)


def split_loader(data: Dataset, settings: TrainSettings, split: str, draw: int | None = None) -> DataLoader:
    """Batches as `train_loader`'s of all films of a split, in order: frames spread evenly, or random draw `draw`."""
    films = tested(data, settings, draw)
    sampler = EpochSampler(data.split(split).index.to_numpy(), settings, False, Place(), False)
    sampler.set_epoch(draw or 0)
    return _loader(films, sampler, settings, settings.batch, False)


def _loader(
    films: FilmBatches, sampler: EpochSampler, settings: TrainSettings, batch: int, drop_last: bool
) -> DataLoader:
    # A generator of its own: else each epoch's loader would draw from the one that seeds dropout.
    # Forked workers share the mapped frames; others would be sent a copy of the whole array.
    workers = {"num_workers": settings.loader_workers, "persistent_workers": True, "multiprocessing_context": "fork"}
    return DataLoader(
        films, batch, sampler=sampler, collate_fn=_to_tensors, drop_last=drop_last, generator=torch.Generator(),
        pin_memory=torch.cuda.is_available(), **workers if settings.loader_workers else {},
    )  # fmt: skip


def _to_tensors(batch: Arrays) -> tuple[Tensor, Tensor, Tensor, list[int]]:
    frames, scores, rows, seeds = batch
    return torch.from_numpy(frames).permute(0, 1, 4, 2, 3), torch.from_numpy(scores), torch.from_numpy(rows), seeds
