"""When films are tried, how often and how far apart, on a clock that stands still until somebody waits."""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future
from itertools import pairwise
from threading import Timer
from types import SimpleNamespace

import pytest

from trailer_lib import Project, TrailerError
from trailer_lib.scrape import pool
from trailer_lib.scrape.ledger import Entry
from trailer_lib.scrape.run import Job
from trailer_lib.settings import ScrapeSettings

Starts = list[tuple[str, float]]
PASSING = Entry("", "", "later", "network")


class Clock:
    """A clock that only waiting moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(pool, "time", SimpleNamespace(monotonic=clock.monotonic, sleep=clock.sleep))
    return clock


def settings(**chosen: object) -> ScrapeSettings:
    return ScrapeSettings(**({"pause": 10.0, "attempts": 4, "workers": 100} | chosen))


def jobs(count: int, chosen: ScrapeSettings) -> list[Job]:
    return [Job(f"tt{n:07d}", f"y{n:010d}", "", f"Film {n}", 1990, Project("/"), chosen) for n in range(count)]


def run(clock: Clock, todo: list[Job], attempt: Callable[[Job], Entry], takes: float = 0.0) -> tuple[Starts, list]:
    """(film, when) of each attempt, and the results; an attempt takes `takes` seconds."""
    starts = []

    def submit(job: Job) -> Future:
        starts.append((job.imdb_id, clock.now))
        clock.now += takes
        future = Future()
        future.set_result(attempt(job))
        return future

    return starts, list(pool.run_jobs(todo, submit, todo[0].settings))


def failing(share: float, entry: Entry = PASSING) -> Callable[[Job], Entry]:
    """Attempts of which this share fails like `entry`."""
    rng = random.Random(0)

    def attempt(job: Job) -> Entry:
        failed = vars(entry) | {"imdb_id": job.imdb_id}
        return Entry(**failed) if rng.random() < share else Entry(job.imdb_id, job.youtube_id, "ok")

    return attempt


def moments(starts: Starts) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for imdb_id, moment in starts:
        found.setdefault(imdb_id, []).append(moment)
    return found


def test_s3_a_hundred_films_that_fail_at_times_are_tried_four_times_at_most_with_the_waits_computed(
    clock: Clock,
) -> None:
    starts, results = run(clock, jobs(100, settings()), failing(0.3))
    tries = moments(starts)
    assert len(tries) == 100 and sum(last for _, last in results) == 100
    assert max(map(len, tries.values())) in (3, 4)
    for imdb_id, times in tries.items():
        failed = Entry(imdb_id, "", "later", "network")
        waits = [pool.retry_delay(failed, attempt, settings()) for attempt in range(1, len(times))]
        assert [late - early for early, late in pairwise(times)] == pytest.approx(waits)
    assert clock.now == pytest.approx(max(times[-1] for times in tries.values()))


def test_s3_what_always_fails_is_tried_four_times(clock: Clock) -> None:
    starts, results = run(clock, jobs(100, settings()), failing(1.0))
    assert set(Counter(imdb_id for imdb_id, _ in starts).values()) == {4}
    assert [last for _, last in results].count(True) == 100


@pytest.mark.parametrize("kind", ["private", "unavailable", "decode"])
def test_s3_a_permanent_failure_is_tried_once(clock: Clock, kind: str) -> None:
    starts, _ = run(clock, jobs(100, settings()), failing(1.0, Entry("", "", "failed", kind)))
    assert len(starts) == 100 and clock.now == 0


def test_a_wait_doubles_and_is_random_but_the_same_again() -> None:
    entries = [Entry(f"tt{number:07d}", "", "later", "network") for number in range(200)]
    for attempt, least in ((1, 10), (2, 20), (3, 40)):
        waits = [pool.retry_delay(entry, attempt, settings()) for entry in entries]
        assert least <= min(waits) < 1.05 * least and 1.45 * least < max(waits) <= 1.5 * least
        assert waits == [pool.retry_delay(entry, attempt, settings()) for entry in entries]


@pytest.mark.parametrize("asked", [5.0, 60.0, 900.0])
def test_a_wait_is_never_shorter_than_the_server_asked_for(clock: Clock, asked: float) -> None:
    limited = Entry("", "", "later", "rate limit", retry_after=asked)
    starts, _ = run(clock, jobs(20, settings()), failing(0.5, limited))
    gaps = [late - early for times in moments(starts).values() for early, late in pairwise(times)]
    assert gaps and min(gaps) >= asked


def test_a_wait_of_more_than_an_hour_is_left_to_another_run(clock: Clock) -> None:
    starts, _ = run(clock, jobs(3, settings()), failing(1.0, Entry("", "", "later", "rate limit", retry_after=4000.0)))
    assert len(starts) == 3 and clock.now == 0


@pytest.mark.parametrize("reason, source", [("timeout", "youtube"), ("missing", "folder:trailers")])
def test_what_cannot_have_changed_is_not_tried_again_in_the_same_run(clock: Clock, reason: str, source: str) -> None:
    starts, _ = run(clock, jobs(3, settings(source=source)), failing(1.0, Entry("", "", "later", reason)))
    assert len(starts) == 3 and clock.now == 0


@pytest.mark.parametrize("workers", [1, 3])
def test_each_slot_rests_between_two_downloads_and_not_before_the_first(clock: Clock, workers: int) -> None:
    starts, _ = run(clock, jobs(9, settings(workers=workers)), failing(0.0))
    assert [moment for _, moment in starts] == [10.0 * (number // workers) for number in range(9)]


def test_the_rest_begins_when_the_film_is_done(clock: Clock) -> None:
    starts, _ = run(clock, jobs(3, settings(workers=1)), failing(0.0), takes=7.0)
    assert [moment for _, moment in starts] == [0.0, 17.0, 34.0]


def test_nobody_rests_for_a_folder(clock: Clock) -> None:
    run(clock, jobs(9, settings(workers=1, source="folder:trailers")), failing(0.0))
    assert clock.now == 0


def test_no_more_films_are_in_hand_than_there_are_workers() -> None:
    chosen, in_hand = settings(workers=4, pause=0.0), []

    def submit(job: Job) -> Future:
        in_hand.append(Future())
        Timer(0.002, in_hand[-1].set_result, [Entry(job.imdb_id, job.youtube_id, "ok")]).start()
        assert sum(not future.done() for future in in_hand) <= 4
        return in_hand[-1]

    assert len(list(pool.run_jobs(jobs(100, chosen), submit, chosen))) == 100


def test_a_run_that_is_left_cancels_what_is_in_hand() -> None:
    chosen, in_hand = settings(workers=4), [Future() for _ in range(4)]
    in_hand[0].set_result(Entry("tt0000000", "", "ok"))
    handed_out = iter(in_hand)
    results = pool.run_jobs(jobs(100, chosen), lambda job: next(handed_out), chosen)
    next(results)
    results.close()
    assert [future.cancelled() for future in in_hand] == [False, True, True, True]


@pytest.mark.parametrize("error", [OSError(28, "No space left"), TrailerError("the disk is full")])
def test_what_troubles_every_film_ends_the_run(clock: Clock, error: Exception) -> None:
    def fall(job: Job) -> Entry:
        raise error

    with pytest.raises(type(error)):
        list(pool.run_jobs(jobs(3, settings()), raising(fall), settings()))


def raising(function: Callable[[Job], Entry]) -> Callable[[Job], Future]:
    def submit(job: Job) -> Future:
        future = Future()
        try:
            future.set_result(function(job))
        except Exception as error:
            future.set_exception(error)
        return future

    return submit


def test_a_broken_executor_is_a_passing_failure_of_its_films(clock: Clock) -> None:
    def fall(job: Job) -> Entry:
        raise BrokenExecutor("all workers expired")

    results = list(pool.run_jobs(jobs(2, settings(attempts=1)), raising(fall), settings(attempts=1)))
    assert {(entry.status, entry.reason) for entry, _ in results} == {("later", pool.LOST)}


def test_the_cap_on_memory_leaves_room_for_the_pictures_asked_for() -> None:
    assert pool.memory_limit(ScrapeSettings()) == pool.WORKER_MEMORY
    asked = ScrapeSettings(count=600, height=720)
    assert pool.memory_limit(asked) > 2 * 3 * asked.count * 3 * 1280 * 720


def killed_while_idle(job: Job) -> Entry:
    """A film whose worker is killed a moment after it is done."""
    Timer(0.3, os.kill, [os.getpid(), signal.SIGKILL]).start()
    return Entry(job.imdb_id, job.youtube_id, "ok")


def test_a_worker_that_is_killed_between_two_films_is_replaced() -> None:
    [one, two] = jobs(2, settings())
    with pool.worker_pool(killed_while_idle, 1) as submit:
        assert submit(one).result(timeout=60).status == "ok"
        time.sleep(1.5)
        assert submit(two).result(timeout=60).status == "ok"
