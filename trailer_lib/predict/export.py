"""A model file -> an ONNX file that scores films anywhere, with no torch: uint8 frames in, IMDb points out."""

import json
import logging
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from trailer_lib import files
from trailer_lib.errors import TrailerError
from trailer_lib.networks import ModelFile, read_model
from trailer_lib.predict.predictor import ModelInfo

INPUT, OUTPUT = "frames", "score"
LARGEST = 2_000_000_000  # bytes of weights: protobuf ends at 2 GiB
LOWEST, HIGHEST = 1.0, 10.0  # IMDb points


class Points(nn.Module):
    """Frames uint8 [films, frames, 3, size, size] RGB -> float32 [films] IMDb points from 1 to 10."""

    def __init__(self, model: ModelFile) -> None:
        super().__init__()
        self.network = model.network.eval().requires_grad_(False)
        self.mean, self.sd = float(model.facts["score_mean"]), float(model.facts["score_sd"])

    def forward(self, frames: Tensor) -> Tensor:
        return (self.network(frames) * self.sd + self.mean).clamp(LOWEST, HIGHEST)


def export_onnx(path: Path, out: Path) -> dict[str, str]:
    """Write the model in `path` as the ONNX file `out`, whole or not at all; the metadata that are in it.

    TrailerError when the packages are missing, the model can't be read or was never tested, has 2 GB of weights or
    more, or has a layer that ONNX does not know.
    """
    _require_packages()
    model = read_model(path)
    try:
        told = metadata(model, ModelInfo.read(model))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise TrailerError(f"{path}: what it says of its model is damaged ({error}): train again") from error
    size = sum(tensor.nbytes for tensor in model.network.state_dict().values())
    if size >= LARGEST:
        raise TrailerError(f"{path}: {size:,} bytes of weights: an ONNX file holds under {LARGEST:,}")
    program = _program(path, model, int(told["size"]))
    program.model.metadata_props.update(told)
    with files.reporting_full_disk(out, lambda: size), files.atomic_path(out) as temporary:
        program.save(temporary, external_data=False)
    return told


def metadata(model: ModelFile, learned: ModelInfo) -> dict[str, str]:
    """What a user of the file must know, by name; all values are text, "test" is JSON."""
    result = {who: learned.results["metrics"][who]["MAE"]["value"] for who in ("trailer", "mean baseline")}
    return {
        "input": f"{INPUT}: uint8 [films, frames, 3, size, size], RGB from 0 to 255; frames spread over the trailer",
        "output": f"{OUTPUT}: float32 [films], IMDb points from {LOWEST:.0f} to {HIGHEST:.0f}",
        "frames": str(model.network.frames),
        "size": str(learned.dataset.size),
        "fit": learned.dataset.fit,
        "backbone": learned.settings.backbone,
        "aggregate": learned.settings.aggregate,
        "train_films": str(learned.films),
        "mean_baseline": f"{learned.mean_baseline:.4f}",
        "test": json.dumps({"films": learned.results["films"], "MAE": result}),
        "verdict": learned.verdict,
    }


def _require_packages() -> None:
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise TrailerError(f"export needs the package {error.name}: pip install onnx onnxscript") from error


def _program(path: Path, model: ModelFile, size: int) -> Any:
    frames = torch.zeros(2, model.network.frames, 3, size, size, dtype=torch.uint8)  # 1 would be taken for fixed
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)  # says of torchvision's own operators that they are not used
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.onnx.export(
                Points(model), (frames,), input_names=[INPUT], output_names=[OUTPUT], dynamo=True, verbose=False,
                dynamic_shapes={"frames": {0: torch.export.Dim("films")}},
            )  # fmt: skip
    except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:150]
        raise TrailerError(f"{path}: the network has a part that ONNX does not know ({reason})") from error
    finally:
        logger.setLevel(level)
