"""The bar of a notebook ends as an empty output; that of a terminal goes to stderr."""

from types import SimpleNamespace

import IPython
import pytest
from IPython import display as ipython

from trailer_lib.progress import bar


class Handle:
    """What IPython.display.display(display_id=True) returns."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    def update(self, html: ipython.HTML) -> None:
        self.shown.append(html.data)


def test_in_a_notebook_it_is_drawn_and_gone_at_the_end(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    handle = Handle()
    monkeypatch.setattr(IPython, "get_ipython", lambda: SimpleNamespace(kernel="a notebook's"))
    monkeypatch.setattr(ipython, "display", lambda *_, **__: handle)
    assert list(bar(range(3), "counting", mininterval=0)) == [0, 1, 2]
    assert any("counting" in text and "3/3" in text for text in handle.shown)
    assert handle.shown[-1] == ""
    assert capsys.readouterr() == ("", "")


def test_in_a_terminal_it_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    list(bar(range(3), "counting"))
    out, err = capsys.readouterr()
    assert out == "" and "counting" in err
