"""Networks of torchvision and timm by name, taken apart, and their weights: downloaded, or from strangers' files.

The weights must fill the network's trunk whole.
"""

import zipfile
from collections import OrderedDict
from collections.abc import Collection, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torchvision import models

from trailer_lib.errors import TrailerError, suggestion
from trailer_lib.networks.backbone import Trunk

TIMM = "timm:"
INCEPTIONS = ("googlenet", "inception_v3")  # their ImageNet weights were trained with pixels from -1 to 1
STACKED = range(6, 301, 3)  # channels of 2 to 100 frames
BACKBONE = "network.backbone."  # how the names of a backbone's tensors begin in a model file of this library


class Weights(NamedTuple):
    source: str
    state: dict[str, Tensor]  # by name


def require_known(backbone: str) -> None:
    """TrailerError unless it is a classifier of torchvision, like "resnet18", or as "timm:NAME" a model of timm."""
    if not backbone.startswith(TIMM):
        names = models.list_models(module=models)
        if backbone not in names:
            raise TrailerError(f"unknown backbone {backbone!r}: {suggestion(backbone, names)}")
        return
    try:
        import timm  # an extra of the package: only who names such a backbone needs it
    except ImportError as error:
        raise TrailerError("a backbone 'timm:NAME' needs the package timm: pip install timm") from error
    # timm also takes 'hf-hub:...' and 'local-dir:...', which let a model file choose what is read.
    if not timm.is_model(name := backbone.removeprefix(TIMM)):
        hint = suggestion(name, timm.list_models())
        hint = hint if hint.startswith("did you mean") else "timm.list_models() names them all"
        raise TrailerError(f"unknown backbone {backbone!r}: {hint}")


def download(backbone: str) -> Weights:
    """The backbone's library's own weights, of torchvision the best, from its cache if they are there."""
    require_known(backbone)
    source = backbone
    try:
        if backbone.startswith(TIMM):
            network = import_module("timm").create_model(backbone.removeprefix(TIMM), pretrained=True)
            return Weights(f"{backbone} pretrained", network.state_dict())
        choice = models.get_model_weights(backbone).DEFAULT
        source = f"{backbone} from {choice.url}"
        return Weights(f"{backbone} {choice.name}", choice.get_state_dict(progress=True, check_hash=True))
    except Exception as error:  # no network, a full disk, a wrong hash, or a damaged file in the cache
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:120]
        remedy = "set weights to a file of them, or to 'none' (random)"
        raise TrailerError(f"no weights of {source} ({reason}): {remedy}") from error


def untrained_trunk(backbone: str, loaded: Collection[str]) -> Trunk:
    """A backbone without its last layer, with random weights; `loaded` names the tensors that will be loaded."""
    require_known(backbone)
    return _timm_trunk(backbone) if backbone.startswith(TIMM) else _torchvision_trunk(backbone, loaded)


def _torchvision_trunk(backbone: str, loaded: Collection[str]) -> Trunk:
    # The two auxiliary outputs in training, and another normalisation, are for training on ImageNet.
    extra = {"aux_logits": False, "init_weights": True, "transform_input": False}
    network = models.get_model(backbone, weights=None, **extra if backbone in INCEPTIONS else {})
    if loaded:
        _drop_random_classifier(network, loaded)
    layers = [(name, layer) for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    (first, _), (last, classifier) = layers[0], layers[-1]  # SqueezeNet's classifier is a convolution
    network.set_submodule(last, nn.Identity())
    features = classifier.in_channels if isinstance(classifier, nn.Conv2d) else classifier.in_features
    half = {"mean": (0.5, 0.5, 0.5), "sd": (0.5, 0.5, 0.5)} if backbone in INCEPTIONS else {}
    size = 224 if backbone == "maxvit_t" else getattr(network, "image_size", 0)  # of windows or embeddings
    return Trunk(network, features, (first,), size=size, behind=(last.split(".")[0] + ".",), **half)


def _drop_random_classifier(network: nn.Module, loaded: Collection[str]) -> None:
    """Remove a classifier's hidden layers (VGG's 100 M weights) that a file lacks: at random they would add noise."""
    classifier = getattr(network, "classifier", None)
    if not isinstance(classifier, nn.Sequential) or any(name.startswith("classifier.") for name in loaded):
        return
    if sum(isinstance(layer, nn.Linear) for layer in classifier) > 1:
        network.avgpool = nn.AdaptiveAvgPool2d(1)
        channels = [layer for layer in network.features.modules() if isinstance(layer, nn.Conv2d)][-1].out_channels
        network.classifier = nn.Sequential(nn.Linear(channels, 1000))


def _timm_trunk(backbone: str) -> Trunk:
    """As timm's own configuration describes the network."""
    try:
        network = import_module("timm").create_model(backbone.removeprefix(TIMM))
        network.reset_classifier(0)
    except (RuntimeError, AttributeError) as error:  # 'Invalid pretrained tag', or no classifier of pictures
        reason = " ".join(str(error).split())[:120]
        raise TrailerError(f"{backbone} can't be a backbone ({reason}): choose another") from error
    facts = network.pretrained_cfg
    size = max(facts["input_size"][1:]) if facts.get("fixed_input_size") else 0
    layers = [facts.get(key) or () for key in ("first_conv", "classifier")]  # a name, or CrossViT's two names
    first, last = ((names,) if isinstance(names, str) else tuple(names) for names in layers)
    behind = tuple(f"{name}." for name in last)
    return Trunk(network, network.head_hidden_size, first, facts["mean"], facts["std"], size, behind)


def load_file(path: Path) -> Any:
    """torch.load without executing anything in the file; any exception for one that is damaged, hostile, or grows."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                raise ValueError("compressed, as torch.save never does")
    content = torch.load(path, map_location="cpu", weights_only=True)
    if any(tensor.nbytes > tensor.untyped_storage().nbytes() for tensor in tensors_in(content)):
        raise ValueError("a tensor repeats its numbers: copied, it would fill the memory")
    return content


def tensors_in(content: Any) -> Iterator[Tensor]:
    """All tensors in nested dicts and lists, each once: a hostile file's lists may hold each other."""
    waiting, seen = [content], set()
    while waiting:
        value = waiting.pop()
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, dict | list) and id(value) not in seen:
            seen.add(id(value))
            waiting += value.values() if isinstance(value, dict) else value


