"""What tables of trailer features say of the scores: each, all, and on top of the baselines, out of fold."""

import re
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn import impute, linear_model, pipeline, preprocessing

from trailer_lib import catalog
from trailer_lib.dataset import assign_folds
from trailer_lib.errors import TrailerError
from trailer_lib.evaluation import baselines
from trailer_lib.evaluation.metrics import Metric, evaluate_all, paired_difference
from trailer_lib.evaluation.results import metric_table
from trailer_lib.progress import bar
from trailer_lib.project import Project

MAX_BYTES = 4_000_000_000  # 25,000 films of 40,000 columns
IDS = ["imdb_id", "tconst", "imdbid", "const", "youtube_id", "youtubeid", "ytid"]
NO_FEATURES = {*IDS, "title", "year", "movieid", "tag"}
MISSING = {"", "?", "-", "na", "n/a", "#n/a", "nan", "none", "null"}
EXTENDED = {f"{name} + trailer": name for name in list(baselines.BASELINES)[1:]}


def read_tables(paths: Sequence[Path], films: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """`read_features` of each file, by the file's name without its suffix; of a single one as "trailer"."""
    if len(paths) == 1:
        return {"trailer": read_features(paths[0], films)}
    rows = ["trailer", "median", *baselines.BASELINES, *EXTENDED, *(path.stem for path in paths)]
    for path in paths:
        if rows.count(path.stem) > 1:
            raise TrailerError(f"{path}: two rows of the result would be named {path.stem!r}: rename the file")
    return {path.stem: read_features(path, films) for path in paths}


def read_features(path: Path, films: pd.DataFrame) -> pd.DataFrame:
    """The features of those `films` (imdb_id, youtube_id, title, year) that a file has: float32, by imdb_id.

    .npz: `imdb_id` or `youtube_id`, text [n], and arrays of numbers [n, columns] or [n]. .csv, .tsv or .txt: a row a
    film, by one of IDS, or title and year; a column mostly of numbers, or true and false, is a feature, any other cell
    of it nan. `attrs["remarks"]`: lines on what is used, missing, left out. TrailerError: no such file, film, feature.
    """
    kind = path.suffix.casefold()
    if kind not in (".npz", ".csv", ".tsv", ".txt") or not path.is_file():
        raise TrailerError(f"{path}: no such table of features: expected a .npz, .csv or .tsv file")
    try:
        ids, table, remarks = _read_arrays(path) if kind == ".npz" else _read_text(path)
        table = table.set_index(pd.Index(_film_ids(ids, films), name="imdb_id"))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise TrailerError(f"{path}: not a readable table ({' '.join(str(error).split())[:150]})") from error
    rows, table = len(table), table[table.index.isin(films.imdb_id)]
    if not len(table):
        raise TrailerError(f"{path}: none of its films is among the {len(films)} with a score: are the ids IMDb's?")
    twice = table.index[table.index.duplicated()]
    if len(twice):
        raise TrailerError(f"{path}: several rows of {twice[0]}: average or remove them")
    table = table.replace([np.inf, -np.inf], np.nan).dropna(axis=1, how="all")
    if not table.shape[1]:
        raise TrailerError(f"{path}: no column of numbers beside the films' ids")
    missing = [f"{count} in {name}" for name, count in table.isna().sum().items() if count]
    remarks.append(f"{len(table)} of {rows} rows are of films with a score; features: {_first([*table.columns])}")
    table.attrs["remarks"] = remarks + [f"missing values: {_first(missing)}"] * bool(missing)
    return table


def _first(names: list[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def _read_arrays(path: Path) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """The rows' ids, their features, and remarks; ValueError or such for an archive that is no table."""
    with zipfile.ZipFile(path) as packed:
        if sum(entry.file_size for entry in packed.infolist()) > MAX_BYTES:  # before a small file fills the memory
            raise ValueError(f"over {MAX_BYTES:,} bytes unpacked: a row a film was expected")
    with np.load(path, allow_pickle=False) as archive:
        arrays = dict(archive)
    ids = {name: arrays.pop(name) for name in ("imdb_id", "youtube_id") if name in arrays}
    if not ids or any(array.ndim != 1 or array.dtype.kind not in "US" for array in ids.values()):
        raise ValueError(f"no array imdb_id or youtube_id of text [n]; it has {_first([*arrays]) or 'nothing else'}")
    texts = pd.DataFrame({name: array.astype(str) for name, array in ids.items()})
    columns = {}
    for name, array in arrays.items():
        if array.dtype.kind in "fiub" and array.ndim in (1, 2):
            if len(array) != len(texts):
                raise ValueError(f"{name} has {len(array)} rows and the ids {len(texts)}: expected a row a film")
            columns |= {f"{name} {number}": column for number, column in enumerate(array.reshape(len(texts), -1).T)}
    return texts, pd.DataFrame(columns, texts.index, dtype=np.float32), []


def _read_text(path: Path) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """The same of a table as the catalogue reads them."""
    table = catalog.read_rows(path, [], None)
    texts = pd.DataFrame(table.rows, columns=table.columns, dtype=str)
    cells = texts[texts.columns.difference(NO_FEATURES, sort=False)]
    numbers = cells.map(_number).astype(np.float32)
    mostly = numbers.notna().sum() > 0.5 * (~cells.map(str.casefold).isin(MISSING)).sum()
    remarks = [table.remark] * bool(table.remark)
    if table.dropped:
        remarks.append(f"{len(table.dropped)} damaged rows are left out, the first is row {table.dropped[0][1]}")
    if not mostly.all():
        remarks.append(f"left out, as most of their cells are no numbers: {_first([*cells.columns[~mostly]])}")
    return texts, numbers.loc[:, mostly], remarks


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return {"true": 1.0, "false": 0.0}.get(text.casefold(), catalog.parse_number(text))


def _film_ids(rows: pd.DataFrame, films: pd.DataFrame) -> pd.Series:
    """The imdb_id of the film of each row, by IMDb id, else YouTube id, else title and year; None where not clear."""
    by_video = dict(zip(films.youtube_id, films.imdb_id.where(~films.youtube_id.duplicated(keep=False)))) | {"": None}
    ids, columns = pd.Series(None, rows.index, dtype=object), [name for name in IDS if name in rows]
    if not columns and not {"title", "year"} <= {*rows}:
        raise ValueError(f"no column imdb_id or youtube_id, nor title and year; it has {_first([*rows])}")
    for name in columns:
        videos = rows[name].map(catalog.video_id)
        ids = ids.fillna(rows[name].map(_imdb_id)).fillna(videos.map(by_video).mask(videos.duplicated(keep=False)))
    if {"title", "year"} <= {*rows}:  # as the catalogue matches trailers
        rest, others = rows[ids.isna()], films[~films.imdb_id.isin(ids)]
        years = rest.year.map(catalog.parse_number).fillna(0)
        titles = zip(rest.index, (f"{title} ({year:.0f})" for title, year in zip(rest.title, years)))
        listed = [{"row": row, "title": title, "movieId": "", "youtubeId": "-" * 11} for row, title in titles]
        matches, _ = catalog.match_titles(others[["imdb_id", "title", "year"]].to_dict("records"), listed)
        by_row = {row["row"]: imdb_id for imdb_id, (row, _) in zip(others.imdb_id, matches) if row}
        ids = ids.fillna(pd.Series(by_row, dtype=object))
    return ids


def _imdb_id(text: str) -> str | None:
    """Of "tt0114709", a link that has it, or MovieLens' 114709."""
    digits = re.fullmatch(r"(?:tt)?([0-9]{1,10})(?:\.0)?", text)
    found = catalog.FILM_ID.search(text)
    return f"tt{digits[1]:0>7}" if digits else found[0] if found else None


def evidence_films(project: Project) -> pd.DataFrame:
    """Each film with a score in excels/, also without a trailer (youtube_id ""), and those of `baselines.COLUMNS`."""
    if (project.excels / catalog.METADATA).is_file():
        table = pd.DataFrame(catalog.scored_films(project.excels)).astype({"runtime_minutes": "Int64"})
        table["key"], table["youtube_id"] = table.imdb_id, ""
        with suppress(TrailerError):  # no list of trailers
            listed = catalog.load(project).films.set_index("imdb_id").youtube_id
            table["youtube_id"] = table.imdb_id.map(listed).fillna("")
    else:
        table = catalog.load(project).films.assign(key=catalog.trailer_keys)
    columns = ["imdb_id", "youtube_id", "title", "year", "score", "genres", "runtime_minutes", "key"]
    return baselines.add_metadata(project, table[columns].reset_index(drop=True))


def evaluate_features(films: pd.DataFrame, features: Mapping | None = None, folds: int = 5, repeats: int = 3) -> dict:
    """Metrics of predictions out of fold, and what the features add to each baseline, as plain numbers.

    Only films (`evidence_films`) in every table of `features` (`read_tables`) take part; without tables all, for the
    baselines alone. Each table's head and the weights are chosen within the train films of each fold. "trailer": all
    tables stacked; "trailer minus": its paired difference of nMSE to each of several tables.
    """
    features = features or {}
    for table in features.values():
        films = films[films.imdb_id.isin(table.index)]
    films, several = films.reset_index(drop=True), len(features) > 1
    rows, heads = _predict_out_of_fold(films, features, folds, repeats)
    truth, median = films.score.to_numpy(), rows.pop("median")

    def minus(row: str, than: str) -> dict:
        return asdict(paired_difference(truth, rows[row], rows[than]))

    than = {row: EXTENDED.get(row, "mean baseline") for row in rows if row != "mean baseline"}
    differences = {row: {"than": other} | minus(row, other) for row, other in than.items()}
    results = {"films": len(films), "metrics": evaluate_all(truth, rows, median), "nMSE minus": differences}
    results |= {"trailer minus": {name: minus("trailer", name) for name in features}} if several else {}
    facts = {"folds": folds, "repeats": repeats, "left out": baselines.missing_baselines(films), "chosen": heads}
    remarks = [(name, remark) for name, table in features.items() for remark in table.attrs.get("remarks", [])]
    return results | facts | {"remarks": [f"{name}: {remark}" if several else remark for name, remark in remarks]}


def _predict_out_of_fold(films: pd.DataFrame, features: Mapping, folds: int, repeats: int) -> tuple[dict, dict]:
    """The predictions, float [repeats, films], of each row that every fold has, and how often each head was chosen."""
    matrices = {name: table.loc[films.imdb_id].to_numpy() for name, table in features.items()}
    rows, heads = defaultdict(lambda: np.full((repeats, len(films)), np.nan)), Counter()
    for repeat, fold in bar(list(product(range(repeats), range(folds))), desc="evidence", unit="fold"):
        assigned = assign_folds(films.key, folds, repeat)
        if np.bincount(assigned, minlength=folds).min() < 2:
            count = f"{len(films)} films" + f" in all of {', '.join(features)}" * (len(features) > 1)
            raise TrailerError(f"{count} are too few for {folds} folds of 2 or more: name fewer folds")
        if np.ptp(films.score) == 0:
            raise TrailerError(f"all {len(films)} films have the score {films.score[0]}: without a variance no nMSE")
        predictions, chosen = fold_rows(films, matrices, assigned == fold)
        heads.update(chosen)
        for row, predicted in predictions.items():
            rows[row][repeat, assigned == fold] = predicted
    return {row: predicted for row, predicted in rows.items() if np.isfinite(predicted).all()}, dict(heads)


def fold_rows(films: pd.DataFrame, features: dict[str, np.ndarray], test: np.ndarray) -> tuple[dict, list[str]]:
    """Each row's predictions for the films where `test`, bool [films], fitted on the others; the heads chosen."""
    scores, heads = films.score.to_numpy()[~test], feature_heads()
    fitted = baselines.fit_baselines(films[~test], films[test])
    tables = {name: baselines.best_predictions(heads, x[~test], scores, x[test]) for name, x in features.items()}
    rows = {name: source.outer for name, source in (fitted | tables).items()}
    rows["median"] = np.full(test.sum(), np.median(scores))
    if len(tables) > 1:
        rows["trailer"] = stack(tables.values(), scores)
    stacked = {row: name for row, name in EXTENDED.items() if tables and name in fitted}
    rows |= {row: stack([fitted[name], *tables.values()], scores) for row, name in stacked.items()}
    return rows, [f"{name}: {head.model}" if len(tables) > 1 else head.model for name, head in tables.items()]


def stack(predictions: Iterable[baselines.FoldPredictions], scores: np.ndarray) -> np.ndarray:
    """Several models' predictions for the test films, weighted by at least 0 (Breiman 1996, stacked regressions)."""
    _, inner, outer = zip(*predictions)
    return linear_model.LinearRegression(positive=True).fit(np.transpose(inner), scores).predict(np.transpose(outer))


def feature_heads() -> dict[str, pipeline.Pipeline]:
    """Ways to predict the score from rows of features, float [films, columns] with nan where unknown."""
    filled = impute.SimpleImputer(strategy="median", keep_empty_features=True)
    ridge = preprocessing.StandardScaler(), linear_model.RidgeCV(np.logspace(0, 6, 19))
    # Features of a ReLU network are many small values and a few large ones: their roots are nearer to normal.
    roots = preprocessing.FunctionTransformer(lambda values: np.sign(values) * np.sqrt(np.abs(values)))
    steps = {"ridge": (filled, *ridge), "ridge on roots": (filled, roots, *ridge)}
    return {name: pipeline.make_pipeline(*parts) for name, parts in steps.items()}


def evidence_table(results: dict) -> pd.DataFrame:
    """`evaluate_features` as a table: "value [low, high]" in the cells, the nMSE minus that of another row."""
    table = metric_table(results)
    for name in ("nMSE minus", "trailer minus"):
        for row, gain in results.get(name, {}).items():
            table.loc[row, name] = f"{Metric(gain['value'], gain['low'], gain['high']):+.3f}"
            if "than" in gain:
                table.loc[row, "that of"] = gain["than"]
    return table.fillna("")
