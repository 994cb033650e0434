"""models/*.pt: a network's tensors and the facts needed to use it, read without executing anything; export to ONNX."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trailer_lib import __version__, files
from trailer_lib.errors import TrailerError
from trailer_lib.networks.pretrained import load_file, tensors_in
from trailer_lib.networks.regressor import FilmRegressor, restore
from trailer_lib.settings import DatasetSettings, TrainSettings

FORMAT = 4  # higher wherever a name or a meaning in the facts changes
PREFIX = "network."
LOWEST, HIGHEST = 1.0, 10.0  # IMDb points


@dataclass
class ModelFile:
    """`network` in eval mode, and `facts`: settings, dataset, scrape, score_mean, score_sd, split_hash, splits,
    weights, history, and results once it was tested.
    """

    network: FilmRegressor
    facts: dict[str, Any]

    @property
    def settings(self) -> TrainSettings:
        return TrainSettings.layered({"the model file": self.facts["settings"]})

    def points(self, standardised: np.ndarray) -> np.ndarray:
        """Standardised predictions in IMDb points, clipped to 1 and 10."""
        return np.clip(standardised * self.facts["score_sd"] + self.facts["score_mean"], LOWEST, HIGHEST)

    def save(self, path: Path) -> None:
        state = {PREFIX + name: tensor for name, tensor in self.network.state_dict().items()}
        save_tensors(path, {"state_dict": state, "trailer_lib": self.facts})


def save_tensors(path: Path, content: dict[str, Any]) -> None:
    """torch.save, whole or not at all; DiskFull when there is no room."""
    size = sum(tensor.nbytes for tensor in tensors_in(content))
    with files.reporting_full_disk(path, lambda: size), files.atomic_path(path) as temporary:
        try:
            with open(temporary, "wb") as file:
                torch.save(content, file)
        except RuntimeError as error:
            if isinstance(error.__context__, OSError):  # torch's own error hides the disk's
                raise error.__context__ from None
            raise


def fingerprint(path: Path) -> str:
    """A model file's short name: the first 16 letters of its SHA-256."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def read_model(path: Path) -> ModelFile:
    """Read best_model.pt or last_model.pt; TrailerError when it is missing, damaged, hostile or of another format."""
    if not path.is_file():
        raise TrailerError(f"{path}: no such model: train first (notebook 3), or name another file")
    try:
        content = load_file(path)
    except Exception as error:  # torch.load raises a dozen kinds for a damaged or hostile file
        reason = type(error).__name__ if type(error) is not ValueError else error
        raise TrailerError(f"{path}: not a readable model file ({reason}): train again, or name another") from error
    facts = content.get("trailer_lib") if isinstance(content, dict) else None
    version = facts.get("format") if isinstance(facts, dict) else None
    if type(version) is not int:
        raise TrailerError(f"{path}: not a model of this library: name a models/best_model.pt")
    if version != FORMAT:
        remedy = "train again" if version < FORMAT else "update trailer_lib"
        raise TrailerError(f"{path}: a model file of format {version}, and this version reads {FORMAT}: {remedy}")
    try:
        state = {name.removeprefix(PREFIX): value for name, value in content["state_dict"].items()}
        settings = TrainSettings.layered({"the model file": facts["settings"]})
        return ModelFile(restore(settings, facts["weights"], state).eval(), facts)
    except (KeyError, AttributeError, TypeError, RuntimeError, TrailerError) as error:
        reason = " ".join(str(error).split())[:120]
        raise TrailerError(f"{path}: its tensors are not those of its network ({reason}): train again") from error


INPUT, OUTPUT = "frames", "score"
FITS = {"squash": "the whole picture", "crop": "the middle square, as wide as the picture's shorter side"}


