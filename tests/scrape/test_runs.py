"""Whole runs over films whose outcomes are made up: what is tried again and when, what stops a run, what it says."""

import errno
from collections import Counter
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pandas as pd
import pytest
from film_set import GOOD, table

from trailer_lib import Project, TrailerError, files
from trailer_lib.errors import SourceError
from trailer_lib.scrape import failures, ledger, pool, run, scrape, sources, status
from trailer_lib.scrape.ledger import Entry
from trailer_lib.scrape.run import Job, retry_delay
from trailer_lib.settings import ScrapeSettings
from trailer_lib.video import folder_name

FILMS = table(*(f"tt{number:07d}" for number in range(50)))
Outcome = Callable[[Job], tuple[str, str]]


class Inline(Executor):
    """An executor that works at once."""

    def submit(self, function: Callable, *arguments: object) -> Future:
        future = Future()
        try:
            future.set_result(function(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture
def scraped(project: Project, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """A function that scrapes films with the status and the reason of `outcome`; it returns who was tried."""

    def run_all(outcome: Outcome, films: object = FILMS, **chosen: object) -> list[str]:
        run_all.tried = []

        def scrape_film(job: Job) -> Entry:
            run_all.tried.append(job.imdb_id)
            state, reason = outcome(job)
            if state == "ok":
                (project.images / folder_name(job.imdb_id, job.title, job.year)).mkdir(exist_ok=True)
            return Entry(job.imdb_id, job.youtube_id, state, reason, f"said: {reason}", trailer=job.trailer)

        monkeypatch.setattr(run, "scrape_film", scrape_film)
        scrape(project, films, ScrapeSettings(**({"pause": 0.0, "workers": 1, "attempts": 1} | chosen)), Inline())
        return run_all.tried

    return run_all


def mixed(job: Job) -> tuple[str, str]:
    """Of five films one fails temporarily, one permanently."""
    return {0: ("later", "network"), 1: ("failed", "private")}.get(int(job.imdb_id[2:]) % 5, ("ok", ""))


def always_ok(job: Job) -> tuple[str, str]:
    return "ok", ""


def test_of_forty_films_exactly_the_eight_that_failed_temporarily_are_retried(scraped: Callable) -> None:
    assert len(scraped(mixed, FILMS.head(40))) == 40
    assert scraped(always_ok, retry_failed=True) == FILMS.imdb_id[:40:5].tolist()  # and not the ten never tried
    assert scraped(always_ok, retry_failed=True) == []


def test_a_sound_is_tried_again_as_a_film_is_and_its_film_keeps_its_frames(project: Project, scraped: Callable) -> None:
    films = FILMS.head(5)
    scraped(always_ok, films)
    tried = scraped(mixed, films, sound=True, attempts=3)
    assert Counter(tried) == {imdb_id: 3 - 2 * bool(number) for number, imdb_id in enumerate(films.imdb_id)}
    result, latest = status(project, films), ledger.latest_entries(project.images / ledger.LEDGER)
    assert set(result.status) == {"ok"} and result.sound.tolist() == ["later: network", "private", "", "", ""]
    assert [latest[imdb_id].sound for imdb_id in films.imdb_id[2:]] == ["ok"] * 3  # whose picture is not there here
    assert scraped(always_ok, films, sound=True) == [FILMS.imdb_id[number] for number in (0, 2, 3, 4)]
    with pytest.raises(TrailerError, match="rate limit at 3 films in a row"):
        scraped(lambda job: ("later", "rate limit"), films, sound=True)
    assert set(status(project, films).status) == {"ok"}


@pytest.mark.parametrize("reason", ["rate limit", sources.LOST])
def test_three_refusals_in_a_row_stop_the_run_and_say_how_to_resume(
    project: Project, scraped: Callable, reason: str
) -> None:
    with pytest.raises(TrailerError) as caught:
        scraped(lambda job: ("later", reason), workers=3)
    said = f"{reason} at 3 films in a row (said: {reason}): stopped, nothing is lost"
    assert str(caught.value) == f"{said}: {sources.REMEDIES[reason]}; then run it again"
    assert len(scraped.tried) == 3
    assert Counter(status(project, FILMS).status) == {"open": 47, "later": 3}
    assert scraped(always_ok) == FILMS.imdb_id.tolist()


def test_refusals_now_and_then_or_of_one_film_alone_stop_nothing(scraped: Callable) -> None:
    assert len(scraped(lambda job: ("ok", "") if job.imdb_id[-1] in "0369" else ("later", "rate limit"))) == 50
    assert len(scraped(lambda job: ("later", "rate limit"), films=FILMS[1:3], attempts=4)) == 8


def test_a_second_run_of_the_same_root_is_refused_and_touches_nothing(project: Project, scraped: Callable) -> None:
    in_progress = project.images / f"{files.TEMPORARY}12345678-Film"
    in_progress.mkdir(parents=True)
    with files.single_run(project.images):
        with pytest.raises(TrailerError, match="is filling it"):
            scraped(mixed)
        assert in_progress.exists() and scraped.tried == []
    assert len(scraped(mixed)) == 50 and not in_progress.exists()


@pytest.mark.parametrize(("error", "raised"), [
    (TrailerError("a wrong setting"), TrailerError), (OSError(5, "I/O error"), OSError),
    (OSError(errno.ENOSPC, "full"), files.DiskFull),
])  # fmt: skip
def test_what_every_film_would_meet_ends_the_run(
    error: Exception, raised: type, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "fetch_trailer", Mock(side_effect=error))
    with pytest.raises(raised):
        scrape(project, FILMS, ScrapeSettings(pause=0.0, workers=1), Inline())
    assert sources.fetch_trailer.call_count == 1 and not (project.images / ledger.LEDGER).exists()


@pytest.mark.parametrize(("error", "outcome"), [
    (BrokenExecutor("all workers died"), ["later", sources.LOST]), (LookupError("no stream"), ["failed", "error"]),
])  # fmt: skip
def test_an_unexpected_error_is_tried_once_more_and_costs_its_film_alone(
    error: Exception, outcome: list[str], project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "scrape_film", Mock(side_effect=error))
    result = scrape(project, FILMS.head(2), ScrapeSettings(attempts=2, pause=0.0, workers=2), Inline())
    assert result[["status", "reason"]].values.tolist() == [outcome] * 2 and run.scrape_film.call_count == 4


def test_a_film_without_a_trailer_costs_neither_a_worker_nor_a_pause(project: Project, scraped: Callable) -> None:
    films = FILMS.head(3).assign(youtube_id=["", "y", ""])
    assert scraped(always_ok, films, pause=1e6) == [FILMS.imdb_id[1]]
    lines = (project.images / ledger.LEDGER).read_text()
    result = status(project, films)
    assert result.status.tolist() == ["failed", "ok", "failed"] and result.reason[0] == "missing"
    assert "youtube_id, url or file in films.csv" in failures(result)
    assert scraped(always_ok, films) == [] and (project.images / ledger.LEDGER).read_text() == lines
    assert scraped(always_ok, films.assign(youtube_id="y"), retry_failed=True) == [FILMS.imdb_id[0], FILMS.imdb_id[2]]


def test_a_permanent_failure_is_of_a_trailer_not_of_its_film(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "fetch_trailer", Mock(side_effect=SourceError("private", "private video", True)))
    for youtube_id in ("one", "one", "two", "", "two"):
        films = FILMS.head(1).assign(youtube_id=youtube_id)
        result = scrape(project, films, ScrapeSettings(pause=0.0), Inline())
        assert result.reason.tolist() == ["private"]
    assert [call.args[0] for call in sources.fetch_trailer.call_args_list] == ["one", "two"]


def test_of_many_failures_ten_are_listed_and_a_file_has_all(project: Project, scraped: Callable) -> None:
    scraped(lambda job: ("later", "network"))
    *lines, more, remedy = failures(status(project, FILMS)).splitlines()
    assert lines[0] == f"later   {FILMS.title[0]}: said: network"
    assert remedy == f"network: {sources.REMEDIES['network']}"
    assert len(lines) == 10 and more == "... and 40 more: all are in images/failures.csv"
    assert failures(status(project, FILMS).head(0)) == "nothing failed"
    table = pd.read_csv(project.images / "failures.csv")
    assert table.columns.tolist() == ["imdb_id", "title", "status", "reason", "detail"]
    assert table.imdb_id.tolist() == FILMS.imdb_id.tolist() and set(table.detail) == {"said: network"}


def test_a_source_error_is_the_films_entry(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    error = SourceError("rate limit", "HTTP Error 429 \udcff\ud83d", False, retry_after=77.0)
    monkeypatch.setattr(sources, "fetch_trailer", Mock(side_effect=error))
    entry = run.scrape_film(Job(GOOD, "y", "", "Film", 1999, project, ScrapeSettings()))
    assert (entry.status, entry.reason, entry.retry_after) == ("later", "rate limit", 77.0)
    assert entry.detail == "HTTP Error 429 \\xff\\ud83d"  # can be printed


def test_the_bar_shows_outcomes(scraped: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = []
    monkeypatch.setattr("tqdm.tqdm.set_postfix", lambda bar, counts, refresh: texts.append(counts))
    scraped(mixed)
    assert texts[-1] == {"kept": 30, "network": 10, "private": 10} and len(texts) == 50


def delay_of(
    attempt: int = 1, imdb_id: str = GOOD, asked: float = 0.0, reason: str = "network", **chosen: object
) -> float:
    settings = ScrapeSettings(**({"pause": 10.0, "attempts": 4} | chosen))
    job = Job(imdb_id, "y", "", "Film", 1999, Project("/"), settings, attempt=attempt)
    state = "failed" if reason == "private" else "later"
    return retry_delay(job, Entry(imdb_id, "y", state, reason, retry_after=asked))


def test_a_delay_doubles_and_is_random_but_reproducible() -> None:
    for attempt, least in ((1, 10), (2, 20), (3, 40)):
        delays = [delay_of(attempt, imdb_id) for imdb_id in FILMS.imdb_id]
        assert least <= min(delays) < 1.1 * least and 1.4 * least < max(delays) <= 1.5 * least
        assert delays == [delay_of(attempt, imdb_id) for imdb_id in FILMS.imdb_id]
    assert delay_of(asked=900.0) >= 900.0 and delay_of(asked=5.0) >= 10.0  # seconds that the server asked for


@pytest.mark.parametrize("chosen", [{"attempt": 4}, {"asked": 4000.0}, {"reason": "timeout"}, {"reason": "private"}])
def test_what_is_in_vain_is_not_tried_again_in_the_same_run(chosen: dict) -> None:
    assert delay_of(**chosen) is None


@pytest.mark.parametrize(("films", "reason", "chosen", "waits"), [
    (4, "", {}, [17.0] * 3), (4, "", {"source": "folder:"}, [7.0] * 3), (1, "crash", {}, [17.0] * 3),
    (1, "network", {}, [7 + delay_of(attempt, FILMS.imdb_id[0]) for attempt in (1, 2, 3)]),
    (2, "crash", {"attempts": 2}, [17.0] * 3), (6, "", {"workers": 3}, [7.0, 7.0, 17.0, 7.0, 7.0]),
])  # fmt: skip
def test_a_run_pauses_between_downloads_and_before_another_attempt(
    films: int, reason: str, chosen: dict, waits: list[float],
    project: Project, scraped: Callable, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    now, starts = [0.0], []
    clock = SimpleNamespace(monotonic=lambda: now[0], sleep=lambda seconds: now.append(now.pop() + seconds))
    monkeypatch.setattr(pool, "time", clock)

    def outcome(job: Job) -> tuple[str, str]:
        starts.append(now[0])
        now[0] += 7.0  # seconds that each job takes
        return ("later", reason) if reason else ("ok", "")

    for youtube_id in FILMS.youtube_id[:films]:
        (project.root / f"{youtube_id}.mp4").write_bytes(b"video")
    tried = scraped(outcome, FILMS.head(films), **{"attempts": 4, "pause": 10.0} | chosen)
    assert [late - early for early, late in pairwise(starts)] == pytest.approx(waits)
    assert tried[:films] == FILMS.imdb_id[:films].tolist()  # another attempt comes after those not started yet
