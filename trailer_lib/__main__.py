"""The command line: argument parsing over the library's functions, and nothing else."""

import argparse
import json
import signal
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

from trailer_lib.errors import TrailerError
from trailer_lib.project import Project
from trailer_lib.settings import STAGES, ScrapeSettings

# What a command needs is imported in it: torch takes seconds, and --help should not.


def samples(args: argparse.Namespace) -> None:
    from trailer_lib import samples

    root = Path(args.root)
    samples.render(root, args.films)
    print(f"{args.films} fictional films in {root}: next, python -m trailer_lib scrape --root {root}")


def catalog(args: argparse.Namespace) -> None:
    from trailer_lib import catalog, official

    project = Project.open(args.root)
    if args.fetch:
        official.fetch(project)
    table = catalog.load(project, args.min_votes)
    print(table.summary())
    if args.csv:
        table.save(Path(args.csv))
    if args.dropped:
        table.save_dropped(Path(args.dropped))


def frames(args: argparse.Namespace) -> None:
    from trailer_lib import frames, pick

    out = Path(args.out)
    if out.exists() and any(out.iterdir()) and not (out / "film.json").exists():
        raise TrailerError(f"{out} holds other files: name a new or empty folder")
    rule = {"filter": "none"} if args.no_filter else {}
    path, chosen = Path(args.video), ScrapeSettings(count=args.count, mode=args.mode, seed=args.seed, **rule)
    picked = pick.pick(path, path.stem, chosen, args.height)
    frames.save(out, picked.frames, picked.reasons, {"video": path.name})
    print(f"kept {picked.kept} of {len(picked.reasons)} frames in {args.out}")
    if picked.remark:
        print(picked.remark)


def filter_(args: argparse.Namespace) -> None:
    from trailer_lib import filters, frames

    paths = frames.all_picture_paths(Path(args.folder))
    if not paths:
        raise TrailerError(f"{args.folder}: no pictures (.jpg, .png) in it")
    found = zip(paths, filters.judge_files(paths, ScrapeSettings().filter, args.alone))
    rows = [{"file": path.name, "keep": not v.reason, "reason": v.reason, "score": v.score} for path, v in found]
    lines = (f"{row['file']}  {row['reason'] or 'keep'}  {row['score']:.2f}" for row in rows)
    print(json.dumps({"pictures": rows}) if args.json else "\n".join(lines))


def scrape(args: argparse.Namespace) -> None:
    from trailer_lib import catalog, scrape

    project = Project.open(args.root)
    flags = {
        "films": args.films,
        "source": args.source,
        "workers": args.workers,
        "retry_failed": args.retry_failed or None,
    }
    settings = project.settings("scrape", **_chosen(args, flags))
    films = catalog.load(project).shuffled(settings.seed, settings.films)
    status = scrape.status(project, films) if args.status else scrape.scrape(project, films, settings)
    print(scrape.summary(status).to_string(index=False))
    print(scrape.failures(status))
    if args.figure:
        from trailer_lib import plots

        _save(plots.scrape_outcomes(status), args.figure)
    if not args.status and not (status.status == "ok").any():
        raise TrailerError(f"no film gave frames from {settings.source}: see the reasons above")


def dataset(args: argparse.Namespace) -> None:
    from trailer_lib import dataset, original_pickle

    project = Project.open(args.root)
    settings = project.settings("dataset", **_chosen(args))
    if args.from_pickle:
        card = original_pickle.import_pickle(project, Path(args.from_pickle), settings).card
    else:
        card = dataset.build(project, settings).card
    print(f"{card['films']} films, {card['frames']} frames, {card['splits']}, left out: {card['left_out']}")
    if args.pickle:
        print(f"the original's pickle: {original_pickle.write_pickle(project)}")


def train(args: argparse.Namespace) -> None:
    from trailer_lib import evaluate, processes, train

    project = Project.open(args.root)
    settings = project.settings("train", **_chosen(args, {"resume": args.resume or None}))
    run = train.train(project, settings)
    if processes.place().rank > 0:
        return
    print(f"{run.results['weights']}\n{evaluate.table(run.results).to_string()}\n{evaluate.verdict(run.results)}")
    print(f"model: {project.models / train.BEST}")


