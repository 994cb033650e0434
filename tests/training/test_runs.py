"""Whole runs over films whose fate is made up: what is tried again, what stops a run, what is told, other executors."""

import os
import shlex
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from test_scrape import ALL, GOOD, HOSTILE, every_file, put_trailer, statuses, table
from test_scrape import settings as folder_settings

from trailer_lib import Project, TrailerError, errors, files
from trailer_lib.errors import Stopped
from trailer_lib.scrape import ledger, sources
from trailer_lib.scrape import run as run_file
from trailer_lib.scrape.ledger import Entry
from trailer_lib.scrape.run import Job
from trailer_lib.settings import ScrapeSettings
from trailer_lib.video import frame_folder

FILMS = table(*(f"tt{number:07d}" for number in range(50)))
Fate = Callable[[Job], tuple[str, str]]


class Inline(Executor):
    """An executor that works at once."""

    def submit(self, function: Callable, *arguments: object) -> Future:
        future = Future()
        try:
            future.set_result(function(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future


class Closed(Executor):
    def submit(self, function: Callable, *arguments: object) -> Future:
        raise RuntimeError("cannot schedule new futures after shutdown")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture
def scraped(project: Project, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """A function that runs a scrape in which each film has the status and the reason of `fate`; who was tried."""

    def run(fate: Fate, films: object = FILMS, **chosen: object) -> list[str]:
        tried = []

        def scrape_film(job: Job) -> Entry:
            tried.append(job.imdb_id)
            status, reason = fate(job)
            if status == "ok":
                (project.images / frame_folder.folder_name(job.imdb_id, job.title, job.year)).mkdir()
            return Entry(job.imdb_id, job.youtube_id, status, reason, reason and f"told: {reason}")

        monkeypatch.setattr(run_file, "scrape_film", scrape_film)
        quick = {"pause": 0.0, "workers": 1, "attempts": 1} | chosen
        try:
            run_file.scrape(project, films, ScrapeSettings(**quick), Inline())
        finally:
            run.tried = tried
        return tried

    return run


def passing_or_ok(job: Job) -> tuple[str, str]:
    number = int(job.imdb_id[2:])
    if number % 5 == 0:
        return ("later", "network")
    return ("failed", "private") if number % 5 == 1 else ("ok", "")


def ten_of(reason: str) -> Fate:
    return lambda job: ("later", reason) if job.imdb_id < FILMS.imdb_id[10] else ("ok", "")


def test_s5_of_fifty_films_exactly_the_ten_that_failed_in_passing_are_retried(
    project: Project, scraped: Callable
) -> None:
    assert len(scraped(passing_or_ok)) == 50
    expected = [imdb_id for imdb_id in FILMS.imdb_id if int(imdb_id[2:]) % 5 == 0]
    assert scraped(lambda job: ("ok", ""), retry_failed=True) == expected and len(expected) == 10
    assert scraped(lambda job: ("ok", ""), retry_failed=True) == []


@pytest.mark.parametrize("reason", ["bot check", "rate limit", "no JavaScript runtime"])
def test_a_refusal_of_three_films_in_a_row_stops_the_run_and_says_how_to_go_on(
    project: Project, scraped: Callable, reason: str
) -> None:
    with pytest.raises(TrailerError) as caught:
        scraped(ten_of(reason), pause=0.5, workers=3)
    said = str(caught.value)
    assert said.startswith(f"{reason} at 3 films in a row (told: {reason})") and "\n" not in said
    assert sources.remedy(reason) in said
    assert said.endswith(f"python -m trailer_lib scrape --root {project.root} workers=3 attempts=1 pause=0.5")
    assert len(scraped.tried) == 3
    assert run_file.status(project, FILMS).status.value_counts().to_dict() == {"open": 47, "later": 3}
    assert scraped(lambda job: ("ok", "")) == FILMS.imdb_id.tolist()


def test_a_refusal_now_and_then_stops_nothing(scraped: Callable) -> None:
    fate = lambda job: ("ok", "") if int(job.imdb_id[2:]) % 3 == 2 else ("later", "rate limit")  # noqa: E731
    assert len(scraped(fate)) == 50


def test_one_film_that_is_refused_three_times_stops_nothing(scraped: Callable) -> None:
    assert len(scraped(lambda job: ("later", "bot check"), films=FILMS.head(2), attempts=4)) == 8


def test_the_command_to_go_on_gives_these_settings_again(project: Project) -> None:
    (project.root / "settings.toml").write_text("[scrape]\ncount = 20\n")
    chosen = project.settings("scrape", source="folder:my trailers", retry_failed=True, films=3)
    words = shlex.split(run_file._again(project, chosen))
    assert words[:6] == ["python", "-m", "trailer_lib", "scrape", "--root", str(project.root)]
    assert words[6:] == ["films=3", "source=folder:my trailers", "retry_failed=true"]


def test_ctrl_c_tells_how_far_it_came_and_how_to_go_on(project: Project, scraped: Callable) -> None:
    def fate(job: Job) -> tuple[str, str]:
        if job.imdb_id == FILMS.imdb_id[3]:
            raise KeyboardInterrupt
        return "ok", ""

    with pytest.raises(Stopped) as caught:
        scraped(fate)
    command = f"python -m trailer_lib scrape --root {project.root} workers=1 attempts=1 pause=0.0"
    assert str(caught.value) == f"stopped with 3 of 50 films done; to go on: {command}"


def test_an_executor_that_is_shut_down_is_a_plain_error(project: Project) -> None:
    with pytest.raises(TrailerError, match="the executor takes no more films"):
        run_file.scrape(project, FILMS, ScrapeSettings(), Closed())


def test_a_second_run_of_the_same_root_is_refused_and_touches_nothing(project: Project, scraped: Callable) -> None:
    project.images.mkdir()
    in_hand = project.images / f"{files.TEMPORARY}12345678-Film"
    in_hand.mkdir()
    with files.single_run(project.images):
        with pytest.raises(TrailerError, match=r"images: process \d+ on .+ is filling it"):
            scraped(passing_or_ok)
        assert in_hand.exists() and set(run_file.status(project, FILMS).status) == {"open"}
    assert len(scraped(passing_or_ok)) == 50
    assert not in_hand.exists()


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_any_executor_gives_the_same_tree(executor: str, tmp_path: Path) -> None:
    roots = [tmp_path / name for name in ("here", "there")]
    for root in roots:
        root.mkdir()
        for imdb_id in (GOOD, HOSTILE):
            put_trailer(root, imdb_id)
    here, there = map(Project, roots)
    made = ThreadPoolExecutor(2) if executor == "threads" else ProcessPoolExecutor(2, get_context("spawn"))
    run_file.scrape(here, table(GOOD, HOSTILE), folder_settings())
    with made:
        assert set(statuses(run_file.scrape(there, table(GOOD, HOSTILE), folder_settings(), made)).values()) == {"ok"}
    assert contents(here.images) == contents(there.images)


def contents(images: Path) -> dict[str, bytes]:
    """Of every file but the ledger, whose lines have times."""
    return {name: data for name, (data, _) in every_file(images).items() if name != run_file.LEDGER}


def test_a_film_without_its_line_gets_it_in_the_next_run(tmp_path: Path) -> None:
    put_trailer(tmp_path, GOOD)
    project = Project(tmp_path)
    run_file.scrape(project, table(GOOD), folder_settings())
    [written] = ledger.read_ledger(project.images / run_file.LEDGER)
    (project.images / run_file.LEDGER).unlink()
    run_file.scrape(project, table(GOOD), folder_settings())
    [mended] = ledger.read_ledger(project.images / run_file.LEDGER)
    assert vars(mended) == vars(written) | {"seconds": 0.0}


def test_a_download_that_finds_the_disk_full_stops_the_run(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(*_: object) -> Path:
        raise errors.SourceError("unknown", "unable to write data: [Errno 28] No space left on device", False)

    monkeypatch.setattr(sources, "fetch_trailer", fetch)
    with pytest.raises(files.DiskFull, match="the disk is full: a download needs up to"):
        run_file.scrape(project, ALL, ScrapeSettings(pause=0.0), Inline())
    assert not (project.images / run_file.LEDGER).exists()


def test_what_a_server_asks_for_is_in_the_entry(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(*_: object) -> Path:
        raise errors.SourceError("rate limit", "HTTP Error 429", False, retry_after=77.0)

    monkeypatch.setattr(sources, "fetch_trailer", fetch)
    job = Job(GOOD, "y", "", "Film", 1999, project, ScrapeSettings())
    entry = run_file.scrape_film(job)
    assert (entry.status, entry.reason, entry.retry_after) == ("later", "rate limit", 77.0)


def test_the_summary_counts_films_seconds_bytes_and_frames_of_each_reason(project: Project) -> None:
    lines = [
        Entry(FILMS.imdb_id[0], "y", "ok", seconds=2.0, bytes=3_000_000, kept=60),
        Entry(FILMS.imdb_id[1], "y", "ok", seconds=3.0, bytes=1_500_000, kept=70),
        Entry(FILMS.imdb_id[2], "y", "failed", "decode", seconds=0.5),
        Entry(FILMS.imdb_id[3], "y", "later", "timeout", seconds=600.0),
    ]
    for entry in lines:
        ledger.append_entry(project.images / run_file.LEDGER, entry)
        if entry.status == "ok":
            (project.images / frame_folder.folder_name(entry.imdb_id, "Film", 1999)).mkdir()
    found = run_file.summary(run_file.status(project, FILMS)).to_dict("records")
    assert found == [
        {"status": "open", "reason": "", "films": 46, "seconds": 0.0, "MB": 0.0, "frames": 0},
        {"status": "ok", "reason": "", "films": 2, "seconds": 5.0, "MB": 4.5, "frames": 130},
        {"status": "failed", "reason": "decode", "films": 1, "seconds": 0.5, "MB": 0.0, "frames": 0},
        {"status": "later", "reason": "timeout", "films": 1, "seconds": 600.0, "MB": 0.0, "frames": 0},
    ]


def test_the_bar_tells_films_a_minute_kept_and_failed_by_reason(
    scraped: Callable, capsys: pytest.CaptureFixture[str]
) -> None:
    def fate(job: Job) -> tuple[str, str]:
        time.sleep(0.3 * (job.imdb_id == FILMS.imdb_id[30]))  # tqdm draws ten times a second at most
        return passing_or_ok(job)

    scraped(fate)
    shown = capsys.readouterr().err
    assert " 0/50 films, " in shown and " left" in shown and "/min, kept " in shown
    text = run_file._postfix(Counter(kept=31, decode=2, private=1), 60.0)
    assert text == "34.0/min, kept 31, failed 3 (decode 2, private 1)"


def test_a_scratch_folder_of_a_dead_process_goes_and_that_of_a_living_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    dead, others = tmp_path / f"{files.SCRATCH}dead", tmp_path / "trailers"
    dead.mkdir(), others.mkdir()
    os.utime(others, (0, 0))
    with files.scratch_folder() as living:
        os.utime(living, (0, 0))
        os.utime(dead, (0, 0))
        with files.scratch_folder():
            assert living.exists() and not dead.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["trailers"]
