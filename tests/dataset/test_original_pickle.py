"""The original's pickle, out and in; hostile ones are refused without side effects and in little memory."""

import pickle
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import FILMS, amount

from trailer_lib.dataset import Dataset, import_pickle, write_pickle
from trailer_lib.dataset.original_pickle import read_pickle
from trailer_lib.errors import TrailerError
from trailer_lib.project import Project
from trailer_lib.settings import DatasetSettings

Copy = Callable[[Path], Project]
SETTINGS = DatasetSettings(size=16, val=0.3, test=0.3)


def original(films: int = 20, side: int = 16, frames: int = 15) -> list:
    """What the original's second notebook writes: channels in OpenCV's order, the score as an array of one."""
    rng = np.random.default_rng(0)
    return [
        [rng.integers(0, 256, (3 * frames, side, side), np.uint8), np.array([round(rng.uniform(2, 9), 1)])]
        for _ in range(films)
    ]


def write(path: Path, value: object, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(value, protocol=protocol))
    return path


def test_the_pickle_is_the_originals_list_and_comes_back_equal(dataset_root: Path, copy_of: Copy) -> None:
    project = copy_of(dataset_root)
    rows = pickle.loads(write_pickle(project).read_bytes())
    before = Dataset.open(project)
    assert len(rows) == FILMS and all(type(row) is list and type(row[1]) is float for row in rows)
    for number, (channels, score) in enumerate(rows):
        assert channels.shape == (45, 32, 32) and channels.dtype == np.uint8 and score == before.films.score[number]
        blue, green, red = channels.reshape(15, 3, 32, 32)[4]
        assert np.array_equal(np.stack([red, green, blue], axis=-1), before.film_frames(number, 15)[4])
    expected = {before.film_frames(row, 15).tobytes(): before.films.score[row] for row in before.films.index}
    data = import_pickle(project, project.dataset / "Dataset", project.settings("dataset"))
    assert {data.film_frames(row).tobytes(): data.films.score[row] for row in data.films.index} == expected
    assert data.card["source"] == "Dataset" and data.card["frames"] == 15 * FILMS
    assert import_pickle(project, project.dataset / "Dataset", project.settings("dataset")).card == data.card
    assert Dataset.open(project).films.equals(data.films)


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_and_scores_may_be_of_any_layout_and_numpy(tmp_path: Path, protocol: int) -> None:
    channels = original(1, frames=2)[0][0]
    layouts = [channels, np.asfortranarray(channels), channels.copy().transpose(0, 2, 1), channels[:, ::2]]
    scores = [7, 7.5, np.float64(7.5), np.float32(7.5), np.int64(7), np.array(7.5), np.array([[7]], ">i2")]
    rows = [[layout.copy("K"), score] for layout in layouts for score in scores]
    text = write(tmp_path / "new", rows, protocol).read_bytes()
    old = text.replace(b"numpy._core.", b"numpy.core.") if protocol < 4 else text  # the names of NumPy 1
    (tmp_path / "old").write_bytes(old)
    for path in (tmp_path / "new", tmp_path / "old"):
        for (frames, score), (layout, expected) in zip(read_pickle(path), rows):
            assert np.array_equal(frames[1, ..., 0], layout[5])
            assert type(score) is float and score == float(np.ravel(expected)[0])


def test_the_same_frames_twice_are_one_film_and_films_added_move_none(tmp_path: Path) -> None:
    rows, project = original(30), Project(tmp_path)
    many = import_pickle(project, write(tmp_path / "many", [*rows[::-1], *original(5)]), SETTINGS)
    assert len(many.films) == 30 and many.card["left_out"] == {"the same frames as an earlier film": 5}
    few = import_pickle(project, write(tmp_path / "few", rows[:20]), SETTINGS).films
    after = many.films.set_index("imdb_id").split
    assert after[few.imdb_id].tolist() == few.split.tolist() and set(few.split) == {"train", "val", "test"}


WRONG = {
    "no list": {"a": 1},
    "a score that is text": [[original(1)[0][0], "7"]],
    "a score of two": [[original(1)[0][0], np.array([1.0, 2.0])]],
    "nan": [[original(1)[0][0], float("nan")]],
    "a score of 11": [[original(1)[0][0], 11.0]],
    "44 channels": [[np.zeros((44, 4, 4), np.uint8), 5.0]],
    "no pixels": [[np.zeros((45, 0, 4), np.uint8), 5.0]],
    "one array twice": [[original(1)[0][0]] * 2],
}


