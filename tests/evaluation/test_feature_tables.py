"""Tables of features: keyed by IMDb id or by title and year, and every other file refused in one line."""

import pickle
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from trailer_lib.errors import TrailerError
from trailer_lib.evaluation import evidence

FILMS = pd.DataFrame(
    {
        "imdb_id": ["tt0000001", "tt0000002", "tt0000003"],
        "title": ["The Amber", "Brook", "Cédar: Part II"],
        "year": [1990, 1991, 1992],
    }
)


def text_file(folder: Path, text: str, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def arrays(folder: Path, **found: np.ndarray) -> Path:
    np.savez(folder / "table.npz", **found)
    return folder / "table.npz"


def test_arrays_are_read_by_id(tmp_path: Path) -> None:
    ids = np.array(["tt0000002", "tt0000001", "tt0099999"])
    path = arrays(tmp_path, imdb_id=ids, embedding=np.arange(6, dtype=np.float16).reshape(3, 2), length=np.arange(3))
    table = evidence.read_features(path, FILMS)
    assert table.to_dict("index") == {
        "tt0000002": {"embedding 0": 0, "embedding 1": 1, "length 0": 0},
        "tt0000001": {"embedding 0": 2, "embedding 1": 3, "length 0": 1},
    }
    assert (table.dtypes == np.float32).all()


@pytest.mark.parametrize("head", ["imdb_id", "tconst", "IMDB_ID"])
@pytest.mark.parametrize("name, separator", [("table.csv", ","), ("table.tsv", "\t")])
def test_a_spreadsheet_is_read_by_id(tmp_path: Path, head: str, name: str, separator: str) -> None:
    rows = [[head, "year", "light", "note"], ["tt0000001", "1990", "0.5", "a"], ["tt0000002", "1991", "", "b"]]
    table = evidence.read_features(text_file(tmp_path, "\n".join(map(separator.join, rows)), name), FILMS)
    assert list(table.columns) == ["light"] and list(table.index) == ["tt0000001", "tt0000002"]
    assert table.light.iloc[0] == 0.5 and np.isnan(table.light.iloc[1])


def test_a_spreadsheet_is_read_by_title_and_year(tmp_path: Path) -> None:
    rows = '"Amber, The",1990,1\nBrook,1992,2\n"Cedar, Part 2",1992,3\nDune,1990,4\nBrook,,5\n'
    table = evidence.read_features(text_file(tmp_path, f"title,year,light\n{rows}"), FILMS)
    assert table.light.to_dict() == {"tt0000001": 1, "tt0000002": 2, "tt0000003": 3}  # Brook: the year off by one


def test_a_title_that_two_rows_have_is_of_neither_film(tmp_path: Path) -> None:
    films = pd.concat([FILMS, FILMS[:1].assign(imdb_id="tt0000004")])
    path = text_file(tmp_path, "title,year,light\nThe Amber,1990,1\nBrook,1991,2\n")
    assert list(evidence.read_features(path, films).index) == ["tt0000002"]


def test_an_infinite_number_is_unknown_and_an_empty_column_none(tmp_path: Path) -> None:
    path = text_file(tmp_path, "imdb_id,light,empty\ntt0000001,inf,\ntt0000002,2,\n")
    table = evidence.read_features(path, FILMS)
    assert list(table.columns) == ["light"] and np.isnan(table.light.iloc[0])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not a readable table"),
        ("light,dark\n1,2\n", "no column imdb_id, nor title and year; it has light, dark"),
        ("imdb_id,light\ntt0099999,1\n", "none of its films is among the 3 with a score"),
        ("imdb_id,light\ntt0000001,1\ntt0000001,2\n", "several rows of tt0000001"),
        ("imdb_id,note\ntt0000001,dark\n", "no column of numbers"),
        ("imdb_id,light\ntt0000001,1,2,3,4\n1,2\n1,2,3,4,5,6,7\n", "not a readable table"),
    ],
)
def test_a_spreadsheet_that_is_none_is_an_error(tmp_path: Path, text: str, reason: str) -> None:
    _refused(text_file(tmp_path, text), reason)


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        ({"embedding": np.zeros((1, 2))}, "no array imdb_id of text"),
        ({"imdb_id": np.array([1, 2]), "embedding": np.zeros((2, 2))}, "no array imdb_id of text"),
        ({"imdb_id": np.array(["tt0000001"]), "embedding": np.zeros((2, 2))}, "embedding has 2 rows and imdb_id 1"),
        ({"imdb_id": np.array(["tt0000001"]), "embedding": np.zeros((1, 2, 2))}, "no column of numbers"),
        ({"imdb_id": np.array(["tt0000001"]), "embedding": np.array([{}])}, "not a readable .npz of plain arrays"),
    ],
)
def test_arrays_that_are_no_table_are_an_error(tmp_path: Path, found: dict, reason: str) -> None:
    _refused(arrays(tmp_path, **found), reason)


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 and no more", pickle.dumps([1])])
def test_a_file_that_is_no_archive_is_an_error(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "table.npz").write_bytes(damage)
    _refused(tmp_path / "table.npz", "not a readable .npz")


def test_a_small_file_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "table.npz", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("imdb_id.npy", b"0" * 200_000)
    monkeypatch.setattr(evidence, "BIGGEST", 100_000)
    monkeypatch.setattr(np, "load", lambda *_, **__: pytest.fail("it was unpacked"))
    _refused(tmp_path / "table.npz", "bytes unpacked")


@pytest.mark.parametrize("name", ["missing.npz", "table.parquet"])
def test_another_kind_or_no_file_is_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "table.parquet").write_bytes(b"PAR1")
    _refused(tmp_path / name, "expected a .npz, .csv or .tsv file")


def _refused(path: Path, reason: str) -> None:
    with pytest.raises(TrailerError) as caught:
        evidence.read_features(path, FILMS)
    assert str(caught.value).startswith(str(path)) and reason in str(caught.value)
    assert "\n" not in str(caught.value)
