"""A dataset -> batches of films: which films, in which order, which of their frames, and the augmentations."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
import torch.distributed
from torch import Tensor
from torch.utils.data import DataLoader, DistributedSampler
from torchvision.transforms.v2 import RandomResizedCrop

from trailer_lib.dataset import Dataset, evenly_spaced
from trailer_lib.settings import TrainSettings, trains

IMAGENET_SD = (0.229, 0.224, 0.225)  # of its pixels from 0 to 1, by channel
RAW_SD = 57.5  # sd of ImageNet's pixels on the scale from 0 to 255
Batch = tuple[Tensor, Tensor, Tensor, list[int]]  # see train_loader


def augment(frames: Tensor, settings: TrainSettings, seeds: list[int]) -> Tensor:
    """uint8 frames [films, frames, 3, height, width] -> the same shape, each film cropped and mirrored by its seed."""
    frames = frames.contiguous()  # the loader's are height by width by channel
    if settings.crop < 1:
        crop, films = RandomResizedCrop(frames.shape[-2:], scale=(settings.crop, 1.0)), []
        with torch.random.fork_rng(devices=[]):  # the crop takes its numbers from the CPU's global generator
            for film, seed in zip(frames, seeds):
                torch.default_generator.manual_seed(seed)
                films.append(crop(film))
        frames = torch.stack(films)
    if settings.flip:
        mirrored = torch.tensor([np.random.default_rng(seed).random() < 0.5 for seed in seeds], device=frames.device)
        frames = torch.where(mirrored.view(-1, 1, 1, 1, 1), frames.flip(-1), frames)
    return frames


def add_noise(pictures: Tensor, settings: TrainSettings, seeds: list[int]) -> Tensor:
    """Normalised pictures [films, frames, 3, height, width] plus Gaussian noise of sd `settings.noise`."""
    if not settings.noise:
        return pictures
    sd = settings.noise * (RAW_SD if settings.pixels == "raw" else 1)
    # Not empty_like: filling across the pictures' strides takes eight times as long.
    noise = torch.empty(pictures.shape, dtype=pictures.dtype, device=pictures.device)
    for film, seed in zip(noise, seeds):
        film.normal_(0, sd, generator=torch.Generator(pictures.device).manual_seed(seed))
    return pictures + noise


@dataclass(frozen=True)
class Place:
    """This process's `rank` among `count` processes, of which `local_count` run on this machine."""

    rank: int = 0
    count: int = 1
    local_count: int = 1


