"""A prediction is made of what the trailer and the film have, by weights, intervals and errors of that case."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from clips import ffmpeg
from sounds import folder_of, with_dataset, with_sound

from trailer_lib.__main__ import main
from trailer_lib.errors import TrailerError
from trailer_lib.evaluation import conformal_intervals, metrics
from trailer_lib.networks import read_model
from trailer_lib.predict import Predictor, many, predict_many
from trailer_lib.project import Project
from trailer_lib.training import BEST, run

LEVELS = {  # what is given -> the level of metadata that it is
    "": {},
    "genre only": {"genres": "Drama"},
    "genre + runtime + year": {"genres": ["Drama", "Comedy"], "runtime_minutes": 100, "year": "1999"},
}


@pytest.fixture(scope="module")
def root(frames_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Films of which two of three have sound, and a model of them."""
    made = tmp_path_factory.mktemp("sources")
    project = Project(with_dataset(with_sound(frames_root, made / "films"), made / "root"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "RESAMPLES", 200)
        run.train(project, project.settings("train", epochs=1), on_epoch=lambda history: None).test()
    return project.root


@pytest.fixture(scope="module")
def predictor(root: Path) -> Predictor:
    return Predictor.load(root / "models")  # whose best_model.pt it takes


@pytest.fixture(scope="module")
def trailers(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, ...], Path]:
    """A scraped film's folder with all that it has, without its sound, and without its pictures."""
    made, folder = tmp_path_factory.mktemp("trailers"), folder_of(root, 4)
    shutil.copytree(folder, made / "mute", ignore=shutil.ignore_patterns("sound.png"))
    shutil.copytree(folder, made / "blind", ignore=shutil.ignore_patterns("*.jpg"))
    shutil.copytree(folder, made / "whole")
    return {("frames",): made / "mute", ("sound",): made / "blind", ("frames", "sound"): made / "whole"}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("there", [("frames",), ("sound",), ("frames", "sound")], ids=" + ".join)
def test_each_case_has_its_own_weights_intervals_and_error_and_says_what_is_missing(
    predictor: Predictor, trailers: dict, there: tuple[str, ...], level: str
) -> None:
    prediction, info = predictor.predict(trailers[there], LEVELS[level]), predictor.info
    case = (*there, level) if level else there
    assert tuple(prediction.sources) == case
    assert prediction.score == pytest.approx(np.clip(info.mean + sum(prediction.sources.values()), 1, 10))
    assert (prediction.trailer_score == prediction.score) == (level == "")
    fit = info.stack.fit(case)
    assert prediction.intervals == conformal_intervals(prediction.score, info.stack.truth[fit.films], fit.predicted)[0]
    own = info.results["cases"][" + ".join(case)]
    assert (prediction.mae, prediction.scored_films) == (own["MAE"], own["films"])
    assert len(prediction.contributions) == 3 * ("frames" in case)
    assert (len(prediction.clip_contributions) > 0) == ("sound" in case)
    missing = [word for word in ("frames", "sound", "metadata") if f"Predicted without {word}" in str(prediction)]
    assert missing == [word for word in ("frames", "sound") if word not in case] + ["metadata"] * (level == "")
    assert ("Of metadata it uses genres;" in str(prediction)) == (level == "genre only")
    assert re.match(r"Higher than \d+ % of the 18 films", prediction.standing)


def test_a_model_without_a_head_on_sound_takes_no_notice_of_it(trained_root: Path, trailers: dict) -> None:
    predictor = Predictor.load(trained_root / "models" / BEST)
    mute, whole = (predictor.predict(trailers[there]).to_dict() for there in (("frames",), ("frames", "sound")))
    assert mute | {"trailer": "whole"} == whole and not any("sound" in line for line in mute["missing"])
    with pytest.raises(TrailerError, match=r"nothing in it that the model predicts from \(frames, sound, metadata\)"):
        predictor.predict(trailers[("sound",)])


def test_a_model_of_metadata_alone_needs_genres(root: Path, trailers: dict, tmp_path: Path) -> None:
    model = read_model(root / "models" / BEST)
    levels = {name: points for name, points in model.facts["validation"]["parts"].items() if name in LEVELS}
    model.facts["validation"]["parts"], model.facts["settings"]["sources"] = levels, ("metadata",)
    for name in ("sound", "index"):
        del model.facts[name]
    model.save(tmp_path / "best_model.pt")
    predictor, trailer = Predictor.load(tmp_path), trailers[("frames", "sound")]
    prediction = predictor.predict(trailer, {"genres": "Drama"})
    assert prediction.score == pytest.approx(prediction.genre) and prediction.trailer_score is None
    assert [*prediction.sources] == ["genre only"] and len(prediction.frames) == len(prediction.clip_seconds) == 0
    prediction.figure()
    with pytest.raises(TrailerError, match=r"nothing in it that the model predicts from \(metadata\)"):
        predictor.predict(trailer, {"genres": "Unheard of"})


