"""images/ -> dataset/: brought up to date film by film, with a table, a card and what was left out."""

import hashlib
import json
import os
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trailer_lib import files
from trailer_lib.catalog import COLUMNS, load, normal_title, trailer_keys
from trailer_lib.dataset.dataset import CARD, FILMS, TEXT, Dataset, _counted, _hash_of, require_splits, split_of
from trailer_lib.dataset.frames import FRAMES, FrameArray, fingerprint, load_film_frames
from trailer_lib.errors import TrailerError
from trailer_lib.progress import bar
from trailer_lib.project import Project
from trailer_lib.settings import DatasetSettings
from trailer_lib.video import folder_id, picture_paths


def dataset_card_text(card: dict[str, Any]) -> str:
    """The page of `Dataset.card`, in Markdown."""
    rows, side = card["shape"][:2]
    spread = card["train_score"]
    return "\n".join(
        [
            "# This dataset",
            f"{card['films']} films, {card['frames']} frames of {side} x {side} pixels; made by the code, do not edit.",
            "",
            f"- `frames.npy`: uint8 `[{rows}, {side}, {side}, 3]`, RGB; what is between two films' rows is no film's.",
            "- `films.csv`: a row a film: its facts, its split, its rows (`first`, `count`), their SHA-256.",
            "- `dataset.json`: this page's facts. `frames.jsonl`: what the next build goes on from.",
            "",
            f"Frames from {card['source']}; scores from {card['scores_from']}.",
            f"The train films' scores: mean {spread['mean']:.3f}, sd {spread['sd']:.3f}.",
            *_table("split", "films", card["splits"]),
            *_table("left out because", "films", card["left_out"]),
            *_table("setting", "value", card["settings"]),
            *_table("scrape setting", "value", card["scrape"]),
            *_table("hash of", "SHA-256", card["hashes"] | {"films, scores and splits": card["split_hash"]}),
            "",
        ]
    )


def _table(name: str, value: str, rows: dict[str, Any]) -> list[str]:
    lines = [f"| {key} | `{found}` |" for key, found in rows.items()]
    return ["", f"| {name} | {value} |", "| --- | --- |", *lines] if lines else []


def match_folders(project: Project, films: pd.DataFrame) -> pd.DataFrame:
    """The folders of images/ matched to the catalogue: folder, pictures, imdb_id ("" when unmatched), reason.

    A folder is matched by the id in its name, else (the original's layout) by its title, if that is one film's alone.
    """
    known, by_title = set(films.imdb_id), _by_title(films)
    rows = []
    for folder in sorted(path for path in project.images.glob("*") if path.is_dir() and not path.name.startswith(".")):
        matches = [folder_id(folder.name)] if folder_id(folder.name) else by_title[normal_title(folder.name)]
        reason = "" if len(matches) == 1 and matches[0] in known else _no_match(matches)
        rows.append([folder.name, len(picture_paths(folder)), "" if reason else matches[0], reason])
    table = pd.DataFrame(rows, columns=["folder", "pictures", "imdb_id", "reason"])
    fullest = table.sort_values("pictures", ascending=False, kind="stable").imdb_id
    table.loc[fullest.ne("") & fullest.duplicated(), "reason"] = "a fuller folder holds the same film"
    return table


def _by_title(films: pd.DataFrame) -> defaultdict[str, list[str]]:
    ids = defaultdict(list)
    for film in films.itertuples():
        ids[normal_title(film.title)].append(film.imdb_id)
    return ids


def _no_match(matches: list) -> str:
    return "several films have this title" if len(matches) > 1 else "not in the catalogue"


MEMORY = 200_000_000  # bytes of frames that are decoded ahead of the one that is written


def build(project: Project, settings: DatasetSettings) -> Dataset:
    """Bring dataset/ up to date with images/ and open it. A folder that can't be used is left out, with a reason.

    Films that are in it with the same settings and pictures are checked, not decoded again. Killed at any moment and
    run again it ends with the same bytes; until then the dataset as it was can be opened.
    """
    known = load(project)
    found = match_folders(project, known.films)
    found.loc[found.reason.eq("") & (found.pictures < settings.min_frames), "reason"] = (
        f"under {settings.min_frames} frames"
    )
    usable = found[found.reason == ""].merge(known.films, on="imdb_id")
    if usable.empty:
        raise TrailerError(
            f"{project.images}: no folder with {settings.min_frames} frames in it: scrape first, or lower min_frames"
        )
    usable["split"] = [split_of(key, settings) for key in trailer_keys(usable)]
    require_splits(usable.split)
    project.dataset.mkdir(exist_ok=True)
    with files.single_run(project.dataset):
        files.remove_temporary(project.dataset)
        built, damaged = _bring_up_to_date(project, usable, settings)
        films = usable[~usable.imdb_id.isin(damaged)]
        if films.empty:
            raise TrailerError(f"{project.images}: each of {len(usable)} films has a damaged picture: scrape again")
        left_out = Counter(found[found.reason != ""].reason) + Counter(["a picture is damaged"] * len(damaged))
        facts = {"source": project.images.name, "scores_from": known.scores_from, "scrape": scrape_settings(project)}
        return finish(project, built, films, settings, facts | {"left_out": dict(left_out)})


