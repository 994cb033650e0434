"""images/ -> dataset/: one array of all films' frames, a table of films with scores and splits, and a dataset card."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "builder": ["build", "match_folders"],
        "dataset": "SPLITS Dataset assign_folds fold_split sizes split_hash split_of".split(),
        "arrays": ["evenly_spaced", "resize_frame"],
        "original_pickle": ["import_pickle", "write_pickle"],
    },
)
