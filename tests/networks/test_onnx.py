"""A model as ONNX gives PyTorch's scores without torch: every aggregation, backbones of the original, raw pixels."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import amount
from network_helpers import made_model, predict, random_frames
from PIL import Image
from torch import nn

from trailer_lib import __version__
from trailer_lib.dataset import resize_frame
from trailer_lib.errors import TrailerError
from trailer_lib.networks import model_file
from trailer_lib.networks.model_file import ModelFile, export_onnx, read_model
from trailer_lib.networks.regressor import AGGREGATIONS
from trailer_lib.settings import DatasetSettings

onnx = pytest.importorskip("onnx", reason="the extra 'export' is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

MAES = {name: {"MAE": {"value": 0.7}} for name in ("frames", "mean baseline")}
RESULTS = {"split": "test", "films": 9, "metrics": MAES, "verdict": "Made."}


def session(path: Path) -> "onnxruntime.InferenceSession":
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def model_with_results(backbone: str = "squeezenet1_1", **chosen: object) -> ModelFile:
    """A model with a test result, whose scores differ between films and are not clipped."""
    torch.manual_seed(0)
    model = made_model(backbone, **chosen)
    scores = predict(model.network, random_frames(8, 3, 32, seed=1))
    sd = float(1.5 / scores.std())
    model.facts |= {"score_sd": sd, "score_mean": float(5.5 - scores.mean() * sd)}
    model.facts["results"] = RESULTS
    return model


def exported(model: ModelFile, folder: Path) -> Path:
    model.save(folder / "model.pt")
    export_onnx(folder / "model.pt", folder / "model.onnx")
    return folder / "model.onnx"


def assert_agree(model: ModelFile, path: Path) -> None:
    """For 1, 2 and 7 films at once, to 1e-4 points."""
    for films in (1, 2, 7):
        frames = random_frames(films, model.network.frames, model.facts["dataset"]["size"], seed=2)
        (scores,) = session(path).run(None, {"frames": frames.numpy()})
        assert scores.shape == (films,) and scores.dtype == np.float32
        assert np.abs(scores - model.points(predict(model.network, frames).numpy())).max() < 1e-4
        assert films == 1 or np.ptp(scores) > 0.01


@pytest.mark.skipif(not amount(1, 0), reason="long: TORTURE=1")
@pytest.mark.parametrize("backbone, chosen", [
    ("squeezenet1_1", {"aggregate": "mean", "pixels": "raw"}), ("resnet18", {"depth": "stages"}), ("vgg16", {}),
    *(("resnet50", {"aggregate": aggregate}) for aggregate in AGGREGATIONS),
])  # fmt: skip
def test_the_scores_agree(backbone: str, chosen: dict, tmp_path: Path) -> None:
    model = model_with_results(backbone, **chosen)
    assert_agree(model, exported(model, tmp_path))


def test_the_metadata_say_how_to_prepare_a_picture_and_scores_are_clipped_to_1_and_10(tmp_path: Path) -> None:
    """A user's own lines, from the metadata alone, give the pixels that the model was trained on."""
    model = model_with_results(aggregate="attention", depth="stages", pixels="raw", sources="frames")
    settings = DatasetSettings(size=32, fit="crop")
    model.facts["dataset"] = settings.as_dict()
    model.facts["score_sd"] *= 3
    model.facts["score_mean"] = 5.5 - 3 * (5.5 - model.facts["score_mean"])  # on both sides of 5.5 as before
    assert_agree(model, exported(model, tmp_path))
    runner = session(tmp_path / "model.onnx")
    metadata = runner.get_modelmeta().custom_metadata_map
    picture = Image.fromarray(random_frames(1, 1, 75)[0, 0].permute(1, 2, 0).numpy()[:41])
    side, size = min(picture.size), int(metadata["size"])
    left, top = ((length - side) // 2 for length in picture.size)
    box = left, top, left + side, top + side
    mine = np.asarray(picture.resize((size, size), Image.Resampling.BOX, box=box))
    assert np.array_equal(mine, resize_frame(picture, settings)) and metadata["fit"] == "crop"
    assert "the middle square" in metadata["prepare"] and "resized to 32 x 32" in metadata["prepare"]
    assert metadata["sources"] == "the frames alone"
    (scores,) = runner.run(None, {"frames": random_frames(8, 3, 32, seed=1).numpy()})
    assert set(scores.tolist()) > {1.0, 10.0} == set(model.points(np.array([-99.0, 99.0])))


def test_the_file_of_a_trained_model_says_all_that_its_user_needs(trained_root: Path, tmp_path: Path) -> None:
    best = trained_root / "models" / "best_model.pt"
    metadata = export_onnx(best, tmp_path / "new" / "model.onnx")
    runner, model = session(tmp_path / "new" / "model.onnx"), read_model(best)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["model.onnx"]
    assert metadata.items() <= runner.get_modelmeta().custom_metadata_map.items()
    frames, size, results = model.network.frames, model.facts["dataset"]["size"], model.facts["results"]
    assert (int(metadata["frames"]), int(metadata["size"])) == (frames, size)
    assert (metadata["model"], metadata["trailer_lib"]) == (model_file.fingerprint(best), __version__)
    assert metadata["verdict"] == results["verdict"] and "uint8" in metadata["input"]
    assert "the whole picture" in metadata["prepare"]
    assert json.loads(metadata["errors"])["MAE"]["frames"] == results["metrics"]["frames"]["MAE"]["value"]
    assert metadata["sources"].startswith("the frames alone; trailer_lib's prediction also takes sound and metadata")
    assert [(node.name, node.shape[1:]) for node in runner.get_inputs()] == [("frames", [frames, 3, size, size])]
    assert_agree(model, tmp_path / "new" / "model.onnx")


def test_a_model_that_has_not_learnt_from_frames_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrailerError, match=r"model\.pt: it has not learnt from frames"):
        exported(model_with_results(sources="sound,metadata"), tmp_path)


@pytest.mark.parametrize("out", ["model.pt", "."])
def test_neither_the_model_nor_a_folder_is_overwritten(out: str, tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(b"the model")
    with pytest.raises(TrailerError, match="name a file of its own"):
        export_onnx(tmp_path / "model.pt", tmp_path / out)
    assert (tmp_path / "model.pt").read_bytes() == b"the model"


class Unknown(nn.Module):
    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return torch.linalg.eigvals(features @ features.T).real[:, None]


def test_a_layer_that_onnx_does_not_know_is_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = made_model()
    model.facts["results"] = RESULTS
    model.network.backbone, model.network.head = nn.Sequential(nn.AvgPool2d(32), nn.Flatten()), Unknown()
    (tmp_path / "model.pt").touch()
    monkeypatch.setattr(model_file, "read_model", lambda path: model)
    with pytest.raises(TrailerError) as caught:
        export_onnx(tmp_path / "model.pt", tmp_path / "model.onnx")
    assert re.search(r"model\.pt: .*ONNX", str(caught.value)) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name, value", [("results", {}), ("dataset", {"fit": 3}), ("score_sd", "wide")])
def test_damaged_facts_are_a_line(name: str, value: object, tmp_path: Path) -> None:
    model = model_with_results()
    model.facts[name] = value
    with pytest.raises(TrailerError, match=r"model\.pt: .*damaged") as caught:
        exported(model, tmp_path)
    assert "\n" not in str(caught.value) and not (tmp_path / "model.onnx").exists()


def test_missing_packages_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(TrailerError, match=r"pip install onnx onnxscript"):
        exported(model_with_results(), tmp_path)
