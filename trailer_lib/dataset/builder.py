"""images/ -> dataset/: folders matched to films, both arrays brought up to date film by film, the table, the card."""

import json
import os
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from mimetypes import guess_type
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trailer_lib import files
from trailer_lib.catalog import COLUMNS, load, normal_title, trailer_keys
from trailer_lib.dataset.arrays import ARRAYS, CARD, VERSION, FilmArray, fingerprint, load_film_frames, sha256
from trailer_lib.dataset.dataset import FILMS, PAGE, Dataset, card_hash, require_splits, split_facts, split_of
from trailer_lib.errors import TrailerError
from trailer_lib.progress import bar
from trailer_lib.project import Project
from trailer_lib.settings import DatasetSettings
from trailer_lib.video import BANDS, CLIP, SOUND, folder_id, load_sound, picture_paths, sound_clips

CLIPS = 30  # of a film, at most
SOUND_VERSION = 1  # of making clips from sound.png; a new number makes every film's again
MEMORY = 200_000_000  # bytes of frames or clips that are read at once
Updated = tuple[FilmArray, dict[str, str]]  # an array, and folder -> error of what cannot be read
PAGE_TEXT = """# Dataset card
- `frames.npy`: the frames of all films, uint8 RGB; rows that no film names are unused.
- `sound.npy`: the clips of their sound, uint8: 128 mel bands by 128 columns, 4.1 s each; also with unused rows.
- `films.csv`: a row per film: its metadata, its split, its rows (`first`, `count`; `sound_...`) and their SHA-256.
- `left_out.csv`: what was left out. `*.jsonl`: for the next build. `dataset.json`: the facts below, generated.
"""


def match_folders(project: Project, films: pd.DataFrame) -> pd.DataFrame:
    """A row for each folder of images/: folder, pictures, imdb_id ("" when unmatched), reason, detail."""
    # By the id in its name, else (the original's layout) by its title if only one film has it.
    ids, by_title = set(films.imdb_id), defaultdict(list)
    for film in films.itertuples():
        by_title[normal_title(film.title)].append(film.imdb_id)
    rows = []
    for folder in sorted(path for path in project.images.glob("[!.]*") if path.is_dir()):
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
    """Bring dataset/ up to date with images/ and open it. A killed build is resumed; until then the old one stays."""
    catalogue, few = load(project), settings.min_frames
    folders = match_folders(project, catalogue.films)
    folders.loc[folders.reason.eq("") & (folders.pictures < few), "reason"] = f"under {few} frames"
    left_out = report_left_out(project, folders)
    films = folders[folders.reason == ""].merge(catalogue.films, on="imdb_id")
    if films.empty:
        text = f"no folder with {few} frames of a film in it, {left_out['left_out'] or 'it is empty'}"
        raise TrailerError(f"{project.images}: {text}: scrape first, or lower min_frames")
    films["split"] = [split_of(key, settings) for key in trailer_keys(films)]
    require_splits(films.split)
    scraped = _scrape_settings(project.images / "settings.json")
    with files.single_run(project.dataset):
        files.remove_temporary(project.dataset)
        frames, damaged = _update_frames(project, films, settings, scraped.get("filter", ""))
        folders.loc[folders.folder.isin(damaged), "reason"] = "a picture is damaged"
        films = films[~films.folder.isin(damaged)]
        if films.empty:
            raise TrailerError(f"{project.images}: all {len(damaged)} films have a damaged picture: scrape again")
        sound, without = _update_sound(project, films)
        folders["detail"] = [(damaged | without).get(*pair) for pair in zip(folders.folder, folders.detail)]
        facts = {"source": project.images.name, "scores_from": catalogue.scores_from, "scrape": scraped}
        return finish(project, [frames, sound], films, settings, facts | report_left_out(project, folders))