def process_place() -> Place:
    if not torch.distributed.is_torchelastic_launched():
        return Place()
    return Place(*(int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")))


class FilmBatches:
    """A torch dataset of films by (epoch, row of data.films), on which alone a film's frames depend.

    `count` random frames: other ones each epoch with `other_frames`, in random order with `reorder`; evenly spaced ones
    without a `seed`.
    """

    def __init__(
        self, data: Dataset, count: int, seed: int | None = None, other_frames: bool = False, reorder: bool = False
    ) -> None:
        self.frames, self.count, self.seed = data.frames, count, seed
        self.other_frames, self.reorder = other_frames, reorder
        # Arrays: looking up a row of a table takes longer than reading a film's frames.
        self.first, self.available, self.scores = (data.films[name].to_numpy() for name in ("first", "count", "score"))
        # Seeds from the film's id, not from its row: adding films changes nothing for this one.
        self.ids = [seed_of(imdb_id) for imdb_id in data.films.imdb_id]

    def __getitems__(self, keys: list[tuple[int, int]]) -> Batch:
        rows = np.array([row for _, row in keys])
        places = np.stack([self.places(epoch, row) for epoch, row in keys])
        frames = self.frames[places.ravel()].reshape(*places.shape, *self.frames.shape[1:])
        seeds = [seed_of(self.seed or 0, epoch, self.ids[row]) for epoch, row in keys]
        pictures, scores = torch.from_numpy(frames).permute(0, 1, 4, 2, 3), self.scores[rows].astype(np.float32)
        return pictures, torch.from_numpy(scores), torch.from_numpy(rows), seeds

    def places(self, epoch: int, row: int) -> np.ndarray:
        """The indices into data.frames of the film in `row` in this epoch: int [count]."""
        first, available = self.first[row], self.available[row]
        if self.seed is None:
            return first + evenly_spaced(available, self.count)
        rng = np.random.default_rng([self.seed, epoch if self.other_frames else 0, self.ids[row]])
        chosen = np.sort(rng.choice(available, self.count, replace=available < self.count))
        rng = np.random.default_rng([self.seed, epoch, self.ids[row], 1])
        return first + (rng.permutation(chosen) if self.reorder else chosen)


def seed_of(*parts: int | str) -> int:
    """A seed from 0 to 2^63 - 1: a hash of numbers and names."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "big") >> 1


class EpochSampler(DistributedSampler):
    """(epoch, row) of the films in an order of (seed, epoch), which Lightning sets, in shares for several processes."""

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return ((self.epoch, int(self.dataset[index])) for index in super().__iter__())


def train_loader(data: Dataset, settings: TrainSettings) -> DataLoader:
    """This process's share of the train films in batches, in another order each epoch.

    A batch: frames uint8 [films, frames, 3, size, size], scores float32 [films], rows int64 [films], a list of seeds.
    """
    films = FilmBatches(data, settings.frames, settings.seed, settings.other_frames, settings.reorder_frames)
    rows, place = data.split("train").index, process_place()
    # A last batch of one film would break batch normalisation; which films are left over differs each epoch.
    drop_last = len(rows) > settings.batch
    sampler = EpochSampler(rows, place.count, place.rank, seed=settings.seed, drop_last=drop_last)
    return _loader(films, sampler, settings)


def augmented_batch(data: Dataset, settings: TrainSettings) -> tuple[np.ndarray, pd.DataFrame]:
    """The first training batch as the network sees it, augmented: uint8 [films, frames, size, size, 3], and its films.

    Their column `change` is the mean absolute difference to the same frames without augmentation, from 0 to 255. Noise
    beyond black and white is cut off, which the network does not do.
    """
    frames, _, rows, seeds = next(iter(train_loader(data, settings)))
    if not trains(settings):  # a head is fitted on the pictures as they are
        settings = replace(settings, flip=False)
    sd = 255 * torch.tensor(IMAGENET_SD).view(3, 1, 1)
    pictures = augment(frames, settings, seeds)
    noise = add_noise(torch.zeros(pictures.shape), replace(settings, pixels="imagenet"), seeds)
    seen = (pictures + noise * sd).clamp(0, 255).round()
    change = (seen - frames).abs().mean((1, 2, 3, 4)).double().numpy()
    return seen.to(torch.uint8).permute(0, 1, 3, 4, 2).numpy(), data.films.loc[rows.numpy()].assign(change=change)


def film_loader(data: Dataset, settings: TrainSettings, rows: Sequence[int]) -> DataLoader:
    """The films in `rows` in batches like `train_loader`'s, in their order, with evenly spaced frames."""
    sampler = EpochSampler(rows, num_replicas=1, rank=0, shuffle=False)
    return _loader(FilmBatches(data, settings.frames), sampler, settings)


def film_views(data: Dataset, settings: TrainSettings, rows: Sequence[int], count: int) -> list[np.ndarray]:
    """The frames by which each film is evaluated, int [count, frames] into data.frames: of 1 view evenly spaced."""
    films = FilmBatches(data, settings.frames, None if count == 1 else settings.seed, other_frames=True)
    return [np.stack([films.places(view, row) for view in range(count)]) for row in rows]


def _loader(films: FilmBatches, sampler: EpochSampler, settings: TrainSettings) -> DataLoader:
    # A generator of its own: else each epoch's loader would advance the global one, which seeds dropout.
    # Forked workers share the mapped frames; spawned ones would be sent a copy of the whole array.
    workers = {"num_workers": settings.loader_workers, "persistent_workers": True, "multiprocessing_context": "fork"}
    return DataLoader(
        films, settings.batch // sampler.num_replicas, sampler=sampler, collate_fn=lambda batch: batch,
        drop_last=sampler.drop_last, generator=torch.Generator(), pin_memory=torch.cuda.is_available(),
        **workers if settings.loader_workers else {},
    )  # fmt: skip