def read_weights(path: Path, pixels: str) -> Weights:
    """The weights in a .pth file, a .safetensors file, or a model file of this library trained with these `pixels`."""
    if not path.is_file():
        raise TrailerError(f"weights {path}: no such file: name a file, 'DEFAULT' or 'none'")
    try:
        read = import_module("safetensors.torch").load_file if path.suffix == ".safetensors" else load_file
        named, before = _tensors_and_pixels(read(path))
    except ImportError as error:
        raise TrailerError(f"weights {path.name}: needs the package safetensors: pip install safetensors") from error
    except Exception as error:  # torch.load raises a dozen kinds for a damaged or hostile file
        reason = f": {error}" if type(error) is ValueError else ""
        raise TrailerError(f"weights {path.name}: not a file of tensors ({type(error).__name__}{reason})") from error
    state = {name: value for name, value in named.items() if isinstance(value, Tensor)}
    if not state:
        raise TrailerError(f"weights {path.name}: no tensors by name in it: expected a state_dict by torch.save")
    if before not in ("", pixels):
        raise TrailerError(f"{path.name} was trained with pixels={before!r}: set pixels to it, or other weights")
    return Weights(path.name, state)


def _tensors_and_pixels(content: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """The values by name in a file; of a model file of this library the backbone's, and the setting `pixels`."""
    if "trailer_lib" not in content:
        return {str(name): value for name, value in content.items()}, ""
    state = {str(name): value for name, value in content["state_dict"].items()}
    backbone = {name.removeprefix(BACKBONE): value for name, value in state.items() if name.startswith(BACKBONE)}
    return backbone, dict(content["trailer_lib"]["settings"]).get("pixels", "")


def fill(trunk: Trunk, weights: Weights, replaced: tuple[str, ...]) -> tuple[dict[str, Tensor], str]:
    """Load the weights, and say what was loaded and what starts at random: also the layers that will be `replaced`.

    The trunk must be filled whole and fit; only what is `trunk.behind` may stay as it is. Kernels of several stacked
    frames are summed over them, so that equal frames keep their response; returns them as they were, by name.
    """
    if not weights.state:
        return {}, f"{weights.source}: every layer starts at random"
    names = [f"{layer}.weight" for layer in trunk.first]
    first = {name: weights.state[name].float() for name in names if name in weights.state}
    stacked = {name: kernel for name, kernel in first.items() if kernel.ndim == 4 and kernel.shape[1] in STACKED}
    state = weights.state | {name: kernel.unflatten(1, (-1, 3)).sum(1) for name, kernel in stacked.items()}
    expected, children = trunk.network.state_dict(), dict(trunk.network.named_children())
    differ = [name for name in expected if name not in state or state[name].shape != expected[name].shape]
    differ += [name for name in state if name not in expected and name.split(".")[0] in children]
    differ = [name for name in differ if not name.endswith("num_batches_tracked")]
    if wrong := [name for name in differ if not name.startswith(trunk.behind)]:
        text = f"{len(wrong)} tensors do not fit, {wrong[0]} first"
        raise TrailerError(f"{weights.source}: {text}: another backbone's?")
    fitting = {name: value for name, value in state.items() if name in expected and expected[name].shape == value.shape}
    load(trunk.network, fitting, strict=False)
    random = {*replaced, *(name.rpartition(".")[0] for name in differ if name in expected)}
    loaded = sum(name.rpartition(".")[0] not in random for name in fitting)
    return stacked, f"{weights.source}: {loaded} tensors loaded; at random: {', '.join([*sorted(random), 'head'])}"


def load(network: nn.Module, state: dict[str, Tensor], strict: bool) -> None:
    """load_state_dict for a plain dict: MNASNet asks for a version number that only a module's own state has."""
    versioned = OrderedDict(state)
    versioned._metadata = network.state_dict()._metadata
    network.load_state_dict(versioned, strict=strict)
