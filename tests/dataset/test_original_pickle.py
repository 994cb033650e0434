"""The original's pickle, out and in; hostile ones are refused without side effects and in little memory."""

import io
import pickle
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import FILMS

from trailer_lib.dataset import original_pickle
from trailer_lib.dataset.dataset import Dataset
from trailer_lib.dataset.original_pickle import import_pickle, read_pickle, write_pickle
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


# Out.


def test_the_pickle_is_the_originals_list_of_arrays_and_scores(dataset_root: Path, copy_of: Copy) -> None:
    project = copy_of(dataset_root)
    rows = pickle.loads(write_pickle(project).read_bytes())
    data = Dataset.open(project)
    assert len(rows) == FILMS and all(isinstance(row, list) for row in rows)
    for number, (channels, score) in enumerate(rows):
        assert channels.shape == (45, 32, 32) and channels.dtype == np.uint8
        assert type(score) is float and score == data.films.score[number]
        blue, green, red = channels.reshape(15, 3, 32, 32)[4]
        assert np.array_equal(np.stack([red, green, blue], axis=-1), data.film_frames(number, 15)[4])


def test_a_pickle_without_a_dataset_is_an_error(frames_root: Path) -> None:
    with pytest.raises(TrailerError, match="no dataset"):
        write_pickle(Project(frames_root))


# In.


@pytest.mark.parametrize("protocol", range(6))
def test_a_pickle_of_any_protocol_becomes_an_equal_dataset(tmp_path: Path, protocol: int) -> None:
    rows = original()
    data = import_pickle(Project(tmp_path), write(tmp_path / "Dataset", rows, protocol), SETTINGS)
    assert len(data.films) == len(rows)
    for row, film in data.films.iterrows():
        channels, score = rows[int(film.title.removeprefix("film ")) - 1]
        blue_first = data.film_frames(row)[..., ::-1].transpose(0, 3, 1, 2)
        assert np.array_equal(blue_first.reshape(45, 16, 16), channels)
        assert film.score == score[0]
    assert Dataset.open(Project(tmp_path)).films.equals(data.films)


@pytest.mark.parametrize(
    "score", [7, 7.5, np.float64(7.5), np.float32(7.5), np.int64(7), np.array(7.5), np.array([[7]])]
)
def test_a_score_may_be_any_number(tmp_path: Path, score: object) -> None:
    [(frames, read)] = read_pickle(write(tmp_path / "Dataset", [[original(1)[0][0], score]]))
    assert frames.shape == (15, 16, 16, 3) and type(read) is float and read == float(np.ravel(score)[0])


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_arrays_in_columns_and_of_few_frames_are_read(tmp_path: Path, protocol: int) -> None:
    channels = np.asfortranarray(original(1, frames=2)[0][0])
    [(frames, _)] = read_pickle(write(tmp_path / "Dataset", [[channels, 5.0]], protocol))
    assert np.array_equal(frames[1, ..., 0], channels[5])


def test_out_and_in_again_is_the_same(dataset_root: Path, copy_of: Copy) -> None:
    project = copy_of(dataset_root)
    before = Dataset.open(project)
    expected = {before.film_frames(row, 15).tobytes(): before.films.score[row] for row in before.films.index}
    data = import_pickle(project, write_pickle(project), project.settings("dataset"))
    assert {data.film_frames(row).tobytes(): data.films.score[row] for row in data.films.index} == expected
    assert data.card["source"] == "Dataset" and data.card["frames"] == 15 * FILMS


def test_the_same_frames_twice_are_one_film(tmp_path: Path) -> None:
    rows = original()
    data = import_pickle(Project(tmp_path), write(tmp_path / "Dataset", [*rows, *original(5)]), SETTINGS)
    assert len(data.films) == len(rows) and data.card["left_out"] == {original_pickle.TWICE: 5}


def test_the_split_goes_by_the_frames_and_films_added_move_none(tmp_path: Path) -> None:
    rows = original(30)
    many = import_pickle(Project(tmp_path), write(tmp_path / "many", rows[::-1]), SETTINGS).films
    few = import_pickle(Project(tmp_path), write(tmp_path / "few", rows[:20]), SETTINGS).films
    after = many.set_index("imdb_id").split
    assert after[few.imdb_id].tolist() == few.split.tolist() and set(few.split) == {"train", "val", "test"}


