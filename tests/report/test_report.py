"""The report of a training run and its model card: what stands in them, what can't, and how a browser shows them."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from trailer_lib import files, report, report_charts, report_html
from trailer_lib.__main__ import main
from trailer_lib.dataset import builder
from trailer_lib.errors import TrailerError
from trailer_lib.evaluation import metrics as metrics_file
from trailer_lib.evaluation.metrics import Metric
from trailer_lib.project import Project
from trailer_lib.report import model_card
from trailer_lib.report.model_card import RunFacts
from trailer_lib.scrape import ledger
from trailer_lib.training.callbacks import HISTORY, PREDICTIONS, RESULTS

Copy = Callable[[Path], Project]
CHROMIUM = Path("/usr/bin/chromium")
QUIET = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-sync".split()
)
HOSTILE = "<script>alert(1)</script><img src=http://x.invalid/a onerror=alert(2)>\"'&"
CARD = ["Model details", "Intended use", "Data", "Training", "Results", "Limits", "Ethical notes"]
SECTIONS = "data settings learning results predictions films limits".split()


class Seen(HTMLParser):
    """The elements of a page as (tag, attributes), and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list) -> None:
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def all(self, tag: str, kind: str = "") -> list[dict]:
        return [found for name, found in self.elements if name == tag and kind in (found.get("class") or "")]

    def loads(self) -> list[str]:
        """What a browser would fetch: links of elements that load, and url() or @import in styles."""
        links = [
            found[key]
            for tag, found in self.elements
            if tag != "a"
            for key in ("src", "href", "data")
            if found.get(key)
        ]
        styles = " ".join(found.get("style") or "" for _, found in self.elements) + " ".join(self.text)
        return [*links, *re.findall(r"@import|url\((?!#)[^)]*\)", styles)]


@pytest.fixture(scope="module")
def facts(trained_root: Path) -> RunFacts:
    return model_card.read_run(Project(trained_root))


@pytest.fixture(scope="module")
def html(facts: RunFacts) -> str:
    return report_html.page(facts)


@pytest.fixture
def small(trained_root: Path, tmp_path: Path) -> Project:
    """A copy of the trained root that a test may change, without the model files, which a report does not read."""
    return Project(
        Path(shutil.copytree(trained_root, tmp_path / "root", ignore=shutil.ignore_patterns("*.pt", "images")))
    )


def change(path: Path, **values: object) -> None:
    files.write_json(path, json.loads(path.read_text()) | values)


def test_the_command_writes_the_page_and_the_card_beside_it(
    trained_root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", "--root", str(trained_root), "--out", str(tmp_path / "run.html")]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run.html", "run.md"]
    assert f"report: {tmp_path / 'run.html'}" in capsys.readouterr().out
    assert (tmp_path / "run.html").stat().st_size < 5_000_000


def test_the_page_has_every_section_and_the_runs_own_numbers(html: str, facts: RunFacts) -> None:
    seen, text = Seen(html), " ".join(Seen(html).text)
    ids = {found.get("id") for _, found in seen.elements}
    assert [name for name in SECTIONS if name not in ids] == []
    assert facts.results["verdict"] in text and facts.data.card["scores_from"] in text
    assert str(Metric(**facts.results["metrics"]["mean baseline"]["Spearman"])) in text
    for name, value, meaning in facts.settings["train"]:
        assert name in text and value in text and meaning in text
    assert len(seen.all("circle", "best")) == 1 and len(seen.all("polyline")) == 3
    assert [float(found["cy"]) for found in seen.all("circle", "train")] != []


def test_each_test_film_is_a_dot_that_names_it(html: str, facts: RunFacts) -> None:
    assert len(Seen(html).all("circle", "film")) == len(facts.predictions) + 1  # and the one in the table of results
    for film in facts.predictions.itertuples():
        assert f"<title>{film.title} ({film.year:.0f}): true {film.score:.1f}, predicted {film.predicted:.1f}" in html


