"""The ledger: what is appended is read, whatever a crash or a stranger left between."""

from multiprocessing import get_context
from pathlib import Path

import pytest

from trailer_lib.scrape import ledger
from trailer_lib.scrape.ledger import Entry

WRITERS, APPENDS = 4, 50
FIRST = Entry("tt0000001", "-aaaaaaaaaa", "ok", seconds=1.5, bytes=10, sampled=4, kept=3, dropped={"dark": 1})
SECOND = Entry("tt0000002", "bbbbbbbbbbb", "failed", "private", "“Amélie”\n七人の侍 \u2028 🎬")
THIRD = Entry("tt0000003", "ccccccccccc", "later", "network", 'a "quoted" \\ text')


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "images" / "ledger.jsonl"


def line_of(entry: Entry, scratch: Path) -> bytes:
    """The bytes that appending `entry` writes."""
    scratch.unlink(missing_ok=True)
    ledger.append_entry(scratch, entry)
    return scratch.read_bytes()


def append_many(path: Path, writer: int) -> None:
    for number in range(APPENDS):
        ledger.append_entry(path, Entry(f"tt{writer}-{number}", "y" * 11, "ok", detail="é" * (100 * writer + number)))


def test_what_is_appended_is_read_in_order(path: Path) -> None:
    for entry in (FIRST, SECOND, THIRD):
        ledger.append_entry(path, entry)
    assert ledger.read_ledger(path) == [FIRST, SECOND, THIRD]


def test_every_entry_is_one_line_that_only_follows(path: Path) -> None:
    ledger.append_entry(path, FIRST)
    before = path.read_bytes()
    ledger.append_entry(path, SECOND)
    assert path.read_bytes().startswith(before)
    assert path.read_bytes().count(b"\n") == 2


def test_a_ledger_that_is_not_there_is_empty(path: Path) -> None:
    assert ledger.read_ledger(path) == []
    assert ledger.latest_entries(path) == {}
    assert not path.parent.exists()


def test_the_last_entry_of_a_film_counts(path: Path) -> None:
    retried = Entry(FIRST.imdb_id, FIRST.youtube_id, "later", "timeout")
    for entry in (FIRST, SECOND, retried):
        ledger.append_entry(path, entry)
    assert ledger.latest_entries(path) == {FIRST.imdb_id: retried, SECOND.imdb_id: SECOND}


def test_a_line_torn_at_any_byte_loses_that_line_alone(path: Path) -> None:
    ledger.append_entry(path, FIRST)
    before, line = path.read_bytes(), line_of(SECOND, path.with_name("scratch"))
    for length in range(len(line) - 1):
        path.write_bytes(before + line[:length])
        assert ledger.read_ledger(path) == [FIRST]
        ledger.append_entry(path, THIRD)
        assert ledger.read_ledger(path) == [FIRST, THIRD]


def test_a_line_that_lacks_only_its_end_is_kept(path: Path) -> None:
    ledger.append_entry(path, FIRST)
    path.write_bytes(path.read_bytes() + line_of(SECOND, path.with_name("scratch")).removesuffix(b"\n"))
    ledger.append_entry(path, THIRD)
    assert ledger.read_ledger(path) == [FIRST, SECOND, THIRD]


def test_a_torn_first_line_hides_nothing(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b'{"imdb_id": "tt00')
    ledger.append_entry(path, FIRST)
    assert ledger.read_ledger(path) == [FIRST]


@pytest.mark.parametrize(
    "foreign",
    [
        b"",
        b"not json",
        b"3",
        b"null",
        b"[1, 2, 3]",
        b'["tt1", "y", "ok"]',
        b"{}",
        b'{"imdb_id": "tt1"}',
        b'{"imdb_id": "tt1", "youtube_id": "y", "status": "ok", "colour": "red"}',
        b"\xff\xfe\x00",
        b"[" * 100_000,
    ],
)
def test_a_foreign_line_is_passed_over(path: Path, foreign: bytes) -> None:
    ledger.append_entry(path, FIRST)
    path.write_bytes(path.read_bytes() + foreign + b"\n")
    ledger.append_entry(path, SECOND)
    assert ledger.read_ledger(path) == [FIRST, SECOND]


def test_lines_of_several_processes_never_mix(path: Path) -> None:
    context = get_context("spawn")
    writers = [context.Process(target=append_many, args=(path, writer)) for writer in range(WRITERS)]
    for process in writers:
        process.start()
    for process in writers:
        process.join()
    assert [process.exitcode for process in writers] == [0] * WRITERS
    expected = {f"tt{writer}-{number}" for writer in range(WRITERS) for number in range(APPENDS)}
    assert {entry.imdb_id for entry in ledger.read_ledger(path)} == expected
    assert path.read_bytes().count(b"\n") == len(expected)
