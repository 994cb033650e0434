"""An answer as text, dict, HTML and figure: all of it there, doubts first, nothing of a stranger's text executed."""

import base64
import dataclasses
import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from trailer_lib.predict.explanation import Neighbour
from trailer_lib.predict.prediction import Prediction

METRICS = {name: {"value": 0.9, "low": 0.8, "high": 1.1} for name in ("nMSE", "MAE", "R2", "Spearman")}
RESULTS = {"films": 40, "train_mean": 6.1, "metrics": {"trailer": METRICS, "mean baseline": METRICS}}
HOSTILE = "<script>alert(1)</script>\"'&"


def answer(**changed: object) -> Prediction:
    pictures = np.stack([np.full((90, 160, 3), 40 * n, np.uint8) for n in range(1, 6)])
    heat = np.zeros((2, 90, 160), np.float32)
    heat[:, :45, :80] = 1.0
    similar = [
        Neighbour(f"tt000000{n}", f"Film {n}", 1990 + n, 5.0 + n / 10, 0.5, picture[:45, :80])
        for n, picture in enumerate(pictures)
    ]
    facts = {
        "trailer": "film.mp4", "score": 6.83, "intervals": {80: (5.5, 8.1), 95: (4.0, 9.6)}, "no_interval": "",
        "mean baseline": 6.1, "genre": 6.4, "frames": pictures, "seconds": np.arange(5) * 2.5,
        "pulls": np.array([0.1, -0.3, 0.02, -0.001, 0.2]), "strongest": np.array([1, 4]), "heat": heat,
        "similar": similar, "warnings": ["Doubt one.", "Doubt two."], "timings": {"frames": 1.0, "network": 0.2},
        "sampled": 20, "kept": 14, "results": RESULTS, "verdict": "Better than the constant.", "films": 300,
    }  # fmt: skip
    return Prediction(**facts | changed)