def test_the_answers_are_those_of_the_run(trained_root: Path, facts: RunFacts) -> None:
    written = pd.read_csv(trained_root / "models" / PREDICTIONS)
    assert list(written) == ["imdb_id", "title", "year", "score", "predicted"]
    found = metrics_file.mae(written.score.to_numpy(), written.predicted.to_numpy())
    assert found == pytest.approx(facts.results["metrics"]["trailer"]["MAE"]["value"], abs=1e-5)
    assert facts.data.films.imdb_id[facts.predictions.index].tolist() == facts.predictions.imdb_id.tolist()


def test_best_films_come_with_small_frames_and_smaller_errors_than_worst(facts: RunFacts) -> None:
    best, worst = (report_html._films(facts, best=first) for first in (True, False))
    errors = {report_charts.film_line(film): abs(film.error) for film in facts.predictions.itertuples()}
    assert max(errors[film["line"]] for film in best) <= min(errors[film["line"]] for film in worst)
    pictures = [picture for film in best + worst for picture in film["frames"]]
    assert all(picture.startswith("data:image/jpeg;base64,") and len(picture) < 20_000 for picture in pictures)
    assert len(pictures) == len(best + worst) * report_html.FRAMES


def test_the_page_loads_nothing(html: str) -> None:
    links = Seen(html).loads()
    assert links and all(link.startswith("data:") for link in links)
    assert "default-src 'none'" in html


@pytest.mark.parametrize(
    "loaded",
    [
        "<img src='https://x.invalid/a.png'>",
        "<link href='//x.invalid/a.css'>",
        "<p style='background:url(//x.invalid)'>",
    ],
)
def test_a_page_that_loads_something_is_noticed(html: str, loaded: str) -> None:
    assert not all(link.startswith("data:") for link in Seen(html + loaded).loads())


def test_nothing_of_the_machine_is_shown(trained_root: Path, facts: RunFacts, html: str) -> None:
    pictures = re.compile("base64,[^\"']*")  # their letters may be anything
    for text in (pictures.sub("", html), model_card.model_card_text(facts)):
        assert str(trained_root) not in text and str(Path.home()) not in text and "/tmp" not in text


def test_a_setting_of_the_run_is_shown_without_its_folders(small: Project) -> None:
    path = small.models / RESULTS
    change(path, settings=json.loads(path.read_text())["settings"] | {"weights": "/home/me/secret/w.pth"})
    found = model_card.read_run(small)
    for text in (report_html.page(found), model_card.model_card_text(found)):
        assert "w.pth" in text and "secret" not in text


@pytest.mark.parametrize(
    "value, shown",
    [
        ("folder:/home/me/trailers", "folder:trailers"),
        ("/home/me/my films/cookies.txt", "cookies.txt"),
        ("C:\\Users\\me\\w.pth", "w.pth"),
        ("~/w.pth", "w.pth"),
        ("../../me/w.pth", "w.pth"),
        ("folder:trailers", "folder:trailers"),
        ("weights/w.pth", "weights/w.pth"),
        (5, 5),
    ],
)
def test_a_setting_loses_the_folders_of_the_machine(value: object, shown: object) -> None:
    assert model_card.without_folders(value) == shown


def test_what_strangers_wrote_stays_text(small: Project) -> None:
    films = pd.read_csv(small.models / PREDICTIONS)
    films.assign(title=HOSTILE).to_csv(small.models / PREDICTIONS, index=False)
    change(small.models / RESULTS, weights=f"{HOSTILE}|", warnings=[HOSTILE])
    facts = model_card.read_run(small)
    html, card = report_html.page(facts), model_card.model_card_text(facts)
    seen = Seen(html)
    assert len(seen.all("script")) == 1 and "onerror" not in str(seen.elements)
    assert HOSTILE in " ".join(seen.text)
    assert all(link.startswith("data:") for link in seen.loads())
    assert "<script" not in card.replace("\\<", "") and "\\<script\\>" in card


def test_an_unescaped_title_would_be_noticed(html: str) -> None:
    assert len(Seen(html + HOSTILE).all("script")) == 2


