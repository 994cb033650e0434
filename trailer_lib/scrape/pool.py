"""Worker processes with limits of memory and time, and a schedule of jobs: slots, pauses, retries."""

import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from heapq import heappop, heappush
from importlib.util import find_spec
from itertools import count
from multiprocessing import get_context, parent_process, resource_tracker
from threading import TIMEOUT_MAX, Thread
from typing import Any

from pebble import ProcessPool

Submit = Callable[[Any], Future]


class Schedule:
    """Decides which job starts when. A slot runs one job at a time and pauses for `pause` seconds after it."""

    def __init__(self, jobs: Iterable[Any], slots: int, pause: float) -> None:
        self.order, self.pause = count(), pause
        self.jobs = [(0.0, next(self.order), job) for job in jobs]  # a heap: from when a job may start, its order
        self.free_slots = [0.0] * slots  # a heap: from when each slot without a job may start one

    def run(self, submit: Submit) -> Iterator[tuple[Any, Future]]:
        """Each job and its future when it has ended; then the caller may `retry` the job before the next step."""
        running = {}
        try:
            while running or self.jobs:
                while self._next_start() <= time.monotonic():
                    heappop(self.free_slots)
                    job = heappop(self.jobs)[2]
                    running[submit(job)] = job
                seconds = max(0.0, self._next_start() - time.monotonic())
                if not running:
                    time.sleep(seconds)
                for future in wait(running, min(seconds, TIMEOUT_MAX), FIRST_COMPLETED).done:
                    heappush(self.free_slots, time.monotonic() + self.pause)
                    yield running.pop(future), future
        finally:
            for future in running:
                future.cancel()

    def retry(self, job: Any, delay: float) -> None:
        """Start `job` again after `delay` seconds and after the jobs that were not started yet."""
        heappush(self.jobs, (time.monotonic() + delay, next(self.order), job))

    def _next_start(self) -> float:
        """When a job may start; infinity when that has to wait for the end of a running one."""
        return max(self.free_slots[0], self.jobs[0][0]) if self.free_slots and self.jobs else math.inf


@contextmanager
def worker_pool(function: Callable[[Any], object], workers: int, memory: int, timeout: float) -> Iterator[Submit]:
    """Yield a function that submits a job to one of `workers` processes, which call `function` with it.

    Each may allocate `memory` bytes (Linux only). A process that crashes, or takes over `timeout` seconds for a job, is
    replaced; the job's future then raises pebble.ProcessExpired or TimeoutError.
    """
    pools: list[ProcessPool] = []
    limited = sys.platform == "linux" and find_spec("resource") is not None
    if not limited:
        print("on this system the memory of worker processes is not limited", file=sys.stderr)

    def submit(job: Any) -> Future:
        if not (pools and pools[-1].active):  # pebble gives up a pool when an idle worker is killed
            pools.append(ProcessPool(workers, 0, _start_worker, [memory if limited else 0], get_context("spawn")))
        with _ctrl_c_blocked():  # by the workers, which the first job starts
            return pools[-1].schedule(function, args=[job], timeout=timeout)

    try:
        yield submit
    finally:
        for pool in pools:
            pool.stop()
            pool.join()


@contextmanager
def _ctrl_c_blocked() -> Iterator[None]:
    """Processes and threads that are started within never see Ctrl-C, not even while they start (POSIX only)."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # its start, which the first process would cause, unblocks Ctrl-C
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker(memory: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Without a handler, which would have to wait until C code returns to Python.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # A main process that is killed cannot stop its workers; they would write while the next run begins.
    Thread(target=lambda: (parent_process().join(), os._exit(1)), daemon=True).start()
    if memory:
        import resource  # not on Windows

        # Not RLIMIT_AS: addresses that are only reserved or mapped cost no memory.
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