class Reader(HTMLParser):
    """Tags, texts and links of a page; an unclosed tag is an error."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.links: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list) -> None:
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name in ("src", "href")]
        if tag != "img" and not self.get_starttag_text().endswith("/>"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attributes: list) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_the_doubts_come_before_the_score_in_every_form() -> None:
    text, page = str(answer()), " ".join(Reader(answer()._repr_html_()).texts)
    for form in (text, page):
        assert form.index("Doubt one.") < form.index("Doubt two.") < form.index("film.mp4: 6.8 of 10")
    assert "Doubt one.\nDoubt two." in [drawn.get_text() for drawn in answer().figure().texts]


def test_without_doubts_there_is_no_alert() -> None:
    assert str(answer(warnings=[])).startswith("film.mp4: 6.8 of 10")
    assert 'role="alert"' not in answer(warnings=[])._repr_html_()


def test_the_text_and_the_page_tell_all_there_is() -> None:
    texts = " ".join(Reader(answer()._repr_html_()).texts)
    for said in ("5.5 to 8.1 (80 %)", "4.0 to 9.6 (95 %)", "300 films", "6.1", "alone say 6.4", "Better than the"):
        assert said in str(answer()) and said in texts
    for said in ("2.5 s: -0.30", "0.0 s: +0.10", "7.5 s: +0.00", "Film 4 (1994): 5.4", "by genre alone 6.4"):
        assert said in texts


def test_missing_parts_are_told_or_left_out() -> None:
    bare = answer(intervals={}, no_interval="no film", genre=None, similar=[], heat=np.zeros((0, 90, 160), np.float32),
                  seconds=np.full(5, np.nan))  # fmt: skip
    text, page = str(bare), bare._repr_html_()
    assert "no film." in text and "genres" not in text and "most like it" not in text and "frame 2 -0.30" in text
    assert "by genre" not in page and "Where in the frames" not in page and "most like it" not in page
    assert bare.to_dict()["seconds"] == [None] * 5 and json.loads(json.dumps(bare.to_dict()))["genre"] is None
    bare.figure().savefig(io.BytesIO())


def test_everything_but_the_pictures_survives_json() -> None:
    found = json.loads(json.dumps(answer().to_dict()))
    assert found == answer().to_dict()
    assert found["intervals"] == {"80": [5.5, 8.1], "95": [4.0, 9.6]}
    film = {"imdb_id": "tt0000001", "title": "Film 1", "year": 1991, "score": 5.1, "distance": 0.5}
    assert found["similar"][1] == film
    fields = {field.name for field in dataclasses.fields(Prediction)}
    assert fields - found.keys() == {"frames", "heat", "results"}


def test_the_page_needs_nothing_from_outside() -> None:
    page = answer()._repr_html_()
    read = Reader(page)
    assert len(read.links) == 5 + 2 + 5 and "script" not in read.tags
    assert all(link.startswith("data:image/jpeg;base64,") for link in read.links)
    assert "http" not in re.sub(r"base64,[^\"]*", "", page) and len(page) < 200_000


def test_the_pictures_on_the_page_are_the_frames() -> None:
    link = Reader(answer()._repr_html_()).links[2]
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(link.split(",")[1]))))
    assert picture.shape == (90, 160, 3) and np.abs(picture.astype(int) - 120).max() < 4


def test_a_strangers_text_stays_text() -> None:
    films = [Neighbour("tt0000001", HOSTILE, 1990, 5.0, 0.1, np.zeros((45, 80, 3), np.uint8))]
    read = Reader(answer(trailer=HOSTILE, warnings=[HOSTILE], verdict=f"{HOSTILE}!", similar=films)._repr_html_())
    assert "script" not in read.tags and "".join(read.texts).count(HOSTILE) == 4


@pytest.mark.parametrize("text", ["$\\frac{$", "$x$", "\\n%s{}"])
def test_a_title_is_no_formula_in_the_figure(text: str) -> None:
    films = [Neighbour("tt0000001", text, 1990, 5.0, 0.1, np.zeros((45, 80, 3), np.uint8))]
    answer(trailer=text, warnings=[text], verdict=text, similar=films).figure().savefig(io.BytesIO())


def test_the_page_takes_its_colours_from_around_it() -> None:
    page = answer()._repr_html_()
    assert "currentColor" in page
    assert not re.search(r"(?<!-)color:\s*(black|white|#000|#fff)", page)


def test_the_figure_shows_scale_frames_heat_and_similar_films() -> None:
    figure = answer().figure()
    pictures = [axis for axis in figure.axes if axis.images]
    titles = [axis.get_title(loc="left") for axis in pictures]
    assert titles[:5] == ["0.0 s: +0.10", "2.5 s: -0.30", "5.0 s: +0.02", "7.5 s: +0.00", "10.0 s: +0.20"]
    assert titles[5:7] == ["where in the frames that moved it most\n2.5 s", "10.0 s"]
    assert titles[7] == "similar films\nFilm 0 (1990): 5.0" and len(titles) == 12
    hot = pictures[5].images[0].get_array()
    assert hot[10, 10, 0] - int(hot[80, 150, 0]) > 50
    bars = [axis.lines[0].get_xdata()[1] for axis in pictures[:5]]
    assert bars == pytest.approx([160 / 3, 160, 160 * 0.02 / 0.3, 160 * 0.001 / 0.3, 160 * 2 / 3])


@pytest.mark.parametrize("count", [1, 15])
def test_any_number_of_frames_is_drawn(count: int) -> None:
    frames = np.zeros((count, 36, 64, 3), np.uint8)
    many = answer(frames=frames, seconds=np.arange(count), pulls=np.zeros(count), strongest=np.array([0]),
                  heat=np.zeros((1, 36, 64), np.float32))  # fmt: skip
    assert len([axis for axis in many.figure().axes if axis.images]) == min(count, 10) + 1 + 5
    many.figure().savefig(io.BytesIO())


def test_of_many_frames_those_that_moved_the_answer_most_are_shown_in_the_films_order() -> None:
    pulls = np.linspace(-0.1, 0.4, 40)
    many = answer(frames=np.zeros((40, 90, 160, 3), np.uint8), seconds=np.arange(40.0), pulls=pulls).strip()
    assert [shot.caption for shot in many.frames] == [f"{n:.1f} s: {pulls[n]:+.2f}" for n in range(30, 40)]
    assert "Of 40 frames the 10 that moved it most are shown." in many.notes
    assert not any("frames the" in note for note in answer().strip().notes)