def test_the_card_has_the_usual_sections_in_order(facts: RunFacts) -> None:
    text = model_card.model_card_text(facts)
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == CARD
    assert "Not for decisions on people" in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) > len(facts.settings["train"]) and all(line.endswith(" |") for line in rows)
    assert model_card.escape("a|b\n# [c](http://d)") == r"a\|b \# \[c\](http://d)"


def test_films_that_were_left_out_and_the_scrapes_outcomes_are_counted(copy_of: Copy, trained_root: Path) -> None:
    project = copy_of(trained_root)
    (project.images / "A Stranger tt0000001").mkdir()
    builder.build(project, project.settings("dataset"))
    entries = [
        ledger.Entry("tt1", "a", "later", "network"),
        ledger.Entry("tt1", "a", "ok", kept=3, dropped={"dark": 2}),
        ledger.Entry("tt2", "b", "failed", "private"),
    ]
    for entry in entries:
        ledger.append_entry(project.images / "ledger.jsonl", entry)
    facts = model_card.read_run(project)
    assert facts.scrape == {
        "films": {"frames kept": 1, "failed: private": 1},
        "frames": {"kept": 3, "dropped: dark": 2},
    }
    text = " ".join(Seen(report_html.page(facts)).text)
    assert "not in the catalogue" in text and "failed: private" in text
    assert "not in the catalogue | 1" in model_card.model_card_text(facts)


def test_without_a_ledger_the_page_says_so(small: Project) -> None:
    facts = model_card.read_run(small)
    assert facts.scrape == {"films": {}, "frames": {}}
    assert "No ledger of a scrape here" in report_html.page(facts)


def schemes(facts: RunFacts, name: str) -> dict:
    """What comparing one scheme, with the run's own numbers, would have left."""
    metrics = {name if who == "trailer" else who: found for who, found in facts.results["metrics"].items()}
    minus = {who: {"value": 0.1, "low": -0.1, "high": 0.2} for who in metrics if who != name}
    return {
        "films": 30, "best": name, "metrics": metrics, "seconds": {name: 12.5}, "collapsed": [name], "folds": 3,
        "repeats": 1, "nMSE minus the best scheme's": minus, "nMSE minus the mean baseline's": {}, "left out": {},
    }  # fmt: skip


def test_compared_schemes_get_a_table_of_their_own(small: Project, facts: RunFacts) -> None:
    assert facts.schemes == {} and "Schemes, each film" not in report_html.page(facts)
    files.write_json(small.models / "schemes" / RESULTS, schemes(facts, "<i>mine</i>"))
    found = model_card.read_run(small)
    seen = Seen(report_html.page(found))
    assert "<i>mine</i>" in seen.text and "collapsed: nearly one answer for all" in seen.text
    assert "0.10 [-0.10, 0.20]" in seen.text and not seen.all("i")
    assert r"\<i\>mine\</i\>" in model_card.model_card_text(found)


def test_a_model_that_collapsed_says_so_at_the_top(small: Project) -> None:
    change(small.models / RESULTS, warnings=["collapsed: always the same"], verdict="Collapsed.")
    html = report_html.page(model_card.read_run(small))
    assert html.index("collapsed: always the same") < html.index('id="data"')


def test_losses_that_would_flatten_the_rest_are_cut_off_and_counted(facts: RunFacts) -> None:
    high = report_charts.loss_limit(facts.constants) + 1
    history = pd.DataFrame({"epoch": [1, 2, 3], "train_loss": [high, 1, 1], "val_loss": [1, 0.5, 0.7]})
    changed = RunFacts(**(vars(facts) | {"history": history}))
    assert "1 of 3 epochs are cut" in " ".join(" ".join(Seen(report_html.page(changed)).text).split())
    assert "the saved epoch, 2: val loss 0.500" in report_charts.curves(history, facts.constants, "mse")


def test_a_fitted_head_has_one_point(facts: RunFacts) -> None:
    history = pd.DataFrame({"epoch": [0], "train_loss": [0.9], "val_loss": [0.8]})
    changed = RunFacts(**(vars(facts) | {"history": history}))
    assert "fitted on frozen features" in " ".join(report_html.page(changed).split())
    assert "fitted on frozen features" in model_card.model_card_text(changed)