def test_frames_of_another_size_are_brought_to_the_settings(tmp_path: Path) -> None:
    data = import_pickle(Project(tmp_path), write(tmp_path / "Dataset", original(side=32)), SETTINGS)
    assert data.frames.shape == (20 * 15, 16, 16, 3)


def test_importing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    path, project = write(tmp_path / "Dataset", original()), Project(tmp_path)
    written = []
    for _ in range(2):
        import_pickle(project, path, SETTINGS)
        written.append({file.name: file.read_bytes() for file in project.dataset.iterdir()})
    assert written[0] == written[1]


# What is no such list.


WRONG = {
    "no list": {"a": 1},
    "a number": 5,
    "an empty list": [],
    "one pair alone": original(1)[0],
    "tuples": [tuple(original(1)[0])],
    "a score that is text": [[original(1)[0][0], "7"]],
    "a score of two": [[original(1)[0][0], np.array([1.0, 2.0])]],
    "a true score": [[original(1)[0][0], True]],
    "nan": [[original(1)[0][0], float("nan")]],
    "a score of 11": [[original(1)[0][0], 11.0]],
    "a huge score": [[original(1)[0][0], 10**400]],
    "floats": [[np.zeros((45, 4, 4)), 5.0]],
    "two axes": [[np.zeros((45, 4), np.uint8), 5.0]],
    "44 channels": [[np.zeros((44, 4, 4), np.uint8), 5.0]],
    "no pixels": [[np.zeros((45, 0, 4), np.uint8), 5.0]],
    "three items": [[*original(1)[0], 1]],
    "a later number": [*original(2), 5],
    "one array twice": [[original(1)[0][0]] * 2],
}


@pytest.mark.parametrize("value", WRONG.values(), ids=WRONG)
def test_another_pickle_is_refused_and_the_dataset_stays(dataset_root: Path, copy_of: Copy, value: object) -> None:
    project = copy_of(dataset_root)
    path = write(project.root / "wrong", value)
    with pytest.raises(TrailerError, match="not the original's list") as caught:
        import_pickle(project, path, SETTINGS)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
    assert Dataset.open(project).films.equals(Dataset.open(Project(dataset_root)).films)


def test_a_pickle_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TrailerError, match="no such file"):
        list(read_pickle(tmp_path / "none"))


def test_a_torn_pickle_is_refused_wherever_it_ends(tmp_path: Path) -> None:
    whole = pickle.dumps(original(3, side=4))
    for length in [*range(0, len(whole), 97), len(whole) - 1]:
        (tmp_path / "torn").write_bytes(whole[:length])
        with pytest.raises(TrailerError, match="not the original's list"):
            list(read_pickle(tmp_path / "torn"))


def test_any_flipped_byte_is_read_as_numbers_or_refused(tmp_path: Path) -> None:
    whole, rng = pickle.dumps(original(2, side=4)), np.random.default_rng(0)
    for _ in range(400):
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole))] ^= 1 << int(rng.integers(8))
        (tmp_path / "damaged").write_bytes(damaged)
        try:
            assert all(frames.dtype == np.uint8 for frames, _ in read_pickle(tmp_path / "damaged"))
        except TrailerError as error:
            assert "\n" not in str(error)


# D6: hostile ones.


class Calls:
    """Pickled as a call of a function of any module, under its name."""

    def __init__(self, name: str, *arguments: object) -> None:
        self.name, self.arguments = name, arguments


def called(name: str, *arguments: object, protocol: int = 4) -> bytes:
    """A pickle that calls module.function with texts, numbers, tuples and further calls."""
    return (b"\x80\x04" if protocol >= 4 else b"") + _called(name, arguments, protocol) + b"."


def _called(name: str, arguments: tuple, protocol: int) -> bytes:
    module, _, function = name.rpartition(".")
    old = b"c" + f"{module}\n{function}\n".encode()
    found = _text(module) + _text(function) + b"\x93" if protocol >= 4 else old
    return found + b"(" + b"".join(_pushed(item, protocol) for item in arguments) + b"tR"


def _text(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text.encode())) + text.encode()


