"""What can be said on the command line: the commands and their arguments, with a line of help each."""

import argparse
from typing import Any


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser("python -m trailer_lib", description="Predict a movie's IMDb score from its trailer.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_film_commands(commands)
    _add_frame_commands(commands)
    _add_model_commands(commands)
    return top


def _command(commands: Any, name: str, summary: str, example: str) -> argparse.ArgumentParser:
    added = commands.add_parser(
        name, help=summary, description=summary, epilog=f"example: python -m trailer_lib {name} {example}",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )  # fmt: skip
    return added


def _with_root(added: argparse.ArgumentParser, settings: str = "") -> argparse.ArgumentParser:
    added.add_argument("--root", help="the project's folder; else TRAILER_ROOT, else the repository")
    if settings:
        meaning = f"{settings} settings, over settings.toml"
        added.add_argument("settings", nargs="*", metavar="KEY=VALUE", help=meaning)
    return added


def _add_film_commands(commands: Any) -> None:
    added = _command(commands, "samples", "Render fictional films to try everything on.", "--root demo")
    added.add_argument("--root", required=True, help="the folder to fill")
    added.add_argument("--films", type=int, default=72, help="how many films")
    added = _with_root(
        _command(commands, "catalog", "Join the spreadsheets in excels/ into one list of films.", "--csv films.csv")
    )
    added.add_argument("--csv", metavar="FILE", help="write the films to a CSV file")
    added.add_argument("--dropped", metavar="FILE", help="write the dropped rows and their reasons to a CSV file")
    added.add_argument("--min-votes", type=int, default=0, metavar="N", help="drop films with fewer votes; 0 keeps all")
    added.add_argument("--fetch", action="store_true", help="first get the official tables that excels/ does not have")
    added = _with_root(
        _command(commands, "scrape", "Fill images/ with frames of the catalogue's films.", "--films 2000"),
        "scrape",
    )
    added.add_argument("--films", type=int, metavar="N", help="films to take; 0 takes all")
    added.add_argument("--source", help="youtube, pytube, links or folder:DIR")
    added.add_argument("--workers", type=int, metavar="K", help="trailers at once")
    added.add_argument("--retry-failed", action="store_true", help="only films that failed for a passing reason")
    added.add_argument(
        "--status", action="store_true", help="print how far the scrape is, also while it runs; changes nothing"
    )
    added.add_argument("--figure", metavar="FILE.png", help="write how many films came out how as a picture")


def _add_frame_commands(commands: Any) -> None:
    added = _command(commands, "frames", "Draw random frames from one video.", "trailer.mp4 --out frames --count 100")
    added.add_argument("video", metavar="VIDEO")
    added.add_argument("--out", required=True, metavar="DIR", help="folder for the pictures; replaced as a whole")
    added.add_argument("--count", type=int, default=100, help="frames to draw")
    added.add_argument(
        "--mode", choices=("exact", "keyframes"), default="exact", help="exact times, or keyframes near them"
    )
    added.add_argument("--no-filter", action="store_true", help="keep every frame")
    added.add_argument("--seed", type=int, default=0, help="draws the times")
    added.add_argument("--height", type=int, default=360, help="lines of the pictures; 0 keeps the video's")
    added = _command(
        commands,
        "filter",
        "Say of each picture in a folder: keep, or the reason to drop it.",
        "images/some-film",
    )
    added.add_argument("folder", metavar="FOLDER")
    added.add_argument("--alone", action="store_true", help="judge each picture without the others")
    added.add_argument("--json", action="store_true", help="print one JSON object")


def _add_model_commands(commands: Any) -> None:
    added = _with_root(_command(commands, "dataset", "Turn images/ into dataset/.", "size=224"), "dataset")
    added.add_argument("--pickle", action="store_true", help="also write the original project's pickle")
    added.add_argument("--from-pickle", metavar="FILE", help="of the original project's pickle instead of images/")
    added = _with_root(
        _command(commands, "train", "Train on dataset/ into models/.", "backbone=vgg16 epochs=50"), "train"
    )
    added.add_argument("--resume", action="store_true", help="go on from models/last_model.pt")
    added = _with_root(
        _command(commands, "compare", "Train several schemes on the same films; one table.", "my_schemes.toml")
    )
    own = "a table a scheme; the library has schemes.toml and original.toml, the original's whole table"
    added.add_argument("schemes", nargs="?", metavar="SCHEMES.toml", default="schemes.toml", help=own)
    _add_folds(added, 1)
    added = _with_root(
        _command(commands, "evidence", "Say what metadata and a table of features tell.", "--features features.npz")
    )
    added.add_argument("--features", metavar="FILE", help=".npz, .csv or .tsv: a row a film, by IMDb id")
    _add_folds(added, 3)
    added.add_argument("--json", action="store_true", help="print one JSON object")
    added.add_argument("--figure", metavar="FILE.png", help="write the table as a picture")
    added = _command(commands, "predict", "Score one trailer, or many.", "trailer.mp4 --model models/best_model.pt")
    one = "a video, a folder of pictures, or a link to one"
    added.add_argument("trailer", metavar="TRAILER", help=f"{one}; with --csv a folder of them, or a list (.txt, .csv)")
    added.add_argument("--model", required=True, metavar="FILE", help="a best_model.pt")
    added.add_argument("--genres", help="the film's, like 'Drama|Comedy': the answer tells what they alone say")
    added.add_argument("--root", help="the project whose excels/ tell of films with an id in the trailer's name")
    added.add_argument("--json", action="store_true", help="print one JSON object")
    added.add_argument("--figure", metavar="FILE.png", help="write the answer as a picture")
    added.add_argument("--csv", metavar="OUT.csv", help="score many trailers, a row each; goes on where it stopped")
    added.add_argument("--workers", type=_from(1), metavar="K", default=2, help="with --csv: trailers decoded at once")
    added = _command(commands, "app", "Answer trailers on a page in the browser.", "--model models/best_model.pt")
    added.add_argument("--model", required=True, metavar="FILE", help="a best_model.pt")
    added.add_argument("--root", help="the project whose excels/ know films, and whose held_out/ has an example")
    added.add_argument("--host", default="127.0.0.1", help="the address to answer at; 0.0.0.0 lets others in")
    added.add_argument("--port", type=_from(1), default=7860)
    added = _command(
        commands,
        "export",
        "Write a model as ONNX, to use without torch.",
        "--model models/best_model.pt --out model.onnx",
    )
    added.add_argument("--model", required=True, metavar="FILE", help="a best_model.pt")
    added.add_argument("--out", required=True, metavar="FILE.onnx")


def _add_folds(added: argparse.ArgumentParser, repeats: int) -> None:
    added.add_argument("--folds", type=_from(3), metavar="K", default=5, help="parts of the films, each tested once")
    added.add_argument("--repeats", type=_from(1), metavar="R", default=repeats, help="times they are dealt anew")


def _from(least: int) -> Any:
    def whole(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number from {least}")
        return int(text)

    return whole
