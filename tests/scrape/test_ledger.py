"""The ledger: entries are read as they were appended, whatever a crash or a stranger left between; and its tables."""

import shutil
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from film_set import table

from trailer_lib import Project, TrailerError
from trailer_lib.scrape import first_folder, ledger, sounds, status, summary
from trailer_lib.scrape.ledger import LEDGER, Entry
from trailer_lib.video import SOUND, folder_name

FIRST = Entry("tt0000001", "-aaaaaaaaaa", "ok", "", "", 1.5, 10, 4, 3, {"dark": 1}, sound="silent")
SECOND = Entry("tt0000002", "bbbbbbbbbbb", "failed", "private", '“Amélie”\n七人の侍 \u2028 🎬 \udcff \\ "quoted"')
THIRD = Entry("tt0000003", "ccccccccccc", "later", "network", "reset", retry_after=3.0)
FILMS = table(FIRST.imdb_id, SECOND.imdb_id, THIRD.imdb_id, "tt0000004")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "images" / LEDGER


@pytest.fixture
def project(path: Path) -> Project:
    """One film of each status, the first with a folder."""
    for entry in (FIRST, SECOND, THIRD):
        ledger.append_entry(path, entry)
    (path.parent / folder_name(FIRST.imdb_id, "Film", 1999)).mkdir()
    return Project(path.parent.parent)


def test_entries_are_read_as_they_were_appended_a_line_each(path: Path) -> None:
    assert ledger.read_ledger(path) == [] and not path.parent.exists()
    ledger.append_entry(path, FIRST)
    before = path.read_bytes()
    ledger.append_entry(path, SECOND)
    ledger.append_entry(path, THIRD)
    assert path.read_bytes().startswith(before) and path.read_bytes().count(b"\n") == 3
    assert ledger.read_ledger(path) == [FIRST, SECOND, THIRD]


def test_lines_of_earlier_versions_say_nothing_of_a_sound(path: Path) -> None:
    ledger.append_entry(path, FIRST)
    path.write_bytes(path.read_bytes().replace(b', "sound": "silent"', b""))
    assert ledger.read_ledger(path) == [replace(FIRST, sound="")]


@pytest.mark.parametrize("ending", [b"", b'{"imdb_id": "tt00'])
def test_a_last_line_without_its_end_is_separated_from_the_next(path: Path, ending: bytes) -> None:
    ledger.append_entry(path, FIRST)
    path.write_bytes(path.read_bytes().removesuffix(b"\n") + ending)
    ledger.append_entry(path, SECOND)
    assert ledger.read_ledger(path) == [SECOND] if ending else [FIRST, SECOND]


@pytest.mark.parametrize(
    "foreign",
    [b"", b"not json", b"null", b"[1]", b'{"imdb_id": "tt1"}', b"\xff\xfe\x00",
     b'{"imdb_id": "tt1", "youtube_id": "y", "status": "ok", "colour": "red"}', b"[" * 100_000],
)  # fmt: skip
def test_a_foreign_line_is_skipped(path: Path, foreign: bytes) -> None:
    ledger.append_entry(path, FIRST)
    path.write_bytes(path.read_bytes() + foreign + b"\n")
    ledger.append_entry(path, SECOND)
    assert ledger.read_ledger(path) == [FIRST, SECOND]


def test_the_folder_decides_and_not_the_ledger(project: Project, path: Path) -> None:
    ledger.append_entry(path, Entry(FIRST.imdb_id, FIRST.youtube_id, "failed", "crash"))
    (path.parent / folder_name(THIRD.imdb_id, "Film", 1999)).mkdir()
    assert status(project, FILMS).status.tolist() == ["ok", "failed", "ok", "open"]
    ledger.append_entry(path, FIRST)
    shutil.rmtree(first_folder(project, FILMS))
    assert status(project, FILMS).status.tolist() == ["open", "failed", "ok", "open"]
    assert set(status(project, FILMS).reason) == {"", "private"}


def test_the_first_folder_is_that_of_the_first_film_that_has_a_whole_one(project: Project) -> None:
    for name in ("Old Film", f".tmp-1-Film (1999) [{THIRD.imdb_id}]"):
        (project.images / name).mkdir()
    (project.images / f"file [{SECOND.imdb_id}]").write_text("")
    assert first_folder(project, FILMS[::-1]) == ledger.film_folders(project)[FIRST.imdb_id]
    with pytest.raises(TrailerError, match="not one of 2 films gave frames"):
        first_folder(project, FILMS[1:3])


def test_the_summary_counts_films_seconds_megabytes_and_frames_of_each_reason(project: Project, path: Path) -> None:
    for number, entry in ((5, FIRST), (6, FIRST), (7, THIRD)):
        ledger.append_entry(path, Entry(**asdict(entry) | {"imdb_id": f"tt000000{number}", "bytes": 1_500_000}))
    for number in (5, 6):
        (path.parent / folder_name(f"tt000000{number}", "Film", 1999)).mkdir()
    (path.parent / folder_name("tt0000005", "Film", 1999) / SOUND).write_bytes(b"")
    films = table(*(f"tt000000{number}" for number in range(2, 8)))
    assert summary(status(project, films)).values.tolist() == [
        ["later", "network", 2, 0.0, 1.5, 0, 0],
        ["ok", "", 2, 3.0, 3.0, 6, 1],
        ["failed", "private", 1, 0.0, 0.0, 0, 0],
        ["open", "", 1, 0.0, 0.0, 0, 0],
    ]
    assert sounds(status(project, films)) == "1 of 2 films with frames have sound; the others: 1 silent"