def test_a_dot_is_where_its_numbers_say() -> None:
    films = pd.DataFrame({"title": ["Low", "High"], "year": 2000, "score": [2.0, 8.0], "predicted": [3.0, 5.0]})
    low, high = Seen(report_charts.scatter(films, 5.0)).all("circle")
    assert float(low["cx"]) < float(high["cx"]) and float(low["cy"]) > float(high["cy"])
    wide = report_charts.WIDTH - report_charts.LEFT - report_charts.RIGHT
    assert float(high["cx"]) - float(low["cx"]) == pytest.approx(wide * 6 / 6.6, abs=0.2)


def test_the_histogram_counts_every_film(facts: RunFacts) -> None:
    chart = report_charts.histogram(facts.data.films, 5.0)
    counts = re.findall(r"(train|val|test): (\d+) films from", chart)
    for split in ("train", "val", "test"):
        assert sum(int(count) for name, count in counts if name == split) == facts.data.card["splits"][split]


def test_a_thousand_test_films_stay_under_the_size(facts: RunFacts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_html, "MOST", 50)
    many = pd.concat([facts.predictions] * 20)
    html = report_html.page(RunFacts(**(vars(facts) | {"predictions": many})))
    assert 25 <= len(Seen(html).all("circle", "film")) <= 51
    longest = many.iloc[:1].assign(title="\u00e9" * 5000)
    line = report_charts.film_line(next(longest.itertuples()))
    assert len(line) < 150
    assert 2 * report_html.MOST * len(line) < 5_000_000


@pytest.mark.parametrize("name", [RESULTS, PREDICTIONS, HISTORY])
def test_a_missing_piece_says_what_to_run(small: Project, tmp_path: Path, name: str) -> None:
    (small.models / name).unlink()
    with pytest.raises(TrailerError, match=rf"{name}: no such file.*python -m trailer_lib train"):
        report.write(small, tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_no_dataset_says_what_to_run(small: Project, tmp_path: Path) -> None:
    shutil.rmtree(small.dataset)
    with pytest.raises(TrailerError, match="python -m trailer_lib dataset"):
        report.write(small, tmp_path / "report.html")


@pytest.mark.parametrize(
    "name, text",
    [
        (RESULTS, "{"), (RESULTS, "[]"), (RESULTS, '{"films": 3}'), (PREDICTIONS, "imdb_id,title\n1,2\n"),
        (PREDICTIONS, "imdb_id,title,year,score,predicted\ntt1,A,2000,inf,3\n"), (PREDICTIONS, ""),
        (PREDICTIONS, "imdb_id,title,year,score,predicted\ntt1,A,2000,5,3\n"),
        (HISTORY, "epoch,train_loss,val_loss\n1,a,b\n"), (HISTORY, "epoch,train_loss,val_loss\n"),
        ("schemes/results.json", "{}"),
    ],
)  # fmt: skip
def test_a_damaged_piece_is_named_in_one_line(small: Project, name: str, text: str) -> None:
    files.write_text(small.models / name, text)
    with pytest.raises(TrailerError) as caught:
        model_card.read_run(small)
    assert Path(name).name in str(caught.value) and "\n" not in str(caught.value)


def test_a_dataset_built_anew_is_not_the_runs(copy_of: Copy, trained_root: Path) -> None:
    project = copy_of(trained_root)
    builder.build(project, project.settings("dataset", salt="another"))
    with pytest.raises(TrailerError, match="of another dataset"):
        model_card.read_run(project)


def test_films_split_otherwise_are_not_the_runs(small: Project) -> None:
    change(small.models / RESULTS, split_hash="0" * 12)
    with pytest.raises(TrailerError, match="of another dataset"):
        model_card.read_run(small)


def test_the_page_must_end_in_html(trained_root: Path, tmp_path: Path) -> None:
    with pytest.raises(TrailerError, match=r"ends in \.html"):
        report.write(Project(trained_root), tmp_path / "report.md")


def contrast(one: str, other: str) -> float:
    """Contrast of two #rgb or #rrggbb colours, 1 to 21 (WCAG 2.1, relative luminance)."""

    def luminance(colour: str) -> float:
        digits = colour.lstrip("#")
        digits = "".join(2 * digit for digit in digits) if len(digits) == 3 else digits
        parts = np.array([int(digits[n : n + 2], 16) / 255 for n in (0, 2, 4)])
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_colours_stand_out_from_the_page(scheme: int) -> None:
    style = (Path(report_html.__file__).parent / "report.css").read_text()
    found = dict(re.findall(r"--(\w+):(#\w+)", re.findall(r":root\{([^}]*)\}", style)[scheme]))
    assert contrast("#fff", "#000") == pytest.approx(21) and contrast("#777", "#888") < 3
    for text in ("ink", "quiet", "train"):  # links are of train's colour
        assert contrast(found[text], found["page"]) >= 4.5 and contrast(found["ink"], found["soft"]) >= 4.5
    for mark in ("train", "val", "test", "mean baseline", "best", "alert"):
        assert contrast(found[mark], found["page"]) >= 3


@pytest.fixture(scope="module")
def browser() -> Iterator:
    sync = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    if not CHROMIUM.exists():
        pytest.skip("needs Debian's chromium")
    with sync.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=str(CHROMIUM), args=QUIET)
        yield opened
        opened.close()


