"""Films with sound for the tests of the dataset: noise as the sound.png of their folders."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import FILMS, fictional_film
from PIL import Image

from trailer_lib.dataset import Dataset, builder
from trailer_lib.project import Project
from trailer_lib.video import SOUND, folder_id, folder_name


def folder_of(root: Path, number: int) -> Path:
    film = fictional_film(number)
    return root / "images" / folder_name(film["imdb_id"], film["title"], film["year"])


def add_sound(folder: Path, columns: int = 300) -> None:
    rng = np.random.default_rng(columns)
    Image.fromarray(rng.integers(0, 256, (128, columns), np.uint8)).save(folder / SOUND)


def with_sound(root: Path, copy: Path) -> Path:
    """A copy of a root in which two of three films have sound, of one to three clips, and one of 35."""
    shutil.copytree(root, copy)
    for number in range(FILMS):
        if number % 3:
            add_sound(folder_of(copy, number), 4500 if number == 7 else 200 + 7 * number)
    return copy


def built(project: Project, **chosen: object) -> Dataset:
    return builder.build(project, project.settings("dataset", **chosen))


def with_dataset(root: Path, copy: Path) -> Path:
    built(Project(shutil.copytree(root, copy)))
    return copy


def by_film(data: Dataset) -> dict[str, tuple[bytes, bytes]]:
    """The frames and the sound of each film."""
    rows = data.films.imdb_id.items()
    return {film: (data.film_frames(row).tobytes(), data.film_sound(row).tobytes()) for row, film in rows}


def note_reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What builds read from now on, in order: the ids of films for their pictures, "sound of ID" for their sound."""
    asked = []

    def noted(read: Callable, prefix: str) -> Callable:
        return lambda folder, *rest: (asked.append(prefix + folder_id(folder.name)), read(folder, *rest))[1]

    monkeypatch.setattr(builder, "load_film_frames", noted(builder.load_film_frames, ""))
    monkeypatch.setattr(builder, "load_sound", noted(builder.load_sound, "sound of "))
    return asked