def _pushed(item: object, protocol: int) -> bytes:
    if isinstance(item, Calls):
        return _called(item.name, item.arguments, protocol)
    return pickle.dumps(item, protocol=2)[2:-1].replace(b"q\x00", b"")


def payloads(canary: str) -> dict[str, bytes]:
    return calls(canary) | opcodes(canary) | bombs()


def calls(canary: str) -> dict[str, bytes]:
    """Functions that would make the file `canary`, or fetch something that could."""
    touch, code = f"touch {canary}", f"open({canary!r}, 'w')"
    builtins = Calls("builtins.__import__", "builtins")
    array = "numpy.core.multiarray._reconstruct"
    return {
        "os.system": called("os.system", touch),
        "posix.system": called("posix.system", touch),
        "os.system, protocol 0": called("os.system", touch, protocol=0),
        "nt.system": called("nt.system", touch),
        "subprocess.Popen": called("subprocess.Popen", touch, -1, None, None, None, None, None, True, True),
        "subprocess.check_output": called("subprocess.check_output", ["touch", canary]),
        "eval": called("builtins.eval", code),
        "exec": called("builtins.exec", code),
        "eval, Python 2's name": called("__builtin__.eval", code, protocol=0),
        "open": called("builtins.open", canary, "w"),
        "io.open": called("io.open", canary, "w"),
        "pathlib": called("pathlib.Path.touch", Calls("pathlib.PosixPath", canary)),
        "getattr chain": called("builtins.getattr", builtins, "eval"),
        "getattr of a dotted name": called("builtins.getattr.__self__.eval", code),
        "a dotted name of numpy": called("numpy.core.multiarray.os.system", touch),
        "numpy's own eval": called("numpy.testing._private.utils.runstring", code, {}),
        "numpy.load of a pickle": called("numpy.load", canary, None, True),
        "importlib": called("importlib.import_module", "antigravity"),
        "runpy": called("runpy._run_code", code, {}),
        "pickle in a pickle": called("pickle.loads", called("os.system", touch)),
        "timeit": called("timeit.timeit", code),
        "functools.partial": called("functools.partial", Calls("os.system", touch)),
        "copyreg": called("copyreg._reconstructor", Calls("builtins.object"), Calls("builtins.object"), None),
        "a call for an array": called(array, Calls("os.system", touch), (0,), b"b"),
        "nested calls": called(array, Calls(array, Calls(array, Calls("os.system", touch))), (0,), b"b"),
    }  # fmt: skip


def opcodes(canary: str) -> dict[str, bytes]:
    """What no honest pickle of arrays has, or has so."""
    touch, good = f"touch {canary}", pickle.dumps(original(2, side=4))
    objects = pickle.dumps([[np.array([Path("x")] * 45, object), 5.0]])
    state = b"(K\x01(K-K\x04K\x04tcnumpy\ndtype\n(X\x02\x00\x00\x00O8K\x00K\x01tR\x89]tb"
    empty = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tC\x01btR"
    wide = b"(K\x01(J\xff\xff\xff\x7fJ\xff\xff\xff\x7ftcnumpy\ndtype\n(X\x02\x00\x00\x00u1K\x00K\x01tR\x89C\x01xtb"
    return {
        "an instance, protocol 0": b"(" + b"S'" + touch.encode() + b"'\nios\nsystem\n.",
        "an object, protocol 1": b"(cos\nsystem\nX" + struct.pack("<I", len(touch)) + touch.encode() + b"o.",
        "a new object": b"\x80\x02cos\nsystem\n" + _text(touch) + b"\x85\x81.",
        "an extension": b"\x80\x02\x82\x01.",
        "a persistent id": b"P" + canary.encode() + b"\n.",
        "an array of objects": objects,
        "a made array of objects": b"\x80\x02]](" + empty + state + b"G@\x14\x00\x00\x00\x00\x00\x00ee.",
        "an array larger than its bytes": b"\x80\x02]](" + empty + wide + b"G@\x14\x00\x00\x00\x00\x00\x00ee.",
        "state for a class": b"\x80\x02cnumpy\nndarray\n}X\x01\x00\x00\x00aK\x01sb.",
        "after good films": good[:-1] + called("os.system", touch)[2:],
    }  # fmt: skip


