"""TODO."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "builder": ["build"],
        "dataset": ["Dataset", "SPLITS", "assign_folds", "fold_split", "require_splits", "split_hash"],
        "frames": ["evenly_spaced", "resize_frame"],
        "original_pickle": ["import_pickle", "write_pickle"],
    },
)
