"""A network's answer to a film, how much each frame moved it, measured by leaving it out, and where in the frame."""

import io
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from trailer_lib.networks import FilmRegressor

PART = 16  # pictures that go through a backbone at once
COARSE = 8  # cells on the shorter side of a heat map of stacked frames
FINE = 16  # cells on each side of a heat map of all stages


@dataclass(frozen=True)
class Attribution:
    """A standardised `score`; what the head saw, float32 [n]; the `pulls` of the frames, float32 [frames].

    `maps`, float32 [frames, height, width] of the backbone's coarse cells, say where the answer arose, without a sign;
    None for a head without slopes (boosting).
    """

    score: float
    features: np.ndarray
    pulls: np.ndarray
    maps: Tensor | None

    def heat(self, places: np.ndarray, height: int, width: int) -> np.ndarray:
        """Heat maps of the frames at `places`: float32 [places, height, width] in 0..1, the hottest place of all is 1.

        float32 [0, height, width] where the head has no slopes.
        """
        if self.maps is None:
            return np.zeros((0, height, width), np.float32)
        fine = nn.functional.interpolate(self.maps[places][:, None], (height, width), mode="bilinear")[:, 0]
        return (fine / fine.max().clamp(min=1e-12)).numpy()


def attribute(network: FilmRegressor, frames: Tensor, draws: np.ndarray) -> Attribution:
    """The mean of the network's answers to draws of a film's frames; a pull is what it is less without the frame.

    `frames`: uint8 [frames, 3, height, width]; `draws`: int [draws, network.frames], which of them each draw shows.
    Frames that are seen one by one are pooled again without it, which for the mean is its exact share. Of stacked
    frames it is replaced by the mean of the others: in a first convolution that repeats one kernel, that is the same as
    leaving it out. A draw of one frame alone gives it no pull.
    """
    with torch.enable_grad():
        return (_stacked if network.aggregate == "channels" else _one_by_one)(network, network.to_float(frames), draws)


def _one_by_one(network: FilmRegressor, normal: Tensor, draws: np.ndarray) -> Attribution:
    rows, maps = _watched(network, normal)
    features = torch.stack([network.joined(rows[draw]) for draw in draws])
    score = network.head(features).mean()
    heat = torch.cat([_heat(score, part) for part in maps]) if maps[0] and score.requires_grad else None
    with torch.no_grad():
        pulls = torch.zeros(len(normal))
        for draw, seen in zip(draws, features):
            left_out = [frame for frame in set(draw.tolist()) if (draw != frame).any()]
            less = [network.joined(rows[draw[draw != frame]]) for frame in left_out]
            if less:
                pulls[left_out] += (network.head(seen[None]) - network.head(torch.stack(less)))[:, 0] / len(draws)
    return Attribution(float(score.detach()), features.detach().mean(0).numpy(), pulls.numpy(), heat)


def _heat(score: Tensor, maps: list[Tensor]) -> Tensor:
    """Slope times activation, summed over the channels of all maps [frames, channels, height, width] of a picture."""
    slopes = torch.autograd.grad(score, maps, retain_graph=True)
    moved = [(slope * map_).sum(1, keepdim=True) for slope, map_ in zip(slopes, maps)]
    if len(moved) > 1:  # maps of many sizes, whose places add up to the same picture
        shares = [map_ * map_[0].numel() for map_ in moved]
        moved = [nn.functional.interpolate(map_, (FINE, FINE), mode="bilinear", antialias=True) for map_ in shares]
    return sum(moved)[:, 0].abs().detach()


@dataclass
class _LastMap:
    """A forward hook that keeps the last map of features, [frames, channels, height, width]; slopes begin there.

    So nothing before it is kept in memory.
    """

    found: list[Tensor] = field(default_factory=list)

    def __call__(self, module: nn.Module, inputs: tuple, output: object) -> Tensor | None:
        if not isinstance(output, Tensor) or output.ndim != 4 or min(output.shape[2:]) < 2:
            return None
        self.found[:] = [output.detach().requires_grad_()]
        return self.found[0].clone()  # the next layer may work in place


def _watched(network: FilmRegressor, normal: Tensor) -> tuple[Tensor, list[list[Tensor]]]:
    """The backbone's features of each frame [frames, n], and the maps in which a head's slopes end, by parts of frames.

    Gradient times activation of the last map is Grad-CAM (Selvaraju et al. 2017), here place by place. Where the head
    sees all stages, each one's map is watched, as LayerCAM (Jiang et al. 2021) adds maps up.
    """
    last, rows, maps = _LastMap(), [], []
    hooks = [module.register_forward_hook(last) for module in network.backbone.modules()]
    try:
        for part in normal.split(PART):
            last.found.clear()
            stages: list[Tensor] = []
            rows.append(network.unpooled(part[None], stages)[0])
            maps.append([map_ for map_ in [*stages, *last.found] if map_.ndim == 4])
    finally:
        for hook in hooks:
            hook.remove()
    return torch.cat(rows), maps


