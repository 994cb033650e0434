"""`python -m trailer_lib COMMAND`: what can be said on the command line, and how a failure is told."""

import argparse
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trailer_lib import commands
from trailer_lib.errors import TrailerError


def arg(*names: str, **options: Any) -> tuple:
    return names, options


def whole(least: int, most: int = 2**31) -> Callable[[str], int]:
    """A type for argparse: a whole number from `least` to `most`."""

    def read(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number from {least} to {most}")
        return int(text)

    return read


def figure_file(name: str) -> Path:
    """A type for argparse: the name of a figure, whose suffix says the format."""
    if Path(name).suffix.lower() not in FIGURES:
        raise argparse.ArgumentTypeError(f"{name!r}: expected a name that ends in {', '.join(FIGURES)}")
    return Path(name)


def figure(what: str) -> tuple:
    return arg("--figure", type=figure_file, metavar="FILE", help=f"write {what} as a .png, .jpg, .svg or .pdf")


FIGURES = (".png", ".jpg", ".jpeg", ".svg", ".pdf")
ROOT = arg("--root", help="the project's folder; else TRAILER_ROOT, else the repository")
SETTINGS = arg("settings", nargs="*", metavar="KEY=VALUE", help="settings of this stage, over settings.toml")
MODEL = arg("--model", required=True, type=Path, metavar="FILE", help="a best_model.pt")
JSON = arg("--json", action="store_true", help="print one JSON object")
FOLDS = arg("--folds", type=whole(3), metavar="K", default=5, help="parts of the films, each predicted once")
REPEATS = "times the folds are assigned anew"

# name: (summary, example, arguments ...); what it does is in commands.py
COMMANDS: dict[str, tuple] = {
    "samples": (
        "Render fictional films to try everything on.", "--root demo",
        arg("--root", required=True, type=Path, help="the folder to fill"),
        arg("--films", type=whole(1), default=72, help="how many films")),
    "catalog": (
        "Join the spreadsheets in excels/ into one list of films.", "--csv films.csv", ROOT,
        arg("--csv", type=Path, metavar="FILE", help="write the films to a CSV file"),
        arg("--dropped", type=Path, metavar="FILE", help="write the dropped rows and their reasons to a CSV file"),
        arg("--min-votes", type=whole(0), default=0, metavar="N", help="drop films with fewer votes; 0 keeps all"),
        arg("--fetch", action="store_true", help="first get the official tables that excels/ does not have")),
    "frames": (
        "Draw random frames from one video.", "trailer.mp4 --out frames --count 100",
        arg("video", type=Path, metavar="VIDEO"),
        arg("--out", required=True, type=Path, metavar="DIR", help="folder for the pictures; replaced as a whole"),
        arg("--count", type=whole(1, 600), default=100, help="frames to draw"),
        arg("--no-filter", action="store_true", help="keep every frame"),
        arg("--seed", type=whole(0), default=0, help="draws the times"),
        arg("--height", type=whole(0), default=360, help="lines of the pictures; 0 keeps the video's")),
    "filter": (
        "Say of each picture in a folder: keep, or the reason to drop it.", "images/some-film",
        arg("folder", type=Path, metavar="FOLDER"),
        arg("--alone", action="store_true", help="judge each picture without the others"), JSON),
    "scrape": (
        "Fill images/ with frames of the catalogue's films.", "--films 2000", ROOT, SETTINGS,
        arg("--films", type=whole(0), metavar="N", help="films to take; 0 takes all"),
        arg("--source", help="youtube, pytube, links or folder:DIR"),
        arg("--workers", type=whole(1), metavar="K", help="trailers at once"),
        arg("--retry-failed", action="store_true", default=None, help="only films that failed for a passing reason"),
        arg("--sound", action="store_true", default=None, help="only the sound of films that have frames without it"),
        arg("--status", action="store_true", help="print how far the scrape is, also while it runs; changes nothing"),
        figure("how many films came out how")),
    "dataset": (
        "Turn images/ into dataset/.", "size=224", ROOT, SETTINGS,
        arg("--pickle", action="store_true", help="also write the original project's pickle"),
        arg("--from-pickle", type=Path, metavar="FILE", help="of the original project's pickle instead of images/")),
    "train": (
        "Train on dataset/ into models/.", "backbone=vgg16 epochs=50", ROOT, SETTINGS,
        arg("--resume", action="store_true", help="continue from models/last_model.pt")),
    "test": ("Score the test films with the model in models/, and count how often that was done.", "", ROOT),
    "compare": (
        "Train several schemes on the same films; one table.", "my_schemes.toml", ROOT,
        arg("schemes", nargs="?", metavar="SCHEMES.toml", default="schemes.toml", help="a table a scheme; there are"
            " schemes.toml and original.toml, the original's whole table"),
        FOLDS, arg("--repeats", type=whole(1), metavar="R", default=1, help=REPEATS),
        arg("--final", action="store_true", help="take in the test films, and count that they were scored")),
    "evidence": (
        "Say what metadata and tables of features tell.", "--features sound.csv frames.npz", ROOT,
        arg("--features", type=Path, metavar="FILE", nargs="+", action="extend", help=".npz, .csv or .tsv: a row"
            " a film, by an id, or title and year; of several files also stacked"),
        FOLDS, arg("--repeats", type=whole(1), metavar="R", default=3, help=REPEATS), JSON, figure("the table")),
    "predict": (
        "Score one trailer, or many.", "trailer.mp4 --model models/best_model.pt",
        arg("trailer", metavar="TRAILER", help="a video, a folder of pictures, or a link to one; with --csv a folder of"
            " them, or a list (.txt, .csv)"),
        MODEL, arg("--genres", help="the film's, like 'Drama|Comedy'; what is not given is looked up with --root"),
        arg("--runtime", type=whole(1, 1000), metavar="MINUTES", help="the film's running time"),
        arg("--year", type=whole(1880, 2100), help="the film's year"),
        arg("--root", help="the project whose excels/ know films by an id, or title and year, in the trailer's name"),
        JSON, figure("the prediction"),
        arg("--csv", type=Path, metavar="OUT.csv", help="score many trailers, a row each; resumes where it stopped"),
        arg("--workers", type=whole(1), metavar="K", default=2, help="with --csv: trailers decoded at once")),
    "app": (
        "Score trailers on a page in the browser.", "--model models/best_model.pt", MODEL,
        arg("--root", help="the project whose excels/ know films, and whose held_out/ has an example"),
        arg("--host", default="127.0.0.1", help="the address to serve at; 0.0.0.0 lets others in"),
        arg("--port", type=whole(1, 65535), default=7860)),
    "export": (
        "Write a model as ONNX, to use without torch.", "--model models/best_model.pt --out model.onnx", MODEL,
        arg("--out", required=True, type=Path, metavar="FILE.onnx")),
}  # fmt: skip


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser("python -m trailer_lib", description="Predict a movie's IMDb score from its trailer.")
    added = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (summary, example, *arguments) in COMMANDS.items():
        command = added.add_parser(
            name, help=summary, description=summary, epilog=f"example: python -m trailer_lib {name} {example}",
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )  # fmt: skip
        for names, options in arguments:
            command.add_argument(*names, **options)
    return top


def main(arguments: list[str] | None = None) -> int:
    """Run one command: 0 on success, 1 when it failed (one line on stderr), 2 on wrong usage."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a polite kill stops as Ctrl-C does
    args = parser().parse_args(arguments)
    sys.stdout.reconfigure(errors="backslashreplace")  # names of files need not be UTF-8
    try:
        getattr(commands, f"run_{args.command}")(args)
        return 0
    except argparse.ArgumentError as error:
        parser().error(str(error))
    except TrailerError as error:
        failure = f"error: {error}"
    except OSError as error:
        failure = f"error: {error.filename or args.command}: {error.strerror or error}"
    except KeyboardInterrupt as stop:
        failure = str(stop) or "stopped; run the same command again"
    print(failure, file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