def scrape_settings(project: Project) -> dict:
    """The settings the frames were scraped with, {} for frames from elsewhere."""
    path = project.images / "settings.json"
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except ValueError as error:
        raise TrailerError(f"{path}: damaged ({error}): remove it, or scrape again") from error


def _bring_up_to_date(
    project: Project, usable: pd.DataFrame, settings: DatasetSettings
) -> tuple[FrameArray, list[str]]:
    """The array with all usable films in it, and the ids of those that have a damaged picture."""
    cut = scrape_settings(project).get("filter") == "informative"
    films = [film | _pictures(project.images / film["folder"], settings, cut) for film in usable.to_dict("records")]
    written = store_for(project, settings, {film["imdb_id"]: film["print"] for film in films})
    current = set(written.films) - written.damaged()
    todo = [f for f in films if f["imdb_id"] not in current or written.films[f["imdb_id"]].pictures != f["print"]]
    lost = []
    for film, frames in _decoded(project, todo, settings):
        if frames is None:
            lost.append(film["imdb_id"])
        else:
            written.put(film["imdb_id"], film["print"], frames)
    return written, lost


def _pictures(folder: Path, settings: DatasetSettings, cut: bool) -> dict[str, Any]:
    """Whether a folder's pictures may have black bars, and their print; `cut`: scraping cut off those of its films."""
    bars = not (cut and (folder / "film.json").exists())
    return {"bars": bars, "print": fingerprint(folder, settings, bars)}


def store_for(project: Project, settings: DatasetSettings, prints: dict[str, str]) -> FrameArray:
    """The store of dataset/ to add films to, begun anew when less than half of it is of these, film -> print."""
    opened = FrameArray(project.dataset, settings.size)
    if not opened.keeps(prints):
        (project.dataset / CARD).unlink(missing_ok=True)  # there is no dataset until the new one is whole
        opened.clear()
    return opened


def _decoded(
    project: Project, films: list[dict], settings: DatasetSettings
) -> Iterator[tuple[dict, np.ndarray | None]]:
    """Each film with its frames, in order; None when a picture is damaged. Only a few are held at a time."""
    workers = os.cpu_count() or 1
    largest = max((film["pictures"] for film in films), default=1) * settings.size**2 * 3
    most = max(1, min(2 * workers, MEMORY // largest))
    with ThreadPoolExecutor(workers) as pool, bar(total=len(films), desc="building", unit="film") as progress:
        jobs = ((film, project.images / film["folder"]) for film in films)
        begun = ((film, pool.submit(load_film_frames, folder, settings, film["bars"])) for film, folder in jobs)
        for film, loading in _ahead(begun, most):
            yield film, loading.result()
            progress.update()


def _ahead(items: Iterable, count: int) -> Iterator:
    """The items, each taken when it is `count` items before its turn."""
    taken: deque = deque()
    for item in items:
        taken.append(item)
        if len(taken) == count:
            yield taken.popleft()
    yield from taken


def finish(
    project: Project, written: FrameArray, films: pd.DataFrame, settings: DatasetSettings, facts: dict[str, Any]
) -> Dataset:
    """Write the table and the card of what is in the store, and open the dataset."""
    require_splits(films.split)
    entries = {entry.film: entry for entry in written.close(films.imdb_id)}
    for name in ("first", "count", "sha256"):
        films = films.assign(**{name: [getattr(entries[film], name) for film in films.imdb_id]})
    table = films[[*COLUMNS, "folder", "first", "count", "sha256", "split"]].sort_values("first")
    with files.atomic_path(project.dataset / FILMS) as temporary:
        table.to_csv(temporary, index=False)
    card = facts | _card(project, settings, table)
    files.write_json(project.dataset / CARD, card | {"hash": _hash_of(card)})
    files.write_text(project.dataset / TEXT, dataset_card_text(card))
    return Dataset.open(project, verify=False)


def _card(project: Project, settings: DatasetSettings, table: pd.DataFrame) -> dict[str, Any]:
    scores = table.score[table.split == "train"]
    return {
        "settings": settings.as_dict(),
        "films": len(table),
        "frames": int(table["count"].sum()),
        "shape": [int((table["first"] + table["count"]).max()), settings.size, settings.size, 3],
        "train_score": {"mean": float(scores.mean()), "sd": float(scores.std(ddof=0))},
        "hashes": {
            FILMS: hashlib.sha256((project.dataset / FILMS).read_bytes()).hexdigest(),
            FRAMES: hashlib.sha256("\n".join(table.sha256).encode()).hexdigest(),
        },
        **_counted(table),
    }
