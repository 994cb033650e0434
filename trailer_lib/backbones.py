"""Any torchvision classifier as a regressor over the frames of a film, with its pretrained weights kept.

A network is taken apart where every classifier can be: its first convolution and its last layer of 1000 classes.
"""

import copy
from collections import OrderedDict
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision import models

from trailer_lib.errors import TrailerError, nearest

IMAGENET_MEAN, IMAGENET_SD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLASSES = 1000
JOINS = ("channels", "mean", "attention")


class FilmRegressor(nn.Module):
    """frames of a film -> one standardised score.

    Input uint8 [films, frames, 3, height, width] RGB; output float32 [films], in sd of the train scores.
    `report` says in a line what the weights filled and what starts at random.
    """

    def __init__(self, backbone: nn.Module, features: int, frames: int, join: str, report: str) -> None:
        super().__init__()
        self.backbone, self.frames, self.join, self.report = backbone, frames, join, report
        self.head = nn.Linear(features, 1)
        self.attention = nn.Linear(features, 1) if join == "attention" else None
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 1, 3, 1, 1), persistent=False)
        self.register_buffer("sd", torch.tensor(IMAGENET_SD).view(1, 1, 3, 1, 1), persistent=False)

    def normalise(self, frames: Tensor) -> Tensor:
        """uint8 frames as the backbone's pretraining saw them: float, ImageNet mean 0 and sd 1 in each channel."""
        if frames.dtype != torch.uint8 or frames.ndim != 5 or frames.shape[1] != self.frames or frames.shape[2] != 3:
            raise ValueError(
                f"expected uint8 [films, {self.frames}, 3, height, width], got {frames.dtype} {list(frames.shape)}"
            )
        return (frames / 255.0 - self.mean) / self.sd

    def score(self, frames: Tensor) -> Tensor:
        """Normalised frames [films, frames, 3, height, width] -> standardised scores [films]."""
        if self.join == "channels":
            return self.head(self.backbone(frames.flatten(1, 2))).squeeze(1)
        features = self.backbone(frames.flatten(0, 1)).unflatten(0, frames.shape[:2])
        if self.attention is None:
            return self.head(features.mean(1)).squeeze(1)
        shares = self.attention(features).softmax(1)
        return self.head((shares * features).sum(1)).squeeze(1)

    def summary(self) -> str:
        """The size of the network, its first convolution, and where its weights come from."""
        parameters = sum(tensor.numel() for tensor in self.parameters())
        first = next(layer for layer in self.backbone.modules() if isinstance(layer, nn.Conv2d))
        shape = f"{first.in_channels} -> {first.out_channels} channels"
        return f"{parameters / 1e6:.1f} M parameters; first convolution {shape}; {self.report}"

    def forward(self, frames: Tensor) -> Tensor:
        return self.score(self.normalise(frames))


def build(
    backbone: str = "resnet18", frames: int = 5, join: str = "channels", weights: str = "DEFAULT"
) -> FilmRegressor:
    """A regressor over `frames` frames on a torchvision classifier.

    `join="channels"` is the original's way: the frames stacked into the first convolution, whose pretrained kernel is
    repeated over them and divided by their number, so that equal frames give the one-frame response. "mean" and
    "attention" show the untouched backbone every frame and pool its features.
    `weights`: "DEFAULT" (torchvision's ImageNet weights, downloaded), "none", or a file; what can't be had is an error.
    """
    if join not in JOINS:
        raise TrailerError(f"unknown join {join!r}: {nearest(join, JOINS)}")
    network = _classifier(backbone)
    source, state = _weights(backbone, weights)
    if state:
        _fill(network, state, source)
    features = _cut_last_layer(network)
    report = _report(source, state, network)
    if join == "channels" and frames > 1:
        _widen_first_convolution(network, frames)
    return FilmRegressor(network, features, frames, join, report)


def restore(backbone: str, frames: int, join: str, report: str, state: dict[str, Tensor]) -> FilmRegressor:
    """The regressor whose `state_dict` is `state`; RuntimeError when it is another's."""
    network = _classifier(backbone)
    _drop_unfilled_classifier(network, {key.removeprefix("backbone."): value for key, value in state.items()})
    features = _cut_last_layer(network)
    if join == "channels" and frames > 1:
        _widen_first_convolution(network, frames)
    regressor = FilmRegressor(network, features, frames, join, report)
    _load(regressor, state, strict=True)
    return regressor


def _load(network: nn.Module, state: dict[str, Tensor], strict: bool) -> None:
    """load_state_dict for a plain dict: MNASNet asks for a version number that only a module's own state has."""
    versioned = OrderedDict(state)
    versioned._metadata = network.state_dict()._metadata
    network.load_state_dict(versioned, strict=strict)


def _classifier(name: str) -> nn.Module:
    known = models.list_models(module=models)
    if name not in known:
        raise TrailerError(f"unknown backbone {name!r}: {nearest(name, known)}")
    # GoogLeNet and Inception compute two extra outputs in training unless they have pretrained weights.
    # Their ImageNet weights expect pixels from -1 to 1, to which transform_input turns ImageNet's mean and sd.
    extra = {"aux_logits": False, "init_weights": True, "transform_input": True}
    return models.get_model(name, weights=None, **extra if name in ("googlenet", "inception_v3") else {})


