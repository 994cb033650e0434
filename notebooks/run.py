"""Run the three notebooks in order on a root and write them, executed and clean, to a folder.

python notebooks/run.py ROOT OUT        OUT = notebooks rewrites the committed ones
"""

import argparse
import base64
import io
import os
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from PIL import Image

HERE = Path(__file__).resolve().parent
OPTIONS = {
    "timeout": 600,  # seconds a cell may take
    "resources": {"metadata": {"path": HERE}},
    "record_timing": False,
    "extra_arguments": ["--IPKernelApp.log_level=40"],  # errors only: a kernel on loopback warns of its own protocol
}
WIDGET = "application/vnd.jupyter.widget-view+json"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("root", type=Path, help="the project's folder, as TRAILER_ROOT")
    parser.add_argument("out", type=Path, help="where the executed notebooks go")
    args = parser.parse_args()
    os.environ["TRAILER_ROOT"] = str(args.root.resolve())
    args.out.mkdir(parents=True, exist_ok=True)
    for path in sorted(HERE.glob("[0-9]_*.ipynb")):
        start = time.monotonic()
        print(f"{path.name} ...", end=" ", flush=True)
        notebook = nbformat.read(path, as_version=4)
        try:
            NotebookClient(notebook, **OPTIONS).execute()
        except CellExecutionError as error:
            print(f"failed: {error}", file=sys.stderr)
            return 1
        nbformat.write(_clean(notebook), args.out / path.name)
        print(f"{time.monotonic() - start:.0f} s", flush=True)
    return 0


def _clean(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Without progress bars, whose live parts a saved page can't show, and with small pictures."""
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            compared = "nbval-check-output" in cell.metadata.get("tags", [])
            cell.outputs = [output for output in cell.outputs if not _is_bar(output, compared)]
            for output in cell.outputs:
                if "image/png" in output.get("data", {}):
                    output["data"]["image/png"] = _small(output["data"]["image/png"])
    return notebook


def _is_bar(output: nbformat.NotebookNode, compared: bool) -> bool:
    """A progress bar, or the nothing that one leaves behind, which nbval counts where it compares."""
    data = output.get("data", {})
    return WIDGET in data or (data.get("text/html") == "" and not compared)


def _small(png: str) -> str:
    """A PNG in base64 with 256 colours at most: a third of the bytes."""
    picture = (
        Image.open(io.BytesIO(base64.b64decode(png)))
        .convert("RGB")
        .quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    )
    data = io.BytesIO()
    picture.save(data, "PNG", optimize=True)
    return base64.b64encode(data.getvalue()).decode()


if __name__ == "__main__":
    sys.exit(main())
