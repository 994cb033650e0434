"""timm's image models by name, CLIP's and SigLIP's image towers among them: built, filled, and taken apart."""

from collections.abc import Collection
from types import ModuleType

import torch
from torch import nn

from trailer_lib.errors import TrailerError, suggestion
from trailer_lib.networks.backbone import Trunk
from trailer_lib.networks.weights import Weights


def _timm() -> ModuleType:
    try:
        import timm  # an extra of the package: only who names such a backbone needs it
    except ImportError as error:
        raise TrailerError("a backbone 'timm:NAME' needs the package timm: pip install timm") from error
    return timm


def create(name: str) -> nn.Module:
    timm = _timm()
    # timm also takes 'hf-hub:...' and 'local-dir:...', which let a model file choose what is read: is_model does not.
    if not timm.is_model(name):
        raise TrailerError(f"unknown backbone 'timm:{name}': {_hint(name, timm.list_models())}")
    return _made(name, pretrained=False)


def _hint(name: str, known: list[str]) -> str:
    hint = suggestion(name, known)
    return hint if hint.startswith("did") else "timm.list_models() names them all"


def _made(name: str, pretrained: bool) -> nn.Module:
    try:
        return _timm().create_model(name, pretrained=pretrained)
    except RuntimeError as error:  # 'Invalid pretrained tag', or no weights for this model
        raise TrailerError(f"timm:{name}: {' '.join(str(error).split())[:120]}") from error


def download(name: str) -> Weights:
    """timm's pretrained weights from its hub or its cache; every tensor must fit."""
    try:
        return Weights(f"timm:{name} pretrained", _made(name, pretrained=True).state_dict())
    except TrailerError:
        raise
    except Exception as error:  # no network, a full disk, or a damaged file in the hub's cache
        reason = " ".join(str(error).split())[:120]
        raise TrailerError(
            f"the weights of timm:{name} can't be had ({type(error).__name__}: {reason}): download them elsewhere and"
            " set weights to the file, or weights='none' to start at random"
        ) from error


def classifiers(network: nn.Module) -> tuple[str, ...]:
    """Where the names of the layers behind the trunk begin."""
    return tuple(f"{name}." for name in _names(network.pretrained_cfg.get("classifier")))


def first_convolutions(network: nn.Module) -> tuple[str, ...]:
    """The names of the layers that see the pictures; CrossViT, for one, has two."""
    return _names(network.pretrained_cfg.get("first_conv"))


def take_apart(name: str, network: nn.Module, filled: Collection[str]) -> Trunk:
    """The network without its classifier; timm's own facts say what it was trained with."""
    facts = network.pretrained_cfg
    network.reset_classifier(0)
    size = max(facts["input_size"][1:]) if facts.get("fixed_input_size") else 0
    features = _count_features(network, facts["input_size"])
    return Trunk(network, features, first_convolutions(network), facts["mean"], facts["std"], size)


def _names(value: str | tuple | list | None) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value or ())


def _count_features(network: nn.Module, shape: tuple[int, int, int]) -> int:
    """Asked of the network itself: timm has several numbers of that name, which differ in some families."""
    training = network.training
    with torch.inference_mode():
        found = network.eval()(torch.zeros(1, *shape))
    network.train(training)
    if found.ndim != 2:
        raise TrailerError(f"timm:{type(network).__name__} gives {list(found.shape)} instead of a row of features")
    return found.shape[1]
