"""The fictional films: the same each time, hostile where real ones are, and with three trailers that fail."""

from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest

from trailer_lib import Project, samples
from trailer_lib.catalog import catalog
from trailer_lib.catalog import titles as titles_file
from trailer_lib.video import container as container_file
from trailer_lib.video import sampling
from trailer_lib.video.container import VideoError

FILMS, HELD_OUT = 12, 2
DAMAGED = {3: "missing", 6: "truncated", 9: "not a video"}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("samples")
    samples.render(path, films=FILMS, held_out=HELD_OUT)
    return path


@pytest.fixture(scope="module")
def again(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("again")
    samples.render(path, films=FILMS, held_out=HELD_OUT)
    return path


def invented(count: int = FILMS, seed: int = 0) -> list[samples.SampleFilm]:
    return list(samples.invent(count, seed))


def trailer(root: Path, number: int) -> Path:
    return root / "trailers" / f"{invented()[number].youtube_id}.mp4"


def sound(root: Path) -> list[Path]:
    """The trailers that can be read, and the held-out ones."""
    known = [trailer(root, number) for number in range(FILMS) if number not in DAMAGED]
    return known + sorted((root / "held_out").glob("*.mp4"))


@pytest.mark.parametrize("name", ["excels/movie_metadata.csv", "excels/ml-youtube.csv", "held_out/scores.csv"])
def test_the_same_arguments_give_the_same_spreadsheets(root: Path, again: Path, name: str) -> None:
    assert (root / name).read_bytes() == (again / name).read_bytes()


def test_the_same_arguments_give_the_same_frames(root: Path, again: Path) -> None:
    for first, second in zip(sound(root), sound(again), strict=True):
        left, right = (sampling.sample_frames(path, 10, 0, "key") for path in (first, second))
        assert left.pixels.shape == (10, samples.HEIGHT, samples.WIDTH, 3)
        assert first.name == second.name
        assert np.array_equal(left.pixels, right.pixels)
        assert np.array_equal(left.seconds, right.seconds)


@pytest.mark.parametrize("number", DAMAGED)
def test_a_damaged_trailer_gives_no_frames(root: Path, number: int) -> None:
    assert invented()[number].damage == DAMAGED[number]
    assert trailer(root, number).exists() == (DAMAGED[number] != "missing")
    with pytest.raises(VideoError):
        sampling.sample_frames(trailer(root, number), 3, 0, "key")


def packet_times(path: Path) -> list[int]:
    """The times of a video's pictures in the order they are stored in."""
    with av.open(str(path)) as container:
        return [packet.pts for packet in container.demux(video=0) if packet.pts is not None]


def test_trailers_are_stored_in_another_order_than_shown_as_real_ones_are(root: Path) -> None:
    assert all(packet_times(path) != sorted(packet_times(path)) for path in sound(root))


def test_trailers_have_groups_of_pictures_of_several_lengths(root: Path) -> None:
    longest = {np.diff([*facts.keyframes, facts.pts[-1]]).max() for facts in map(container_file.probe, sound(root))}
    assert len(longest) > 1


def test_the_spreadsheets_join_to_all_films_with_their_scores(root: Path) -> None:
    found = catalog.load(Project.open(root))
    rows = {row.imdb_id: (row.youtube_id, row.title, row.year, row.score) for row in found.films.itertuples()}
    assert rows == {film.imdb_id: (film.youtube_id, film.title, film.year, film.score) for film in invented()}
    bad_id = "the YouTube id is not 11 letters, digits, - or _"
    assert sorted(found.dropped.reason) == sorted([bad_id, bad_id, "the film is in another row"])


def test_the_spreadsheets_have_what_real_ones_have_wrong(root: Path) -> None:
    scores = (root / "excels" / "movie_metadata.csv").read_text(encoding="utf-8")
    trailers = (root / "excels" / "ml-youtube.csv").read_text(encoding="utf-8")
    lines = scores.splitlines()
    assert lines[-1] == lines[-2]
    assert "\u00a0" in scores
    assert all(oddity in trailers for oddity in (", The (", "#NAME?", "sample99999/", "\n-ample"))


def test_the_held_out_films_are_in_no_spreadsheet_and_in_no_catalogue(root: Path) -> None:
    held_out = pd.read_csv(root / "held_out" / "scores.csv")
    assert len(held_out) == HELD_OUT
    assert all(set(genres.split("|")) <= set(samples.GENRES) for genres in held_out.genres)
    for file, title in zip(held_out.file, held_out.title):
        assert (root / "held_out" / file).is_file()
        assert not (root / "trailers" / file).exists()
        for table in (root / "excels").iterdir():
            text = table.read_text(encoding="utf-8")
            assert Path(file).stem not in text
            assert title not in text


def test_ids_are_like_real_ones_and_titles_differ() -> None:
    films = invented(400)
    assert invented() == invented() != invented(seed=1)
    assert all(1 <= film.score <= 10 for film in films) and len({film.score for film in films}) > 10
    assert all(any(sign in film.title for film in films[:12]) for sign in (":", "/", "The "))
    assert all(titles_file.YOUTUBE_ID.fullmatch(film.youtube_id) for film in films)
    assert all(titles_file.IMDB_ID.fullmatch(film.imdb_id) for film in films)
    assert len({film.imdb_id for film in films}) == len({film.youtube_id for film in films}) == 400
    assert len({titles_file.normal_title(film.title) for film in films}) == 400


def test_the_settings_of_the_samples_are_settings(root: Path) -> None:
    project = Project.open(root)
    assert project.settings("scrape").source == "folder:trailers"
    assert project.settings("dataset").origins["size"] == "settings.toml"
    assert project.settings("train").weights == "none"
