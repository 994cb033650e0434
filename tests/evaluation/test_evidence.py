"""Tables of features, read by id or title and refused in one line; what features add to metadata, out of fold."""

import json
import pickle
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import FILMS

from trailer_lib.__main__ import main
from trailer_lib.errors import TrailerError
from trailer_lib.evaluation import baselines, evidence, metrics
from trailer_lib.project import Project

LISTED = pd.DataFrame(
    [
        ("tt0000001", "The Amber", 1990, "abcdefghij1"),
        ("tt0000002", "Brook", 1991, ""),
        ("tt0000003", "Cédar: Part II", 1992, "abcdefghij3"),
        ("tt0000004", "None", 1993, "shared_by_2"),
        ("tt0000005", "NaN", 1994, "shared_by_2"),
    ],
    columns=["imdb_id", "title", "year", "youtube_id"],
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "RESAMPLES", 300)
    monkeypatch.setattr(baselines, "BOOSTING_FILMS", 1000)


def write(folder: Path, content: str | bytes | dict[str, np.ndarray], name: str = "table.csv") -> Path:
    if isinstance(content, dict):
        np.savez(folder / name, **content)
    else:
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return folder / name


def refused(path: Path, reason: str) -> None:
    with pytest.raises(TrailerError) as caught:
        evidence.read_features(path, LISTED)
    assert str(caught.value).startswith(str(path)) and reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_arrays_are_read_by_either_id(tmp_path: Path) -> None:
    ids = np.array(["tt0000002", "tt0000001", "tt0099999"])
    arrays = {"imdb_id": ids, "embedding": np.arange(6, dtype=np.float16).reshape(3, 2), "length": np.arange(3)}
    table = evidence.read_features(write(tmp_path, arrays, "table.npz"), LISTED)
    assert table.to_dict("index") == {
        "tt0000002": {"embedding 0": 0, "embedding 1": 1, "length 0": 0},
        "tt0000001": {"embedding 0": 2, "embedding 1": 3, "length 0": 1},
    }
    assert (table.dtypes == np.float32).all()
    arrays = {"youtube_id": np.array([b"abcdefghij3", b"abcdefghij1"]), "light": np.array([3, 1])}
    table = evidence.read_features(write(tmp_path, arrays, "other.npz"), LISTED)
    assert table["light 0"].to_dict() == {"tt0000003": 3, "tt0000001": 1}


@pytest.mark.parametrize(
    "head, first, last",
    [("imdb_id", "tt0000001", "tt0000003"), ("tconst", "tt0000001", "tt0000003"), ("IMDBID", "1", "0000003"),
     ("imdb_id", "https://www.imdb.com/title/tt0000001/", "tt3"), ("youtube_id", "abcdefghij1", "abcdefghij3"),
     ("YTId", "https://youtu.be/abcdefghij1", "youtube.com/watch?v=abcdefghij3")],
)  # fmt: skip
def test_a_spreadsheet_is_read_by_id(tmp_path: Path, head: str, first: str, last: str) -> None:
    text = f"{head}\tyear\tlight\tnote\n{first}\t1990\t0,5\ta\n{last}\t1992\t\tb\n"
    table = evidence.read_features(write(tmp_path, text, "table.TSV"), LISTED)
    assert list(table.columns) == ["light"] and list(table.index) == ["tt0000001", "tt0000003"]
    assert table.light.iloc[0] == 0.5 and np.isnan(table.light.iloc[1])
    assert "left out, as most of their cells are no numbers: note" in table.attrs["remarks"]


@pytest.mark.parametrize("cell", ["?", "none", "not measured", "", "inf"])
def test_one_cell_that_is_no_number_is_a_missing_value_of_its_film(tmp_path: Path, cell: str) -> None:
    rows = f"tt0000001,1,True,\ntt0000002,{cell},False,\ntt0000003,1e-3,false,\n"
    table = evidence.read_features(write(tmp_path, f"imdb_id,light,big,empty\n{rows}"), LISTED)
    assert table.light.fillna(9).tolist() == pytest.approx([1, 9, 0.001]) and table.big.tolist() == [1, 0, 0]
    assert table.attrs["remarks"] == [
        "left out, as most of their cells are no numbers: empty",
        "3 of 3 rows are of films with a score; features: light, big", "missing values: 1 in light",
    ]  # fmt: skip


def test_a_spreadsheet_is_read_by_title_and_year(tmp_path: Path) -> None:
    rows = '"Amber, The",1990,1\nBrook,1992,2\n"Cedar, Part 2",1992,3\nDune,1990,4\nBrook,,5\nNone,1993,6\nNaN,1994,7\n'
    table = evidence.read_features(write(tmp_path, f"title,year,light\n{rows}NA,1990,8\n"), LISTED)
    assert table.light.to_dict() == {f"tt000000{number}": light for number, light in enumerate([1, 2, 3, 6, 7], 1)}
    twice = pd.concat([LISTED, LISTED[:1].assign(imdb_id="tt0000009")])  # two films of one title: the row is of neither
    path = write(tmp_path, "title,year,light\nThe Amber,1990,1\nBrook,1991,2\n")
    assert list(evidence.read_features(path, twice).index) == ["tt0000002"]


