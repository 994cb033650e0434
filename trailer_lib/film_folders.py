"""Which film of the catalogue each folder of images/ holds."""

from collections import defaultdict

import pandas as pd

from trailer_lib import titles
from trailer_lib.frames import folder_id, picture_paths
from trailer_lib.project import Project


def match(project: Project, films: pd.DataFrame) -> pd.DataFrame:
    """The folders of images/ matched to the catalogue: folder, pictures, imdb_id ("" when unmatched), reason.

    A folder is matched by the id in its name, else (the original's layout) by its title, if that is one film's alone.
    """
    known, by_title = set(films.imdb_id), _by_title(films)
    rows = []
    for folder in sorted(path for path in project.images.glob("*") if path.is_dir() and not path.name.startswith(".")):
        matches = [folder_id(folder.name)] if folder_id(folder.name) else by_title[titles.normal_title(folder.name)]
        reason = "" if len(matches) == 1 and matches[0] in known else _no_match(matches)
        rows.append([folder.name, len(picture_paths(folder)), "" if reason else matches[0], reason])
    table = pd.DataFrame(rows, columns=["folder", "pictures", "imdb_id", "reason"])
    fullest = table.sort_values("pictures", ascending=False, kind="stable").imdb_id
    table.loc[fullest.ne("") & fullest.duplicated(), "reason"] = "a fuller folder holds the same film"
    return table


def _by_title(films: pd.DataFrame) -> defaultdict[str, list[str]]:
    ids = defaultdict(list)
    for film in films.itertuples():
        ids[titles.normal_title(film.title)].append(film.imdb_id)
    return ids


def _no_match(matches: list) -> str:
    return "several films have this title" if len(matches) > 1 else "not in the catalogue"
