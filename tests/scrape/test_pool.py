"""What becomes of workers and their jobs; when jobs start is in test_runs.py."""

import os
import signal
import subprocess
import sys
from concurrent.futures import BrokenExecutor, Future
from multiprocessing import resource_tracker
from pathlib import Path

from pebble import ProcessExpired

from trailer_lib.scrape import worker_pool
from trailer_lib.scrape.pool import Schedule

MINUTE = 60.0


def test_a_run_that_is_left_cancels_what_is_running() -> None:
    running = [Future() for _ in range(4)]
    running[0].set_result(None)
    attempts = Schedule(range(100), 4, 0.0).run(running.__getitem__)
    next(attempts)
    attempts.close()
    assert [future.cancelled() for future in running] == [False, True, True, True]


def work(job: str) -> object:
    """What the workers of these tests do."""
    return signal.pthread_sigmask(signal.SIG_BLOCK, []) if job == "signals" else os.getpid()


def test_workers_never_see_ctrl_c_also_while_they_start() -> None:
    resource_tracker._resource_tracker._stop()  # its start unblocks Ctrl-C, so that the first worker would see it
    with worker_pool(work, 2, 10**10, MINUTE) as submit:
        blocked = [submit("signals") for _ in range(2)]
        assert all(signal.SIGINT in future.result(MINUTE) for future in blocked)
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_a_worker_that_is_killed_between_two_jobs_is_replaced() -> None:
    with worker_pool(work, 1, 10**10, MINUTE) as submit:
        killed = submit("").result(MINUTE)
        os.kill(killed, signal.SIGKILL)
        while True:
            try:
                assert submit("").result(MINUTE) != killed
                return
            except (BrokenExecutor, ProcessExpired):  # the job came before the pool had noticed
                continue


HIDDEN = """
import signal, sys
for name in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules[name] = None
for name in ("pthread_sigmask", "SIGKILL", "SIGHUP", "SIGALRM", "SIGUSR1"):
    delattr(signal, name)
from pathlib import Path
import film_set
from trailer_lib import Project, scrape
if __name__ == "__main__":
    import trailer_lib.__main__
    root = Path(sys.argv[1])
    film_set.put_trailer(root, film_set.GOOD)
    print(scrape.scrape(Project(root), film_set.table(film_set.GOOD), film_set.settings(workers=1)).status[0])
"""


def test_without_the_modules_of_posix_a_scrape_runs(tmp_path: Path) -> None:
    (tmp_path / "run.py").write_text(HIDDEN)
    here = Path(__file__).parent
    path = os.pathsep.join([str(here), str(here.parent), str(here.parents[1]), os.environ.get("PYTHONPATH", "")])
    command, environment = [sys.executable, str(tmp_path / "run.py"), str(tmp_path)], os.environ | {"PYTHONPATH": path}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.endswith("\nok\n")
    assert result.stderr.count("the memory of worker processes is not limited") == 1