ONE = np.array(["tt0000001"])
REFUSED = [
    ("table.csv", b"", "empty: expected a CSV table"),
    ("table.csv", b"light,dark\n1,2\n", "no column imdb_id or youtube_id, nor title and year; it has light, dark"),
    ("table.csv", b"imdb_id,light\ntt0099999,1\n", "none of its films is among the 5 with a score"),
    ("table.csv", b"youtube_id,light\nshared_by_2,1\n,2\n", "none of its films is among the 5 with a score"),
    ("table.csv", b"imdb_id,light\ntt0000001,1\ntt0000001,2\n", "several rows of tt0000001"),
    ("table.csv", b"imdb_id,note\ntt0000001,dark\n", "no column of numbers"),
    ("none.npz", None, "expected a .npz, .csv or .tsv file"),
    ("table.parquet", b"PAR1", "expected a .npz, .csv or .tsv file"),
    ("table.npz", pickle.dumps([1]), "not a readable table"),
    ("table.npz", {"embedding": np.zeros((1, 2))}, "no array imdb_id or youtube_id of text"),
    ("table.npz", {"imdb_id": np.arange(2), "embedding": np.zeros((2, 2))}, "no array imdb_id or youtube_id of text"),
    ("table.npz", {"imdb_id": ONE, "embedding": np.zeros((2, 2))}, "embedding has 2 rows and the ids 1"),
    ("table.npz", {"imdb_id": ONE, "embedding": np.zeros((1, 2, 2))}, "no column of numbers"),
    ("table.npz", {"imdb_id": ONE, "embedding": np.array([{}])}, "not a readable table"),  # a pickle
]


@pytest.mark.parametrize("name, content, reason", REFUSED)
def test_what_is_no_table_of_features_is_refused(tmp_path: Path, name: str, content: Any, reason: str) -> None:
    refused(tmp_path / name if content is None else write(tmp_path, content, name), reason)


def test_a_small_file_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "table.npz", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("imdb_id.npy", b"0" * 200_000)
    monkeypatch.setattr(evidence, "MAX_BYTES", 100_000)
    monkeypatch.setattr(np, "load", lambda *_, **__: pytest.fail("it was unpacked"))
    refused(tmp_path / "table.npz", "bytes unpacked")


def films(count: int = 150) -> pd.DataFrame:
    """Films whose score is half genre, half something that only features show."""
    random = np.random.default_rng(0)
    drama, hidden = random.random(count) < 0.5, random.normal(0, 1, count)
    table = pd.DataFrame({"imdb_id": [f"tt{number:07d}" for number in range(count)], "year": 2000})
    table["score"] = 6 + drama + 0.5 * hidden
    table["genres"] = np.where(drama, "Drama", "Horror")
    return table.assign(title="", runtime_minutes=100, key=table.imdb_id, hidden=hidden)


def features(table: pd.DataFrame, signal: np.ndarray) -> pd.DataFrame:
    noise = np.random.default_rng(1).normal(0, 1, (len(table), 5))
    return pd.DataFrame(np.column_stack([signal, noise]), table.imdb_id, dtype=np.float32)


def test_features_with_a_signal_add_to_the_genres_and_features_of_chance_do_not() -> None:
    table, chance = films(), np.random.default_rng(2).normal(0, 1, 150)
    found, not_found = (
        evidence.evaluate_features(table, {"trailer": features(table, signal)}, folds=3, repeats=2)
        for signal in (table.hidden, chance)
    )
    gain, no_gain = (result["nMSE minus"]["genre only + trailer"] for result in (found, not_found))
    assert gain["than"] == "genre only" and gain["high"] < -0.3
    assert abs(no_gain["value"]) < 0.05 and no_gain["high"] > 0
    assert found["metrics"]["genre only + trailer"]["nMSE"]["value"] < 0.1
    assert not_found["metrics"]["trailer"]["nMSE"]["value"] > 0.9
    assert found["remarks"] == [] and sum(found["chosen"].values()) == 6 and json.loads(json.dumps(found)) == found
    beside = evidence.evidence_table(found).iloc[:, -1]
    assert beside.name == "that of" and beside["mean baseline"] == ""
    assert beside["genre only"] == beside["trailer"] == "mean baseline"


