"""A scrape over Dask's distributed client on this machine: a worker killed in the middle costs nothing."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import harness
import pytest
from conftest import amount

from trailer_lib import Project
from trailer_lib.scrape import LEDGER, ledger, run, scrape
from trailer_lib.scrape.ledger import Entry
from trailer_lib.scrape.run import Job

distributed = pytest.importorskip("distributed")


@pytest.fixture
def client(request: pytest.FixtureRequest) -> Iterator["distributed.Client"]:
    options = {"threads_per_worker": 1, "processes": request.param, "dashboard_address": None}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", harness.PATH)
        with distributed.LocalCluster(2, **options) as cluster, distributed.Client(cluster) as client:
            yield client


def failing(job: Job) -> Entry:
    """A temporary failure that says how often the film has been tried."""
    with open(job.project.root / job.imdb_id, "a+") as file:
        file.write("x")
        return Entry(job.imdb_id, job.youtube_id, "later", "network", f"{file.tell()}")


@pytest.mark.parametrize("client", [False], indirect=True, ids=["threads"])
def test_dask_does_not_return_a_stored_result_for_a_second_attempt(
    client: "distributed.Client", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "scrape_film", failing)
    settings = harness.settings(source="youtube", pause=0.0, attempts=3)
    scrape(Project(tmp_path), harness.table(1), settings, executor=client.get_executor())
    assert [entry.detail for entry in ledger.read_ledger(tmp_path / "images" / LEDGER)] == ["1", "2", "3"]


def kill_a_worker(root: Path, pid: int) -> None:
    """kill -9 a worker once a quarter of the films is done."""
    while len(ledger.read_ledger(root / "images" / LEDGER)) < harness.FILMS // 4:
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)


@pytest.mark.skipif(not amount(1, 0), reason="long: TORTURE=1")
@pytest.mark.parametrize("client", [True], indirect=True, ids=["processes"])
def test_with_two_dask_workers_of_which_one_is_killed_every_film_is_scraped(
    client: "distributed.Client", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "undisturbed").mkdir()
    undisturbed, root = harness.put_trailers(tmp_path / "undisturbed"), harness.put_trailers(tmp_path)
    harness.duration(undisturbed)
    monkeypatch.setattr(run, "scrape_film", harness.noted)
    before = set(client.run(os.getpid).values())
    assert len(before) == 2 and os.getpid() not in before
    killer = threading.Thread(target=kill_a_worker, args=(root, min(before)))
    killer.start()
    result = scrape(Project(root), harness.table(), harness.settings(), executor=client.get_executor())
    killer.join()
    assert set(result.status) == {"ok"} and len(result) == harness.FILMS
    scrape(Project(root), harness.table(), harness.settings())  # removes what the killed worker left incomplete
    harness.check_like(root, undisturbed)
