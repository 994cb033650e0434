"""A pickle of pairs of an array and a number -> the pairs, one at a time, by a reader that can do nothing else."""

import math
import pickletools
import re
import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

MOST = 16_000_000  # bytes of one item, and of all between two pairs twice that; the original's arrays are 737,280
STEPS = 1_000  # instructions between two pairs; NumPy's take about 30
MEMORIES = 500_000  # items that are kept to be referred to; a pair has about 8

NUMPY = re.compile(r"numpy\.(?:_?core)\.(?:multiarray|numeric)")
KNOWN = {"_reconstruct", "scalar", "_frombuffer"}  # of NUMPY
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
NUMBERS = {"INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"}
DATA = {
    "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE", "SHORT_BINBYTES", "BINBYTES", "BINBYTES8",
    "BYTEARRAY8",
}  # fmt: skip
TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
PUTS, GETS = {"PUT", "BINPUT", "LONG_BINPUT"}, {"GET", "BINGET", "LONG_BINGET"}


class Refused(ValueError):
    """What the pickle holds beside pairs of arrays and numbers."""


class Data:
    """Text or bytes; emptied once the pair that has them is handed on, whoever still refers to them."""

    def __init__(self, content: str | bytes) -> None:
        self.content = content


class Name:
    """A name of NumPy's that pickles of arrays use; nothing is looked up."""

    def __init__(self, name: str) -> None:
        self.name = name


class Array:
    """A pickled array that is being made."""

    def __init__(self) -> None:
        self.data: Data | None = None
        self.dtype = np.dtype(np.uint8)
        self.shape: tuple[int, ...] = ()
        self.order = "C"

    def fill(self, data: Any, dtype: Any, shape: Any, order: str) -> "Array":
        if not (isinstance(data, Data) and isinstance(dtype, Type) and _is_shape(shape)):
            raise Refused("an array that is not made of numbers")
        self.data, self.dtype, self.shape, self.order = data, dtype.dtype, shape, order
        return self

    def take(self) -> np.ndarray:
        """The array; its bytes are given away."""
        content = self.data.content if self.data else b""
        if len(content) != math.prod(self.shape) * self.dtype.itemsize or not content:
            raise Refused(f"an array {self.shape} without its bytes, or met twice")
        self.data.content = b""
        return np.frombuffer(content, self.dtype).reshape(self.shape, order=self.order)


class Type:
    """A NumPy type of plain numbers."""

    def __init__(self, code: Any) -> None:
        text = code.content if isinstance(code, Data) else code
        if not (isinstance(text, str) and re.fullmatch(r"[uif][1248]", text)) or text == "f1":
            raise Refused("an array of something other than numbers")
        self.dtype = np.dtype(text)

    def ordered(self, state: Any) -> None:
        order = state[1].content if len(state) == 8 and isinstance(state[1], Data) else ""
        if order not in ("<", ">", "|", "="):
            raise Refused("a type of unknown byte order")
        self.dtype = self.dtype.newbyteorder(order)


MARK = object()
DONE = "a pair that was handed on"


