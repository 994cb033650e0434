"""torchvision's classifiers by name: built, filled, and taken apart."""

from collections.abc import Collection

from torch import nn
from torchvision import models

from trailer_lib.errors import TrailerError, suggestion
from trailer_lib.networks.backbone import Trunk
from trailer_lib.networks.weights import Weights

CLASSES = 1000
# Their ImageNet weights were trained with pixels from -1 to 1.
INCEPTIONS = ("googlenet", "inception_v3")


def create(name: str) -> nn.Module:
    known = models.list_models(module=models)
    if name not in known:
        raise TrailerError(f"unknown backbone {name!r}: {suggestion(name, known)}")
    # Two extra outputs in training, and another normalisation, are for those who train them on ImageNet.
    extra = {"aux_logits": False, "init_weights": True, "transform_input": False}
    return models.get_model(name, weights=None, **extra if name in INCEPTIONS else {})


def download(name: str) -> Weights:
    """torchvision's best ImageNet weights, checked by their hash, from torch's cache if they are there."""
    choice = models.get_model_weights(name).DEFAULT
    try:
        return Weights(f"{name} {choice.name}", choice.get_state_dict(progress=True, check_hash=True))
    except Exception as error:  # no network, a full disk, a wrong hash, or a damaged file in torch's cache
        raise TrailerError(
            f"the weights of {name} can't be had from {choice.url} ({error}): download them elsewhere and set"
            " weights to the file, or weights='none' to start at random"
        ) from error


def classifiers(network: nn.Module) -> tuple[str, ...]:
    """Where the names of the layers behind the trunk begin."""
    return (_last_layer(network)[0].split(".")[0] + ".",)


def first_convolutions(network: nn.Module) -> tuple[str, ...]:
    """The names of the layers that see the pictures: one, in all of torchvision's classifiers."""
    return (next(name for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d)),)


def take_apart(name: str, network: nn.Module, filled: Collection[str]) -> Trunk:
    """The network without its last layer. `filled` names the tensors that were loaded, none if all are random."""
    if filled:
        _drop_unfilled_classifier(network, filled)
    last, layer = _last_layer(network)
    network.set_submodule(last, nn.Identity())
    features = layer.in_channels if isinstance(layer, nn.Conv2d) else layer.in_features
    half = {"mean": (0.5, 0.5, 0.5), "sd": (0.5, 0.5, 0.5)} if name in INCEPTIONS else {}
    return Trunk(network, features, first_convolutions(network), size=_only_size(name, network), **half)


def _only_size(name: str, network: nn.Module) -> int:
    """The picture size that position embeddings or MaxViT's windows are made for."""
    return 224 if name == "maxvit_t" else getattr(network, "image_size", 0)


def _drop_unfilled_classifier(network: nn.Module, filled: Collection[str]) -> None:
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
