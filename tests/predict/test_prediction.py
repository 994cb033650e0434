"""A prediction as text, dict, HTML and figure: nothing missing, warnings first, a stranger's text never executed."""

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

HOSTILE = "<script>alert(1)</script>\"'&$\\frac{$\\n%s{}"
CONTRIBUTIONS = np.array([0.1, -0.3, 0.02, -0.001, 0.2])


def prediction(**changed: object) -> Prediction:
    pictures = np.stack([np.full((90, 160, 3), 40 * n, np.uint8) for n in range(1, 6)])
    heat = np.zeros((2, 90, 160), np.float32)
    heat[:, :45, :80] = 1.0
    similar = [
        Neighbour(f"tt000000{n}", f"Film {n}", 1990 + n, 5.0 + n / 10, 0.5, picture)
        for n, picture in enumerate(pictures)
    ]
    fields = {
        "trailer": "film.mp4", "score": 6.83, "intervals": {80: (5.5, 8.1), 95: (4.0, 9.6)}, "no_interval": "",
        "sources": {"frames": 0.3, "sound": -0.07, "genre only": 0.5}, "missing": ["Of metadata it uses genres."],
        "trailer_score": 6.3, "standing": "Higher than 63 % of the 204 Drama films.",
        "clip_seconds": np.arange(3) * 4.1,
        "clip_contributions": np.array([0.02, -0.04, 0.0]), "mean_baseline": 6.1,
        "genre": 6.4, "frames": pictures, "seconds": np.arange(5) * 2.5,
        "contributions": CONTRIBUTIONS, "strongest": np.array([1, 4]), "heat": heat, "similar": similar,
        "warnings": ["Warning one.", "Warning two."], "sampled_frames": 20, "kept_frames": 14, "split": "test",
        "scored_films": 40, "mae": 0.9, "mean_baseline_mae": 0.95, "verdict": "Better than the mean baseline.",
        "train_films": 300, "model": "0123456789abcdef", "version": "1.0",
    }  # fmt: skip
    return Prediction(**fields | changed)