def compare(args: argparse.Namespace) -> None:
    from trailer_lib import compare, plots

    project = Project.open(args.root)
    schemes = compare.read_schemes(compare.find_schemes(args.schemes))
    results = compare.compare(project, schemes, args.folds, args.repeats)
    print(compare.table(results).to_string())
    picture = project.models / "schemes" / "schemes.png"
    _save(plots.scheme_table(results), str(picture))
    print(f"picture: {picture}")


def evidence(args: argparse.Namespace) -> None:
    from trailer_lib import evidence, feature_tables

    films = evidence.films(Project.open(args.root))
    features = feature_tables.read(Path(args.features), films) if args.features else None
    results = evidence.measure(films, features, args.folds, args.repeats)
    print(json.dumps(results) if args.json else f"{results['films']} films\n{evidence.table(results).to_string()}")
    if args.figure:
        from trailer_lib import plots

        _save(plots.scheme_table(results), args.figure)


def predict(args: argparse.Namespace) -> None:
    from trailer_lib.predict import Predictor

    root = Project.open(args.root).root if args.root else None
    film = {"genres": args.genres} if args.genres else None
    prediction = Predictor.load(args.model, root).predict(args.trailer, film)
    if args.figure:
        _save(prediction.figure(), args.figure)
    print(json.dumps(prediction.to_dict()) if args.json else prediction)


def report(args: argparse.Namespace) -> None:
    from trailer_lib import report

    page, card = report.write(Project.open(args.root), Path(args.out))
    print(f"report: {page}\nmodel card: {card}")


def app(args: argparse.Namespace) -> None:
    from trailer_lib import app

    app.run(Path(args.model), Project.open(args.root).root if args.root else None, args.host, args.port)


def _save(figure: Any, name: str) -> None:
    from trailer_lib import files

    with files.atomic_path(Path(name)) as temporary:
        figure.savefig(temporary, format="png", dpi=150)


def _chosen(args: argparse.Namespace, flags: dict[str, Any] | None = None) -> dict[str, Any]:
    """The settings named on the command line: KEY=VALUE words, then the flags that were given."""
    texts = {item.name for item in fields(STAGES[args.command]) if isinstance(item.default, str)}
    words = dict(_setting(word, texts) for word in args.settings)
    return words | {name: value for name, value in (flags or {}).items() if value is not None}


