"""A training run -> a page to look at, and a model card beside it."""

from pathlib import Path

from trailer_lib import files, model_card, report_html, run_facts
from trailer_lib.errors import TrailerError
from trailer_lib.project import Project


def write(project: Project, out: Path) -> tuple[Path, Path]:
    """Write the page `out`, .html, and the card of the same name, .md; both paths. TrailerError: see run_facts.read."""
    if out.suffix != ".html":
        raise TrailerError(f"{out}: expected a name that ends in .html")
    facts = run_facts.read(project)
    card = out.with_suffix(".md")
    files.write_text(out, report_html.page(facts))
    files.write_text(card, model_card.text(facts))
    return out, card
