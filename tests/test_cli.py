"""The command line: exit codes 0, 1 and 2, one line of error, help with examples, settings as KEY=VALUE."""

import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import drawn
import numpy as np
import pytest
from conftest import FILMS, FRAMES
from PIL import Image

from trailer_lib import dataset as dataset_room
from trailer_lib import scrape, training
from trailer_lib.__main__ import main
from trailer_lib.catalog.join import TRAILERS
from trailer_lib.commands import as_json
from trailer_lib.dataset import Dataset
from trailer_lib.errors import TrailerError
from trailer_lib.evaluation import metrics
from trailer_lib.project import Project
from trailer_lib.training import BEST, RESULTS
from trailer_lib.video import picture_paths, quality_filter, read_picture, read_record

Copy = Callable[[Path], Project]
COMMANDS = "samples catalog frames filter scrape dataset train compare evidence predict app export".split()
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Few resamples, and SIGTERM as it was."""
    monkeypatch.setattr(metrics, "RESAMPLES", 50)
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.fixture
def out(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """A function that runs a command which must succeed, and gives what it printed."""

    def run(*words: object) -> str:
        assert main([str(word) for word in words]) == 0
        return capsys.readouterr().out

    return run


@pytest.fixture
def error(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """A function that runs a command which must fail with one line of error, and gives that line."""

    def run(*words: object) -> str:
        assert main([str(word) for word in words]) == 1
        captured = capsys.readouterr()
        lines = [line for line in re.split(r"[\r\n]", captured.err) if line.strip() and "%|" not in line]
        assert len(lines) == 1 and lines[0].startswith("error: ")
        assert "Traceback" not in captured.out + captured.err
        return lines[0]

    return run


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch, error: Callable[..., str]) -> Callable[..., object]:
    """A function that gives the settings with which a command would call its stage."""
    seen = []

    def stop(project: Project, *arguments: object, **_: object) -> None:
        seen.append(arguments[-1])
        raise TrailerError("stopped by the test")

    for room, name in ((dataset_room, "build"), (training, "train"), (scrape, "scrape")):
        monkeypatch.setattr(room, name, stop)

    def run(*words: object) -> object:
        assert error(*words) == "error: stopped by the test"
        return seen.pop()

    return run


def usage(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit code with which argparse ends a command, and what it printed."""
    with pytest.raises(SystemExit) as caught:
        main(words)
    captured = capsys.readouterr()
    return caught.value.code, captured.out + captured.err


def test_help_lists_every_command_and_each_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    code, text = usage(["--help"], capsys)
    assert code == 0 and all(re.search(rf"^ +{name} ", text, re.MULTILINE) for name in COMMANDS)
    for name in COMMANDS:
        code, text = usage([name, "--help"], capsys)
        assert code == 0 and f"example: python -m trailer_lib {name} " in text