class Reader(HTMLParser):
    """Tags, texts and pictures of a page; an unclosed tag is an error."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open, self.tags, self.texts, self.pictures = [], [], [], []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attributes: list) -> None:
        self.tags.append(tag)
        self.open += [tag] if tag != "img" else []
        self.pictures += [value for name, value in attributes if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attributes: list) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_warnings_come_before_the_score_in_every_form() -> None:
    text, page = str(prediction()), " ".join(Reader(prediction()._repr_html_()).texts)
    for form in (text, page):
        title = form.index("film.mp4: 6.8 of 10 (from the trailer alone 6.3)")
        assert form.index("Warning one.") < form.index("Warning two.") < title
    assert prediction().figure().get_suptitle() == "Warning one.\nWarning two."
    assert str(prediction(warnings=[])).startswith("film.mp4: 6.8 of 10")
    assert 'role="alert"' not in prediction(warnings=[])._repr_html_()


def test_text_and_page_say_all_there_is() -> None:
    texts = " ".join(Reader(prediction()._repr_html_()).texts)
    for part in (
        "5.5 to 8.1 (80 %)", "4.0 to 9.6 (95 %)", "mean score of its 300 training films, 6.1", "alone predict 6.4",
        "Better", "On its 40 test films with these sources the mean error is 0.90, the mean baseline's 0.95.",
        "frames +0.30", "sound -0.07", "metadata (genres) +0.50", "Of metadata it uses", "63 % of the 204 Drama films",
        "Model 0123456789abcdef, trailer_lib 1.0.",
    ):  # fmt: skip
        assert part in str(prediction()) and part in texts
    assert "by clip of sound: 0 s +0.02, 4 s -0.04, 8 s +0.00" in str(prediction())
    for part in ("2.5 s: -0.30", "0.0 s: +0.10", "7.5 s: +0.00", "Film 4 (1994): 5.4", "genres alone 6.4"):
        assert part in texts


NO_FRAMES = {
    "frames": np.zeros((0, 1, 1, 3), np.uint8), "seconds": np.empty(0), "contributions": np.empty(0),
    "strongest": np.empty(0, int), "heat": np.zeros((0, 1, 1), np.float32), "similar": [],
}  # fmt: skip
NO_SOUND = {"clip_seconds": np.empty(0), "clip_contributions": np.empty(0)}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (NO_FRAMES | {"sources": {"sound": -0.1}, "trailer_score": 6.83}, "film.mp4: 6.8 of 10\n"),
        (NO_SOUND | {"sources": {"frames": 0.1}, "trailer_score": 6.83}, "film.mp4: 6.8 of 10\n"),
        (
            NO_FRAMES | NO_SOUND | {"sources": {"all metadata": 0.7}, "trailer_score": None, "mae": np.nan},
            "film.mp4: 6.8 of 10 (from metadata)\n",
        ),
    ],
    ids=["sound", "frames", "metadata"],
)
def test_one_source_is_enough(fields: dict, words: str) -> None:
    alone = prediction(**fields)
    assert words in str(alone) and words.strip() in alone._repr_html_()
    for source, line, title in (("frames", "by frame", "Frames and"), ("sound", "by clip", "Sound and")):
        assert (line in str(alone)) == (title in alone._repr_html_()) == (source in alone.sources)
    assert ("Its error with these sources is unknown." in str(alone)) == np.isnan(alone.mae)
    alone.figure().savefig(io.BytesIO())


def test_missing_parts_are_named_or_left_out() -> None:
    no_heat = np.zeros((0, 90, 160), np.float32)
    bare = prediction(intervals={}, no_interval="no film", genre=None, similar=[], heat=no_heat,
                      seconds=np.full(5, np.nan), sources={"frames": 0.7}, missing=[])  # fmt: skip
    text, page = str(bare), bare._repr_html_()
    assert "no film." in text and "genres" not in text and "similar" not in text and "frame 2 -0.30" in text
    assert "genres" not in page and "Where in the frames" not in page and "similar" not in page
    bare.figure().savefig(io.BytesIO())


def test_everything_but_the_pictures_survives_json() -> None:
    row = prediction(genre=None, mae=float("nan"), seconds=np.array([0.0, np.nan])).to_dict()
    assert json.loads(json.dumps(row, allow_nan=False)) == row
    assert (row["score"], row["trailer_score"], row["sources"]) == (6.83, 6.3, prediction().sources)
    assert (row["model"], row["version"], row["missing"]) == ("0123456789abcdef", "1.0", prediction().missing)
    assert row["intervals"] == {"80": [5.5, 8.1], "95": [4.0, 9.6]}
    assert (row["seconds"], row["genre"], row["mae"]) == ([0.0, None], None, None)
    assert row["similar"][1] == {"imdb_id": "tt0000001", "title": "Film 1", "year": 1991, "score": 5.1, "distance": 0.5}
    assert {field.name for field in dataclasses.fields(Prediction)} - row.keys() == {"frames", "heat"}


def test_the_page_needs_nothing_from_outside_and_shows_the_frames() -> None:
    page = prediction()._repr_html_()
    read = Reader(page)
    assert len(read.pictures) == 5 + 2 + 5 and "script" not in read.tags
    assert all(link.startswith("data:image/jpeg;base64,") for link in read.pictures)
    assert "http" not in re.sub(r"base64,[^\"]*", "", page) and len(page) < 200_000
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(read.pictures[2].split(",")[1]))))
    assert picture.shape == (90, 160, 3) and np.abs(picture.astype(int) - 120).max() < 4
    assert "currentColor" in page and not re.search(r"(?<!-)color:\s*(black|white|#000|#fff)", page)  # any background


def test_a_strangers_text_stays_text() -> None:
    films = [Neighbour("tt0000001", HOSTILE, 1990, 5.0, 0.1, np.zeros((90, 160, 3), np.uint8))]
    hostile = prediction(trailer=HOSTILE, warnings=[HOSTILE], verdict=f"{HOSTILE}!", similar=films)
    read = Reader(hostile._repr_html_())
    assert "script" not in read.tags and "".join(read.texts).count(HOSTILE) == 4
    hostile.figure().savefig(io.BytesIO())  # nor is it a formula


def test_the_figure_shows_scale_frames_heat_and_similar_films() -> None:
    figure = prediction().figure()
    pictures = [axis for axis in figure.axes if axis.images]
    titles = [axis.get_title(loc="left") for axis in pictures]
    assert titles[0] == "Frames and their contributions, in points\n0.0 s: +0.10"
    assert titles[1:5] == ["2.5 s: -0.30", "5.0 s: +0.02", "7.5 s: +0.00", "10.0 s: +0.20"]
    assert titles[5].startswith("Where in the frames") and titles[5].endswith("\n2.5 s") and titles[6] == "10.0 s"
    assert titles[7].endswith("\nFilm 0 (1990): 5.0") and len(titles) == 12
    hot = pictures[5].images[0].get_array()
    assert hot[10, 10, 0] - int(hot[80, 150, 0]) > 50
    _, sources, sound = (axis for axis in figure.axes if not axis.images)
    assert [bar.get_width() for bar in sources.patches] == pytest.approx([0.6, -0.14, 1.0])
    assert [bar.get_height() for bar in sound.patches] == pytest.approx([0.5, -1.0, 0.0])
    assert "a full bar is 0.04" in sound.get_title(loc="left")


@pytest.mark.parametrize(("contributions", "lengths"), [
    (CONTRIBUTIONS, [1 / 3, 1, 0.02 / 0.3, 0, 2 / 3]),
    (CONTRIBUTIONS / 10, [0.05, 0.15, 0, 0, 0.1]),  # a full bar is at least 0.2 points
])  # fmt: skip
def test_bars_are_scaled_in_points(contributions: np.ndarray, lengths: list[float]) -> None:
    shown = prediction(contributions=contributions)
    axes = [axis for axis in shown.figure().axes if axis.images][:5]
    bars = [axis.lines[0].get_xdata()[1] / 160 if axis.lines else 0 for axis in axes]
    assert bars == pytest.approx(lengths)
    widths = [int(width) / 100 for width in re.findall(r'class="bar" style="width:(\d+)%', shown._repr_html_())]
    assert widths == pytest.approx([length for length in lengths if length], abs=0.006)


def test_of_many_frames_those_with_the_largest_contributions_are_shown() -> None:
    points, sentence = np.linspace(-0.1, 0.4, 40), "Of 40 frames the 10 with the largest contributions are shown."
    many = prediction(frames=np.zeros((40, 36, 64, 3), np.uint8), seconds=np.arange(40), contributions=points,
                      strongest=np.array([0]), heat=np.zeros((1, 36, 64), np.float32))  # fmt: skip
    assert [frame.caption for frame in many.view().frames] == [f"{n:.1f} s: {points[n]:+.2f}" for n in range(30, 40)]
    assert sentence in many.view().notes and sentence not in prediction().view().notes
    assert len([axis for axis in many.figure().axes if axis.images]) == 10 + 1 + 5
