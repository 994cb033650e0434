"""Why a network predicts what it predicts: contributions of frames, heat maps, and the most similar training films."""

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from trailer_lib.networks import FilmRegressor

AT_ONCE = 16  # pictures that go through a backbone together
COARSE = 8  # cells on the shorter side of a heat map of stacked frames
FINE = 16  # cells on each side of a heat map of all stages
NEIGHBOURS = 5
PICTURE = (160, 90)  # width and height of a training film's picture


@dataclass(frozen=True)
class Attribution:
    """A standardised prediction, the head's input, float32 [n], and what each frame adds, float32 [frames].

    `maps`: float32 [frames, rows, columns], how much each cell matters; None for a backbone without feature maps.
    """

    prediction: float
    features: np.ndarray
    contributions: np.ndarray
    maps: Tensor | None

    def heat(self, frames: np.ndarray, height: int, width: int, fit: str = "squash") -> np.ndarray:
        """Heat maps of `frames`, int [n]: float32 [n, height, width], the hottest place of all 1; none without maps.

        `fit`: how the network's square pictures were made; outside of a middle that was cut out ("crop") the heat is 0.
        """
        if self.maps is None:
            return np.zeros((0, height, width), np.float32)
        rows, columns = (min(height, width),) * 2 if fit == "crop" else (height, width)
        fine = nn.functional.interpolate(self.maps[frames][:, None], (rows, columns), mode="bilinear")[:, 0]
        top, left = (height - rows) // 2, (width - columns) // 2
        around = (left, width - columns - left, top, height - rows - top)
        return nn.functional.pad(fine / fine.max().clamp(min=1e-12), around).numpy()


def attribute(network: FilmRegressor, frames: Tensor, views: np.ndarray) -> Attribution:
    """The mean prediction over test-time views, and each frame's contribution: how much lower it is without the frame.

    `frames`: uint8 [frames, 3, height, width]; `views`: int [views, network.frames], the frames in each view. Features
    of single frames are pooled again without the frame. A stacked frame is replaced by the mean of the others: the same
    as leaving it out of a first convolution that repeats one kernel. The only frame of a view contributes nothing.
    """
    explain = _attribute_stacked if network.aggregate == "channels" else _attribute_single
    with torch.enable_grad():
        return explain(network, network.to_float(frames), views)


def predict_views(network: FilmRegressor, frames: Tensor, views: np.ndarray) -> Attribution:
    """`attribute` without its gradients: no contributions and no maps."""
    with torch.inference_mode():
        pictures = network.to_float(frames)
        if network.aggregate == "channels":
            features = torch.cat([network.features(pictures[view][None]) for view in views])
        else:
            rows = torch.cat([network.unpooled(part[None])[0] for part in pictures.split(AT_ONCE)])
            features = network.joined(rows[views])
        return Attribution(float(network.head(features).mean()), features.mean(0).numpy(), np.empty(0), None)


def attribute_sound(network: FilmRegressor, clips: np.ndarray, sound: dict[str, Any]) -> tuple[float, np.ndarray]:
    """The standardised prediction of clips, uint8 [clips, 128, 128], by a model's head on sound, and how much lower it
    is without each clip, float64 [clips]; the only clip contributes nothing.
    """
    stacked = network.frames if network.aggregate == "channels" else 1
    pictures = torch.from_numpy(clips)[:, None, None].expand(-1, stacked, 3, -1, -1)
    with torch.inference_mode():
        features = [network.unpooled(network.to_float(part)).flatten(1) for part in pictures.split(AT_ONCE)]
        scores = (torch.cat(features).double() @ sound["weight"].double() + sound["bias"]).numpy()
    return float(scores.mean()), (scores - scores.mean()) / max(1, len(scores) - 1)


def _attribute_single(network: FilmRegressor, pictures: Tensor, views: np.ndarray) -> Attribution:
    rows, maps = _features_and_maps(network, pictures)
    features = torch.stack([network.joined(rows[view]) for view in views])
    prediction = network.head(features).mean()
    heat = torch.cat([_gradient_heat(prediction, part) for part in maps]) if maps[0] else None
    contributions = torch.zeros(len(pictures))
    with torch.no_grad():
        for view, whole in zip(views, features):
            for frame in _removable(view):
                without = network.joined(rows[view[view != frame]])
                contributions[frame] += (network.head(whole) - network.head(without))[0] / len(views)
    mean = features.detach().mean(0).numpy()
    return Attribution(float(prediction.detach()), mean, contributions.numpy(), heat)


def _removable(view: np.ndarray) -> np.ndarray:
    """The distinct frames of a view; none if it is one frame."""
    return np.unique(view) if view.min() < view.max() else view[:0]


def _gradient_heat(prediction: Tensor, maps: list[Tensor]) -> Tensor:
    """The size of gradient times activation, summed over the channels of maps [frames, channels, height, width]."""
    gradients = torch.autograd.grad(prediction, maps, retain_graph=True)
    effects = [(gradient * map_).sum(1, keepdim=True) for gradient, map_ in zip(gradients, maps)]
    if len(effects) > 1:  # maps of several sizes: weighted so that each covers the same picture
        shares = [effect * effect[0].numel() for effect in effects]
        effects = [nn.functional.interpolate(share, (FINE, FINE), mode="bilinear", antialias=True) for share in shares]
    return sum(effects)[:, 0].abs().detach()


