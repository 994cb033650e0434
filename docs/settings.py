"""The page docs/settings.md, from the code: `python docs/settings.py` writes it."""

from dataclasses import fields
from pathlib import Path

from trailer_lib.options import meaning
from trailer_lib.settings import STAGES

INTRODUCTION = """\
Each stage reads its settings from a notebook's cell or the command line (`KEY=VALUE`), else from `<root>/settings.toml`
(a table for each stage: `[scrape]`, `[dataset]`, `[train]`), else takes these defaults. A training setting that has no
effect beside the others is refused in a line that says what makes it count (of settings.toml it is only warned of)."""


def markdown() -> str:
    """The page: a table of each stage's settings."""
    parts = ["# Settings", INTRODUCTION]
    for stage, kind in STAGES.items():
        rows = ["| setting | default | meaning | counts only |", "| --- | --- | --- | --- |"]
        for item in fields(kind):
            words = item.metadata["counts"].words
            rows.append(f"| `{item.name}` | `{item.default!r}` | {meaning(item).replace('|', 'or')} | {words} |")
        parts.append("\n".join([f"## {stage}", "", *rows]))
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    Path(__file__).with_suffix(".md").write_text(markdown(), encoding="utf-8")