@pytest.fixture(params=[(1200, "light"), (390, "dark")], ids=str)
def shown(request: pytest.FixtureRequest, browser: object, html: str, tmp_path: Path) -> SimpleNamespace:
    """The page in a browser: `page`, what it asked for, and what it complained of."""
    width, scheme = request.param
    page = browser.new_page(viewport={"width": width, "height": 844}, color_scheme=scheme)
    asked, complaints = [], []
    page.on("request", lambda found: asked.append(found.url))
    page.on("console", lambda found: complaints.append(found.text))
    page.on("pageerror", lambda found: complaints.append(str(found)))
    files.write_text(tmp_path / "report.html", html)
    page.goto((tmp_path / "report.html").as_uri())
    return SimpleNamespace(page=page, asked=asked, complaints=complaints, width=width, scheme=scheme)


def test_a_browser_asks_for_nothing_and_nothing_sticks_out(shown: SimpleNamespace) -> None:
    for fold in shown.page.locator("details").all():
        fold.evaluate("fold => fold.open = true")
    assert shown.page.evaluate("document.documentElement.scrollWidth") <= shown.width
    assert [url[:80] for url in shown.asked if not url.startswith(("data:", "file:"))] == []
    assert sum(url.startswith("file:") for url in shown.asked) == 1 and shown.complaints == []
    background = shown.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 27)"}[shown.scheme]


def test_a_wide_element_is_noticed(shown: SimpleNamespace) -> None:
    shown.page.evaluate("document.body.insertAdjacentHTML('beforeend', '<div style=width:1300px>wide</div>')")
    assert shown.page.evaluate("document.documentElement.scrollWidth") > shown.width


def test_pointing_at_a_dot_names_its_film(shown: SimpleNamespace, facts: RunFacts) -> None:
    lines = [report_charts.film_line(film) for film in facts.predictions.itertuples()]
    assert shown.page.locator("#said").inner_text().strip() == ""
    dot = shown.page.locator("#scatter circle.film").first
    dot.scroll_into_view_if_needed()
    box = dot.bounding_box()
    shown.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert shown.page.locator("#said").inner_text() in lines
    assert shown.page.locator("#scatter circle.on").count() == 1


def test_the_policy_lets_no_other_script_run_and_no_picture_in(shown: SimpleNamespace) -> None:
    hostile = "const s=document.createElement('script');s.textContent='window.ran=1';document.body.append(s);"
    shown.page.evaluate(
        f"{hostile} document.body.append(Object.assign(new Image(), {{src: 'http://127.0.0.1:9/a.png'}}))"
    )
    assert shown.page.evaluate("window.ran") is None
    assert any("Content Security Policy" in text for text in shown.complaints)
