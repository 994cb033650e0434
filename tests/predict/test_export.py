"""A model as ONNX gives PyTorch's scores without torch: every backbone of the original, every aggregate, every head."""

import json
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from trailer_lib.errors import TrailerError
from trailer_lib.networks.backbone import AGGREGATIONS, Trunk, stage_widths, widen_first_layer
from trailer_lib.networks.model_file import ModelFile, read_model
from trailer_lib.networks.regressor import FilmRegressor, build
from trailer_lib.predict import export
from trailer_lib.predict.export import Points, export_onnx
from trailer_lib.training import frozen
from trailer_lib.training.callbacks import BEST

onnx = pytest.importorskip("onnx", reason="the extra 'export' is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

FRAMES, SIDE = 4, 32
thorough = pytest.mark.skipif(os.environ.get("TORTURE") != "1", reason="long: TORTURE=1")


def session(path: Path) -> "onnxruntime.InferenceSession":
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def made_films(count: int, seed: int, frames: int = FRAMES, side: int = SIDE) -> np.ndarray:
    """uint8 [count, frames, 3, side, side] of noise, each channel of each frame as bright as it happens to be."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, (count, frames, 3, side, side))
    return (noise * rng.random((count, frames, 3, 1, 1))).astype(np.uint8)


def exported(network: FilmRegressor, folder: Path, side: int = SIDE) -> tuple[ModelFile, Path]:
    """The model, with scores that differ between films but are not clipped, and its ONNX file."""
    with torch.inference_mode():
        scores = network.eval()(torch.from_numpy(made_films(8, 1, network.frames, side)))
    model = ModelFile(network, {"score_sd": float(1.5 / scores.std()), "score_mean": 0.0})
    model.facts["score_mean"] = float(5.5 - scores.mean() * model.facts["score_sd"])
    program = export._program(Path("model.pt"), model, side)
    program.save(folder / "model.onnx", external_data=False)
    return model, folder / "model.onnx"


def assert_agree(model: ModelFile, path: Path, side: int = SIDE) -> None:
    """For 1, 2 and 7 films at once, to 1e-4 points."""
    runner, points = session(path), Points(model)
    for films in (1, 2, 7):
        frames = made_films(films, 2, model.network.frames, side)
        (found,) = runner.run(None, {"frames": frames})
        expected = points(torch.from_numpy(frames)).numpy()
        assert found.shape == (films,) and found.dtype == np.float32
        assert np.abs(found - expected).max() < 1e-4
        assert films == 1 or np.ptp(found) > 0.01


def small(aggregate: str, depth: str = "last") -> FilmRegressor:
    """A regressor on a backbone of two convolutions: quick to export."""
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(3, 4, 3, 2), nn.ReLU(inplace=True), nn.Conv2d(4, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    trunk = Trunk(layers, 8, ("0",))
    if aggregate == "channels":
        widen_first_layer(trunk, FRAMES, "repeat", {})
    channels = 3 * FRAMES if aggregate == "channels" else 3
    blocks = stage_widths(trunk, channels) if depth == "stages" else ()
    network = FilmRegressor(trunk, FRAMES, aggregate, "", blocks=blocks)
    if network.attention is not None:
        nn.init.normal_(network.attention.weight)
    return network


def head_of(kind: str, network: FilmRegressor) -> nn.Module:
    """A head that was fitted to the network's own features; of the MLP only the shape matters here."""
    with torch.inference_mode():
        features = network.eval().features(network.normalise(torch.from_numpy(made_films(60, 0)))).numpy()
    target = (features[:, 0] - features[:, 0].mean()) / features[:, 0].std()
    if kind == "boosting":  # without the search for the number of trees
        return frozen.as_trees(frozen._booster(50, 0).fit(features, target))
    return frozen.fit("ridge", features, target, 0)[0] if kind == "ridge" else frozen._perceptron(8, 64)


@pytest.mark.parametrize("depth", ["last", "stages"])
@pytest.mark.parametrize("aggregate", AGGREGATIONS)
def test_every_join_agrees(aggregate: str, depth: str, tmp_path: Path) -> None:
    assert_agree(*exported(small(aggregate, depth), tmp_path))


@pytest.mark.parametrize("kind", ["ridge", "mlp", "boosting"])
def test_every_head_agrees(kind: str, tmp_path: Path) -> None:
    network = small("mean")
    network.head = head_of(kind, network)
    assert_agree(*exported(network, tmp_path))


@pytest.mark.parametrize(
    "backbone", ["resnet18", *(pytest.param(name, marks=thorough) for name in ("resnet50", "vgg16", "vgg19"))]
)
def test_the_originals_backbones_agree(backbone: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    assert_agree(*exported(build(backbone, FRAMES, "channels", "none", depth="stages"), tmp_path))


@thorough
@pytest.mark.parametrize("aggregate", AGGREGATIONS)
@pytest.mark.parametrize("backbone", ["resnet18", "resnet50", "vgg16", "vgg19"])
def test_every_backbone_with_every_join_agrees(backbone: str, aggregate: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    assert_agree(*exported(build(backbone, FRAMES, aggregate, "none", depth="stages"), tmp_path))


def test_raw_pixels_are_fed_as_the_original_did(tmp_path: Path) -> None:
    network = small("mean")
    network.pixels = "raw"
    assert_agree(*exported(network, tmp_path))


def test_scores_end_at_1_and_10(tmp_path: Path) -> None:
    model, _ = exported(small("mean"), tmp_path)
    model.facts["score_sd"] *= 1000
    model.facts["score_mean"] = 5.5 - 1000 * (5.5 - model.facts["score_mean"])  # scores on both sides of 5.5 as before
    export._program(Path("model.pt"), model, SIDE).save(tmp_path / "wide.onnx", external_data=False)
    (found,) = session(tmp_path / "wide.onnx").run(None, {"frames": made_films(8, 1)})
    assert set(found.tolist()) == {1.0, 10.0}


@pytest.fixture(scope="module")
def best(trained_root: Path) -> Path:
    return trained_root / "models" / BEST


def test_a_trained_models_file_tells_all_that_its_user_needs(best: Path, tmp_path: Path) -> None:
    told = export_onnx(best, tmp_path / "new" / "model.onnx")
    runner, model = session(tmp_path / "new" / "model.onnx"), read_model(best)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["model.onnx"]
    found = runner.get_modelmeta().custom_metadata_map
    assert told.items() <= found.items()
    size = model.facts["dataset"]["size"]
    assert (int(found["frames"]), int(found["size"])) == (model.network.frames, size)
    assert found["verdict"] == model.facts["results"]["verdict"] and "uint8" in found["input"]
    metrics = model.facts["results"]["metrics"]
    assert json.loads(found["test"])["MAE"]["trailer"] == metrics["trailer"]["MAE"]["value"]
    assert [node.name for node in runner.get_inputs()] == ["frames"]
    assert runner.get_inputs()[0].shape[1:] == [model.network.frames, 3, size, size]
    assert_agree(model, tmp_path / "new" / "model.onnx", size)


def test_missing_packages_are_named(best: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(TrailerError, match=r"needs the package onnxscript: pip install"):
        export_onnx(best, tmp_path / "model.onnx")


def test_a_file_of_2_gb_is_refused_and_nothing_is_written(
    best: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "LARGEST", 1000)
    with pytest.raises(TrailerError, match=r"best_model\.pt: [\d,]+ bytes of weights"):
        export_onnx(best, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


class Unknown(nn.Module):
    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return torch.linalg.eigvals(features @ features.T).real[:, None]


def test_a_layer_that_onnx_does_not_know_is_a_line(tmp_path: Path) -> None:
    network = small("mean")
    network.head = Unknown()
    model = ModelFile(network.eval(), {"score_mean": 5.0, "score_sd": 1.0})
    with pytest.raises(TrailerError) as caught:
        export._program(Path("model.pt"), model, SIDE)
    assert re.match(r"model\.pt: .*ONNX", str(caught.value)) and "\n" not in str(caught.value)


@pytest.mark.parametrize("change", [{"dataset": {}}, {"scrape": {"count": "many"}}, {"score_sd": "wide"}], ids=str)
def test_damaged_facts_are_refused(best: Path, tmp_path: Path, change: dict) -> None:
    model = read_model(best)
    model.facts = {**model.facts, **change, **({"results": {}} if change == {"dataset": {}} else {})}
    model.save(tmp_path / "damaged.pt")
    with pytest.raises(TrailerError, match=r"damaged|scrape|count"):
        export_onnx(tmp_path / "damaged.pt", tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def test_no_model_is_a_line(tmp_path: Path, run: Callable) -> None:
    assert "no such model" in run("export", "--model", tmp_path / "none.pt", "--out", tmp_path / "x.onnx")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """A function that runs a command which must fail, and gives its line."""
    from trailer_lib.__main__ import main

    def fail(*words: object) -> str:
        assert main([str(word) for word in words]) == 1
        return capsys.readouterr().err

    return fail