def _features_and_maps(network: FilmRegressor, pictures: Tensor) -> tuple[Tensor, list[list[Tensor]]]:
    """The backbone's features [frames, n], and the feature maps at which a head's gradients end, for parts of frames.

    Gradient times activation of the last map is Grad-CAM (Selvaraju et al. 2017), here place by place. If the head uses
    all stages, the maps of each are returned, summed as in LayerCAM (Jiang et al. 2021).
    """
    last: list[Tensor] = []

    def keep_map(module: nn.Module, inputs: tuple, output: object) -> Tensor | None:
        if not isinstance(output, Tensor) or output.ndim != 4 or min(output.shape[2:]) < 2:
            return None
        last[:] = [output.detach().requires_grad_()]  # gradients end here: nothing before it stays in memory
        return last[0].clone()  # the next layer may work in place

    rows, maps = [], []
    hooks = [module.register_forward_hook(keep_map) for module in network.backbone.modules()]
    try:
        for part in pictures.split(AT_ONCE):
            last.clear()
            stages: list[Tensor] = []
            rows.append(network.unpooled(part[None], stages)[0])
            maps.append([map_ for map_ in [*stages, *last] if map_.ndim == 4])
    finally:
        for hook in hooks:
            hook.remove()
    return torch.cat(rows), maps


def _attribute_stacked(network: FilmRegressor, pictures: Tensor, views: np.ndarray) -> Attribution:
    contributions, cells, features, predictions = torch.zeros(len(pictures)), [], [], []
    for view in views:
        frames = pictures[view].requires_grad_()
        features.append(network.features(frames[None])[0])
        predictions.append(network.head(features[-1])[0])
        (gradient,) = torch.autograd.grad(predictions[-1], frames)
        with torch.no_grad():
            means = _mean_of_others(frames, view)
            effects = (gradient * (frames - means)).sum(1, keepdim=True)
            cells.append(nn.functional.avg_pool2d(effects, max(1, min(effects.shape[2:]) // COARSE))[:, 0].abs())
            for frame in _removable(view):
                without = torch.where(torch.from_numpy(view == frame)[:, None, None, None], means, frames)
                contributions[frame] += (predictions[-1] - network.score(without[None])[0]) / len(views)
    heat = torch.zeros(len(pictures), *cells[0].shape[1:])
    heat.index_add_(0, torch.from_numpy(views.flatten()), torch.cat(cells))
    mean = torch.stack(features).detach().mean(0).numpy()
    return Attribution(float(torch.stack(predictions).detach().mean()), mean, contributions.numpy(), heat)


def _mean_of_others(frames: Tensor, view: np.ndarray) -> Tensor:
    """For each place of a view the mean of its other frames, [frames, 3, height, width]; 0 where there are none."""
    other = torch.from_numpy(view[:, None] != view).float()
    return torch.einsum("po,ochw->pchw", other / other.sum(1, keepdim=True).clamp(min=1), frames)


@dataclass(frozen=True)
class Neighbour:
    """A training film: its score in IMDb points, its distance, and a frame, uint8 [90, 160, 3].

    The distance is the root mean square over the features, each divided by its sd over the training films.
    """

    imdb_id: str
    title: str
    year: int
    score: float
    distance: float
    picture: np.ndarray


@dataclass(frozen=True)
class Index:
    """The training films: `features`, float32 [films, n], standardised by `mean` and `sd` [n].

    `films`: imdb_id, title, year and score of each; `far`: 99 % of them have another within this distance.
    """

    features: np.ndarray
    mean: np.ndarray
    sd: np.ndarray
    films: list[tuple[str, str, int, float]]
    jpegs: list[bytes]
    far: float

    @classmethod
    def read(cls, facts: dict[str, Any]) -> "Index":
        """The index of a model file, as training writes it; ValueError, KeyError, ... when it is damaged."""
        ends = facts["ends"].tolist()
        jpegs = [facts["pictures"].numpy()[start:end].tobytes() for start, end in zip([0, *ends], ends)]
        kinds = {"imdb_id": str, "title": str, "year": int, "score": float}
        films = list(zip(*(map(kind, facts[name]) for name, kind in kinds.items()), strict=True))
        mean, sd, features = (facts[name].float().numpy() for name in ("mean", "sd", "features"))
        if not (features.shape == (len(films), len(mean)) and mean.shape == sd.shape and len(jpegs) == len(films) > 0):
            raise ValueError("the index of similar films is damaged")
        return cls(features, mean, sd, films, jpegs, float(facts["far"]))

    def nearest(self, features: np.ndarray) -> list[Neighbour]:
        """The five training films nearest to `features`, float32 [n], the nearest first."""
        distances = np.sqrt((((features - self.mean) / self.sd - self.features) ** 2).mean(1))
        order = np.argsort(distances, kind="stable")[:NEIGHBOURS]
        return [Neighbour(*self.films[n], float(distances[n]), _read_jpeg(self.jpegs[n])) for n in order]


def _read_jpeg(jpeg: bytes) -> np.ndarray:
    """A picture of an untrusted file; grey when it is damaged."""
    try:
        with Image.open(io.BytesIO(jpeg), formats=["JPEG"]) as picture:
            return np.asarray(picture.convert("RGB").resize(PICTURE))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return np.full((*PICTURE[::-1], 3), 128, np.uint8)