@pytest.mark.parametrize("value", WRONG.values(), ids=WRONG)
def test_another_pickle_is_refused_before_anything_is_written(tmp_path: Path, value: object) -> None:
    with pytest.raises(TrailerError, match="not the original's list") as caught:
        import_pickle(Project(tmp_path), write(tmp_path / "wrong", value), SETTINGS)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
    assert list(tmp_path.iterdir()) == [tmp_path / "wrong"]


def test_a_torn_or_missing_pickle_is_refused_wherever_it_ends(tmp_path: Path) -> None:
    whole = pickle.dumps(original(3, side=4))
    with pytest.raises(TrailerError, match="No such file"):
        read_pickle(tmp_path / "torn")
    for length in [*range(0, len(whole), 97), len(whole) - 1]:
        (tmp_path / "torn").write_bytes(whole[:length])
        with pytest.raises(TrailerError, match="not the original's list"):
            read_pickle(tmp_path / "torn")


@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_any_flipped_byte_is_read_as_numbers_or_refused(tmp_path: Path, protocol: int) -> None:
    whole, rng = pickle.dumps(original(2, side=4), protocol), np.random.default_rng(0)
    for _ in range(amount(300, 100)):
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole))] ^= 1 << int(rng.integers(8))
        (tmp_path / "damaged").write_bytes(damaged)
        try:
            assert all(frames.dtype == np.uint8 for frames, _ in read_pickle(tmp_path / "damaged"))
        except TrailerError as error:
            assert "\n" not in str(error)


def call(name: str, *arguments: object) -> bytes:
    """A pickle, but for its end, that calls module.function; an argument in bytes is such a call itself."""
    module, _, function = name.rpartition(".")
    pushed = [item if isinstance(item, bytes) else pickle.dumps(item, 2)[2:-1] for item in arguments]
    return f"c{module}\n{function}\n(".encode() + b"".join(pushed) + b"tR"


def calls(canary: str) -> dict[str, bytes]:
    """Functions that would make the file `canary`, or fetch something that could."""
    touch, code, array = f"touch {canary}", f"open({canary!r}, 'w')", "numpy.core.multiarray._reconstruct"
    system = call("os.system", touch)
    return {
        "os.system": system,
        "os.system by its stack": b"\x80\x04\x8c\x02os\x8c\x06system\x93(" + pickle.dumps(touch, 2)[2:-1] + b"tR",
        "eval": call("builtins.eval", code),
        "getattr chain": call("builtins.getattr", call("builtins.__import__", "builtins"), "eval"),
        "a dotted name of numpy": call("numpy.core.multiarray.os.system", touch),
        "numpy.load of a pickle": call("numpy.load", canary, None, True),
        "pickle in a pickle": call("pickle.loads", pickle.dumps(system + b".", 3)[2:-1]),
        "nested calls": call(array, call(array, call(array, system)), (0,)),
        "an instance": b"(S'" + touch.encode() + b"'\nios\nsystem\n",
        "an object": b"(cos\nsystem\n" + pickle.dumps(touch, 2)[2:-1] + b"o",
        "a persistent id": b"P" + canary.encode() + b"\n",
        "after good films": pickle.dumps(original(2, side=4))[:-1] + system,
    }  # fmt: skip


DTYPE = b"cnumpy\ndtype\n(X\x02\x00\x00\x00%sK\x00K\x01tR(K\x03X\x01\x00\x00\x00|tb"
LONG = b"X\x40\x42\x0f\x00" + b"x" * 1_000_000  # opcodes are counted against the file's size


def film(letters: bytes, shape: bytes, data: bytes) -> bytes:
    """A film of one made array and a score."""
    array = call("numpy.core.multiarray._reconstruct", 0, (0,), 0)
    return b"](](" + array + b"(K\x01(" + shape + b"t" + DTYPE % letters + data + b"tbK\x05ee"


