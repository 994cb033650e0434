"""models/*.pt: a network's tensors and the facts needed to use it, read without executing anything."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trailer_lib import files
from trailer_lib.errors import TrailerError
from trailer_lib.networks.regressor import FilmRegressor, restore
from trailer_lib.networks.weights import bounded, load_file
from trailer_lib.settings import TrainSettings

FORMAT = 3
PREFIX = "network."


@dataclass
class ModelFile:
    """`network` in eval mode, and `facts` about it.

    Facts: settings, dataset, scrape, score_mean, score_sd, split_hash, splits, weights, blocks, history; results once
    tested.
    """

    network: FilmRegressor
    facts: dict[str, Any]

    def points(self, standardised: np.ndarray) -> np.ndarray:
        """The network's answers in IMDb points, which end at 1 and 10."""
        return np.clip(standardised * self.facts["score_sd"] + self.facts["score_mean"], 1.0, 10.0)

    def save(self, path: Path) -> None:
        state = {PREFIX + name: tensor for name, tensor in self.network.state_dict().items()}
        save_tensors(path, {"state_dict": state, "trailer_lib": self.facts})


def save_tensors(path: Path, content: dict[str, Any]) -> None:
    """torch.save, whole or not at all; DiskFull when there is no room."""
    with (
        files.reporting_full_disk(path, lambda: _bytes(content)),
        files.atomic_path(path) as temporary,
        open(temporary, "wb") as file,
    ):
        try:
            torch.save(content, file)
        except RuntimeError as error:
            if isinstance(error.__context__, OSError):  # torch's own complaint hides the disk's
                raise error.__context__ from None
            raise


def _bytes(content: Any) -> int:
    """The bytes of all tensors in nested dicts and lists."""
    if isinstance(content, torch.Tensor):
        return content.nbytes
    inner = content.values() if isinstance(content, dict) else content if isinstance(content, list) else ()
    return sum(map(_bytes, inner))


def read_model(path: Path) -> ModelFile:
    """Read best_model.pt or last_model.pt; TrailerError when it is missing, damaged, hostile or not one of ours."""
    if not path.is_file():
        raise TrailerError(f"{path}: no such model: train first (notebook 3), or name another file")
    try:
        content = load_file(path)
    except Exception as error:  # torch.load raises a dozen kinds for a damaged or hostile file
        reason = type(error).__name__ if type(error) is not ValueError else error
        raise TrailerError(f"{path}: not a readable model file ({reason}): train again, or name another") from error
    facts = content.get("trailer_lib") if isinstance(content, dict) else None
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        raise TrailerError(f"{path}: not a model of this library (format {FORMAT}): name a models/best_model.pt")
    return ModelFile(_network(path, content, facts), facts)


def _network(path: Path, content: dict[str, Any], facts: dict[str, Any]) -> FilmRegressor:
    try:
        state = {key.removeprefix(PREFIX): value for key, value in content["state_dict"].items()}
        if not bounded(state):
            raise RuntimeError("a tensor claims more numbers than are in the file")
        settings = TrainSettings.layered({"the model file": facts["settings"]})
        return restore(settings, facts["weights"], state, tuple(facts["blocks"])).eval()
    except (KeyError, AttributeError, TypeError, RuntimeError, TrailerError) as error:
        reason = " ".join(str(error).split())[:120]
        raise TrailerError(f"{path}: its tensors are not those of its network ({reason}): train again") from error
