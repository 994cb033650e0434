"""The scrape stage: what becomes of good and bad trailers, of a second run, and of runs that are killed."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pandas as pd
import pytest

from trailer_lib import Project, TrailerError, files
from trailer_lib.scrape import ledger, pool, run, sources
from trailer_lib.scrape.ledger import Entry
from trailer_lib.scrape.run import DRAWING, LEDGER, Job
from trailer_lib.settings import ScrapeSettings
from trailer_lib.video import frame_folder

WIDTH, HEIGHT, FPS, LENGTH = 64, 48, 12, 36
COUNT = 12
KILLED, HANGING, UNFORESEEN, CRASHING, CRASHING_ONCE, GREEDY = (f"tt00000{number}" for number in range(11, 17))
GOOD, HOSTILE, BLACK, CUT, PAGE, MISSING = (f"tt000000{number}" for number in range(1, 7))
TITLES = {
    GOOD: "Good Film",
    HOSTILE: "../../Löwe: 50/50 \u202e",
    BLACK: "All Black",
    CUT: "Cut Short",
    PAGE: "A Page",
    MISSING: "Not There",
}


def youtube_id(imdb_id: str) -> str:
    return f"-y{imdb_id}"


def table(*imdb_ids: str) -> pd.DataFrame:
    rows = [(imdb_id, TITLES.get(imdb_id, f"Film {imdb_id}"), 1999, youtube_id(imdb_id)) for imdb_id in imdb_ids]
    return pd.DataFrame(rows, columns=["imdb_id", "title", "year", "youtube_id"]).assign(url="")


ALL = table(*TITLES)


def render(path: Path, light: float = 1.0) -> None:
    """Three seconds of a pattern that moves, `light` times as bright."""
    path.parent.mkdir(exist_ok=True)
    size, options = (WIDTH, HEIGHT), ["-g", "12", "-bf", "2"]
    writer = imageio_ffmpeg.write_frames(str(path), size, fps=FPS, codec="libx264", quality=None, output_params=options)
    writer.send(None)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    for step in range(LENGTH):
        wave = 120 + 100 * np.sin((columns + 3 * step) / (4 + step % 5)) * np.cos(rows / (3 + step % 7))
        writer.send(np.repeat((wave * light).astype(np.uint8)[..., None], 3, axis=2))
    writer.close()


def put_trailer(root: Path, imdb_id: str) -> Path:
    """A film's trailer, damaged as its name says."""
    path = root / "trailers" / f"{youtube_id(imdb_id)}.mp4"
    if imdb_id == PAGE:
        path.write_text("<!DOCTYPE html><title>Video unavailable</title>")
    else:
        render(path, light=0 if imdb_id == BLACK else 1)
    if imdb_id == CUT:
        os.truncate(path, path.stat().st_size * 6 // 10)
    return path


def settings(**chosen: object) -> ScrapeSettings:
    return ScrapeSettings(**({"source": "folder:trailers", "count": COUNT, "workers": 2} | chosen))


def statuses(result: pd.DataFrame) -> dict[str, str]:
    return dict(zip(result.imdb_id, result.status))


def every_file(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Content and time of change of every file under `folder`."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}


def pictures(folder: Path) -> list[bytes]:
    return [path.read_bytes() for path in frame_folder.picture_paths(folder)]


@pytest.fixture(scope="module")
def trailers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with trailers/ alone; not to be changed."""
    root = tmp_path_factory.mktemp("trailers")
    for imdb_id in (GOOD, HOSTILE, BLACK, CUT, PAGE):
        put_trailer(root, imdb_id)
    return root


@pytest.fixture(scope="module")
def scraped(trailers: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """All films scraped by two workers, after a run that was killed; not to be changed."""
    root = Path(shutil.copytree(trailers, tmp_path_factory.mktemp("scraped") / "root"))
    leftover = root / "images" / ".tmp-123-Good Film (1999) [tt0000001]"
    leftover.mkdir(parents=True)
    (leftover / "0.jpg").write_bytes(b"half")
    (root / "images" / ".tmp-123-ledger").write_bytes(b"half")
    project = Project.open(root)
    run.scrape(project, ALL, settings())
    return project


@pytest.fixture
def project(scraped: Project, tmp_path: Path) -> Project:
    """A copy of `scraped` that the test may change."""
    return Project.open(shutil.copytree(scraped.root, tmp_path / "root"))


@pytest.fixture
def fresh(trailers: Path, tmp_path: Path) -> Project:
    """A copy of `trailers` that the test may change."""
    return Project.open(shutil.copytree(trailers, tmp_path / "root"))


def test_each_film_has_its_status_and_reason(scraped: Project) -> None:
    result = run.status(scraped, ALL)
    found = {row.imdb_id: (row.status, row.reason) for row in result.itertuples()}
    assert found == {
        GOOD: ("ok", ""),
        HOSTILE: ("ok", ""),
        BLACK: ("failed", "nothing kept"),
        CUT: ("failed", "decode"),
        PAGE: ("failed", "decode"),
        MISSING: ("later", "missing"),
    }
    assert result.imdb_id.tolist() == ALL.imdb_id.tolist()


def test_the_list_of_failures_has_a_line_for_each_and_says_why(scraped: Project) -> None:
    result = run.status(scraped, ALL)
    *lines, advice = run.failures(result).splitlines()
    assert [line.split(":")[0].split(maxsplit=1)[1] for line in lines] == [
        TITLES[key] for key in (BLACK, CUT, PAGE, MISSING)
    ]
    assert all(youtube_id(key) in line for key, line in zip((BLACK, CUT, PAGE, MISSING), lines))
    assert advice == f"missing: {sources.remedy('missing')}"
    assert run.failures(result[result.status == "ok"]) == "nothing failed"


def test_a_scraped_film_has_its_pictures_its_record_and_its_line(scraped: Project) -> None:
    folder = run.finished(scraped)[GOOD]
    record, entry = frame_folder.read_record(folder), ledger.latest_entries(scraped.images / LEDGER)[GOOD]
    seconds = record["seconds"]
    assert len(frame_folder.picture_paths(folder)) == len(seconds) == entry.kept
    assert entry.kept + len(record["dropped"]) == entry.sampled == COUNT
    assert entry.kept + sum(entry.dropped.values()) == COUNT
    assert seconds == sorted(seconds)
    assert all(0 <= second < LENGTH / FPS for second in seconds)
    assert entry.bytes == (scraped.root / "trailers" / f"{youtube_id(GOOD)}.mp4").stat().st_size


def test_the_record_says_whose_frames_these_are_and_with_which_settings(scraped: Project) -> None:
    record = frame_folder.read_record(run.finished(scraped)[GOOD])
    assert (record["imdb_id"], record["youtube_id"]) == (GOOD, youtube_id(GOOD))
    assert record["settings"] == {name: getattr(settings(), name) for name in DRAWING}


def test_a_run_with_other_workers_writes_the_same_folder(fresh: Project, scraped: Project) -> None:
    run.scrape(fresh, table(GOOD), settings(workers=1, timeout=50.0))
    one, two = (every_file(run.finished(project)[GOOD]) for project in (fresh, scraped))
    assert {name: data for name, (data, _) in one.items()} == {name: data for name, (data, _) in two.items()}


def test_pictures_are_of_the_size_of_the_trailer(scraped: Project) -> None:
    for path in frame_folder.picture_paths(run.finished(scraped)[GOOD]):
        assert frame_folder.read_picture(path).shape == (HEIGHT, WIDTH, 3)


def test_only_films_with_frames_have_a_folder_and_nothing_is_left_of_a_killed_run(scraped: Project) -> None:
    folders = [path.name for path in scraped.images.iterdir() if path.is_dir()]
    expected = [frame_folder.folder_name(key, TITLES[key], 1999) for key in (GOOD, HOSTILE)]
    assert sorted(folders) == sorted(expected)
    assert sorted(path.name for path in scraped.images.iterdir() if path.is_file()) == [
        files.LOCK,
        LEDGER,
        "settings.json",
    ]


def test_a_hostile_title_writes_nowhere_else(scraped: Project) -> None:
    assert [path.name for path in scraped.root.parent.iterdir()] == ["root"]
    assert sorted(path.name for path in scraped.root.iterdir()) == ["images", "trailers"]


def test_a_folder_of_trailers_is_left_as_it_was(scraped: Project, trailers: Path) -> None:
    before, after = (every_file(root / "trailers") for root in (trailers, scraped.root))
    assert {name: data for name, (data, _) in after.items()} == {name: data for name, (data, _) in before.items()}


def test_one_worker_gives_the_same_frames_as_two(fresh: Project, scraped: Project) -> None:
    run.scrape(fresh, table(HOSTILE, GOOD), settings(workers=1))
    one, two = run.finished(fresh), run.finished(scraped)
    for key in (GOOD, HOSTILE):
        assert pictures(one[key]) == pictures(two[key])
        assert frame_folder.read_record(one[key])["seconds"] == frame_folder.read_record(two[key])["seconds"]


def test_two_films_with_the_same_trailer_draw_their_own_frames(scraped: Project) -> None:
    first, second = (frame_folder.read_record(run.finished(scraped)[key]) for key in (GOOD, HOSTILE))
    assert first["seconds"] != second["seconds"]


def test_a_second_run_leaves_what_is_done_and_what_failed_for_good(project: Project) -> None:
    before = every_file(project.images)
    result = run.scrape(project, table(GOOD, HOSTILE, BLACK, CUT, PAGE), settings())
    after = every_file(project.images)
    for name in ("settings.json", files.LOCK):
        del before[name], after[name]
    assert after == before
    assert statuses(result) == {GOOD: "ok", HOSTILE: "ok", BLACK: "failed", CUT: "failed", PAGE: "failed"}


def test_a_missing_trailer_that_came_later_is_scraped_alone(project: Project) -> None:
    before = every_file(run.finished(project)[GOOD])
    lines = len(ledger.read_ledger(project.images / LEDGER))
    put_trailer(project.root, MISSING)
    assert statuses(run.scrape(project, ALL, settings()))[MISSING] == "ok"
    assert every_file(run.finished(project)[GOOD]) == before
    assert len(ledger.read_ledger(project.images / LEDGER)) == lines + 1


def test_retry_failed_works_on_passing_failures_alone(project: Project) -> None:
    shutil.rmtree(run.finished(project)[GOOD])
    put_trailer(project.root, MISSING)
    (project.root / "trailers" / f"{youtube_id(PAGE)}.mp4").unlink()
    result = statuses(run.scrape(project, ALL, settings(retry_failed=True)))
    assert (result[GOOD], result[MISSING], result[PAGE]) == ("open", "ok", "failed")
    result = statuses(run.scrape(project, ALL, settings(retry_failed=False)))
    assert (result[GOOD], result[MISSING], result[PAGE]) == ("ok", "ok", "failed")


def test_the_folder_is_the_truth_and_not_the_ledger(project: Project) -> None:
    shutil.rmtree(run.finished(project)[GOOD])
    ledger.append_entry(project.images / LEDGER, Entry(HOSTILE, youtube_id(HOSTILE), "failed", "crash"))
    result = run.status(project, ALL)
    assert (statuses(result)[GOOD], statuses(result)[HOSTILE]) == ("open", "ok")
    assert set(result.reason[result.status.isin(["ok", "open"])]) == {""}


def test_everything_is_open_before_the_first_run(fresh: Project) -> None:
    assert set(statuses(run.status(fresh, ALL)).values()) == {"open"}
    assert run.finished(fresh) == {}
    assert not fresh.images.exists()


def test_a_folder_of_another_layout_or_half_written_is_not_finished(project: Project) -> None:
    for name in ("Old Film", ".tmp-1-Film (1999) [tt0000009]"):
        (project.images / name).mkdir()
    (project.images / "file [tt0000008]").write_text("")
    assert set(run.finished(project)) == {GOOD, HOSTILE}


def test_the_first_folder_is_that_of_the_first_film_that_has_one(scraped: Project) -> None:
    assert run.first_folder(scraped, table(PAGE, HOSTILE, GOOD)) == run.finished(scraped)[HOSTILE]
    with pytest.raises(TrailerError, match="not one of 2 films gave frames"):
        run.first_folder(scraped, table(PAGE, MISSING))


def test_a_misspelt_source_is_refused_before_anything_is_written(fresh: Project) -> None:
    with pytest.raises(TrailerError, match="unknown source 'folders:trailers'"):
        run.scrape(fresh, ALL, settings(source="folders:trailers"))
    assert not fresh.images.exists()


def test_nothing_is_dropped_without_the_filter(fresh: Project) -> None:
    job = Job(BLACK, youtube_id(BLACK), "", TITLES[BLACK], 1999, fresh, settings(filter="none"))
    entry = run.scrape_film(job)
    assert (entry.status, entry.sampled, entry.kept, entry.dropped) == ("ok", COUNT, COUNT, {})


def test_tall_trailers_are_shrunk_on_disk(fresh: Project) -> None:
    job = Job(GOOD, youtube_id(GOOD), "", TITLES[GOOD], 1999, fresh, settings(height=24))
    run.scrape_film(job)
    paths = frame_folder.picture_paths(run.finished(fresh)[GOOD])
    assert {frame_folder.read_picture(path).shape for path in paths} == {(24, 32, 3)}


def scrape_or_fall(job: Job) -> Entry:
    """scrape_film, but some films do to their worker what a broken decoder may do."""
    crashed = job.project.root / "crashed"
    if job.imdb_id == KILLED:
        os.kill(os.getpid(), signal.SIGKILL)
    if job.imdb_id == HANGING:
        time.sleep(40)
    if job.imdb_id == UNFORESEEN:
        raise LookupError("a stream of no kind")
    if job.imdb_id == CRASHING or (job.imdb_id == CRASHING_ONCE and not crashed.exists()):
        crashed.touch()
        os.kill(os.getpid(), signal.SIGSEGV)
    if job.imdb_id == GREEDY:
        sources.fetch_trailer = lambda *_: np.ones(2 * pool.WORKER_MEMORY, np.uint8)
    return run.scrape_film(job)


def fall(project: Project, monkeypatch: pytest.MonkeyPatch, *imdb_ids: str) -> dict[str, tuple[str, str]]:
    """Status and reason of each film from a run of workers that `scrape_or_fall`."""
    with monkeypatch.context() as patch:
        # A worker imports this module by its name, so what it runs is the real function in a real process.
        patch.setattr(run, "scrape_film", scrape_or_fall)
        result = run.scrape(project, table(*imdb_ids), settings(timeout=4.0))
    return {row.imdb_id: (row.status, row.reason) for row in result.itertuples()}


def test_a_worker_that_crashes_or_hangs_costs_its_film_alone(fresh: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    result = fall(fresh, monkeypatch, CRASHING, HANGING, KILLED, GOOD, HOSTILE)
    assert result == {
        CRASHING: ("failed", "crash"),
        HANGING: ("later", "timeout"),
        KILLED: ("later", "killed"),
        GOOD: ("ok", ""),
        HOSTILE: ("ok", ""),
    }
    tries = [entry.imdb_id for entry in ledger.read_ledger(fresh.images / LEDGER)]
    assert [tries.count(key) for key in (CRASHING, HANGING, KILLED)] == [2, 1, settings().attempts]


def test_a_film_whose_worker_crashed_is_tried_once_more(fresh: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    put_trailer(fresh.root, CRASHING_ONCE)
    assert fall(fresh, monkeypatch, CRASHING_ONCE) == {CRASHING_ONCE: ("ok", "")}
    assert [entry.reason for entry in ledger.read_ledger(fresh.images / LEDGER)] == ["crash", ""]


def test_what_nobody_foresaw_costs_that_film_alone(fresh: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    result = fall(fresh, monkeypatch, UNFORESEEN, GOOD)
    assert result == {UNFORESEEN: ("failed", "error"), GOOD: ("ok", "")}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux enforces the cap")
def test_a_film_that_takes_too_much_memory_costs_that_film_alone(
    fresh: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = fall(fresh, monkeypatch, GREEDY, GOOD)
    assert result == {GREEDY: ("failed", "memory"), GOOD: ("ok", "")}


def test_workers_die_with_the_main_process(fresh: Project) -> None:
    command = [sys.executable, "-c", INTERRUPTED, str(fresh.root)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    wait_for_line(fresh.images / LEDGER, process)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 30
    while group_lives(process.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not group_lives(process.pid)


def group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


INTERRUPTED = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import test_scrape as t
t.scrape.scrape_film = t.scrape_or_fall
project = t.Project.open(sys.argv[1])
t.scrape.scrape(project, t.table(t.GOOD, t.HANGING, t.HOSTILE), t.settings(workers=1))
"""


def wait_for_line(path: Path, process: subprocess.Popen) -> None:
    """Return once the ledger has a line or the process ended."""
    while process.poll() is None and not ledger.read_ledger(path):
        time.sleep(0.05)


def test_ctrl_c_keeps_what_is_done_and_the_same_call_goes_on(fresh: Project) -> None:
    command = [sys.executable, "-c", INTERRUPTED, str(fresh.root)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    wait_for_line(fresh.images / LEDGER, process)
    os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to the workers too
    assert process.wait(timeout=60) != 0
    assert statuses(run.status(fresh, table(GOOD, HANGING, HOSTILE))) == {GOOD: "ok", HANGING: "open", HOSTILE: "open"}
    before = every_file(run.finished(fresh)[GOOD])
    assert statuses(run.scrape(fresh, table(GOOD, HOSTILE), settings())) == {GOOD: "ok", HOSTILE: "ok"}
    assert every_file(run.finished(fresh)[GOOD]) == before


def test_a_film_interrupted_while_it_is_written_is_absent(fresh: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "write_json", die)
    job = Job(GOOD, youtube_id(GOOD), "", TITLES[GOOD], 1999, fresh, settings())
    with pytest.raises(KeyboardInterrupt):
        run.scrape_film(job)
    assert run.finished(fresh) == {}
    assert list(fresh.images.iterdir()) == []
