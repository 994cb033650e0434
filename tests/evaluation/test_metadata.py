"""Metadata by IMDb id: what the score table has, and blanks where it has not."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from trailer_lib.errors import TrailerError
from trailer_lib.evaluation import baselines
from trailer_lib.project import Project

HEAD = "movie_imdb_link,color,director_name,country,budget,aspect_ratio,num_voted_users"
LINK = "http://www.imdb.com/title/{}/?ref_=x"


def project(root: Path, *rows: str, head: str = HEAD) -> Project:
    (root / "excels").mkdir()
    (root / "excels" / "movie_metadata.csv").write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return Project(root)


def test_the_columns_that_are_there_are_read(tmp_path: Path) -> None:
    table = baselines.read_metadata(project(tmp_path, f"{LINK.format('tt0000001')},Color,Ann,USA,1000000,2.35,9"))
    assert table.to_dict("index") == {
        "tt0000001": {"colour": "Color", "director": "Ann", "country": "USA", "budget": 6.0, "aspect_ratio": 2.35}
    }


@pytest.mark.parametrize("budget", ["", "0", "-5", "much", "nan", "inf"])
def test_a_budget_that_is_none_is_unknown(tmp_path: Path, budget: str) -> None:
    table = baselines.read_metadata(project(tmp_path, f"{LINK.format('tt0000001')},,,,{budget},,"))
    assert np.isnan(table.budget.iloc[0])


def test_the_first_row_of_a_film_counts_and_a_row_of_none_does_not(tmp_path: Path) -> None:
    rows = [f"{LINK.format('tt0000001')},,,{country},,," for country in ("USA", "UK")]
    table = baselines.read_metadata(project(tmp_path, *rows, "no link,,,France,,,"))
    assert table.country.to_dict() == {"tt0000001": "USA"}


def test_films_get_the_columns_they_lack(tmp_path: Path) -> None:
    films = pd.DataFrame({"imdb_id": ["tt0000009", "tt0000001"], "country": ["own", "own"]}, index=[4, 7])
    joined = baselines.add_metadata(project(tmp_path, f"{LINK.format('tt0000001')},,Ann,USA,100,,"), films)
    assert list(joined.index) == [4, 7] and list(joined.country) == ["own", "own"]
    assert list(joined.director) == ["", "Ann"]
    assert joined.budget.iloc[1] == 2.0 and np.isnan(joined.budget.iloc[0])


def test_without_a_score_table_films_stay_as_they_are(tmp_path: Path) -> None:
    films = pd.DataFrame({"imdb_id": ["tt0000001"]})
    pd.testing.assert_frame_equal(baselines.add_metadata(Project(tmp_path), films), films)


def test_a_table_without_links_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(TrailerError, match=r"movie_metadata\.csv: no column 'movie_imdb_link'"):
        baselines.read_metadata(project(tmp_path, "USA", head="country"))


def test_what_comes_after_the_release_is_not_read() -> None:
    after = {"num_voted_users", "gross", "num_user_for_reviews", "num_critic_for_reviews", "plot_keywords"}
    used = {*baselines.TEXTS.values(), *baselines.NUMBERS.values()}
    assert not used & after and not any("facebook" in name for name in used)