class _InPoints(nn.Module):
    """Frames uint8 [films, frames, 3, size, size] RGB -> float32 [films] IMDb points from 1 to 10."""

    def __init__(self, model: ModelFile) -> None:
        super().__init__()
        self.network = model.network.requires_grad_(False)
        self.mean, self.sd = float(model.facts["score_mean"]), float(model.facts["score_sd"])

    def forward(self, frames: Tensor) -> Tensor:
        return (self.network(frames) * self.sd + self.mean).clamp(LOWEST, HIGHEST)


def export_onnx(path: Path, out: Path) -> dict[str, str]:
    """Write the network of frames of the finished model in `path` as the ONNX file `out`, whole or not at all.

    Returns the metadata in it. TrailerError without the packages, for a model that has not learnt from frames, or for a
    layer that ONNX does not know. A file of 2 GB is too large for ONNX.
    """
    try:
        import onnxscript  # noqa: F401, which needs onnx
    except ImportError as error:
        raise TrailerError("export needs more packages: pip install onnx onnxscript") from error
    if out.is_dir() or out.resolve() == path.resolve():
        raise TrailerError(f"{out}: no place for the ONNX file: name a file of its own, like model.onnx")
    model = read_model(path)
    if "results" not in model.facts:
        raise TrailerError(f"{path}: its training has not finished: use best_model.pt of a finished one")
    if "frames" not in model.facts["settings"].get("sources", ()):
        raise TrailerError(f"{path}: it has not learnt from frames, and ONNX takes only these: name another model")
    try:
        network, metadata = _InPoints(model).eval(), _metadata(model)
        metadata |= {"model": fingerprint(path), "trailer_lib": __version__}
        size = int(metadata["size"])
        frames = torch.zeros(2, model.network.frames, 3, size, size, dtype=torch.uint8)  # 1 would be taken for fixed
        program = torch.onnx.export(
            network, (frames,), input_names=[INPUT], output_names=[OUTPUT], dynamo=True, verbose=False,
            dynamic_shapes={INPUT: {0: torch.export.Dim("films")}},
        )  # fmt: skip
    except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:150]
        raise TrailerError(f"{path}: the network has a part that ONNX does not know ({reason})") from error
    except (KeyError, TypeError, ValueError, AttributeError, TrailerError) as error:
        raise TrailerError(f"{path}: what it says of its model is damaged ({error}): train again") from error
    program.model.metadata_props.update(metadata)
    with files.reporting_full_disk(out, lambda: path.stat().st_size), files.atomic_path(out) as temporary:
        program.save(temporary, external_data=False)
    return metadata


def _metadata(model: ModelFile) -> dict[str, str]:
    """What a user of the ONNX file must know, by name; all values are text, "errors" is JSON."""
    facts, results = model.facts, model.facts["results"]
    dataset, settings = DatasetSettings.layered({"the model file": facts["dataset"]}), model.settings
    errors = {row: float(results["metrics"][row]["MAE"]["value"]) for row in ("frames", "mean baseline")}
    others = [source for source in settings.sources if source != "frames"]
    full = f"; trailer_lib's prediction also takes {' and '.join(others)}: it differs, and so does its verdict"
    return {
        "input": f"{INPUT}: uint8 [films, frames, 3, size, size], RGB from 0 to 255",
        "prepare": f"{model.network.frames} frames spread over the trailer, without black bars or title cards; of each"
        f" {FITS[dataset.fit]}, resized to {dataset.size} x {dataset.size} by averaging (PIL's BOX)",
        "output": f"{OUTPUT}: float32 [films], IMDb points from {LOWEST:.0f} to {HIGHEST:.0f}",
        "frames": str(model.network.frames),
        "views": str(settings.views),  # choices of frames whose scores were averaged
        "size": str(dataset.size),
        "fit": dataset.fit,
        "mean_baseline": f"{float(facts['score_mean']):.4f}",
        "sources": "the frames alone" + full * bool(others),
        "errors": json.dumps({"split": results["split"], "films": int(results["films"]), "MAE": errors}),
        "verdict": str(results["verdict"]),
    }
