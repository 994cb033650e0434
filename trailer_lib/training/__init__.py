"""TODO."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "batches": ["process_place"],
        "callbacks": ["BEST", "HISTORY", "PREDICTIONS", "RESULTS"],
        "comparison": ["compare", "comparison_table", "find_schemes", "read_schemes"],
        "run": ["PREDICTED", "train"],
    },
)