def _stacked(network: FilmRegressor, normal: Tensor, draws: np.ndarray) -> Attribution:
    pulls, heat, features, scores = torch.zeros(len(normal)), torch.zeros(len(normal), 1, 1), [], []
    for draw in draws:
        frames = normal[draw].requires_grad_()
        features.append(network.features(frames[None])[0])
        scores.append(network.head(features[-1][None]).squeeze())
        left_out = [frame for frame in set(draw.tolist()) if (draw != frame).any()]
        with torch.no_grad():
            less = [_without(frames, draw == frame) for frame in left_out]
            for part in range(0, len(less), PART):
                moved = scores[-1] - network.score(torch.stack(less[part : part + PART]))
                pulls[left_out[part : part + PART]] += moved / len(draws)
        if scores[-1].requires_grad:
            (slope,) = torch.autograd.grad(scores[-1], frames)
            heat = _add(heat, draw, _cells(slope * _change(frames.detach(), draw)))
    mean = torch.stack(features).detach().mean(0).numpy()
    slopes = scores[0].requires_grad
    return Attribution(float(torch.stack(scores).detach().mean()), mean, pulls.numpy(), heat if slopes else None)


def _without(frames: Tensor, hidden: np.ndarray) -> Tensor:
    """Stacked frames [frames, 3, height, width] with those `hidden` replaced by the mean of the others."""
    mask = torch.from_numpy(hidden)
    return torch.where(mask[:, None, None, None], frames[~mask].mean(0), frames)


def _change(frames: Tensor, draw: np.ndarray) -> Tensor:
    """What `_without` takes from each frame."""
    return torch.stack(
        [
            frames[place] - _without(frames, draw == frame)[place] if (draw != frame).any() else frames[place]
            for place, frame in enumerate(draw)
        ]
    )


def _cells(moved: Tensor) -> Tensor:
    """First-order pulls of pixels [frames, 3, height, width] summed up in coarse cells, without a sign."""
    cell = max(1, min(moved.shape[2:]) // COARSE)
    return nn.functional.avg_pool2d(moved.sum(1, keepdim=True), cell)[:, 0].abs()


def _add(heat: Tensor, draw: np.ndarray, cells: Tensor) -> Tensor:
    return heat.expand(-1, *cells.shape[1:]).index_add(0, torch.from_numpy(draw), cells)


NEIGHBOURS = 5
PICTURE = (80, 45)  # width, height


@dataclass(frozen=True)
class Neighbour:
    """A training film: its score in IMDb points, its distance, and a frame, uint8 [45, 80, 3].

    The distance is the root mean square over the features, each in its sd over the training films.
    """

    imdb_id: str
    title: str
    year: int
    score: float
    distance: float
    picture: np.ndarray


@dataclass(frozen=True)
class Index:
    """`features`, float32 [films, n], standardised by `mean` and `sd` [n].

    `films` holds imdb_id, title, year and score of each, `jpegs` a picture. Of the training films 99 % have another one
    within the distance `far`.
    """

    features: np.ndarray
    mean: np.ndarray
    sd: np.ndarray
    films: list[tuple[str, str, int, float]]
    jpegs: list[bytes]
    far: float

    @classmethod
    def read(cls, facts: dict[str, Any]) -> "Index":
        """The index in a model file, as `build_index` made it; ValueError when it is damaged."""
        ends = facts["ends"].tolist()
        jpegs = [facts["pictures"].numpy()[start:end].tobytes() for start, end in zip([0, *ends], ends)]
        names = [[str(value) for value in facts[name]] for name in ("imdb_id", "title")]
        numbers = [int(year) for year in facts["year"]], [float(score) for score in facts["score"]]
        films = list(zip(*names, *numbers, strict=True))
        mean, sd = facts["mean"].float().numpy(), facts["sd"].float().numpy()
        features = facts["features"].float().numpy()
        if not (features.shape == (len(films), len(mean)) and mean.shape == sd.shape and len(jpegs) == len(films) > 0):
            raise ValueError("the index of similar films is damaged")
        return cls(features, mean, sd, films, jpegs, float(facts["far"]))

    def nearest(self, features: np.ndarray) -> list[Neighbour]:
        """The five training films nearest to `features`, float32 [n], the nearest first."""
        # A few thousand films: importing scikit-learn's neighbours takes longer than measuring all distances.
        distances = np.sqrt((((features - self.mean) / self.sd - self.features) ** 2).mean(1))
        order = np.argsort(distances, kind="stable")[:NEIGHBOURS]
        return [Neighbour(*self.films[n], float(distances[n]), _decoded(self.jpegs[n])) for n in order]


def _decoded(jpeg: bytes) -> np.ndarray:
    """A picture out of a stranger's file; grey when it is damaged."""
    try:
        with Image.open(io.BytesIO(jpeg), formats=["JPEG"]) as picture:
            picture.draft("RGB", PICTURE)
            return np.asarray(picture.convert("RGB").resize(PICTURE))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return np.full((PICTURE[1], PICTURE[0], 3), 128, np.uint8)
