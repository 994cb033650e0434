"""S4: a ledger torn at every byte of its last line, and several processes that write it at once, lose no line."""

from multiprocessing import get_context
from pathlib import Path

from conftest import amount

from trailer_lib.scrape import ledger
from trailer_lib.scrape.ledger import Entry

WRITERS, APPENDS = amount(8, 2), amount(500, 100)
FIRST = Entry("tt0000000", "clip0000000", "ok", kept_frames=3)
TORN = Entry("tt0000003", "clip0000003", "failed", "decode", "Ein schöner Film: cut short", 1.5, 10**6, 100, 64)
NEXT = Entry("tt0000004", "clip0000004", "later", "timeout")


def append_many(path: Path, writer: int) -> None:
    for number in range(APPENDS):
        detail = "é" * (number % 300) if number % 50 else "é" * 9000  # also more than a page of the disk's cache
        ledger.append_entry(path, Entry(f"tt{writer}-{number}", "y" * 11, "ok", detail=detail))


def test_torn_at_every_byte_the_whole_lines_stay_and_the_next_is_read(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    ledger.append_entry(path, FIRST)
    before = path.read_bytes()
    ledger.append_entry(path, TORN)
    line = path.read_bytes()[len(before) :]
    assert len(line) > 200
    for length in range(0, len(line) - 1, amount(1, 7)):
        path.write_bytes(before + line[:length])
        assert ledger.read_ledger(path) == [FIRST]
        ledger.append_entry(path, NEXT)
        assert ledger.read_ledger(path) == [FIRST, NEXT]


def test_processes_at_once_lose_no_line(tmp_path: Path) -> None:
    path, context = tmp_path / "ledger.jsonl", get_context("spawn")
    writers = [context.Process(target=append_many, args=(path, writer)) for writer in range(WRITERS)]
    for process in writers:
        process.start()
    for process in writers:
        process.join()
    assert [process.exitcode for process in writers] == [0] * WRITERS
    entries = ledger.read_ledger(path)
    assert len(entries) == WRITERS * APPENDS
    assert {entry.imdb_id for entry in entries} == {f"tt{w}-{n}" for w in range(WRITERS) for n in range(APPENDS)}
