"""What each command of the command line does: library calls, and lines for the user."""

import argparse
import json
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

# What the rooms hand on loads when it is first used: torch takes seconds, and --help should not.
from trailer_lib import catalog, dataset, evaluation, files, networks, predict, report, scrape, training, video
from trailer_lib.errors import TrailerError
from trailer_lib.project import Project
from trailer_lib.settings import STAGES, ScrapeSettings


def run_samples(args: argparse.Namespace) -> None:
    from trailer_lib.samples import render

    render(args.root, args.films)
    print(f"{args.films} fictional films in {args.root}: next, python -m trailer_lib scrape --root {args.root}")


def run_catalog(args: argparse.Namespace) -> None:
    project = Project.open(args.root)
    if args.fetch:
        catalog.fetch(project)
    table = catalog.load(project, args.min_votes, args.dropped)
    print(table.summary())
    if args.csv:
        table.save(args.csv)


def run_frames(args: argparse.Namespace) -> None:
    if args.out.exists() and any(args.out.iterdir()) and not (args.out / "film.json").exists():
        raise TrailerError(f"{args.out} holds other files: name a new or empty folder")
    settings = ScrapeSettings(count=args.count, seed=args.seed, **{"filter": "none"} if args.no_filter else {})
    sample = video.sample_informative(args.video, args.video.stem, settings, args.height)
    video.save_frames(args.out, sample.frames, sample.reasons, {"video": args.video.name})
    print(f"kept {sample.reasons.count(None)} of {len(sample.reasons)} frames in {args.out}")
    if sample.remark:
        print(sample.remark)


def run_filter(args: argparse.Namespace) -> None:
    paths = video.picture_paths(args.folder)
    if not paths:
        raise TrailerError(f"{args.folder}: no pictures (.jpg, .png) in it")
    verdicts = zip(paths, video.judge_pictures(paths, args.alone))
    rows = [{"file": path.name, "keep": not v.reason, "reason": v.reason, "score": v.score} for path, v in verdicts]
    lines = (f"{row['file']}  {row['reason'] or 'keep'}  {row['score']:.2f}" for row in rows)
    print(as_json({"pictures": rows}) if args.json else "\n".join(lines))


def run_scrape(args: argparse.Namespace) -> None:
    project = Project.open(args.root)
    settings = project.settings("scrape", **_chosen(args, "films", "source", "workers", "retry_failed", "sound"))
    films = catalog.load(project).shuffled(settings.seed, settings.films)
    status = scrape.status(project, films) if args.status else scrape.scrape(project, films, settings)
    print(scrape.summary(status).to_string(index=False), scrape.sounds(status), scrape.failures(status), sep="\n")
    if args.figure:
        _save(report.scrape_outcomes(status), args.figure)
    if not args.status and not (status.status == "ok").any():
        raise TrailerError(f"no film gave frames from {settings.source}: see the reasons above")


def run_dataset(args: argparse.Namespace) -> None:
    project = Project.open(args.root)
    settings, pickled = project.settings("dataset", **_chosen(args)), args.from_pickle
    data = dataset.import_pickle(project, pickled, settings) if pickled else dataset.build(project, settings)
    card = data.card
    print(f"{card['films']} films, {card['frames']} frames, {card['splits']}, left out: {card['left_out'] or 'none'}")
    if card["left_out_first"]:
        print(*card["left_out_first"], f"all of them: {project.dataset / 'left_out.csv'}", sep="\n")
    if args.pickle:
        print(f"the original's pickle: {dataset.write_pickle(project)}")


def run_train(args: argparse.Namespace) -> None:
    project = Project.open(args.root)
    run = training.train(project, project.settings("train", **_chosen(args)), resume=args.resume)
    if training.process_place().rank > 0:
        return
    print(run.validation.results["weights"])
    print(f"model: {project.models / training.BEST}; `test` scores the test films, which no epoch or setting has seen")
    _print_scores(project, run.validation.results)


