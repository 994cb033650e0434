"""Ctrl-C reaches every process of a command at once, and one of them alone must answer it."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def unseen() -> Iterator[None]:
    """Processes and threads that are started within never see Ctrl-C, not even while they are starting."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