class Machine:
    """The stack and the memory of a pickle that is being read; `pair` is the one just completed, None in between."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memory: dict[int, Any] = {}
        self.pair: tuple[np.ndarray, float] | None = None

    def step(self, name: str, argument: Any) -> None:
        """One instruction, by its name in pickletools."""
        if name in DATA:
            self.stack.append(Data(argument))
        elif name in NUMBERS:
            self.stack.append(argument)
        elif name in CONSTANTS:
            self.stack.append(CONSTANTS[name])
        elif name in TUPLES:
            self.stack.append(tuple(self.take(TUPLES[name])))
        elif name in GETS:
            self.stack.append(self.memory[int(argument)])
        elif name in PUTS:
            self.memory[int(argument)] = self.stack[-1]
        elif name not in ("PROTO", "FRAME"):
            self.other(name, argument)

    def other(self, name: str, argument: Any) -> None:
        doing = getattr(self, f"do_{name.lower()}", None)
        if doing is None:
            raise Refused(f"the instruction {name}")
        doing(argument)

    def take(self, count: int) -> list[Any]:
        """The last `count` of the stack, off it."""
        if count > len(self.stack):
            raise Refused("it ends too early")
        taken = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return taken

    def since_mark(self) -> list[Any]:
        last = len(self.stack) - 1
        while last >= 0 and self.stack[last] is not MARK:
            last -= 1
        return self.take(len(self.stack) - last)[1:]

    def do_memoize(self, _: Any) -> None:
        self.memory[len(self.memory)] = self.stack[-1]

    def do_mark(self, _: Any) -> None:
        self.stack.append(MARK)

    def do_tuple(self, _: Any) -> None:
        self.stack.append(tuple(self.since_mark()))

    def do_empty_list(self, _: Any) -> None:
        self.stack.append([])

    def do_list(self, _: Any) -> None:
        items = self.since_mark()
        self.stack.append([])
        self.extend(items)

    def do_append(self, _: Any) -> None:
        self.extend(self.take(1))

    def do_appends(self, _: Any) -> None:
        self.extend(self.since_mark())

    def extend(self, items: list[Any]) -> None:
        """Append to the list on top; a list of an array and a number is a pair."""
        whole = self.stack[-1]
        if not isinstance(whole, list):
            raise Refused("items without a list")
        whole += items
        if len(whole) == 2 and isinstance(whole[0], Array):
            self.pair = whole[0].take(), _number(whole[1])
            whole[:] = [DONE]

    def do_global(self, argument: str) -> None:
        self.named(*argument.split(" ", 1))

    def do_stack_global(self, _: Any) -> None:
        module, name = self.take(2)
        if not (isinstance(module, Data) and isinstance(name, Data)):
            raise Refused("a name that is no text")
        self.named(module.content, name.content)

    def named(self, module: Any, name: Any) -> None:
        numpys = isinstance(module, str) and NUMPY.fullmatch(module) and name in KNOWN
        if not numpys and (module, name) not in (("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode")):
            raise Refused(f"the name {str(module)[:40]}.{str(name)[:40]}")
        self.stack.append(Name(name))

    def do_reduce(self, _: Any) -> None:
        called, arguments = self.take(2)
        if not (isinstance(called, Name) and isinstance(arguments, tuple)):
            raise Refused("a call of something other than NumPy's makers of arrays")
        self.stack.append(_called(called.name, arguments))

    def do_build(self, _: Any) -> None:
        made, state = self.take(2)
        if isinstance(made, Type) and isinstance(state, tuple):
            made.ordered(state)
        elif isinstance(made, Array) and isinstance(state, tuple) and len(state) == 5:
            _, shape, dtype, fortran, data = state
            made.fill(data, dtype, shape, "F" if fortran is True else "C")
        else:
            raise Refused("a state of something other than an array")
        self.stack.append(made)


def _called(name: str, arguments: tuple) -> Any:
    """What NumPy would make, by the name and the number of the arguments."""
    if name == "dtype" and len(arguments) == 3:
        return Type(arguments[0])
    if name == "_reconstruct" and len(arguments) == 3:
        return Array()
    if name == "_frombuffer" and len(arguments) == 4 and isinstance(arguments[3], Data):
        data, dtype, shape, order = arguments
        return Array().fill(data, dtype, shape, "F" if order.content == "F" else "C")
    if name == "scalar" and len(arguments) == 2:
        return Array().fill(arguments[1], arguments[0], (1,), "C").take()[0].item()
    if name == "encode" and isinstance(arguments[0], Data) and isinstance(arguments[0].content, str):
        arguments[0].content = arguments[0].content.encode("latin1")
        return arguments[0]
    raise Refused(f"a call of {name} that makes no array")


def _is_shape(shape: Any) -> bool:
    return isinstance(shape, tuple) and all(type(side) is int and 0 <= side < 2**31 for side in shape)


def _number(value: Any) -> float:
    """A number, or an array of one."""
    if isinstance(value, Array) and math.prod(value.shape) == 1:
        value = value.take().ravel()[0].item()
    if type(value) not in (int, float) or abs(value) > 1e300:
        raise Refused("a score that is no number")
    return float(value)


class _Bounded:
    """A file that gives no more than MOST bytes at once."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.tell, self.given = file, file.tell, 0

    def read(self, count: int) -> bytes:
        return self._counted(self.file.read(count) if count <= MOST else b"", count)

    def readline(self) -> bytes:
        line = self.file.readline(MOST + 1)
        return self._counted(line, len(line))

    def _counted(self, data: bytes, count: int) -> bytes:
        self.given += len(data)
        if count > MOST or self.given > 2 * MOST:
            raise Refused(f"more than {MOST:,} bytes in one item")
        return data


def pairs(file: BinaryIO) -> Iterator[tuple[np.ndarray, float]]:
    """The pairs (array, number) of a pickled list of lists of two; Refused at anything else, whatever it may be."""
    machine, bounded, steps, found, name = Machine(), _Bounded(file), 0, 0, ""
    try:
        for instruction, argument, _ in pickletools.genops(bounded):
            name, steps = instruction.name, steps + 1
            if steps > STEPS or len(machine.memory) > MEMORIES:
                raise Refused("too many instructions for what they make")
            if name != "STOP":
                machine.step(name, argument)
            if machine.pair:
                yield machine.pair
                machine.pair, bounded.given, steps, found = None, 0, 0, found + 1
    except Refused:
        raise
    except (ValueError, TypeError, LookupError, OverflowError, MemoryError, struct.error) as error:
        raise Refused(" ".join(str(error).split())[:80] or type(error).__name__) from error
    if len(machine.stack) != 1 or machine.stack[0] != [[DONE]] * found or not found:
        raise Refused("something else than a list of them")
