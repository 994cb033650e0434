"""A scrape over Dask's distributed client on this machine: a worker killed in the middle costs nothing."""

import os
import signal
import threading
import time
from pathlib import Path

import harness
import pytest

from trailer_lib import Project
from trailer_lib.scrape import ledger, run
from trailer_lib.scrape.ledger import Entry
from trailer_lib.scrape.run import Job

distributed = pytest.importorskip("distributed")


def failing(job: Job) -> Entry:
    """A passing failure that says how often the film has been tried."""
    with open(job.project.root / job.imdb_id, "a+") as file:
        file.write("x")
        return Entry(job.imdb_id, job.youtube_id, "later", "network", f"{file.tell()}")


def kill_a_worker(project: Project, client: "distributed.Client", killed: list[int]) -> None:
    """kill -9 one of the workers once a quarter of the films is done."""
    while len(ledger.read_ledger(project.images / run.LEDGER)) < harness.FILMS // 4:
        time.sleep(0.01)
    pid = next(iter(client.run(os.getpid).values()))
    os.kill(pid, signal.SIGKILL)
    killed.append(pid)


def local_cluster() -> "distributed.LocalCluster":
    return distributed.LocalCluster(2, threads_per_worker=1, processes=True, dashboard_address=None)


def test_dask_does_not_answer_a_second_try_from_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", harness.PATH)
    monkeypatch.setattr(run, "scrape_film", failing)
    chosen = harness.settings(source="youtube", pause=0.0, attempts=3)
    with local_cluster() as cluster, distributed.Client(cluster) as client:
        run.scrape(Project(tmp_path), harness.table(1), chosen, executor=client.get_executor())
    tries = ledger.read_ledger(tmp_path / "images" / run.LEDGER)
    assert [entry.detail for entry in tries] == ["1", "2", "3"]


def test_with_two_dask_workers_of_which_one_is_killed_every_film_is_scraped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "unbroken").mkdir()
    unbroken = harness.put_trailers(tmp_path / "unbroken")
    harness.duration(unbroken)
    root = harness.put_trailers(tmp_path)
    project, killed = Project(root), []
    monkeypatch.setenv("PYTHONPATH", harness.PATH)
    monkeypatch.setattr(run, "scrape_film", harness.counted)
    with local_cluster() as cluster, distributed.Client(cluster) as client:
        before = client.run(os.getpid)
        assert len(before) == 2 and os.getpid() not in before.values()
        killer = threading.Thread(target=kill_a_worker, args=(project, client, killed), daemon=True)
        killer.start()
        result = run.scrape(project, harness.table(), harness.settings(), executor=client.get_executor())
        killer.join(timeout=60)
        assert len(set(client.run(os.getpid).values()) - set(before.values())) == 1
    assert len(killed) == 1
    assert set(result.status) == {"ok"} and len(result) == harness.FILMS
    assert harness.tree(root) == harness.tree(unbroken)
    assert harness.outcomes(root) == harness.outcomes(unbroken)
    assert len((root / harness.FETCHED).read_text().split()) >= harness.FILMS
