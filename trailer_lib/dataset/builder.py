"""images/ -> dataset/: folders matched to films, frames brought up to date film by film, the table and the card."""

import json
import os
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from mimetypes import guess_type
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trailer_lib import files
from trailer_lib.catalog import COLUMNS, load, normal_title, trailer_keys
from trailer_lib.dataset.dataset import FILMS, PAGE, Dataset, card_hash, require_splits, sha256, split_facts, split_of
from trailer_lib.dataset.frames import CARD, FRAMES, FrameArray, damaged_films, fingerprint, load_film_frames
from trailer_lib.errors import TrailerError
from trailer_lib.progress import bar
from trailer_lib.project import Project
from trailer_lib.settings import DatasetSettings
from trailer_lib.video import SOUND, folder_id, picture_paths

MEMORY = 200_000_000  # bytes of frames that are decoded at once
PAGE_TEXT = """# Dataset card
- `frames.npy`: the frames of all films, uint8 RGB; rows that no film names are unused.
- `films.csv`: a row per film: its metadata, its split, its rows (`first`, `count`) and their SHA-256.
- `left_out.csv`: what was left out. `frames.jsonl`: for the next build. `dataset.json`: the facts below, generated.
"""


def match_folders(project: Project, films: pd.DataFrame) -> pd.DataFrame:
    """A row for each folder of images/: folder, pictures, imdb_id ("" when unmatched), reason, detail.

    A folder is matched by the id in its name, else (the original's layout) by its title if only one film has it.
    """
    ids, by_title = set(films.imdb_id), defaultdict(list)
    for film in films.itertuples():
        by_title[normal_title(film.title)].append(film.imdb_id)
    rows = []
    for folder in sorted(path for path in project.images.glob("*") if path.is_dir() and not path.name.startswith(".")):
        name = folder.name.encode(errors="replace").decode()
        matches = [folder_id(name)] if folder_id(name) else by_title[normal_title(name)]
        reason = "" if len(matches) == 1 and matches[0] in ids else "not in the catalogue"
        reason = "several films have this title" if len(matches) > 1 else reason
        reason = "its name is not UTF-8, rename it" if name != folder.name else reason
        paths = picture_paths(folder)
        rows.append([name, len(paths), "" if reason else matches[0], reason, _other_pictures(folder, paths)])
    table = pd.DataFrame(rows, columns=["folder", "pictures", "imdb_id", "reason", "detail"])
    fullest = table.sort_values("pictures", ascending=False, kind="stable").imdb_id
    table.loc[fullest.ne("") & fullest.duplicated(), "reason"] = "a fuller folder holds the same film"
    return table


def _other_pictures(folder: Path, read: list[Path]) -> str:
    """Which pictures of a folder are not read: of another kind, or without a number in the folder of a scraped film."""
    others = {path.name for path in folder.glob("[!.]*") if (guess_type(path.name)[0] or "").startswith("image/")}
    names = sorted(others - {path.name for path in read} - {"dropped.jpg", SOUND})
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"not read: {', '.join(names[:3])}{more}" if names else ""


def report_left_out(project: Project, folders: pd.DataFrame) -> dict[str, Any]:
    """Write left_out.csv, the folders with a reason or a detail; their number by reason and the first ten as lines."""
    rows = folders.loc[(folders.reason + folders.detail) != "", ["folder", "reason", "detail"]]
    files.write_text(project.dataset / "left_out.csv", rows.to_csv(index=False))
    lines = [": ".join(filter(None, row)) for row in rows.head(10).itertuples(index=False)]
    return {"left_out": dict(Counter(rows.reason[rows.reason != ""])), "left_out_first": lines}


