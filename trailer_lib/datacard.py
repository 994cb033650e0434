"""The facts of a dataset as a page to read: dataset/CARD.md."""

from typing import Any


def text(card: dict[str, Any]) -> str:
    """The page of `Dataset.card`, in Markdown."""
    rows, side = card["shape"][:2]
    spread = card["train_score"]
    return "\n".join(
        [
            "# This dataset",
            f"{card['films']} films, {card['frames']} frames of {side} x {side} pixels; made by the code, do not edit.",
            "",
            f"- `frames.npy`: uint8 `[{rows}, {side}, {side}, 3]`, RGB; what is between two films' rows is no film's.",
            "- `films.csv`: a row a film: its facts, its split, its rows (`first`, `count`), their SHA-256.",
            "- `dataset.json`: this page's facts. `frames.jsonl`: what the next build goes on from.",
            "",
            f"Frames from {card['source']}; scores from {card['scores_from']}.",
            f"The train films' scores: mean {spread['mean']:.3f}, sd {spread['sd']:.3f}.",
            *_table("split", "films", card["splits"]),
            *_table("left out because", "films", card["left_out"]),
            *_table("setting", "value", card["settings"]),
            *_table("scrape setting", "value", card["scrape"]),
            *_table("hash of", "SHA-256", card["hashes"] | {"films, scores and splits": card["split_hash"]}),
            "",
        ]
    )


def _table(name: str, value: str, rows: dict[str, Any]) -> list[str]:
    lines = [f"| {key} | `{found}` |" for key, found in rows.items()]
    return ["", f"| {name} | {value} |", "| --- | --- |", *lines] if lines else []
