"""Results in, what people look at out: `plots`, `model_card` (models/README.md), `app` (the page)."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={"app": ["run_app"], "model_card": ["write_card"], "plots": ["scheme_table", "scrape_outcomes"]},
)
