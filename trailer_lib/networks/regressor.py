"""Any torchvision or timm network as a regressor over the frames of a film, with its pretrained weights kept."""

from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor, nn

from trailer_lib.errors import TrailerError, suggestion
from trailer_lib.networks.backbone import Trunk, freeze_parts, stage_features, stage_widths, widen_stem
from trailer_lib.networks.pretrained import Weights, download, fill, load, read_weights, untrained_trunk
from trailer_lib.settings import TrainSettings

AGGREGATIONS = ("channels", "mean", "attention")


class FilmRegressor(nn.Module):
    """frames of a film -> one standardised score.

    Input uint8 [films, frames, 3, height, width] RGB; output float32 [films], in sd of the train scores.
    `report`: what was loaded and what starts at random. `frozen`: parts of the backbone without gradients, always in
    eval mode, as is the whole backbone under a `fitted` head. `blocks`: the features of each stage that the head gets.
    """

    def __init__(
        self, trunk: Trunk, frames: int, aggregate: str, report: str, pixels: str = "imagenet", freeze: str = "none",
        depth: str = "last",
    ) -> None:  # fmt: skip
        super().__init__()
        self.backbone, self.size = trunk.network, trunk.size
        self.frames, self.aggregate, self.pixels, self.report = frames, aggregate, pixels, report
        channels = 3 * frames if aggregate == "channels" else 3
        self.blocks = stage_widths(trunk, channels) if depth == "stages" else (trunk.features,)
        self.width = sum(self.blocks)
        self.frozen, self.fitted = freeze_parts(trunk.network, freeze), False
        self.head = nn.Linear(self.width, 1)
        self.attention = nn.Linear(self.width, 1) if aggregate == "attention" else None
        if self.attention is not None:
            nn.init.zeros_(self.attention.weight)  # at first all frames have the same share
        self.register_buffer("mean", torch.tensor(trunk.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("sd", torch.tensor(trunk.sd).view(3, 1, 1), persistent=False)
        self.train()

    def normalise(self, frames: Tensor) -> Tensor:
        """uint8 frames as floats of mean 0 and sd 1 in each channel; with pixels="raw" BGR from 0 to 255."""
        if frames.dtype != torch.uint8 or frames.ndim != 5 or frames.shape[1:3] != (self.frames, 3):
            given = f"{frames.dtype} {list(frames.shape)}"
            raise ValueError(f"expected uint8 [films, {self.frames}, 3, height, width], got {given}")
        return self.to_float(frames)

    def to_float(self, pictures: Tensor) -> Tensor:
        """`normalise` for pictures uint8 [..., 3, height, width] in any number."""
        if self.pixels == "raw":
            return pictures.flip(-3).float()
        return (pictures / 255.0 - self.mean) / self.sd

    def unpooled(self, frames: Tensor, maps: list[Tensor] | None = None) -> Tensor:
        """Normalised frames [films, frames, 3, height, width] -> the backbone's [films, frames (if stacked 1), n]."""
        stacked = self.aggregate == "channels"
        pictures = frames.flatten(1, 2) if stacked else frames.flatten(0, 1)
        if self.size not in (0, pictures.shape[-1]):  # position embeddings are made for one size
            smaller = self.size < pictures.shape[-1]
            pictures = nn.functional.interpolate(pictures, (self.size,) * 2, mode="bilinear", antialias=smaller)
        features = stage_features(self.backbone, pictures, maps) if len(self.blocks) > 1 else self.backbone(pictures)
        return features.unsqueeze(1) if stacked else features.unflatten(0, frames.shape[:2])

    def features(self, frames: Tensor) -> Tensor:
        """Normalised frames [films, frames, 3, height, width] -> the head's input: float [films, n]."""
        return self.joined(self.unpooled(frames))

    def joined(self, unpooled: Tensor) -> Tensor:
        """The backbone's features of frames [..., frames, n] -> the head's input for the films: [..., n]."""
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
            part.eval()  # else its batch normalisation would follow the films, and its dropout change its features
        return self

    def summary(self) -> str:
        """The size of the network, how much is trained, its first convolution, and where its weights come from."""
        parameters = sum(tensor.numel() for tensor in self.parameters())
        trained = sum(tensor.numel() for tensor in self.parameters() if tensor.requires_grad)
        first = next(layer for layer in self.backbone.modules() if isinstance(layer, nn.Conv2d))
        share = "" if trained == parameters else f", {trained / 1e6:.1f} M trained"
        size = f"; pictures are resized to {self.size} x {self.size}" if self.size else ""
        convolution = f"first convolution {first.in_channels} -> {first.out_channels} channels"
        return f"{parameters / 1e6:.1f} M parameters{share}; {convolution}{size}; {self.report}"


def build(
    backbone: str = "resnet18", frames: int = 5, aggregate: str = "channels", weights: str = "DEFAULT",
    first_conv: str = "repeat", pixels: str = "imagenet", freeze: str = "none", depth: str = "last",
) -> FilmRegressor:  # fmt: skip
    """A regressor over `frames` frames on a torchvision classifier, or with "timm:NAME" on a model of timm.

    `aggregate="channels"`, the original's way, stacks the frames into the first convolution, by `first_conv` (see
    widen_stem); "mean" and "attention" average the features of single frames. `weights`: "DEFAULT" (the library's own,
    downloaded), "none", a file, or another model's best_model.pt. `freeze`: "none", "backbone", or a number of first
    stages.
    """
    if aggregate not in AGGREGATIONS:
        raise TrailerError(f"unknown aggregate {aggregate!r}: {suggestion(aggregate, AGGREGATIONS)}")
    if weights == "none":
        loaded = Weights("weights='none'", {})
    else:
        loaded = download(backbone) if weights == "DEFAULT" else read_weights(Path(weights), pixels)
    trunk = untrained_trunk(backbone, loaded.state)
    replaced = trunk.first if (aggregate, first_conv) == ("channels", "random") else ()
    stacked, report = fill(trunk, loaded, replaced)
    if aggregate == "channels":
        widen_stem(trunk, frames, first_conv, stacked)
    kernels = trunk.network.state_dict()
    if not replaced and any(kernels[name].shape != kernel.shape for name, kernel in stacked.items()):
        report += "; the frames' kernels of its first layer were summed"
    return FilmRegressor(trunk, frames, aggregate, report, pixels, freeze, depth)


def restore(settings: TrainSettings, report: str, state: dict[str, Tensor]) -> FilmRegressor:
    """The regressor of these settings whose `state_dict` is `state`; RuntimeError when the state is another's."""
    expected = {}  # compared before anything is allocated: a hostile file may name a network larger than the memory
    with suppress(RuntimeError, TrailerError), torch.device("meta"):  # RegNet can't be built there
        expected = {name: tensor.shape for name, tensor in _untrained(settings, report, state).state_dict().items()}
    if expected and expected != {name: tensor.shape for name, tensor in state.items()}:
        raise RuntimeError(f"not the tensors of {settings.backbone}")
    regressor = _untrained(settings, report, state)
    load(regressor, state, strict=True)
    return regressor


def _untrained(s: TrainSettings, report: str, state: dict[str, Tensor]) -> FilmRegressor:
    trunk = untrained_trunk(s.backbone, {name.removeprefix("backbone.") for name in state})
    if s.aggregate == "channels":
        widen_stem(trunk, s.frames, "random", {})
    return FilmRegressor(trunk, s.frames, s.aggregate, report, s.pixels, s.freeze, s.depth)
