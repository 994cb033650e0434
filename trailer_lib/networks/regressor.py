"""Any torchvision or timm network as a regressor over the frames of a film, with its pretrained weights kept."""

from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor, nn

from trailer_lib.errors import TrailerError, suggestion
from trailer_lib.networks import timm_backbones, torchvision_backbones
from trailer_lib.networks.backbone import (
    AGGREGATIONS,
    Trunk,
    of_one_frame,
    stacked_kernels,
    stage_features,
    stage_widths,
    widen_first_layer,
)
from trailer_lib.networks.weights import Weights, fill, load, read, report_of, whole
from trailer_lib.settings import TrainSettings

TIMM = "timm:"
MOST_FEATURES = 1_000_000  # of a picture, that a model file may claim; ViT-H has 83,200


class FilmRegressor(nn.Module):
    """frames of a film -> one standardised score.

    Input uint8 [films, frames, 3, height, width] RGB; output float32 [films], in sd of the train scores.
    `report` says in a line what the weights filled and what starts at random. `frozen` lists the parts of the backbone
    that are not trained: without gradients, and in eval mode also while the rest is trained. So is the whole backbone
    under a `fitted` head: what it was fitted on are the features of that mode. `blocks` are the numbers of features
    that come from one stage each: of all stages (stage_widths), or by default of the last one alone.
    """

    def __init__(
        self, trunk: Trunk, frames: int, aggregate: str, report: str, pixels: str = "imagenet", freeze: str = "none",
        blocks: tuple[int, ...] = (),
    ) -> None:  # fmt: skip
        super().__init__()
        self.backbone, self.size = trunk.network, trunk.size
        self.frames, self.aggregate, self.pixels, self.report = frames, aggregate, pixels, report
        self.blocks = blocks or (trunk.features,)
        self.width = sum(self.blocks)
        self.frozen, self.fitted = freeze(trunk.network, freeze), False
        self.head = nn.Linear(self.width, 1)
        self.attention = _even_attention(self.width) if aggregate == "attention" else None
        self.register_buffer("mean", torch.tensor(trunk.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("sd", torch.tensor(trunk.sd).view(3, 1, 1), persistent=False)
        self.train()

    def normalise(self, frames: Tensor) -> Tensor:
        """uint8 frames as floats, as the backbone's pretraining saw them: mean 0 and sd 1 in each channel.

        With pixels="raw" BGR from 0 to 255, as the original fed it.
        """
        if frames.dtype != torch.uint8 or frames.ndim != 5 or frames.shape[1] != self.frames or frames.shape[2] != 3:
            raise ValueError(
                f"expected uint8 [films, {self.frames}, 3, height, width], got {frames.dtype} {list(frames.shape)}"
            )
        return self.to_float(frames)

    def to_float(self, pictures: Tensor) -> Tensor:
        """`normalise` for pictures uint8 [..., 3, height, width] in any number."""
        if self.pixels == "raw":
            return pictures.flip(-3).float()
        return (pictures / 255.0 - self.mean) / self.sd

    def unpooled(self, frames: Tensor, watched: list[Tensor] | None = None) -> Tensor:
        """Normalised frames [films, frames, 3, height, width] -> the backbone's features [films, frames, n].

        Stacked frames ("channels") have one row of features: [films, 1, n]. `watched`: see stage_features.
        """
        stacked = self.aggregate == "channels"
        pictures = self._sized(frames.flatten(1, 2) if stacked else frames.flatten(0, 1))
        features = self._features(pictures, watched)
        if features.shape[1] != self.width:  # what a model file says is only checked here
            raise TrailerError(f"the network gives {features.shape[1]} features, not {self.width}: train it again")
        return features.unsqueeze(1) if stacked else features.unflatten(0, frames.shape[:2])

    def _features(self, pictures: Tensor, watched: list[Tensor] | None) -> Tensor:
        if len(self.blocks) == 1:
            return self.backbone(pictures)
        return stage_features(self.backbone, pictures, watched)

    def _sized(self, pictures: Tensor) -> Tensor:
        """Pictures in the only size the backbone takes, if it has one: position embeddings are made for it."""
        if self.size in (0, pictures.shape[-1]):
            return pictures
        smaller = self.size < pictures.shape[-1]
        return nn.functional.interpolate(pictures, (self.size, self.size), mode="bilinear", antialias=smaller)

    def features(self, frames: Tensor) -> Tensor:
        """Normalised frames [films, frames, 3, height, width] -> what the head sees: float [films, n]."""
        return self.joined(self.unpooled(frames))

    def joined(self, unpooled: Tensor) -> Tensor:
        """The backbone's features of frames [..., frames, n] -> what the head sees of the films: [..., n]."""
        if self.attention is None:
            return unpooled.mean(-2)
        return (self.attention(unpooled).softmax(-2) * unpooled).sum(-2)

    def score(self, frames: Tensor) -> Tensor:
        """Normalised frames [films, frames, 3, height, width] -> standardised scores [films]."""
        return self.head(self.features(frames)).squeeze(1)

    def forward(self, frames: Tensor) -> Tensor:
        return self.score(self.normalise(frames))

    def train(self, mode: bool = True) -> "FilmRegressor":
        super().train(mode)
        for part in [self.backbone] if self.fitted else self.frozen:
            part.eval()  # else its batch normalisation would follow the films, and its dropout spoil its features
        return self

    def summary(self) -> str:
        """The size of the network, what of it is trained, its first convolution, and where its weights come from."""
        parameters = sum(tensor.numel() for tensor in self.parameters())
        trained = sum(tensor.numel() for tensor in self.parameters() if tensor.requires_grad)
        first = next(layer for layer in self.backbone.modules() if isinstance(layer, nn.Conv2d))
        shape = f"{first.in_channels} -> {first.out_channels} channels"
        share = "" if trained == parameters else f", {trained / 1e6:.1f} M trained"
        size = f"; pictures are resized to {self.size} x {self.size}" if self.size else ""
        return f"{parameters / 1e6:.1f} M parameters{share}; first convolution {shape}{size}; {self.report}"


def _even_attention(features: int) -> nn.Linear:
    """Starts with the same share for every frame: a film is then the mean of its frames."""
    attention = nn.Linear(features, 1)
    nn.init.zeros_(attention.weight)
    nn.init.zeros_(attention.bias)
    return attention


def build(
    backbone: str = "resnet18",
    frames: int = 5,
    aggregate: str = "channels",
    weights: str = "DEFAULT",
    first_conv: str = "repeat",
    pixels: str = "imagenet",
    freeze: str = "none",
    depth: str = "last",
) -> FilmRegressor:
    """A regressor over `frames` frames on a torchvision classifier, or with "timm:NAME" on a model of timm.

    `aggregate="channels"` is the original's way: the frames stacked into the first convolution, whose pretrained kernel is
    repeated over them and divided by their number, so that equal frames give the one-frame response, or with
    first_conv="random" replaced by a random one. "mean" and "attention" show the untouched backbone every frame and
    average its features.
    `weights`: "DEFAULT" (the library's own, downloaded), "none", a file, or another model's best_model.pt; what can't
    be had is an error. `freeze`: "none", "backbone", or a number of first stages (stages.stages), like "2". `depth`:
    the head sees the features of the "last" layer, or of all "stages".
    """
    if aggregate not in AGGREGATIONS:
        raise TrailerError(f"unknown aggregate {aggregate!r}: {suggestion(aggregate, AGGREGATIONS)}")
    if first_conv == "random" and aggregate != "channels":
        raise TrailerError(
            f"first_conv='random' with aggregate={aggregate!r}: only aggregate='channels' has a first layer of its own"
        )
    library, name = _library(backbone)
    found = _weights(library, name, weights)
    _require_same_pixels(found, pixels)
    trunk = _filled(library, name, found)
    report = report_of(found, trunk.network, list(trunk.first) if first_conv == "random" else [])
    kernels = stacked_kernels(found.state, trunk.first)
    if aggregate == "channels":
        widen_first_layer(trunk, frames, first_conv, kernels)
    learned = [tensor.shape for tensor in trunk.network.state_dict().values()]
    if first_conv == "repeat" and any(kernel.shape not in learned for kernel in kernels.values()):
        report += "; its frames' kernels summed in the first layer"
    blocks = stage_widths(trunk, 3 * frames if aggregate == "channels" else 3) if depth == "stages" else ()
    return FilmRegressor(trunk, frames, aggregate, report, pixels, freeze, blocks)


def _filled(library: ModuleType, name: str, found: Weights) -> Trunk:
    """The backbone for single frames, its last layer cut, with the weights in it."""
    network = library.create(name)
    if found.state:
        kernels = stacked_kernels(found.state, library.first_convolutions(network))
        single = found.state | {key: of_one_frame(kernel) for key, kernel in kernels.items()}
        fill(network, Weights(found.source, single), library.classifiers(network))
    return library.take_apart(name, network, found.state)


def restore(
    settings: TrainSettings, report: str, state: dict[str, Tensor], blocks: tuple[int, ...] = ()
) -> FilmRegressor:
    """The regressor of these settings, with its `blocks`, whose `state_dict` is `state`.

    RuntimeError when the state, or the numbers of features, are another's.
    """
    if not all(type(block) is int and block > 0 for block in blocks) or sum(blocks) > MOST_FEATURES:
        raise RuntimeError(f"it claims {blocks} features")
    library, name = _library(settings.backbone)
    network = library.create(name)
    trunk = library.take_apart(name, network, {key.removeprefix("backbone.") for key in state})
    if settings.aggregate == "channels":
        widen_first_layer(trunk, settings.frames, "random", {})  # what the state replaces need not be tried out
    regressor = FilmRegressor(
        trunk, settings.frames, settings.aggregate, report, settings.pixels, settings.freeze, blocks
    )
    load(regressor, state, strict=True)
    return regressor


def _library(backbone: str) -> tuple[ModuleType, str]:
    """The file that knows a backbone's library, and the backbone's name there."""
    if backbone.startswith(TIMM):
        return timm_backbones, backbone.removeprefix(TIMM)
    return torchvision_backbones, backbone


def _weights(library: ModuleType, name: str, weights: str) -> Weights:
    if weights == "none":
        return Weights("weights='none'", {})
    if weights != "DEFAULT":
        return read(Path(weights))
    found = library.download(name)
    return Weights(found.source, whole(found.state))


def _require_same_pixels(found: Weights, pixels: str) -> None:
    before = found.settings.get("pixels", pixels)
    if before != pixels:
        raise TrailerError(f"{found.source} was trained with pixels={before!r}: set pixels to it, or other weights")
