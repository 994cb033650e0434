"""The fictional films: the same each time, hostile where real ones are, and with three trailers that fail."""

from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest

from trailer_lib import Project, samples
from trailer_lib.catalog import catalog
from trailer_lib.catalog import titles as titles_file
from trailer_lib.video import NoSound, read_sound, sampling
from trailer_lib.video import container as container_file
from trailer_lib.video.container import VideoError

FILMS, HELD_OUT = 10, 1
DAMAGED = {3: "missing", 6: "truncated", 9: "not a video"}
WITHOUT_SOUND = 5


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("samples")
    samples.render(path, films=FILMS, held_out=HELD_OUT)
    return path


def invented(count: int = FILMS, seed: int = 2) -> list[samples.SampleFilm]:
    return list(samples.invent(count, seed))


def trailer(root: Path, number: int) -> Path:
    return root / "trailers" / f"{invented()[number].youtube_id}.mp4"


def test_the_same_arguments_give_the_same_spreadsheets_frames_and_sound(root: Path, tmp_path: Path) -> None:
    """The first film does not depend on how many follow it."""
    samples.render(tmp_path, films=1, held_out=0)
    for name in ("excels/movie_metadata.csv", "excels/ml-youtube.csv", "held_out/scores.csv"):
        first, again = ((place / name).read_bytes().splitlines() for place in (root, tmp_path))
        assert first[:2][: len(again)] == again[:2]
    first, again = (sampling.sample_frames(trailer(place, 0), 10, 0, "key") for place in (root, tmp_path))
    assert first.pixels.shape == (10, samples.HEIGHT, samples.WIDTH, 3)
    assert np.array_equal(first.pixels, again.pixels) and np.array_equal(first.seconds, again.seconds)
    assert not np.array_equal(first.pixels, sampling.sample_frames(trailer(root, 1), 10, 0, "key").pixels)
    first, again = (read_sound(trailer(place, 0)) for place in (root, tmp_path))
    assert np.array_equal(first, again) and first.shape[1] >= 2 * 128
    assert not np.array_equal(first[:, :256], read_sound(trailer(root, 1))[:, :256])


def test_every_twelfth_trailer_has_no_sound_and_the_others_are_quiet_at_black_frames(root: Path) -> None:
    assert [film.number for film in invented(36) if film.damage == "no sound"] == [5, 17, 29]
    with pytest.raises(NoSound):
        read_sound(trailer(root, WITHOUT_SOUND))
    columns = read_sound(trailer(root, 0)).mean(0)
    black = [not picture.any() for picture in samples._trailer(invented()[0], 2)]
    quiet = np.repeat(black, 1000)[::768][: len(columns)]  # samples of 24 kHz a frame and a column
    assert np.median(columns[quiet]) < 20 < 50 < np.median(columns[~quiet])


@pytest.mark.parametrize("part", ["seen", "heard"])
def test_the_seen_part_is_in_the_pictures_and_the_heard_part_in_the_sound_alone(part: str) -> None:
    film = invented()[0]
    better = film._replace(**{part: 2.0}), film._replace(**{part: -2.0})
    pictures = [np.array(list(samples._trailer(one, 0))) for one in better]
    music = [samples._soundtrack(one, 0, [1.0] * 120) for one in better]
    assert np.array_equal(*pictures) == (part == "heard")
    assert np.array_equal(*music) == (part == "seen")


def test_a_damaged_trailer_gives_no_frames(root: Path) -> None:
    for number, damage in DAMAGED.items():
        assert invented()[number].damage == damage and trailer(root, number).exists() == (damage != "missing")
        with pytest.raises(VideoError):
            sampling.sample_frames(trailer(root, number), 3, 0, "key")


def test_trailers_are_coded_as_real_ones_in_another_order_than_shown_and_with_several_gaps(root: Path) -> None:
    readable = [trailer(root, number) for number in range(FILMS) if number not in DAMAGED]
    for path in readable:
        with av.open(str(path)) as video:
            stored = [packet.pts for packet in video.demux(video=0) if packet.pts is not None]
        assert stored != sorted(stored)
    longest = {np.diff([*facts.keyframes, facts.pts[-1]]).max() for facts in map(container_file.probe, readable)}
    assert len(longest) > 1


def test_the_spreadsheets_join_to_all_films_with_their_scores(root: Path) -> None:
    found = catalog.load(Project.open(root))
    rows = {row.imdb_id: (row.youtube_id, row.title, row.year, row.score) for row in found.films.itertuples()}
    assert rows == {film.imdb_id: (film.youtube_id, film.title, film.year, film.score) for film in invented()}
    bad_id = "the YouTube id is not 11 letters, digits, - or _"
    assert sorted(found.dropped.reason) == sorted([bad_id, bad_id, "the film is in another row"])


def test_the_spreadsheets_have_what_real_ones_have_wrong(root: Path) -> None:
    lines = (root / "excels" / "movie_metadata.csv").read_text(encoding="utf-8").splitlines()
    trailers = (root / "excels" / "ml-youtube.csv").read_text(encoding="utf-8")
    assert lines[-1] == lines[-2] and "\u00a0" in lines[1]
    assert all(oddity in trailers for oddity in (", The (", "#NAME?", "sample99999/", "\n-ample"))


def test_the_held_out_films_are_in_no_spreadsheet_and_in_no_catalogue(root: Path) -> None:
    held_out = pd.read_csv(root / "held_out" / "scores.csv")
    assert len(held_out) == HELD_OUT
    tables = "".join(path.read_text(encoding="utf-8") for path in (root / "excels").iterdir())
    for film in held_out.itertuples():
        assert set(film.genres.split("|")) <= set(samples.GENRE_SCORES)
        assert (root / "held_out" / film.file).is_file() and not (root / "trailers" / film.file).exists()
        assert Path(film.file).stem not in tables and film.title not in tables


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
    scrape, dataset, train = map(Project.open(root).settings, ("scrape", "dataset", "train"))
    assert (scrape.source, train.weights, dataset.origins["size"]) == ("folder:trailers", "none", "settings.toml")
