"""Tensors by name: read from files that strangers made, and loaded into a network whose trunk they must fill whole."""

import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from trailer_lib.errors import TrailerError
from trailer_lib.networks.backbone import Trunk

STACKED = range(6, 301, 3)  # channels of 2 to 100 frames
BACKBONE = "network.backbone."  # how the names of a backbone's tensors begin in a model file of this library


@dataclass(frozen=True)
class Weights:
    """`state`, tensors by name, from `source`."""

    source: str
    state: dict[str, Tensor]


def load_file(path: Path) -> Any:
    """torch.load of tensors, numbers, texts, lists and dicts; nothing in the file is executed.

    Any exception when it is damaged, hostile, or would be larger in memory.
    """
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


def fill(trunk: Trunk, weights: Weights) -> dict[str, Tensor]:
    """Load the weights. The trunk must be filled whole and fit; only what is `trunk.behind` may stay as it is.

    Kernels of several stacked frames are summed over them, so that equal frames keep their response; returns them as
    they were.
    """
    if not weights.state:
        return {}
    names = [f"{layer}.weight" for layer in trunk.first]
    first = {name: weights.state[name].float() for name in names if name in weights.state}
    stacked = {name: kernel for name, kernel in first.items() if kernel.ndim == 4 and kernel.shape[1] in STACKED}
    state = weights.state | {name: kernel.unflatten(1, (-1, 3)).sum(1) for name, kernel in stacked.items()}
    expected, children = trunk.network.state_dict(), dict(trunk.network.named_children())
    differ = [name for name in expected if name not in state or state[name].shape != expected[name].shape]
    differ += [name for name in state if name not in expected and name.split(".")[0] in children]
    differ = [name for name in differ if not name.startswith(trunk.behind) and not name.endswith("num_batches_tracked")]
    if differ:
        raise TrailerError(
            f"{weights.source}: {len(differ)} tensors do not fit, {differ[0]} first: another backbone's?"
        )
    fitting = {name: value for name, value in state.items() if name in expected and expected[name].shape == value.shape}
    load(trunk.network, fitting, strict=False)
    return stacked


def load(network: nn.Module, state: dict[str, Tensor], strict: bool) -> None:
    """load_state_dict for a plain dict: MNASNet asks for a version number that only a module's own state has."""
    versioned = OrderedDict(state)
    versioned._metadata = network.state_dict()._metadata
    network.load_state_dict(versioned, strict=strict)


def loading_report(weights: Weights, network: nn.Module, replaced: tuple[str, ...]) -> str:
    """What was loaded into a network without its last layer, and what starts at random: also the layers `replaced`."""
    if not weights.state:
        return f"{weights.source}: every layer starts at random"
    names = [name for name in network.state_dict() if not name.endswith("num_batches_tracked")]
    missing = [name for name in names if name not in weights.state or name.rpartition(".")[0] in replaced]
    layers = sorted({name.rpartition(".")[0] for name in missing})
    loaded = [name for name in network.state_dict() if name in weights.state and name not in missing]
    return f"{weights.source}: {len(loaded)} tensors loaded; at random: {', '.join([*layers, 'head'])}"