@pytest.mark.parametrize("words", [
    "", "trian", "samples", "frames trailer.mp4", "predict trailer.mp4", "train --epochs 5", "train epochs",
    "catalog --root", "catalog --min-votes -1", "compare --folds 2", "compare --repeats 0", "evidence --folds many",
    "frames a.mp4 --out x --count 601", "scrape --films -1", "scrape --workers 0", "app --model x --port 70000",
    "predict a --model x --csv x.csv --json", "scrape --status --figure a.gif", "scrape --status --figure .png",
])  # fmt: skip
def test_wrong_usage_exits_with_2(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = usage(words.split(), capsys)
    assert code == 2 and "usage:" in text


def test_as_a_program_an_error_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "trailer_lib", "catalog", "--root", tmp_path / "none"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith("error: the root ")


@pytest.mark.parametrize("words, hint", [
    ("catalog --csv settings.toml/films.csv", "settings.toml"), ("scrape --source yotube", "did you mean 'youtube'"),
    ("scrape --films 2 --source folder:none --workers 1", "none: no such folder"), ("dataset", "scrape"),
    ("filter none", "none: No such file"), ("evidence --features none.npz", "none.npz"), ("train", "no dataset"),
    ("compare none.toml", "none.toml"), ("compare", "no dataset"), ("train --resume", "last_model.pt"),
    ("predict none.mp4 --model none.pt", "none.pt"), ("samples", "name another folder"),
    ("train epoch=3", "did you mean 'epochs'"), ("train epochs=many", "expected int"), ("train =3", "unknown setting"),
    ("train epochs=0", "untrained: set epochs"), ("train flip=yes", "expected bool"), ("train lr=null", "expected flo"),
])  # fmt: skip
def test_what_is_missing_wrong_or_in_the_way_is_named(
    frames_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Callable, words: str, hint: str
) -> None:
    shutil.copytree(frames_root / "excels", tmp_path / "excels")
    shutil.copy(frames_root / "settings.toml", tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    monkeypatch.chdir(tmp_path)
    assert hint in error(*words.split(), *([] if words.startswith(("filter", "predict")) else ["--root", tmp_path]))
    assert all(path.read_bytes() == content for path, content in before.items())


def test_frames_are_not_written_over_other_files(trailer: Path, tmp_path: Path, error: Callable[..., str]) -> None:
    (tmp_path / "film.mp4").write_bytes(b"\x00\x00\x00\x18ftypisom" + bytes(100))
    assert "film.mp4" in error("frames", tmp_path / "film.mp4", "--out", tmp_path / "frames")
    assert "holds other files" in error("frames", trailer, "--out", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]


def test_ctrl_c_and_sigterm_are_one_line_and_exit_code_1(
    frames_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        monkeypatch.setattr(dataset_room, "build", lambda *_, number=number: signal.raise_signal(number))
        assert main(["dataset", "--root", str(frames_root)]) == 1
        assert capsys.readouterr().err == "stopped; run the same command again\n"


@pytest.mark.parametrize("command, word, name, value", [
    ("train", "epochs=5", "epochs", 5), ("train", "lr=1e-4", "lr", 1e-4), ("train", "flip=False", "flip", False),
    ("train", "reorder_frames=true", "reorder_frames", True), ("train", "betas=[0.8, 0.99]", "betas", (0.8, 0.99)),
    ("train", "weights=folder/a=b.pth", "weights", "folder/a=b.pth"), ("dataset", "salt=2024", "salt", "2024"),
    ("scrape", "source=folder:my trailers", "source", "folder:my trailers"), ("scrape", "--films=5", "films", 5),
    ("scrape", "--retry-failed", "retry_failed", True), ("scrape", "films=0", "retry_failed", False),
    ("scrape", "--sound", "sound", True),
])  # fmt: skip
def test_a_setting_has_its_type(
    frames_root: Path, chosen: Callable, command: str, word: str, name: str, value: object
) -> None:
    found = getattr(chosen(command, "--root", frames_root, word), name)
    assert found == value and type(found) is type(value)


def test_a_flag_is_over_a_word_and_that_over_the_file_and_the_default(frames_root: Path, chosen: Callable) -> None:
    settings = chosen("train", "--root", frames_root, "epochs=7", "noise=0.5")
    assert (settings.epochs, settings.batch, settings.noise, settings.schedule) == (7, 8, 0.5, "cosine")
    assert chosen("train", "--root", frames_root).epochs == 3
    assert chosen("scrape", "--root", frames_root, "films=9", "--films", "5").films == 5


def test_catalog_counts_films_and_dropped_rows_and_writes_them(
    frames_root: Path, tmp_path: Path, out: Callable[..., str], error: Callable[..., str]
) -> None:
    shutil.copytree(frames_root / "excels", tmp_path / "excels")
    with open(tmp_path / "excels" / TRAILERS, "a") as file:
        file.write("#NAME?,99,A film (1999)\ntrailer--99,99,Another film (1999)\n")
    written = ["--csv", tmp_path / "films.csv", "--dropped", tmp_path / "dropped.csv"]
    text = out("catalog", "--root", tmp_path, *written)
    assert f"movie_metadata.csv: {FILMS} rows" in text and f"{FILMS} films with a score" in text
    assert re.search(r"no film of this title and year in movie_metadata\.csv +1\n", text)
    assert len((tmp_path / "films.csv").read_text().splitlines()) == FILMS + 1
    assert (tmp_path / "dropped.csv").read_text().splitlines() == [
        "file,row,title,reason",
        'ml-youtube.csv,32,A film (1999),"the YouTube id is not 11 letters, digits, - or _"',
        "ml-youtube.csv,33,Another film (1999),no film of this title and year in movie_metadata.csv",
    ]
    assert "films.csv" in error("catalog", "--root", tmp_path, "--dropped", tmp_path / "films.csv" / "x")


def test_frames_writes_scenes_without_their_bars(make_video: Callable, tmp_path: Path, out: Callable[..., str]) -> None:
    shown = [drawn.with_bars(drawn.scene(seed), 22) for seed in range(6)]
    shown += [drawn.CARDS["title"], np.zeros_like(drawn.logo())]
    trailer = make_video(tmp_path / "t.mp4", [picture for picture in shown for _ in range(4)])
    text = out("frames", trailer, "--out", tmp_path / "f", "--count", 40, "--height", 90)
    paths = picture_paths(tmp_path / "f")
    assert f"kept {len(paths)} of 120 frames" in text and "asked for at least 20" in text and len(paths) == 6
    height, width, _ = read_picture(paths[0]).shape
    assert 90 - 22 - 4 <= height <= 90 - 22 and width == 160
    for seed in (0, 1):
        out("frames", trailer, "--out", tmp_path / str(seed), "--count", 3, "--no-filter", "--seed", seed)
    first, other = (read_record(tmp_path / name)["seconds"] for name in "01")
    assert len(first) == 3 and first != other


def test_filter_says_of_each_picture_what_becomes_of_it(tmp_path: Path, out: Callable[..., str]) -> None:
    shown = {"0.jpg": drawn.scene(0), "2.png": drawn.scene(1)[:, :250], "10.jpg": drawn.scene(0)}
    shown |= {"tt0000001.jpg": drawn.logo(), "zz.JPG": np.zeros((90, 160, 3), np.uint8)}
    for name, picture in shown.items():
        Image.fromarray(picture).save(tmp_path / name)
    (tmp_path / "tt0000000.jpg").write_text("hello")
    words = [line.split()[:2] for line in out("filter", tmp_path).splitlines()]
    assert [name for name, _ in words] == ["0.jpg", "2.png", "10.jpg", "tt0000000.jpg", "tt0000001.jpg", "zz.JPG"]
    assert [word for _, word in words] == ["keep", "keep", "duplicate", "unreadable", "card", "black"]
    alone = json.loads(out("filter", tmp_path, "--json", "--alone"))["pictures"]
    assert [row["reason"] for row in alone] == [None, None, None, "unreadable", "card", "black"]
    assert alone[3] == {"file": "tt0000000.jpg", "keep": False, "reason": "unreadable", "score": 1.0}
    assert 0 <= alone[0]["score"] < quality_filter.CARD < alone[4]["score"] <= 1 == alone[5]["score"]


def test_dataset_builds_prints_what_was_left_out_and_writes_the_originals_pickle_if_asked(
    frames_root: Path, copy_of: Copy, out: Callable[..., str]
) -> None:
    project = copy_of(frames_root)
    next(iter(sorted(project.images.glob("*/3.jpg")))).write_text("hello")
    text = out("dataset", "--root", project.root, "size=16")
    assert f"{FILMS - 1} films, {(FILMS - 1) * FRAMES} frames" in text
    assert "{'a picture is damaged': 1}" in text
    assert Dataset.open(project).frames.shape[1:] == (16, 16, 3)
    assert not (project.dataset / "Dataset").exists()
    assert "the original's pickle" in out("dataset", "--root", project.root, "--pickle")
    text = out("dataset", "--root", project.root, "--from-pickle", project.dataset / "Dataset")
    assert f"{FILMS - 1} films, {(FILMS - 1) * 15} frames" in text


def test_train_and_test_print_the_table_and_the_verdict(
    dataset_root: Path, copy_of: Copy, out: Callable[..., str]
) -> None:
    project = copy_of(dataset_root)
    for words, split in (("train epochs=1", "validation"), ("test", "test")):
        text = out(*words.split(), "--root", project.root)
        results = json.loads((project.models / RESULTS).read_text())
        assert results["split"] == split and results["verdict"] in text
        assert all(row in text for row in results["metrics"])
        assert (f"model: {project.models / BEST}" in text) == (split == "validation")
        assert f"model card: {project.models / 'README.md'}" in text and (project.models / "README.md").exists()


def test_evidence_prints_what_features_add(frames_root: Path, tmp_path: Path, out: Callable[..., str]) -> None:
    rows = [f"tt88{number:05d},{number}" for number in range(FILMS)]  # the score by another name
    (tmp_path / "features.csv").write_text("\n".join(["imdb_id,feature", *rows]))
    words = ["evidence", "--root", frames_root, "--folds", 3, "--repeats", 1]
    assert "trailer" not in json.loads(out(*words, "--json"))["metrics"]
    words += ["--features", tmp_path / "features.csv", "--figure", tmp_path / "evidence.png"]
    text = out(*words)
    assert text.startswith(f"{FILMS} films") and "genre only + trailer " in text
    assert (tmp_path / "evidence.png").read_bytes().startswith(PNG)
    assert f"{FILMS} of {FILMS} rows are of films with a score; features: feature" in text


def test_scrape_status_changes_nothing_and_draws_each_format(frames_root: Path, tmp_path: Path, out: Callable) -> None:
    before = sorted(frames_root.rglob("*"))
    for name, start in (("a.PNG", PNG), ("a.jpeg", b"\xff\xd8"), ("a.svg", b"<?xml"), ("a.pdf", b"%PDF")):
        text = out("scrape", "--root", frames_root, "--status", "--figure", tmp_path / name)
        assert text.split()[:6] == ["status", "reason", "films", "seconds", "MB", "frames"]
        assert (tmp_path / name).read_bytes().startswith(start)
    assert sorted(frames_root.rglob("*")) == before


def test_compare_prints_a_row_for_each_scheme_and_draws_them(
    trained_root: Path, copy_of: Copy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: Callable[..., str]
) -> None:
    called: list[tuple] = []

    def compare(project: Project, schemes: dict, folds: int, repeats: int, final: bool) -> dict:
        called.append((next(iter(schemes)), folds, repeats, final))
        if "one" not in schemes:
            raise TrailerError("enough")
        metrics = json.loads((project.models / RESULTS).read_text())["metrics"]
        rows = {f"{scheme}: all": metrics["all"] for scheme in schemes} | {"metadata": metrics["metadata"]}
        gain = {"row": "one: all", "than": "metadata", "value": -0.2, "low": -0.3, "high": -0.1}
        return {"films": FILMS, "best": "two", "metrics": rows, "seconds": {}, "collapsed": [], "left out": {},
                "warnings": [], "nMSE minus": [gain]}  # fmt: skip

    monkeypatch.setattr(training, "compare", compare)
    (tmp_path / "my.toml").write_text("[one]\nframes = 1\n[two]\nframes = 2\n")
    project = copy_of(trained_root)
    lines = out("compare", tmp_path / "my.toml", "--root", project.root, "--folds", 3).splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["one:", "two:", "metadata"]
    assert "-0.20 [-0.30, -0.10]" in lines[1]
    assert lines[-2:] == [f"picture: {project.models / 'schemes.png'}", f"model card: {project.models / 'README.md'}"]
    assert (project.models / "schemes.png").read_bytes().startswith(PNG)
    for name in ("schemes.toml", "original.toml"):  # the library's own
        assert main(["compare", name, "--root", str(project.root)]) == 1
    assert called == [("one", 3, 1, False), ("finetune", 5, 1, False), ("resnet18, 5 frames, plain", 5, 1, False)]


def test_predict_prints_the_score_beside_its_error_or_one_json_object_and_draws_a_picture(
    trailer: Path, best: Path, tmp_path: Path, out: Callable[..., str]
) -> None:
    text = out("predict", trailer, "--model", best)
    assert re.search(r"trailer\.mp4: \d+\.\d of 10", text) and text.startswith("Too few to tell")
    picture = tmp_path / "new" / "prediction.png"
    out("predict", trailer, "--model", best, "--figure", picture)
    assert picture.read_bytes().startswith(PNG) and [*picture.parent.iterdir()] == [picture]
    words = ["predict", trailer, "--model", best, "--json", "--genres"]
    drama, horror = out(*words, "Drama"), out(*words, "Horror")
    found = json.loads(drama)
    assert drama.count("\n") == 1 and 1 <= found["score"] <= 10 and found["genre"] > json.loads(horror)["genre"]
    assert {"intervals", "mae", "split", "mean_baseline_mae", "verdict", "seconds", "contributions"} <= found.keys()


def test_json_has_null_where_a_number_is_undefined() -> None:
    assert as_json({"a": [float("nan"), 1.5, float("inf")], "b": "NaN"}) == '{"a": [null, 1.5, null], "b": "NaN"}'
