"""The catalogue of the real spreadsheets of ../shared, where they are."""

import pytest
from conftest import SHARED

from trailer_lib.catalog import load
from trailer_lib.catalog.catalog import Catalog
from trailer_lib.project import Project

pytestmark = pytest.mark.skipif(not (SHARED / "real").is_dir(), reason=f"the real spreadsheets are not in {SHARED}")


@pytest.fixture(scope="module")
def catalogue() -> Catalog:
    return load(Project.open(SHARED / "real"))


def test_it_holds_4091_films(catalogue: Catalog) -> None:
    joined = catalogue.films.joined_by.value_counts()
    assert joined["title and year"] >= 4018 and joined["year off by one"] >= 60
    assert catalogue.films.imdb_id.nunique() == len(catalogue.films) == 4091
    for name, rows in catalogue.rows.items():
        assert rows == len(catalogue.films) + (catalogue.dropped.file == name).sum()


def test_films_that_look_like_another_get_no_trailer_of_it(catalogue: Catalog) -> None:
    # The Boy of 2016, Barfi of 2013 (not Barfi! of 2012), Fugly of 2014 (not Fugly! of 2013), a game of Harry Potter.
    assert not set(catalogue.films.imdb_id) & {"tt3882082", "tt3099638", "tt3683702", "tt1680310"}
