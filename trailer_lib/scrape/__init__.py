"""Films with a trailer go in; a folder of frames for each film and the ledger of all attempts come out."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "ledger": ["LEDGER", "failures", "first_folder", "latest_entries", "sounds", "status", "summary"],
        "pool": ["Schedule", "worker_pool"],
        "run": ["scrape"],
        "sources": ["fetch_trailer"],
        "youtube": ["fetch_youtube", "read_cookies"],
    },
)
