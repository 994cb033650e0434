"""TODO."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "ledger": ["latest_entries"],
        "pool": ["worker_pool"],
        "run": ["LEDGER", "failures", "scrape", "status", "summary"],
        "sources": ["VIDEO_SUFFIXES", "fetch_trailer"],
        "youtube": ["fetch_youtube"],
    },
)
