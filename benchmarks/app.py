"""How much longer the page takes than the library: python benchmarks/app.py --model FILE --trailer FILE

One process, one model. In turn: the library's prediction; the page's, from the click on "Score it" in headless Chromium
(Debian's package) to the score on the screen; the same with the upload before it. The first of each is not counted.
"""

import argparse
import json
import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import machine
from playwright.sync_api import sync_playwright

from trailer_lib.predict import Predictor
from trailer_lib.report import app

QUIET = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"

# The prediction is there and, which comes with it, the drop zone is empty again.
SCORED = """name => !document.querySelector("a[download]")
    && document.querySelector("#prediction h3")?.textContent.includes(name)"""


def seconds(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def upload(page: Any, trailer: Path) -> None:
    page.set_input_files("input[type=file]", trailer)
    page.locator("a[download]").wait_for()


def predict(page: Any, trailer: Path) -> None:
    page.get_by_role("button", name="Score it").click()
    page.wait_for_function(SCORED, arg=trailer.name)  # a locator's wait looks twice a second only


def measure(predictor: Predictor, page: Any, trailer: Path, rounds: int) -> dict[str, float]:
    rows = []
    for _ in range(rounds + 1):
        library = seconds(lambda: predictor.predict(trailer))
        sent = seconds(lambda: upload(page, trailer))
        rows.append((library, seconds(lambda: predict(page, trailer)), sent))
    columns = dict(zip(("library", "page", "upload"), zip(*rows[1:])))
    found = {f"{name}, {how.__name__}": how(column) for name, column in columns.items() for how in (median, min)}
    return found | {
        f"page / library, {how}": found[f"page, {how}"] / found[f"library, {how}"] for how in ("median", "min")
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, type=Path)
    parser.add_argument("--trailer", required=True, type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    predictor, facts = Predictor.load(args.model), machine.facts(["torch", "gradio", "playwright"])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with app.serving(predictor, "127.0.0.1", port) as address, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=QUIET.split())
        page = browser.new_page()
        page.goto(address)
        figures = measure(predictor, page, args.trailer, args.rounds)
        browser.close()
    print(json.dumps({"machine": facts, "figures": {name: round(value, 3) for name, value in figures.items()}}))


if __name__ == "__main__":
    main()