def run_test(args: argparse.Namespace) -> None:
    project = Project.open(args.root)
    data = dataset.Dataset.open(project)
    _print_scores(project, training.score_test_films(project, data, project.models).results)


def _print_scores(project: Project, results: dict[str, Any]) -> None:
    print(f"{evaluation.metric_table(results).to_string()}\n{evaluation.verdict(results)}")
    _write_card(project)


def run_compare(args: argparse.Namespace) -> None:
    project = Project.open(args.root)
    schemes = training.read_schemes(training.find_schemes(args.schemes))
    results = training.compare(project, schemes, args.folds, args.repeats, final=args.final)
    print("\n".join([evaluation.comparison_table(results).to_string(), *results["warnings"]]))
    _save(report.scheme_table(results), picture := project.models / "schemes.png")
    print(f"picture: {picture}")
    if (project.models / training.RESULTS).exists():
        _write_card(project)


def _write_card(project: Project) -> None:
    """The model card, or a line on why there is none: what it is of is done, whatever is wrong with the card."""
    try:
        print(f"model card: {report.write_card(project)}")
    except TrailerError as error:
        print(f"no model card: {error}")


def run_evidence(args: argparse.Namespace) -> None:
    films = evaluation.evidence_films(Project.open(args.root))
    features = evaluation.read_tables(args.features or [], films)
    results = evaluation.evaluate_features(films, features, args.folds, args.repeats)
    lines = [f"{results['films']} films", *results["remarks"], evaluation.evidence_table(results).to_string()]
    print(as_json(results) if args.json else "\n".join(lines))
    if args.figure:
        _save(report.scheme_table(results), args.figure)


def run_predict(args: argparse.Namespace) -> None:
    root = Project.open(args.root).root if args.root else None
    if not args.csv:
        if args.figure:
            predict.refuse_input(args.figure, Path(args.trailer), args.model)
        film = {"genres": args.genres, "runtime_minutes": args.runtime, "year": args.year}
        prediction = predict.Predictor.load(args.model, root).predict(args.trailer, film)
        if args.figure:
            _save(prediction.figure(), args.figure)
        print(as_json(prediction.to_dict()) if args.json else prediction)
        return
    if args.genres or args.runtime or args.year or args.json or args.figure:
        raise argparse.ArgumentError(None, "--genres, --runtime, --year, --json, --figure: for one trailer, not --csv")
    counts = predict.predict_many(Path(args.trailer), args.model, args.csv, args.workers, root)
    print(", ".join(f"{count} {name}" for name, count in counts.items()) + f": {args.csv}")
    if not counts["scored"] + counts["before"]:
        raise TrailerError(f"{args.csv}: no trailer could be scored: see its column reason")


def run_app(args: argparse.Namespace) -> None:
    report.run_app(args.model, Project.open(args.root).root if args.root else None, args.host, args.port)


def run_export(args: argparse.Namespace) -> None:
    facts = networks.export_onnx(args.model, args.out)
    print(f"{args.out}: {facts['input']} -> {facts['output']}; {facts['sources']}")


def as_json(value: dict[str, Any]) -> str:
    """One JSON object. A number that is undefined, which JSON does not know, is null."""
    return json.dumps(json.loads(json.dumps(value), parse_constant=lambda name: None))


def _save(figure: Any, path: Path) -> None:
    with files.atomic_path(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:].lower(), dpi=150)


def _chosen(args: argparse.Namespace, *flags: str) -> dict[str, Any]:
    """The settings named on the command line: KEY=VALUE words, then the flags that were given."""
    texts, chosen = {item.name for item in fields(STAGES[args.command]) if isinstance(item.default, str)}, {}
    for word in args.settings:
        name, equals, text = word.partition("=")
        if not equals:
            raise argparse.ArgumentError(None, f"{word!r}: expected KEY=VALUE, like epochs=5")
        chosen[name] = text
        with suppress(ValueError):
            chosen[name] = text if name in texts else json.loads({"True": "true", "False": "false"}.get(text, text))
    return chosen | {name: value for name in flags if (value := getattr(args, name)) is not None}
