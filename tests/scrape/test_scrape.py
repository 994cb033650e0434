"""Real trailers through a scrape: what becomes of good and bad ones, of a second run, and of runs that are killed."""

import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import film_set as made
import pytest
from clips import ffmpeg
from film_set import GOOD, HOSTILE, put_trailer, settings, table

from trailer_lib import Project, TrailerError, files
from trailer_lib.scrape import LEDGER, ledger, run, scrape, sounds, status
from trailer_lib.scrape.run import SAMPLING
from trailer_lib.video import SOUND, folder_name, load_sound, picture_paths, read_picture, read_record

ALL = table(*made.TITLES)
INTERRUPTED = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import film_set as t
t.run.scrape_film = t.scrape_or_fail
t.run.scrape(t.run.Project.open(sys.argv[1]), t.table(t.GOOD, t.HANGING, t.HOSTILE), t.settings(workers=1))
"""


def states(result: object) -> dict[str, str]:
    return dict(zip(result.imdb_id, result.status))


def every_file(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Content and time of change of every file under `folder`."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}


def contents(folder: Path) -> dict[str, bytes]:
    """Of every file but the ledger, whose lines have times, and the settings."""
    return {name: data for name, (data, _) in every_file(folder).items() if name not in (LEDGER, "settings.json")}


def folder_of(project: Project, imdb_id: str) -> Path:
    return ledger.film_folders(project)[imdb_id]


@pytest.fixture(scope="module")
def trailers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with trailers/ alone; not to be changed."""
    root = tmp_path_factory.mktemp("trailers")
    for imdb_id in (GOOD, HOSTILE, made.BLACK, made.CUT, made.PAGE):
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
    scrape(project, ALL, settings())
    return project


@pytest.fixture
def project(scraped: Project, tmp_path: Path) -> Project:
    """A copy of `scraped` that the test may change."""
    return Project.open(shutil.copytree(scraped.root, tmp_path / "root"))


@pytest.fixture
def fresh(trailers: Path, tmp_path: Path) -> Project:
    """A copy of `trailers` that the test may change."""
    return Project.open(shutil.copytree(trailers, tmp_path / "root"))


def here(project: Project, **chosen: object) -> dict[str, str]:
    """The status of all films from a scrape in this process, which starts no workers."""
    with ThreadPoolExecutor(1) as executor:
        return states(scrape(project, ALL, settings(**chosen), executor))


def test_a_scraped_film_has_its_pictures_its_record_and_its_entry(scraped: Project) -> None:
    folder = folder_of(scraped, GOOD)
    record, entry = read_record(folder), ledger.latest_entries(scraped.images / LEDGER)[GOOD]
    assert len(picture_paths(folder)) == len(record["seconds"]) == entry.kept_frames
    assert entry.kept_frames + len(record["dropped"]) == entry.sampled_frames == made.COUNT
    assert entry.kept_frames + sum(entry.dropped_frames.values()) == made.COUNT
    assert entry.bytes == made.trailer_path(scraped.root, GOOD).stat().st_size
    assert (record["imdb_id"], record["youtube_id"]) == (GOOD, made.youtube_id(GOOD))
    assert record["settings"] == {name: getattr(settings(), name) for name in SAMPLING}
    assert {read_picture(path).shape for path in picture_paths(folder)} == {(made.HEIGHT, made.WIDTH, 3)}


def test_each_film_has_its_status_and_only_those_with_frames_a_folder(scraped: Project, trailers: Path) -> None:
    reasons = ["", "", "nothing kept", "decode", "decode", "missing"]
    expected = [[key, "failed" if reason else "ok", reason] for key, reason in zip(made.TITLES, reasons)]
    assert status(scraped, ALL)[["imdb_id", "status", "reason"]].values.tolist() == expected
    folders = [folder_name(imdb_id, made.TITLES[imdb_id], 1999) for imdb_id in (GOOD, HOSTILE)]
    assert sorted(path.name for path in scraped.images.iterdir() if path.is_dir()) == sorted(folders)
    written = {path.name for path in scraped.images.iterdir() if path.is_file()}
    assert written == {LEDGER, "settings.json", "failures.csv", files.LOCK}
    assert sorted(path.name for path in scraped.root.iterdir()) == ["images", "trailers"]
    assert contents(scraped.root / "trailers") == contents(trailers / "trailers")


