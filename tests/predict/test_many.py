"""Many trailers give a table: one bad file costs one row, and nothing that is done is done again."""

import csv
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import pictures

from trailer_lib import files
from trailer_lib.__main__ import main
from trailer_lib.errors import TrailerError
from trailer_lib.predict import many, predict_many
from trailer_lib.predict.many import COLUMNS, find_trailers, open_table


@pytest.fixture(scope="module")
def folder(make_video: Callable, trained_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two videos, a folder of pictures, a video of nothing but black, and a text that calls itself a video."""
    made = tmp_path_factory.mktemp("trailers")
    make_video(made / "one.mp4", list(pictures(7.0, 140, seed=1)))
    make_video(made / "two tt8800003.mp4", list(pictures(3.0, 140, seed=2)))
    make_video(made / "black.mp4", [np.zeros((36, 64, 3), np.uint8)] * 140)
    (made / "bad.mp4").write_text("no video")
    (made / "notes.txt").write_text("no trailer")
    scraped = next(path for path in sorted((trained_root / "images").iterdir()) if path.is_dir())
    os.symlink(scraped, made / scraped.name)
    return made


@pytest.fixture(scope="module")
def table(folder: Path, best: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    out = tmp_path_factory.mktemp("table") / "out.csv"
    return out, predict_many(folder, best, out)


def rows_of(path: Path) -> dict[str, dict[str, str]]:
    """The rows by the trailer's file name; each trailer has one."""
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({row["trailer"] for row in rows}) == len(rows)
    return {Path(row["trailer"]).name: row for row in rows}


def test_every_trailer_has_a_row_and_only_bad_ones_lack_a_score(table: tuple[Path, dict], folder: Path) -> None:
    out, counts = table
    rows = rows_of(out)
    assert rows.keys() == {path.name for path in folder.iterdir()} - {"notes.txt"}
    assert {name for name, row in rows.items() if not row["score"]} == {"bad.mp4", "black.mp4"}
    assert "not a video" in rows["bad.mp4"]["reason"] and "all black" in rows["black.mp4"]["reason"]
    assert counts == {"scored": 3, "failed": 2, "before": 0}
    assert rows["two tt8800003.mp4"]["imdb_id"] == "tt8800003"


def test_a_second_run_does_what_has_no_score(
    table: tuple[Path, dict], folder: Path, best: Path, tmp_path: Path
) -> None:
    copy, text = tmp_path / "out.csv", table[0].read_text()
    copy.write_text(text + text.splitlines()[-1][:20])  # a line that a crash cut
    assert predict_many(folder, best, copy) == {"scored": 0, "failed": 2, "before": 3}
    assert {n: r["score"] for n, r in rows_of(copy).items()} == {n: r["score"] for n, r in rows_of(table[0]).items()}


def test_a_table_cut_anywhere_loses_at_most_its_last_row(tmp_path: Path) -> None:
    whole, out = tmp_path / "whole.csv", tmp_path / "out.csv"
    names = ["a\nb.mp4", 'quoted ", name.mp4', "b.mp4"]
    open_table(whole, "one")
    for name in names:
        files.append_text(whole, many._csv([dict.fromkeys(COLUMNS, "7") | {"model": "one", "trailer": name}]))
    data, head = whole.read_bytes(), len(",".join(COLUMNS)) + 1
    ends = [data.index(name) for name in (b'"quoted', b"b.mp4,")] + [len(data)]  # of the rows
    for end in range(head, len(data) + 1, 3):
        out.write_bytes(data[:end])
        assert open_table(out, "one") == set(names[: sum(end >= row for row in ends)])
    assert open_table(whole, "another") == set() and open_table(whole, "one") == set(names)


def test_ctrl_c_ends_the_command_in_a_line_and_the_rows_so_far_stay(
    folder: Path, best: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def stop(path: Path, text: str, append: Callable = files.append_text) -> None:
        if path.read_text().count("\n") > 1:
            raise KeyboardInterrupt
        append(path, text)

    (tmp_path / "list.txt").write_text("".join(f"{folder / name}\n" for name in ("one.mp4", "two tt8800003.mp4")))
    with monkeypatch.context() as patch:
        patch.setattr(files, "append_text", stop)
        words = ["predict", tmp_path / "list.txt", "--model", best, "--csv", tmp_path / "out.csv"]
        assert main(list(map(str, words))) == 1
    assert "1 of 2 trailers are in" in (error := capsys.readouterr().err) and "Traceback" not in error
    counts = predict_many(tmp_path / "list.txt", best, tmp_path / "out.csv")
    assert counts == {"scored": 1, "failed": 0, "before": 1}


LIST = r"""#EXTM3U
#EXTINF:120,A film
a tt0000001.mp4

https://example.org/b.mp4
youtu.be/abcdefghij1
/data/c.mp4
./#2.mp4
a tt0000001.mp4
"""


@pytest.mark.parametrize("encoded", [LIST.encode(), LIST.replace("\n", "\r\n").encode("utf-8-sig")], ids=len)
def test_a_list_has_paths_from_where_it_lies_and_links(tmp_path: Path, encoded: bytes) -> None:
    (tmp_path / "list.m3u8").write_bytes(encoded)
    paths = ["https://example.org/b.mp4", "youtu.be/abcdefghij1", "/data/c.mp4", str(tmp_path / "#2.mp4")]
    assert [*find_trailers(tmp_path / "list.m3u8")] == [str(tmp_path / "a tt0000001.mp4"), *paths]


def test_names_that_are_not_utf_8_are_scored_and_then_skipped(folder: Path, best: Path, tmp_path: Path) -> None:
    name, out = b"caf\xe9.mp4", tmp_path / "out.csv"
    os.symlink(folder / "one.mp4", os.path.join(os.fsencode(tmp_path), name))
    (tmp_path / "list.txt").write_bytes(name + b"\n")
    for place, counts in ((tmp_path / "list.txt", (1, 0, 0)), (tmp_path, (0, 0, 1))):
        assert tuple(predict_many(place, best, out).values()) == counts
    assert list(rows_of(out)) == ["caf\\xe9.mp4"]


def test_another_file_or_runs_table_is_not_written_over(folder: Path, best: Path, tmp_path: Path) -> None:
    text = f"imdb_id;trailer;genres\ntt0000007;a.mp4;Drama\n;{folder / 'one.mp4'};\n"
    table, unknown = tmp_path / "list.csv", dict.fromkeys(many.GIVEN, "")
    table.write_text(text)
    named = unknown | {"imdb_id": "tt0000007", "genres": "Drama"}
    assert find_trailers(table) == {str(tmp_path / "a.mp4"): named, str(folder / "one.mp4"): unknown}
    for place, out, reason in ((table, table, "over an input"), (table, best, "over an input"),
                               (folder, table, r"list\.csv: another table")):  # fmt: skip
        with pytest.raises(TrailerError, match=reason):
            predict_many(place, best, out)
    with files.single_run(table), pytest.raises(TrailerError, match=r"list\.csv: .* is filling it"):
        predict_many(folder, best, table)
    assert table.read_text() == text


def test_a_folder_has_videos_of_every_kind_and_no_hidden_ones(tmp_path: Path) -> None:
    for name in ("a.MP4", "b.m4v", "c.mpg", "._a.MP4", "notes.txt", ".hidden/0.jpg", "empty/notes.txt", "d/0.webp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [Path(name).name for name in find_trailers(tmp_path)] == ["a.MP4", "b.m4v", "c.mpg", "d"]


@pytest.mark.parametrize(("name", "content", "reason"), [
    ("list.txt", b"", "no trailers in it"), ("list.txt", b"\x7fELF\x00\x81", "not a text"),
    ("list.csv", b"title\nHeat\n", "no column 'trailer'"), ("none.txt", None, "no such folder or list"),
    ("", None, "no trailers in it"),
])  # fmt: skip
def test_a_list_without_trailers_is_refused(tmp_path: Path, name: str, content: bytes | None, reason: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(TrailerError, match=reason):
        find_trailers(tmp_path / name)
