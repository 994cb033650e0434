"""The model card: what stands in it and beside it, what cannot, and what is wrong in one line."""

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml
from PIL import Image

from trailer_lib import files
from trailer_lib.dataset import Dataset
from trailer_lib.errors import TrailerError
from trailer_lib.evaluation import Metric, stacking
from trailer_lib.project import Project
from trailer_lib.report import model_card
from trailer_lib.training import HISTORY, PREDICTIONS, RESULTS

HOSTILE = "<script>alert(1)</script> [a](http://x.invalid) ![b](c)|d"
SECTIONS = ["Model details", "Intended use", "Data", "Training", "Results", "Limits", "Ethical notes"]


@pytest.fixture
def project(trained_root: Path, tmp_path: Path) -> Project:
    """A copy of the trained root that a test may change, without the large files, which the card does not read."""
    without = shutil.ignore_patterns("*.pt", "images", "features")
    return Project(Path(shutil.copytree(trained_root, tmp_path / "root", ignore=without)))


def results(project: Project) -> dict:
    return json.loads((project.models / RESULTS).read_text())


def change(project: Project, **values: object) -> None:
    files.write_json(project.models / RESULTS, results(project) | values)


def card(project: Project) -> str:
    return model_card.write_card(project).read_text(encoding="utf-8")


def schemes(project: Project, name: str) -> dict:
    """What `compare` would have left of one scheme with the run's own numbers."""
    metrics = {name if row == "all" else row: found for row, found in results(project)["metrics"].items()}
    return {
        "films": 30, "best": name, "metrics": metrics, "seconds": {name: 12.5}, "collapsed": [name], "folds": 3,
        "repeats": 1, "left out": {},
        "nMSE minus": [{"row": name, "than": "metadata", "value": 0.1, "low": -0.1, "high": 0.2}],
    }  # fmt: skip


def test_the_card_has_front_matter_for_hubs_and_the_usual_sections(project: Project) -> None:
    text = card(project)
    front = yaml.safe_load(text.split("---\n")[1])
    assert front["library_name"] == "trailer_lib" and "license" not in front
    assert "movie-trailers" in front["tags"] and {"mse", "mae"} <= set(front["metrics"])
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == SECTIONS
    assert "Not for decisions on people" in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) > len(results(project)["settings"]) and all(line.endswith(" |") for line in rows)


def test_the_card_has_the_runs_own_numbers_the_compared_schemes_and_figures(project: Project) -> None:
    files.write_text(project.models / HISTORY, "epoch,train_loss,val_loss\n0,0.9,0.7\n1,0.8,0.8\n")
    text, run = card(project), results(project)
    assert "Epoch 0 of 1 of the frames' network was saved" in text and "val loss 0.700" in text
    assert model_card.escape(run["verdict"]) in text
    assert model_card.escape(Metric(**run["metrics"]["mean baseline"]["Spearman"])) in text
    assert "| squeezenet1\\_1 |" in text and "![nMSE]" not in text
    pictures = re.findall(r"\]\((.*\.png)\)", text)
    assert pictures == ["learning_curve.png", "results.png", "predicted_against_true.png"]
    assert all(min(Image.open(project.models / name).size) > 200 for name in pictures)
    assert "test films, " in text and "used for nothing else" in text
    change(project, split="validation")
    files.write_json(project.models / "schemes" / RESULTS, schemes(project, "<i>mine</i>"))
    text = card(project)
    assert "validation films, " in text and "have not been scored" in text
    assert r"| \<i\>mine\</i\> |" in text and "collapsed" in text and r"+0.10 \[-0.10, +0.20\]" in text
    assert "(schemes.png)" in text and (project.models / "schemes.png").exists()


