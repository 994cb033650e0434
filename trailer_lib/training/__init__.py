"""A dataset -> a model with its history and test result, in models/; and a table of several schemes.

run: a training, from its settings to its files. module: loss, optimiser, checkpoints, resuming. batches: frames of
films, augmentation. frozen: cached features and the head fitted on them. scoring: predictions on a split, the test, the
index of similar films. comparison: schemes on the same folds.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "batches": ["process_place", "split_loader"],
        "comparison": ["compare", "comparison_table", "find_schemes", "read_schemes"],
        "module": ["BEST", "HISTORY", "PREDICTIONS", "RESULTS"],
        "run": ["new_module", "train"],
        "scoring": ["PREDICTED", "Run"],
    },
)