def test_two_tables_are_two_sources_and_are_stacked() -> None:
    table, second, chance = films(), *np.random.default_rng(3).normal(0, 1, (2, 150))
    table["score"] += 0.5 * second
    tables = {"frames": features(table, table.hidden), "sound": features(table, second)}
    found = evidence.evaluate_features(table, tables, folds=3, repeats=1)
    assert list(found["metrics"])[3:6] == ["frames", "sound", "trailer"] and sum(found["chosen"].values()) == 6
    assert {*found["trailer minus"]} == {*tables} and all(gain["high"] < 0 for gain in found["trailer minus"].values())
    assert found["nMSE minus"]["genre only + trailer"]["high"] < -0.5
    assert evidence.evidence_table(found)["trailer minus"].astype(bool).sum() == 2
    tables["sound"] = features(table, chance)
    gain = evidence.evaluate_features(table, tables, folds=3, repeats=1)["trailer minus"]["frames"]
    assert abs(gain["value"]) < 0.01 and gain["low"] < 0 < gain["high"]


def test_tables_are_named_by_their_files(tmp_path: Path) -> None:
    row = "imdb_id,light\ntt0000001,1\n"
    paths = [write(tmp_path, row, name) for name in ("sound.csv", "frames.tsv", "sound.txt", "genre only.csv")]
    assert list(evidence.read_tables(paths[:2], LISTED)) == ["sound", "frames"]
    assert list(evidence.read_tables(paths[:1], LISTED)) == ["trailer"] and evidence.read_tables([], LISTED) == {}
    for wrong, name in ((paths[:3], "'sound'"), (paths[1:], "'genre only'")):
        with pytest.raises(TrailerError, match=f"two rows of the result would be named {name}: rename the file"):
            evidence.read_tables(wrong, LISTED)


def test_several_tables_on_the_command_line(frames_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    ids = [f"tt88{number:05d}" for number in range(FILMS)]
    for name in ("sound", "frames"):
        write(tmp_path, "imdb_id,level\n" + "".join(f"{key},{len(name)}{key[-2:]}\n" for key in ids), f"{name}.csv")
    words = ["evidence", "--root", frames_root, "--folds", 3, "--repeats", 1, "--features"]
    assert main([*map(str, [*words, tmp_path / "sound.csv", tmp_path / "frames.csv"])]) == 0
    text = capsys.readouterr().out
    assert f"frames: {FILMS} of {FILMS} rows are of films with a score; features: level" in text
    assert "trailer minus" in text and "genre only + trailer " in text


def test_the_scores_of_test_films_change_no_prediction() -> None:
    table, test = films(60), np.arange(60) % 4 == 0
    signal = {name: features(table, table.hidden).to_numpy() for name in ("frames", "sound")}
    rows, _ = evidence.fold_rows(table, signal, test)
    changed, _ = evidence.fold_rows(table.assign(score=table.score.where(~test, 1.0)), signal, test)
    assert len(rows) == 9 and all((rows[name] == changed[name]).all() for name in rows)


def test_only_films_with_features_take_part_and_too_few_are_refused() -> None:
    table, present = films(60), 12
    tables = {"frames": features(table, table.hidden)[:50], "sound": features(table, table.hidden)[10:]}
    found = evidence.evaluate_features(table, tables, folds=3, repeats=1)
    assert found["films"] == 40
    with pytest.raises(TrailerError, match=f"^{present} films are too few for 10 folds"):
        evidence.evaluate_features(table, {"trailer": features(table, table.hidden)[:present]}, folds=10)
    with pytest.raises(TrailerError, match=r"^0 films in all of frames, sound are too few for 3 folds"):
        evidence.evaluate_features(table, tables | {"sound": tables["sound"][40:]}, folds=3)
    with pytest.raises(TrailerError, match=r"^all 60 films have the score 6\.1: without a variance no nMSE"):
        evidence.evaluate_features(table.assign(score=6.1), folds=3)


def test_without_features_the_baselines_are_evaluated() -> None:
    found = evidence.evaluate_features(films(60), folds=3, repeats=1)
    assert list(found["metrics"]) == ["mean baseline", "genre only", "genre + runtime + year"]
    assert "all metadata" in found["left out"] and found["chosen"] == {}


@pytest.mark.parametrize("columns, count", [(8, 200), (200, 4)])
def test_every_head_learns_and_takes_unknown_cells(columns: int, count: int) -> None:
    random = np.random.default_rng(0)
    rows = random.normal(0, 1, (count, columns))
    scores = rows[:, 0] + 6
    rows[random.random(rows.shape) < 0.02] = np.nan
    for head in evidence.feature_heads().values():
        assert metrics.nmse(scores, head.fit(rows, scores).predict(rows)) < 0.5


def test_films_without_a_trailer_are_films_too(frames_root: Path, tmp_path: Path) -> None:
    (tmp_path / "excels").mkdir()
    shutil.copy(frames_root / "excels" / "movie_metadata.csv", tmp_path / "excels")
    found = evidence.evidence_films(Project(tmp_path))
    assert len(found) == FILMS and found.score.notna().all() and (found.key == found.imdb_id).all()