def bombs() -> dict[str, bytes]:
    """Arrays that are none, and little to read but much to hold or to do."""
    good, one = np.ones((3, 1, 1), np.uint8), np.ones(5_000_000, np.uint8)
    keys = [b"\x8a\x0c" + (number * (2**61 - 1)).to_bytes(12, "little") + b"N" for number in range(1, 200_000)]
    return {
        "an array of objects": pickle.dumps([[np.array([Path("x")] * 45, object), 5.0]])[:-1],
        "a made array of objects": film(b"O8", b"K-K\x04K\x04", b"K\x00]"),
        "an array larger than its bytes": film(b"u1", b"J\xff\xff\xff\x7fJ\xff\xff\xff\x7fK\x03", b"K\x00C\x01x"),
        "an array of the wrong type": film(b"f8", b"K\x03K\x01K\x01", b"K\x00C\x18" + b"x" * 24),
        "state for a class": b"cnumpy\nndarray\nN(K\x01K\x01t\x86b",
        "state for NumPy's function": b"cnumpy.core.numeric\n_frombuffer\n(K\x05K\x05K\x05K\x05tb",
        "state for NumPy's dtype": DTYPE % b"u1",
        "state for a codec": b"c_codecs\nencode\n(K\x05K\x05tb",
        "10 MB of lists": b"]" * 10_000_000,
        "10 MB of memory": b"\x80\x04]" + b"\x94" * 10_000_000,
        "a memo bomb": b"\x80\x02]r\xff\xff\xff\x7f",
        "a list of itself": b"]q\x00(K\x01" + b"h\x00h\x00" * 40 + b"e",
        "calls in calls": b"cnumpy\ndtype\n" * 17_000 + b")R" + b"\x85R" * 16_999 + LONG,
        "states in states": b"cnumpy\ndtype\n)R" * 12_000 + b"b" * 11_999 + LONG,
        "calls of many values": b"cnumpy\ndtype\nq\x00(" + b"N" * 20_000 + b"tq\x01" + b"h\x00h\x01R" * 9_000 + LONG,
        "a large score of many films": pickle.dumps([[good, one]] * 200_000, 2)[:-1],
        "keys of one hash": b"}(" + b"".join(keys) + b"u",
        "bytes of 2 ** 62": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 62) + b"x",
        "a frame of 2 ** 60": b"\x80\x04\x95" + struct.pack("<Q", 1 << 60),
        "a number of 2 ** 31 bytes": b"\x80\x02\x8b" + struct.pack("<i", (1 << 31) - 1) + b"x",
        "a number of 300,000 digits": b"L" + b"9" * 300_000 + b"L\n",
        "40 MB of text in one line": b"V" + b"x" * 40_000_000 + b"\n",
        "100 MB of small bytes": (b"B" + struct.pack("<I", 1_000_000) + bytes(1_000_000)) * 100,
    }  # fmt: skip


# Read in a process of its own, whose peak memory, seconds and changes to NumPy are printed.
READ = """
import sys, time
from pathlib import Path
import numpy as np
from trailer_lib.dataset import original_pickle
from trailer_lib.errors import TrailerError
for path in sys.argv[1:]:
    Path("/proc/self/clear_refs").write_text("5")
    began = time.process_time()
    try:
        original_pickle.read_pickle(Path(path))
    except TrailerError as error:
        assert "\\n" not in str(error) and len(str(error)) < 400
        peak = Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]
        print(Path(path).name, peak, time.process_time() - began, sep="\\t")
    assert np.dtype("u1") == np.uint8 and np.dtype("u1").itemsize == 1 and np.dtype("f8").isnative
    numeric = sys.modules.get("numpy._core.numeric") or sys.modules["numpy.core.numeric"]
    assert not hasattr(numeric._frombuffer, "state")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process's memory is read from /proc")
def test_hostile_pickles_are_refused_without_a_trace_in_little_memory_and_time(tmp_path: Path) -> None:
    folder = tmp_path / "hostile"
    folder.mkdir()
    payloads = calls(str(tmp_path / "canary")) | bombs()
    paths = [folder / name for name in payloads]
    for path, content in zip(paths, payloads.values()):
        path.write_bytes(content + b".")
    done = subprocess.run(
        [sys.executable, "-c", READ, *paths], cwd=folder, capture_output=True, text=True, check=True, timeout=300
    )
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [name for name, *_ in rows] == list(payloads) and len(rows) > 30
    assert {name: peak for name, peak, _ in rows if int(peak) > 300_000} == {}  # KB; 100 MB is one of the files
    assert {name: seconds for name, _, seconds in rows if float(seconds) > 20} == {}
    assert (sorted(folder.iterdir()), list(tmp_path.iterdir())) == (sorted(paths), [folder])


@pytest.mark.parametrize("name", ["os.system", "os.system by its stack", "eval"])
def test_a_payload_does_run_in_a_plain_unpickler(tmp_path: Path, name: str) -> None:
    pickle.loads(calls(str(tmp_path / "canary"))[name] + b".")
    assert (tmp_path / "canary").exists()