def test_a_second_run_skips_what_is_done_and_what_failed_permanently(project: Project) -> None:
    before, entry = every_file(project.images), ledger.latest_entries(project.images / LEDGER)[GOOD]
    here(project)
    after = every_file(project.images)
    assert {name for name in after if after[name] != before.get(name)} <= {"settings.json", "failures.csv", files.LOCK}
    (project.images / LEDGER).unlink()  # a film without its entry gets it in the next run
    scrape(project, table(GOOD), settings())
    [added] = ledger.read_ledger(project.images / LEDGER)
    assert vars(added) == vars(entry) | {"seconds": 0.0}


def test_a_video_that_failed_is_tried_again_only_when_it_has_been_replaced(project: Project) -> None:
    lines = len(ledger.read_ledger(project.images / LEDGER))
    path = made.trailer_path(project.root, made.PAGE)
    path.unlink()
    assert here(project)[made.PAGE] == "failed"
    shutil.copy(made.trailer_path(project.root, GOOD), path.with_suffix(".MP4"))
    assert here(project, retry_failed=True)[made.PAGE] == "ok"
    assert len(ledger.read_ledger(project.images / LEDGER)) == lines + 1


def with_sound(root: Path, imdb_id: str) -> None:
    """A film's trailer, five seconds of a moving pattern and of noise."""
    source = ["-f", "lavfi", "-i", "testsrc2=size=64x48:rate=12:duration=5", "-f", "lavfi", "-i", "anoisesrc=d=5"]
    ffmpeg(*source, "-c:v", "libx264", "-c:a", "aac", made.trailer_path(root, imdb_id))


def test_a_film_is_scraped_with_its_sound_and_one_without_says_so(project: Project) -> None:
    with_sound(project.root, made.MISSING)
    result = scrape(project, ALL, settings(filter="none")).set_index("imdb_id")
    assert result.sound[result.status == "ok"].to_dict() == {GOOD: "no sound", HOSTILE: "no sound", made.MISSING: "ok"}
    assert sounds(result) == "1 of 3 films with frames have sound; the others: 2 no sound"
    folder = folder_of(project, made.MISSING)
    assert load_sound(folder).shape == (128, 156) and read_record(folder)["sound"] == "ok"
    assert (folder / SOUND) not in picture_paths(folder) and len(picture_paths(folder)) == made.COUNT
    with_sound(project.root, GOOD)
    before = (project.images / LEDGER).read_bytes()
    here(project, sound=True)  # a trailer that had none is not tried again
    assert (project.images / LEDGER).read_bytes() == before and load_sound(folder_of(project, GOOD)) is None


def test_sound_is_added_to_films_that_were_scraped_without(project: Project) -> None:
    with_sound(project.root, GOOD)
    frames, earlier = contents(folder_of(project, GOOD)), ledger.latest_entries(project.images / LEDGER)
    for imdb_id in (GOOD, HOSTILE):
        ledger.append_entry(project.images / LEDGER, replace(earlier[imdb_id], sound="later: network"))
    lines = len(ledger.read_ledger(project.images / LEDGER))
    assert here(project, sound=True) == dict(zip(ALL.imdb_id, status(project, ALL).status))
    latest = ledger.latest_entries(project.images / LEDGER)
    assert vars(latest[GOOD]) == vars(earlier[GOOD]) | {"sound": "ok"}
    assert vars(latest[HOSTILE]) == vars(earlier[HOSTILE]) | {"sound": "no sound"}
    after = contents(folder_of(project, GOOD))
    assert {name for name in after if after[name] != frames.get(name)} == {SOUND, "film.json"}
    assert read_record(folder_of(project, GOOD))["sound"] == "ok"
    assert read_record(folder_of(project, HOSTILE))["sound"] == "no sound"
    here(project, sound=True)  # nothing is left to do
    assert len(ledger.read_ledger(project.images / LEDGER)) == lines + 2
    (folder_of(project, GOOD) / SOUND).unlink()
    here(project, sound=True)
    assert (folder_of(project, GOOD) / SOUND).read_bytes() == after[SOUND]


