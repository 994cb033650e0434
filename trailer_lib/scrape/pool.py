"""Jobs -> entries: so many at once, a pause after each, what failed for a passing reason again later; the processes."""

import os
import random
import resource
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Future, wait
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import contextmanager
from dataclasses import replace
from heapq import heappop, heappush
from itertools import count
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import Any

from pebble import ProcessExpired, ProcessPool

from trailer_lib.errors import TrailerError
from trailer_lib.scrape.ledger import Entry
from trailer_lib.settings import ScrapeSettings


@contextmanager
def ctrl_c_blocked() -> Iterator[None]:
    """Processes and threads that are started within never see Ctrl-C, not even while they are starting."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


LONGEST_WAIT = 3600.0  # seconds: a film that a server puts off for longer is left to another run
JITTER = 1.5  # a wait is up to this many times as long, so that films that failed together do not come back together
LOST = "worker lost"
LOST_REMEDY = "see that the machine has memory left and that the executor's workers run"

Job = Any  # TODO: make Plan and run_jobs generic
Submit = Callable[[Job], Future]


class Plan:
    """Which film is tried when. A slot is a place for one film at a time; after a film it rests for the pause."""

    def __init__(self, jobs: list[Job], settings: ScrapeSettings) -> None:
        self.fresh = deque(jobs)
        self.again: list[tuple[float, int, Job]] = []  # a heap: when, order of entry, job
        self.slots = [0.0] * settings.workers  # a heap: when each slot that is free has rested
        self.order = count()

    def due(self) -> Iterator[Job]:
        """All that start now; each takes a slot."""
        now = time.monotonic()
        while self.slots and self.slots[0] <= now and (job := self._next(now)):
            heappop(self.slots)
            yield job

    def _next(self, now: float) -> Job | None:
        if self.again and self.again[0][0] <= now:
            return heappop(self.again)[2]
        return self.fresh.popleft() if self.fresh else None

    def wait(self) -> float | None:
        """Seconds until something may start; None when only the end of a running film can change that."""
        if not self.slots or not (self.fresh or self.again):
            return None
        moment = self.slots[0] if self.fresh else max(self.slots[0], self.again[0][0])
        return max(0.0, moment - time.monotonic())

    def ended(self, job: Job, entry: Entry) -> bool:
        """Free the slot; True when this was the film's last try in this run."""
        now = time.monotonic()
        heappush(self.slots, now + pause_of(job.settings))
        delay = retry_delay(entry, job.attempt, job.settings)
        if delay is not None:
            heappush(self.again, (now + delay, next(self.order), replace(job, attempt=job.attempt + 1)))
        return delay is None


def pause_of(settings: ScrapeSettings) -> float:
    """Seconds between two downloads of one slot: nobody need be polite to a folder."""
    return 0.0 if settings.source.startswith("folder:") else settings.pause


def retry_delay(entry: Entry, attempt: int, settings: ScrapeSettings) -> float | None:
    """Seconds until the next try of a film in this run, or None for no other try.

    1, 2, 4, ... pauses, never less than the server asked for, times a random 1 to 1.5 that depends on film and attempt.
    """
    if entry.status != "later" or attempt >= settings.attempts or entry.reason == "timeout":
        return None
    if entry.reason in ("crash", "killed", "error", LOST):
        return 0.0
    if settings.source.startswith("folder:"):
        return None  # what a folder lacks now it lacks in a minute
    least = max(settings.pause * 2 ** (attempt - 1), entry.retry_after)
    delay = least * random.Random(f"{entry.imdb_id}/{attempt}").uniform(1, JITTER)
    return delay if delay <= LONGEST_WAIT else None


def run_jobs(jobs: list[Job], submit: Submit, settings: ScrapeSettings) -> Iterator[tuple[Entry, bool]]:
    """(entry, whether it is the film's last of this run) of each attempt as it ends; at most `workers` are in hand."""
    plan, running = Plan(jobs, settings), {}
    try:
        while running or plan.fresh or plan.again:
            for job in plan.due():
                running[submit(job)] = job
            for future in _ended(running, plan.wait()):
                job = running.pop(future)
                entry = _entry(future, job)
                yield entry, plan.ended(job, entry)
    finally:
        for future in running:
            future.cancel()


def _ended(running: dict[Future, Job], seconds: float | None) -> set[Future]:
    if running:
        return wait(running, timeout=seconds, return_when=FIRST_COMPLETED).done
    time.sleep(seconds or 0.0)
    return set()


def _entry(future: Future, job: Job) -> Entry:
    """The film's entry, whatever became of its worker. What troubles every film is raised: TrailerError, OSError."""
    try:
        return future.result()
    except FutureTimeout:
        text = f"given up after {job.settings.timeout:.0f} s (setting timeout)"
        return Entry(job.imdb_id, job.youtube_id, "later", "timeout", text, job.settings.timeout)
    except ProcessExpired as error:
        return _crash(job, error.exitcode)
    except (BrokenExecutor, CancelledError) as error:
        return Entry(job.imdb_id, job.youtube_id, "later", LOST, f"{type(error).__name__}: {error}"[:200])
    except (TrailerError, OSError):
        raise
    except Exception as error:  # nobody foresaw it, and the other films shall not pay for it
        text = f"{type(error).__name__}: {error}"[:200]
        return Entry(job.imdb_id, job.youtube_id, _once_more(job), "error", text)


def _crash(job: Job, code: int) -> Entry:
    if code == -signal.SIGKILL:
        text = "the worker was killed: by the system when memory ran out, or by hand"
        return Entry(job.imdb_id, job.youtube_id, "later", "killed", text)
    text = f"the worker died with exit code {code}"
    return Entry(job.imdb_id, job.youtube_id, _once_more(job), "crash", text)


def _once_more(job: Job) -> str:
    """A crash may be the machine's fault once; twice in one run it is the film's."""
    return "later" if job.attempt < min(2, job.settings.attempts) else "failed"


@contextmanager
def worker_pool(function: Callable, workers: int, memory: int, timeout: float) -> Iterator[Submit]:
    """Yield a submit for `workers` processes, which are replaced when they crash or take over `timeout` seconds a job.

    Each may allocate `memory` bytes.
    """
    pools: list[ProcessPool] = []

    def submit(job: Job) -> Future:
        if not (pools and pools[-1].active):  # pebble gives up a pool when an idle worker is killed
            pools.append(_new_pool(workers, memory))
        with ctrl_c_blocked():  # by the workers, which the first job starts
            return pools[-1].schedule(function, args=[job], timeout=timeout)

    try:
        yield submit
    finally:
        for pool in pools:
            pool.stop()
            pool.join()


def _new_pool(workers: int, memory: int) -> ProcessPool:
    return ProcessPool(workers, initializer=_start_worker, initargs=[memory], context=get_context("spawn"))


def _start_worker(memory: int) -> None:
    # Stopping must not wait for C code to come back to Python, as a handler would.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    Thread(target=_die_with_parent, daemon=True).start()
    if sys.platform == "linux":  # RLIMIT_DATA and not RLIMIT_AS: reserved and mapped addresses cost no memory
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))


def _die_with_parent() -> None:
    # Killed, the main process cannot stop its workers; they would go on writing while another run begins.
    parent_process().join()
    os._exit(1)