def _weights(name: str, weights: str) -> tuple[str, dict[str, Tensor]]:
    if weights == "none":
        return "weights='none'", {}
    source, state = _download(name) if weights == "DEFAULT" else (Path(weights).name, read_tensors(Path(weights)))
    return source, {key: value.float() if value.is_floating_point() else value for key, value in state.items()}


def _fill(network: nn.Module, state: dict[str, Tensor], source: str) -> None:
    """Load `state`. The trunk must be filled whole and fit; only the classifier behind it may stay as it is."""
    wanted, (last, _) = network.state_dict(), _last_layer(network)
    top = last.split(".")[0]
    children = dict(network.named_children())
    differ = [key for key in wanted if key.split(".")[0] != top and _shape(state, key) != wanted[key].shape]
    differ += [key for key in state if key.split(".")[0] in children and key.split(".")[0] != top and key not in wanted]
    differ = [key for key in differ if not key.endswith("num_batches_tracked")]
    if differ:
        raise TrailerError(
            f"{source}: {len(differ)} tensors do not fit, {differ[0]} first: is it the file of another backbone?"
        )
    fitting = {key: value for key, value in state.items() if key in wanted and wanted[key].shape == value.shape}
    _load(network, fitting, strict=False)
    _drop_unfilled_classifier(network, fitting)


def _shape(state: dict[str, Tensor], key: str) -> torch.Size | None:
    return state[key].shape if key in state else None


def _report(source: str, state: dict[str, Tensor], network: nn.Module) -> str:
    if not state:
        return f"{source}: every layer starts at random"
    names = network.state_dict().keys()
    left = sorted(
        {key.rpartition(".")[0] for key in names if key not in state and not key.endswith("num_batches_tracked")}
    )
    return f"{source}: {sum(key in state for key in names)} tensors loaded; at random: {', '.join([*left, 'head'])}"


def _download(name: str) -> tuple[str, dict[str, Tensor]]:
    choice = models.get_model_weights(name).DEFAULT
    try:
        return f"{name} {choice.name}", choice.get_state_dict(progress=True, check_hash=True)
    except Exception as error:  # no network, a full disk, a wrong hash, or a damaged file in torch's cache
        raise TrailerError(
            f"the weights of {name} can't be had from {choice.url} ({error}): download them elsewhere and set"
            " weights to the file, or weights='none' to start at random"
        ) from error


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a .pth file by name. Only tensors are read: nothing in the file is executed."""
    if not path.is_file():
        raise TrailerError(f"weights {path}: no such file: name a file, 'DEFAULT' or 'none'")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises a dozen kinds for a damaged or hostile file
        raise TrailerError(f"weights {path.name}: not a file of tensors ({type(error).__name__})") from error
    tensors = (
        {key: value for key, value in state.items() if isinstance(value, Tensor)} if isinstance(state, dict) else {}
    )
    if not tensors:
        raise TrailerError(
            f"weights {path.name}: no tensors by name in it: expected a state_dict saved with torch.save"
        )
    return tensors


def _drop_unfilled_classifier(network: nn.Module, filled: dict[str, Tensor]) -> None:
    """Cut the hidden layers of a classifier (VGG's) that a trunk-only file left at random.

    A hundred million random weights between a good trunk and few films would only be noise to learn away.
    """
    classifier = getattr(network, "classifier", None)
    if not isinstance(classifier, nn.Sequential) or any(key.startswith("classifier.") for key in filled):
        return
    linear = [layer for layer in classifier if isinstance(layer, nn.Linear)]
    if len(linear) > 1 and hasattr(network, "features"):
        network.avgpool = nn.AdaptiveAvgPool2d(1)
        channels = [layer for layer in network.features.modules() if isinstance(layer, nn.Conv2d)][-1].out_channels
        network.classifier = nn.Sequential(nn.Linear(channels, CLASSES))


def _last_layer(network: nn.Module) -> tuple[str, nn.Module]:
    """The layer that gives the 1000 classes, and its name: a linear layer, or SqueezeNet's convolution."""
    return [
        (name, layer)
        for name, layer in network.named_modules()
        if CLASSES in (getattr(layer, "out_features", None), getattr(layer, "out_channels", None))
    ][-1]


def _cut_last_layer(network: nn.Module) -> int:
    """Replace the last layer by nothing; returns the number of features that reach it."""
    name, layer = _last_layer(network)
    network.set_submodule(name, nn.Identity())
    return layer.in_channels if isinstance(layer, nn.Conv2d) else layer.in_features


def _widen_first_convolution(network: nn.Module, frames: int) -> None:
    name, old = next((name, layer) for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d))
    new = copy.deepcopy(old)
    new.in_channels = old.in_channels * frames
    new.weight = nn.Parameter(old.weight.detach().repeat(1, frames, 1, 1) / frames)
    network.set_submodule(name, new)
    if getattr(network, "transform_input", False):
        network.transform_input = False  # GoogLeNet's renormalisation knows three channels only