@pytest.mark.parametrize("sound", [True, False])
def test_of_a_black_video_its_sound_is_predicted_from(predictor: Predictor, tmp_path: Path, sound: bool) -> None:
    noise = ["-f", "lavfi", "-i", "anoisesrc=d=10:a=0.2"] if sound else []
    ffmpeg("-f", "lavfi", "-i", "color=black:s=64x36:r=12:d=10", *noise, tmp_path / "black.mp4")
    if not sound:
        with pytest.raises(TrailerError, match="all black"):
            predictor.predict(tmp_path / "black.mp4")
        return
    prediction = predictor.predict(tmp_path / "black.mp4")
    assert [*prediction.sources] == ["sound"] and prediction.clip_seconds.tolist() == pytest.approx([0, 4.096], abs=0.1)
    assert "all black" in prediction.warnings[-1] and "Predicted without frames" in str(prediction)


def test_a_table_has_the_scores_of_single_predictions_and_fits_the_metadata_once(
    root: Path, trailers: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits, film_levels = [], many.film_levels
    monkeypatch.setattr(many, "film_levels", lambda *given: fits.append(1) or film_levels(*given))
    names = [str(path) for path in trailers.values()]
    rows = ["trailer,genres,runtime_minutes,year", f"{names[0]},Drama,,", f"{names[1]},,,"]
    (tmp_path / "list.csv").write_text("\n".join([*rows, f"{names[2]},Drama,100,1999", f"{folder_of(root, 5)},,,", ""]))
    out, film = tmp_path / "out.csv", {"genres": "Drama", "runtime_minutes": 100, "year": 1999}
    assert predict_many(tmp_path / "list.csv", root / "models", out, root=root)["scored"] == 4 and len(fits) == 1
    with_tables = Predictor.load(root / "models", root)
    table = many.read_rows(out, many.COLUMNS, None).rows
    for row in table:
        given = dict(zip(names, [{"genres": "Drama"}, {}, film])).get(row["trailer"])
        single = with_tables.predict(row["trailer"], given)
        assert float(row["score"]) == pytest.approx(single.score, abs=1e-3)
        assert float(row["trailer_score"]) == pytest.approx(single.trailer_score, abs=1e-3)
        assert (row["sources"], row["warnings"]) == (" + ".join(single.sources), " ".join(single.warnings))
        assert (row["model"], row["version"]) == (single.model, single.version)
        assert (int(row["sampled_frames"]), int(row["kept_frames"])) == (single.sampled_frames, single.kept_frames)
        ends = [float(row[name]) for name in ("low80", "high80", "low95", "high95") if row[name]]
        assert ends == pytest.approx([end for interval in single.intervals.values() for end in interval], abs=1e-3)
    assert sum("genre + runtime + year" in row["sources"] for row in table) == 2  # one was looked up
    (tmp_path / "list.csv").write_text(f"trailer,year\n{names[0]},19\n")
    with pytest.raises(TrailerError, match=r"year = '19': expected a number from 1880 to 2100"):
        predict_many(tmp_path / "list.csv", root / "models", tmp_path / "new.csv")


def test_the_command_takes_what_is_known_of_the_film(root: Path, trailers: dict, capsys: pytest.CaptureFixture) -> None:
    words = ["predict", str(trailers[("frames",)]), "--model", str(root / "models"), "--genres", "Drama"]
    assert main([*words, "--runtime", "100", "--year", "1999", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [*printed["sources"]] == ["frames", "genre + runtime + year"] and printed["missing"]
    assert printed["trailer_score"] and len(printed["model"]) == 16 and printed["version"]
    for wrong in (["--year", "19"], ["--runtime", "1e3"], ["--year", "1999", "--csv", "x.csv"]):
        with pytest.raises(SystemExit, match="2"):
            main([*words, *wrong])


def test_metadata_that_no_model_can_be_fitted_to_are_a_line(root: Path, trailers: dict, tmp_path: Path) -> None:
    model = read_model(root / "models" / BEST)
    model.facts["metadata"]["kinds"]["genre only"] = "magic"
    model.save(tmp_path / "best_model.pt")
    with pytest.raises(TrailerError, match=r"metadata are damaged \(KeyError: 'magic'\): train again"):
        Predictor.load(tmp_path).predict(trailers[("frames",)], {"genres": "Drama"})