def bombs() -> dict[str, bytes]:
    """Little to read, much to hold or to do."""
    return {
        "10 MB of marks": b"(" * 10_000_000,
        "10 MB of marks and pops": b"(1" * 5_000_000,
        "10 MB of tuples": b")" + b"\x85" * 10_000_000 + b".",
        "10 MB of lists": b"]" * 10_000_000,
        "10 MB of memory": b"\x80\x04]" + b"\x94" * 10_000_000 + b".",
        "a memo bomb": b"\x80\x02]r\xff\xff\xff\x7f.",
        "many memo bombs": b"\x80\x02]" + b"".join(b"r" + struct.pack("<I", n << 20) for n in range(4096)) + b".",
        "a doubling list": b"\x80\x02](K\x01" + b"h\x00h\x00" * 40 + b"e.",
        "bytes of 2 ** 62": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 62) + b"x.",
        "text of 2 ** 31": b"\x80\x04X" + struct.pack("<I", (1 << 32) - 1) + b"x.",
        "a frame of 2 ** 60": b"\x80\x04\x95" + struct.pack("<Q", 1 << 60) + b".",
        "a number of 2 ** 31 bytes": b"\x80\x02\x8b" + struct.pack("<i", (1 << 31) - 1) + b"x.",
        "a number of 300,000 digits": b"L" + b"9" * 300_000 + b"L\n.",
        "40 MB of bytes": b"\x80\x04B" + struct.pack("<I", 40_000_000) + b"x" * 40_000_000 + b".",
        "40 MB of text in one line": b"V" + b"x" * 40_000_000 + b"\n.",
        "an emoji in 15 MB of text": b"X" + struct.pack("<I", 15_000_000) + b"x" * 14_999_996 + "🎬".encode() + b".",
        "100 MB of small bytes": (b"B" + struct.pack("<I", 1_000_000) + bytes(1_000_000)) * 100 + b".",
    }  # fmt: skip


PAYLOADS = sorted(payloads("canary"))
# In a process of its own, whose peak memory is that of the reading.
READ = """
import sys
from pathlib import Path
from trailer_lib import unpickle
try:
    for _ in unpickle.pairs(open(sys.argv[1], "rb")):
        pass
except unpickle.Refused as error:
    print(error)
print(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
"""


def test_there_are_payloads_enough() -> None:
    assert len(PAYLOADS) >= 30


def test_the_payloads_that_run_code_would() -> None:
    made = io.BytesIO(called("builtins.eval", "6 * 7"))
    assert pickle.load(made) == 42
    assert pickle.loads(called("builtins.getattr", Calls("builtins.__import__", "math"), "pi", protocol=0)) > 3


@pytest.mark.parametrize("name", PAYLOADS)
def test_a_hostile_pickle_is_refused_without_a_trace(tmp_path: Path, name: str) -> None:
    canary = tmp_path / "canary"
    path = tmp_path / "hostile"
    path.write_bytes(payloads(str(canary))[name])
    before = set(tmp_path.iterdir())
    with pytest.raises(TrailerError, match="not the original's list") as caught:
        import_pickle(Project(tmp_path), path, SETTINGS)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400
    assert set(tmp_path.iterdir()) == before


HEAVY = [
    name for name in PAYLOADS if any(word in name for word in ("MB", "memo", "2 **", "doubling", "digits", "larger"))
]


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process's memory is read from /proc")
@pytest.mark.parametrize("name", HEAVY)
def test_a_hostile_pickle_takes_little_memory(tmp_path: Path, name: str) -> None:
    path = tmp_path / "hostile"
    path.write_bytes(payloads("canary")[name])
    done = subprocess.run([sys.executable, "-c", READ, path], capture_output=True, text=True, check=True, timeout=60)
    said, peak = done.stdout.splitlines()
    assert said and int(peak) < 200_000  # KB


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process's memory is read from /proc")
def test_a_pickle_of_many_films_takes_little_memory(tmp_path: Path) -> None:
    with open(tmp_path / "large", "wb") as file:
        pickle.dump(original(300, side=128), file)
    assert (tmp_path / "large").stat().st_size > 200e6
    command = [sys.executable, "-c", READ, tmp_path / "large"]
    peak = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    assert int(peak) < 200_000
