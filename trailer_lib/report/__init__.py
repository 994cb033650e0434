"""TODO."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"app": ["run_app"], "plots": ["scheme_table", "scrape_outcomes"]}
)
