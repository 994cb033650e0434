"""Tensors by name, out of files that strangers made, and into a network whose trunk they must fill whole."""

import zipfile
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from trailer_lib.errors import TrailerError

# A larger file is refused. The largest torchvision network with Adam's two moments takes 8 GB.
MAX_BYTES = 16 * 2**30
MODEL_PREFIX = "network.backbone."


@dataclass(frozen=True)
class Weights:
    """`state`, float32 tensors by name, from `source`, and what a model file of this library says of its network."""

    source: str
    state: dict[str, Tensor]
    settings: dict[str, Any] = field(default_factory=dict)


def load_file(path: Path) -> Any:
    """torch.load of tensors, numbers, texts, lists and dicts; nothing in the file is executed.

    Any exception when it is damaged, hostile, larger than MAX_BYTES, or would be larger in memory.
    """
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise ValueError(f"{size:,} bytes, more than {MAX_BYTES:,}")
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                raise ValueError("compressed, as torch.save never does")
    return torch.load(path, map_location="cpu", weights_only=True)


def read(path: Path) -> Weights:
    """The weights in a .pth file, a .safetensors file, or a model file of this library; floats become float32."""
    if not path.is_file():
        raise TrailerError(f"weights {path}: no such file: name a file, 'DEFAULT' or 'none'")
    try:
        content = _safetensors(path) if path.suffix == ".safetensors" else load_file(path)
    except TrailerError:
        raise
    except Exception as error:  # torch.load raises a dozen kinds for a damaged or hostile file
        reason = f": {error}" if type(error) is ValueError else ""
        raise TrailerError(f"weights {path.name}: not a file of tensors ({type(error).__name__}{reason})") from error
    state, settings = _named(content)
    tensors = {key: value for key, value in state.items() if isinstance(value, Tensor)}
    if not tensors:
        raise TrailerError(
            f"weights {path.name}: no tensors by name in it: expected a state_dict saved with torch.save"
        )
    if not bounded(tensors):
        raise TrailerError(f"weights {path.name}: a tensor claims more numbers than are in the file: use another file")
    return Weights(path.name, whole(tensors), settings)


def bounded(state: dict[str, Tensor]) -> bool:
    """False when a tensor repeats its numbers: copied, a file of bytes would fill the memory."""
    return all(tensor.nbytes <= tensor.untyped_storage().nbytes() for tensor in state.values())


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        from safetensors.torch import load_file as load
    except ImportError as error:
        raise TrailerError(f"weights {path.name}: needs the package safetensors: pip install timm") from error
    return load(path)


def _named(content: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The backbone's tensors in a file's content, and the settings that a model file of this library holds."""
    if not isinstance(content, dict):
        return {}, {}
    state, facts = content.get("state_dict"), content.get("trailer_lib")
    if not isinstance(state, dict) or not isinstance(facts, dict) or not isinstance(facts.get("settings"), dict):
        return content, {}
    ours = {str(key): value for key, value in state.items() if str(key).startswith(MODEL_PREFIX)}
    return {key.removeprefix(MODEL_PREFIX): value for key, value in ours.items()}, facts["settings"]


def whole(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Half precision made float32."""
    return {key: value.float() if value.is_floating_point() else value for key, value in state.items()}


def fill(network: nn.Module, weights: Weights, classifiers: tuple[str, ...]) -> None:
    """Load the weights. The trunk must be filled whole and fit; only what is behind it may stay as it is.

    `classifiers`: where the names of the layers behind the trunk begin, like "fc.".
    """
    wanted, state = network.state_dict(), weights.state
    children = dict(network.named_children())
    differ = [key for key in wanted if key not in state or state[key].shape != wanted[key].shape]
    differ += [key for key in state if key not in wanted and key.split(".")[0] in children]
    differ = [key for key in differ if not key.startswith(classifiers) and not key.endswith("num_batches_tracked")]
    if differ:
        raise TrailerError(
            f"{weights.source}: {len(differ)} tensors do not fit, {differ[0]} first: is it the file of another"
            " backbone?"
        )
    fitting = {key: value for key, value in state.items() if key in wanted and wanted[key].shape == value.shape}
    load(network, fitting, strict=False)


def load(network: nn.Module, state: dict[str, Tensor], strict: bool) -> None:
    """load_state_dict for a plain dict: MNASNet asks for a version number that only a module's own state has."""
    versioned = OrderedDict(state)
    versioned._metadata = network.state_dict()._metadata
    network.load_state_dict(versioned, strict=strict)


def report_of(weights: Weights, network: nn.Module, random: list[str]) -> str:
    """What of a network without its last layer came from where; the layers in `random` will start at random."""
    if not weights.state:
        return f"{weights.source}: every layer starts at random"
    found = [key for key in network.state_dict() if key in weights.state and key.rpartition(".")[0] not in random]
    missing = [key for key in network.state_dict() if key not in found and not key.endswith("num_batches_tracked")]
    layers = sorted({key.rpartition(".")[0] for key in missing})
    return f"{weights.source}: {len(found)} tensors loaded; at random: {', '.join([*layers, 'head'])}"