def _scrape_settings(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig")) if path.exists() else {}
    except ValueError as error:
        raise TrailerError(f"{path}: damaged ({error}): remove it, or scrape again") from error


def _update_frames(project: Project, films: pd.DataFrame, settings: DatasetSettings, rule: str) -> Updated:
    """The films' frames. `rule` is the scrape's filter."""
    folders = {film.imdb_id: project.images / film.folder for film in films.itertuples()}
    # A scrape with this filter cropped the black bars of the films that it made, those with a film.json.
    crop = {film: rule != "informative" or not (folder / "film.json").exists() for film, folder in folders.items()}
    facts = (VERSION, settings.size, settings.fit)
    prints = {film: fingerprint(picture_paths(folder), *facts, crop[film]) for film, folder in folders.items()}
    array = FilmArray(project.dataset, "frames", (settings.size, settings.size, 3), prints)
    most = int(films.pictures.max())
    return array, _update(array, folders, lambda film: load_film_frames(folders[film], settings, crop[film]), most)


def _update_sound(project: Project, films: pd.DataFrame) -> Updated:
    """The clips of the films that have a sound.png."""
    folders = {film.imdb_id: project.images / film.folder for film in films.itertuples()}
    paths = {film: folder / SOUND for film, folder in folders.items() if (folder / SOUND).exists()}
    prints = {film: fingerprint([path], SOUND_VERSION) for film, path in paths.items()}
    array = FilmArray(project.dataset, "sound", (BANDS, CLIP), prints)
    return array, _update(array, folders, lambda film: sound_clips(load_sound(folders[film]), CLIPS)[0], CLIPS)


def _update(array: FilmArray, folders: dict[str, Path], read: Callable[[str], np.ndarray], most: int) -> dict[str, str]:
    """Bring an array up to date, at most `most` rows a film; folder -> error of the films that cannot be read."""
    todo, damaged = array.stale(), {}

    def attempt(film: str) -> np.ndarray:
        try:
            return read(film)
        except TrailerError as error:
            damaged[folders[film].name] = str(error)
            return np.empty(0)

    at_once = max(1, MEMORY // (most * array.row))
    with ThreadPoolExecutor(os.cpu_count()) as pool, bar(total=len(todo), desc="building", unit="film") as progress:
        for start in range(0, len(todo), at_once):
            for film, rows in zip(todo[start:], pool.map(attempt, todo[start : start + at_once])):
                array.put(film, array.wanted[film], rows)
                progress.update()
    return damaged


def finish(
    project: Project, arrays: list[FilmArray], films: pd.DataFrame, settings: DatasetSettings, facts: dict[str, Any]
) -> Dataset:
    """Write the table and the card of the films in the arrays, frames and sound, and open the dataset."""
    require_splits(films.split)
    for array in arrays:
        array.close()
        places = [array.films.get(film, ("", 0, 0, "", ""))[1:4] for film in films.imdb_id]  # first, count, sha256
        films = films.assign(**dict(zip(ARRAYS[array.name], zip(*places))))
    columns = [*COLUMNS, "folder", *ARRAYS["frames"], *ARRAYS["sound"], "split"]
    table = films.sort_values("first").reindex(columns=columns)
    files.write_text(project.dataset / FILMS, table.to_csv(index=False))
    scores = table.score[table.split == "train"]
    hashes = {array.path.name: sha256("\n".join(table[ARRAYS[array.name][2]]).encode()) for array in arrays}
    card = facts | {
        "settings": settings.as_dict(),
        "films": len(table),
        "frames": int(table["count"].sum()),
        "films_with_sound": int((table.sound_count > 0).sum()),
        "clips": int(table.sound_count.sum()),
        "shapes": {array.name: [array.rows, *array.shape] for array in arrays},
        "train_score": {"mean": float(scores.mean()), "sd": float(scores.std(ddof=0))},
        "hashes": {FILMS: sha256((project.dataset / FILMS).read_bytes()), **hashes},
        **split_facts(table),
    }
    files.write_json(project.dataset / CARD, card | {"hash": card_hash(card)})
    facts = json.dumps(card, indent=1, ensure_ascii=False)
    files.write_text(project.dataset / PAGE, f"{PAGE_TEXT}\n```json\n{facts}\n```\n")
    return Dataset.open(project, verify=False)