@pytest.mark.parametrize("wrong", [{"source": "folders:x"}, {"source": "youtube", "cookies": "folders:x"}])
def test_a_wrong_setting_is_refused_before_anything_is_written(wrong: dict, fresh: Project) -> None:
    with pytest.raises(TrailerError, match="folders:x"):
        scrape(fresh, ALL, settings(**wrong))
    assert not fresh.images.exists()


def outcomes(project: Project, monkeypatch: pytest.MonkeyPatch, *imdb_ids: str, **chosen: object) -> dict:
    """Status, reason and attempts of each film from a run of workers that `made.scrape_or_fail`."""
    for imdb_id in {*imdb_ids} - {GOOD}:
        shutil.copy(made.trailer_path(project.root, GOOD), made.trailer_path(project.root, imdb_id))
    with monkeypatch.context() as patch:
        # A worker imports the function by its name: it runs the real one in a real process.
        patch.setattr(run, "scrape_film", made.scrape_or_fail)
        result = scrape(project, table(*imdb_ids), settings(**chosen))
    tries = [entry.imdb_id for entry in ledger.read_ledger(project.images / LEDGER)]
    return {row.imdb_id: (row.status, row.reason, tries.count(row.imdb_id)) for row in result.itertuples()}


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux enforces the limit of memory")
def test_a_worker_that_fails_costs_its_film_alone(fresh: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = {
        made.CRASHING: ("failed", "crash", 2), made.KILLED: ("later", "killed", 2), GOOD: ("ok", "", 1),
        made.GREEDY: ("failed", "memory", 1),
    }  # fmt: skip
    assert outcomes(fresh, monkeypatch, *expected, attempts=2) == expected


def test_a_film_that_takes_too_long_is_left_to_another_run(fresh: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    assert outcomes(fresh, monkeypatch, made.HANGING, timeout=1.0) == {made.HANGING: ("later", "timeout", 1)}


@pytest.fixture
def interrupted(fresh: Project) -> subprocess.Popen:
    """A scrape in a process group of its own that has done GOOD and hangs at made.HANGING."""
    put_trailer(fresh.root, made.HANGING)
    command = [sys.executable, "-c", INTERRUPTED, str(fresh.root)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while process.poll() is None and not ledger.read_ledger(fresh.images / LEDGER):
        time.sleep(0.05)
    return process


def test_workers_die_with_the_main_process(interrupted: subprocess.Popen) -> None:
    interrupted.kill()
    interrupted.wait()
    with pytest.raises(ProcessLookupError):  # as soon as the group is gone
        for _ in range(1200):
            os.killpg(interrupted.pid, 0)
            time.sleep(0.05)


def test_ctrl_c_keeps_what_is_done_and_the_same_call_resumes(
    fresh: Project, scraped: Project, interrupted: subprocess.Popen
) -> None:
    os.killpg(interrupted.pid, signal.SIGINT)  # a terminal sends it to the workers too
    _, errors = interrupted.communicate(timeout=60)
    assert interrupted.returncode != 0 and "stopped with 1 of 3 films done; run it again to resume" in errors
    assert errors.count("Traceback") == 1  # of the main process, which has no __main__.py here; none of the workers
    assert status(fresh, table(GOOD, made.HANGING, HOSTILE)).status.tolist() == ["ok", "open", "open"]
    before = every_file(folder_of(fresh, GOOD))
    result = here(fresh)  # in another order, and by another executor
    assert (result[GOOD], result[HOSTILE]) == ("ok", "ok")
    assert every_file(folder_of(fresh, GOOD)) == before
    assert contents(folder_of(fresh, HOSTILE)) == contents(folder_of(scraped, HOSTILE))