def test_the_card_says_what_the_sources_are_and_what_they_add(project: Project) -> None:
    text, run = card(project), results(project)
    assert f"as by {stacking.PRIOR:.0f} films' worth" in text and "- sound: " in text
    [gain] = [pair for pair in run["nMSE minus"] if (pair["row"], pair["than"]) == ("all", "metadata")]
    assert f"| all | metadata | {gain['value']:+.2f}" in text
    assert all(f"| {case} | {found['films']} | " in text for case, found in run["cases"].items())
    change(project, settings=run["settings"] | {"sources": ["sound"]})
    data, history = Dataset.open(project, verify=False), pd.read_csv(project.models / HISTORY)
    data.card["left_out"] = {"not in the catalogue": 3}
    text = model_card.card_text(data, results(project), history, None)
    assert "- sound: " in text and not any(words in text for words in ("weighted sum", "- frames: ", "(learning_curve"))
    assert "| not in the catalogue | 3 |" in text and "\n\n\n" not in text


def test_what_strangers_wrote_stays_text(project: Project) -> None:
    change(project, weights=HOSTILE, warnings=[HOSTILE], verdict=HOSTILE)
    bare = re.sub(r"\\[<\[!|]", "", card(project))
    assert "<" not in bare.split("---\n")[2] and "[a]" not in bare and "|d" not in bare
    assert bare.count("![") == 3


def test_a_setting_loses_the_folders_of_the_machine(project: Project) -> None:
    for value, shown in (
        ("folder:/home/me/trailers", "folder:trailers"), ("C:\\Users\\me\\w.pth", "w.pth"), ("~/w.pth", "w.pth"),
        ("../../me/w.pth", "w.pth"), ("folder:trailers", "folder:trailers"), ("weights/w.pth", "weights/w.pth"), (5, 5),
    ):  # fmt: skip
        assert model_card.without_folders(value) == shown
    change(project, settings=results(project)["settings"] | {"weights": "/home/me/w.pth"})
    text = card(project)
    assert "| weights | w.pth |" in text and str(project.root) not in text and str(Path.home()) not in text


def test_what_is_undefined_is_no_nan(project: Project) -> None:
    """As where all test films have one score."""
    undefined, run = dict.fromkeys(("value", "low", "high")), results(project)
    metrics = {row: found | {"nMSE": undefined, "R2": undefined} for row, found in run["metrics"].items()}
    change(project, metrics=metrics, **{"nMSE minus": [pair | undefined for pair in run["nMSE minus"]]})
    files.write_json(project.models / "schemes" / RESULTS, schemes(project, "mine"))
    text = card(project)
    assert "| all | metadata | undefined |" in text and not re.search(r"\b(nan|None)\b", text.split("## Results")[1])


@pytest.mark.parametrize(
    "name, text, reason",
    [
        (RESULTS, None, RESULTS), (RESULTS, "{", "JSONDecodeError"), (RESULTS, '{"films": 3}', "split_hash"),
        (PREDICTIONS, "", "No columns"), (PREDICTIONS, "score,all,frames,metadata\ninf,5,5,5\n", "Inf"),
        (HISTORY, "epoch,train_loss\n1,2\n", "val_loss"), (HISTORY, "epoch,train_loss,val_loss\n", "ValueError"),
        ("schemes/results.json", '{"metrics": 5}', "items"),
    ],
)  # fmt: skip
def test_a_missing_or_damaged_file_is_one_line(project: Project, name: str, text: str | None, reason: str) -> None:
    (project.models / name).unlink(missing_ok=True)
    if text is not None:
        files.write_text(project.models / name, text)
    with pytest.raises(TrailerError, match=rf"^{project.models}: no model card .*train --root") as caught:
        model_card.write_card(project)
    assert reason in str(caught.value) and "\n" not in str(caught.value)
    assert not (project.models / "README.md").exists()


def test_another_dataset_or_none_is_no_card(project: Project) -> None:
    change(project, split_hash="0" * 12)
    with pytest.raises(TrailerError, match="of another dataset"):
        model_card.write_card(project)
    shutil.rmtree(project.dataset)
    with pytest.raises(TrailerError, match="python -m trailer_lib dataset"):
        model_card.write_card(project)