def build(project: Project, settings: DatasetSettings) -> Dataset:
    """Bring dataset/ up to date with images/ and open it. Folders that can't be used are left out, with a reason.

    It resumes a killed build with the same result; until it ends the dataset as it was can be opened.
    """
    catalogue = load(project)
    folders = match_folders(project, catalogue.films)
    few = folders.reason.eq("") & (folders.pictures < settings.min_frames)
    folders.loc[few, "reason"] = f"under {settings.min_frames} frames"
    left_out = report_left_out(project, folders)
    films = folders[folders.reason == ""].merge(catalogue.films, on="imdb_id")
    if films.empty:
        text = f"no folder with {settings.min_frames} frames of a film in it, {left_out['left_out'] or 'it is empty'}"
        raise TrailerError(f"{project.images}: {text}: scrape first, or lower min_frames")
    films["split"] = [split_of(key, settings) for key in trailer_keys(films)]
    require_splits(films.split)
    scraped = _scrape_settings(project)
    with files.single_run(project.dataset):
        files.remove_temporary(project.dataset)
        array, damaged = _update(project, films, settings, scraped.get("filter", ""))
        folders.loc[folders.folder.isin(damaged), "reason"] = "a picture is damaged"
        folders["detail"] = [damaged.get(name, text) for name, text in zip(folders.folder, folders.detail)]
        films = films[~films.folder.isin(damaged)]
        if films.empty:
            raise TrailerError(f"{project.images}: all {len(damaged)} films have a damaged picture: scrape again")
        facts = {"source": project.images.name, "scores_from": catalogue.scores_from, "scrape": scraped}
        return finish(project, array, films, settings, facts | report_left_out(project, folders))


def _scrape_settings(project: Project) -> dict[str, Any]:
    path = project.images / "settings.json"
    try:
        return json.loads(path.read_text(encoding="utf-8-sig")) if path.exists() else {}
    except ValueError as error:
        raise TrailerError(f"{path}: damaged ({error}): remove it, or scrape again") from error


def _update(project: Project, films: pd.DataFrame, settings: DatasetSettings, rule: str) -> tuple[FrameArray, dict]:
    """The array with all films in it; folder -> error of damaged pictures. `rule` is the scrape's filter."""
    folders = {film.imdb_id: project.images / film.folder for film in films.itertuples()}
    # A scrape with this filter cropped the black bars of the films that it made, those with a film.json.
    scraped = {film for film, folder in folders.items() if (folder / "film.json").exists() and rule == "informative"}
    prints = {film: fingerprint(folder, settings, film not in scraped) for film, folder in folders.items()}
    array = FrameArray(project.dataset, settings.size, prints)
    repair = damaged_films(array.path, array.side, array.films.values())
    built = {film: entry.pictures for film, entry in array.films.items() if film not in repair}
    todo, damaged = [film for film in prints if built.get(film) != prints[film]], {}

    def read(film: str) -> np.ndarray | None:
        try:
            return load_film_frames(folders[film], settings, film not in scraped)
        except TrailerError as error:
            damaged[folders[film].name] = str(error)

    at_once = max(1, MEMORY // int(films.pictures.max() * settings.size**2 * 3))
    with ThreadPoolExecutor(os.cpu_count()) as pool, bar(total=len(todo), desc="building", unit="film") as progress:
        for start in range(0, len(todo), at_once):
            for film, frames in zip(todo[start:], pool.map(read, todo[start : start + at_once])):
                if frames is not None:
                    array.put(film, prints[film], frames)
                progress.update()
    return array, damaged


def finish(
    project: Project, array: FrameArray, films: pd.DataFrame, settings: DatasetSettings, facts: dict[str, Any]
) -> Dataset:
    """Write the table and the card of the films in the array, and open the dataset."""
    require_splits(films.split)
    entries = pd.DataFrame(array.close(films.imdb_id)).rename(columns={"film": "imdb_id"})
    table = films.merge(entries, on="imdb_id").sort_values("first")
    table = table.reindex(columns=[*COLUMNS, "folder", "first", "count", "sha256", "split"])
    files.write_text(project.dataset / FILMS, table.to_csv(index=False))
    scores = table.score[table.split == "train"]
    card = facts | {
        "settings": settings.as_dict(),
        "films": len(table),
        "frames": int(table["count"].sum()),
        "shape": [int((table["first"] + table["count"]).max()), settings.size, settings.size, 3],
        "train_score": {"mean": float(scores.mean()), "sd": float(scores.std(ddof=0))},
        "hashes": {
            FILMS: sha256((project.dataset / FILMS).read_bytes()),
            FRAMES: sha256("\n".join(table.sha256).encode()),
        },
        **split_facts(table),
    }
    files.write_json(project.dataset / CARD, card | {"hash": card_hash(card)})
    facts = json.dumps(card, indent=1, ensure_ascii=False)
    files.write_text(project.dataset / PAGE, f"{PAGE_TEXT}\n```json\n{facts}\n```\n")
    return Dataset.open(project, verify=False)