def _setting(word: str, texts: set[str]) -> tuple[str, Any]:
    name, equals, text = word.partition("=")
    if not equals:
        raise TrailerError(f"{word!r}: expected KEY=VALUE, like epochs=5")
    if name in texts:
        return name, text
    try:
        return name, json.loads({"True": "true", "False": "false"}.get(text, text))
    except ValueError:
        return name, text


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser("python -m trailer_lib", description="Predict a movie's IMDb score from its trailer.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_film_commands(commands)
    _add_frame_commands(commands)
    _add_model_commands(commands)
    return top


def _command(commands: Any, function: Any, summary: str, example: str) -> argparse.ArgumentParser:
    name = function.__name__.rstrip("_")
    added = commands.add_parser(
        name, help=summary, description=summary, epilog=f"example: python -m trailer_lib {name} {example}",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )  # fmt: skip
    added.set_defaults(function=function)
    return added


def _with_root(added: argparse.ArgumentParser, settings: str = "") -> argparse.ArgumentParser:
    added.add_argument("--root", help="the project's folder; else TRAILER_ROOT, else the repository")
    if settings:
        meaning = f"{settings} settings, over settings.toml"
        added.add_argument("settings", nargs="*", metavar="KEY=VALUE", help=meaning)
    return added


def _add_film_commands(commands: Any) -> None:
    added = _command(commands, samples, "Render fictional films to try everything on.", "--root demo")
    added.add_argument("--root", required=True, help="the folder to fill")
    added.add_argument("--films", type=int, default=72, help="how many films")
    added = _with_root(
        _command(commands, catalog, "Join the spreadsheets in excels/ into one list of films.", "--csv films.csv")
    )
    added.add_argument("--csv", metavar="FILE", help="write the films to a CSV file")
    added.add_argument("--dropped", metavar="FILE", help="write the dropped rows and their reasons to a CSV file")
    added.add_argument("--min-votes", type=int, default=0, metavar="N", help="drop films with fewer votes; 0 keeps all")
    added.add_argument("--fetch", action="store_true", help="first get the official tables that excels/ does not have")
    added = _with_root(
        _command(commands, scrape, "Fill images/ with frames of the catalogue's films.", "--films 2000"),
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
    added = _command(commands, frames, "Draw random frames from one video.", "trailer.mp4 --out frames --count 100")
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
        filter_,
        "Say of each picture in a folder: keep, or the reason to drop it.",
        "images/some-film",
    )
    added.add_argument("folder", metavar="FOLDER")
    added.add_argument("--alone", action="store_true", help="judge each picture without the others")
    added.add_argument("--json", action="store_true", help="print one JSON object")


def _add_model_commands(commands: Any) -> None:
    added = _with_root(_command(commands, dataset, "Turn images/ into dataset/.", "size=224"), "dataset")
    added.add_argument("--pickle", action="store_true", help="also write the original project's pickle")
    added.add_argument("--from-pickle", metavar="FILE", help="of the original project's pickle instead of images/")
    added = _with_root(
        _command(commands, train, "Train on dataset/ into models/.", "backbone=vgg16 epochs=50"), "train"
    )
    added.add_argument("--resume", action="store_true", help="go on from models/last_model.pt")
    added = _with_root(
        _command(commands, compare, "Train several schemes on the same films; one table.", "my_schemes.toml")
    )
    own = "a table a scheme; the library has schemes.toml and original.toml, the original's whole table"
    added.add_argument("schemes", nargs="?", metavar="SCHEMES.toml", default="schemes.toml", help=own)
    _add_folds(added, 1)
    added = _with_root(
        _command(commands, evidence, "Say what metadata and a table of features tell.", "--features features.npz")
    )
    added.add_argument("--features", metavar="FILE", help=".npz, .csv or .tsv: a row a film, by IMDb id")
    _add_folds(added, 3)
    added.add_argument("--json", action="store_true", help="print one JSON object")
    added.add_argument("--figure", metavar="FILE.png", help="write the table as a picture")
    added = _with_root(
        _command(commands, report, "Write a training run as one page, and a model card.", "--out report.html")
    )
    added.add_argument("--out", metavar="FILE.html", default="report.html", help="the page; the card is beside it, .md")
    added = _command(commands, predict, "Score one trailer.", "trailer.mp4 --model models/best_model.pt")
    added.add_argument("trailer", metavar="TRAILER", help="a video, a folder of pictures, or a link to one")
    added.add_argument("--model", required=True, metavar="FILE", help="a best_model.pt")
    added.add_argument("--genres", help="the film's, like 'Drama|Comedy': the answer tells what they alone say")
    added.add_argument("--root", help="the project whose excels/ tell of films with an id in the trailer's name")
    added.add_argument("--json", action="store_true", help="print one JSON object")
    added.add_argument("--figure", metavar="FILE.png", help="write the answer as a picture")
    added = _command(commands, app, "Answer trailers on a page in the browser.", "--model models/best_model.pt")
    added.add_argument("--model", required=True, metavar="FILE", help="a best_model.pt")
    added.add_argument("--root", help="the project whose excels/ know films, and whose held_out/ has an example")
    added.add_argument("--host", default="127.0.0.1", help="the address to answer at; 0.0.0.0 lets others in")
    added.add_argument("--port", type=_from(1), default=7860)


def _add_folds(added: argparse.ArgumentParser, repeats: int) -> None:
    added.add_argument("--folds", type=_from(3), metavar="K", default=5, help="parts of the films, each tested once")
    added.add_argument("--repeats", type=_from(1), metavar="R", default=repeats, help="times they are dealt anew")


def _from(least: int) -> Any:
    def whole(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number from {least}")
        return int(text)

    return whole


def main(arguments: list[str] | None = None) -> int:
    """Run one command: 0 on success, 1 when it failed (one line on stderr), 2 on wrong usage."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a polite kill stops as Ctrl-C does
    args = parser().parse_args(arguments)
    try:
        args.function(args)
    except TrailerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {error.filename or args.command}: {error.strerror or error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as stop:
        print(str(stop) or "stopped; run the same command again", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
