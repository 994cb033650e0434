"""torchvision without torch's compiler: importing it takes as long as torch itself, and answering needs none of it."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

NAME = "torch._dynamo.utils"


@contextmanager
def late_dynamo() -> Iterator[None]:
    """Within the block `from torch._dynamo.utils import is_compile_supported` gives a function that imports it later.

    torchvision.ops takes that function when it is imported, and calls it only in operators that are compiled.
    """
    if NAME in sys.modules or "torch._dynamo" in sys.modules:
        yield
        return
    stand_in = ModuleType(NAME)
    stand_in.is_compile_supported = lambda device: _real().is_compile_supported(device)
    stand_in.__getattr__ = _other
    sys.modules[NAME] = stand_in
    try:
        yield
    finally:
        _remove()


def _other(name: str) -> Any:
    """What another version of torchvision may ask for. `inspect` asks every module for __file__, and not only of it."""
    if name.startswith("__"):
        raise AttributeError(name)
    return getattr(_real(), name)


def _remove() -> None:
    if NAME in sys.modules and not hasattr(sys.modules[NAME], "__file__"):
        del sys.modules[NAME]


def _real() -> Any:
    _remove()
    return importlib.import_module(NAME)
