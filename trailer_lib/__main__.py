"""The command line: argument parsing over the library's functions, and nothing else."""

import argparse
import json
import signal
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

from trailer_lib import arguments as command_line
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
    run = train.train(project, project.settings("train", **_chosen(args)), resume=args.resume)
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
    if args.csv:
        return _predict_many(args)
    from trailer_lib.predict import Predictor

    root = Project.open(args.root).root if args.root else None
    film = {"genres": args.genres} if args.genres else None
    prediction = Predictor.load(args.model, root).predict(args.trailer, film)
    if args.figure:
        _save(prediction.figure(), args.figure)
    print(json.dumps(prediction.to_dict()) if args.json else prediction)


def app(args: argparse.Namespace) -> None:
    from trailer_lib import app

    app.run(Path(args.model), Project.open(args.root).root if args.root else None, args.host, args.port)


def _predict_many(args: argparse.Namespace) -> None:
    from trailer_lib.predict_many import predict_many

    if unused := [name for name in ("genres", "json", "figure") if getattr(args, name)]:
        raise TrailerError(f"--{unused[0]} is for one trailer: leave it out, or leave --csv out")
    root = Project.open(args.root).root if args.root else None
    counts = predict_many(Path(args.trailer), Path(args.model), Path(args.csv), args.workers, root)
    print(", ".join(f"{count} {name}" for name, count in counts.items()) + f": {args.csv}")
    if not counts["scored"] + counts["before"]:
        raise TrailerError(f"{args.csv}: no trailer could be scored: see its column reason")


def export(args: argparse.Namespace) -> None:
    from trailer_lib.export import export

    told = export(Path(args.model), Path(args.out))
    print(f"{args.out}: {told['input']} -> {told['output']}; {told['verdict']}")


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


COMMANDS = {
    function.__name__.rstrip("_"): function
    for function in (
        samples, catalog, frames, filter_, scrape, dataset, train, compare, evidence, predict, app, export
    )
}  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Run one command: 0 on success, 1 when it failed (one line on stderr), 2 on wrong usage."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a polite kill stops as Ctrl-C does
    args = command_line.parser().parse_args(arguments)
    try:
        COMMANDS[args.command](args)
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
