"""A dataset -> a model with its history and its scores, in models/; and a table of several schemes."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "batches": ["augmented_batch", "process_place"],
        "checkpoints": ["BEST", "HISTORY", "PREDICTIONS", "RESULTS", "earlier_runs", "is_start"],
        "comparison": ["compare", "fewer_films", "films_sentence", "find_schemes", "read_schemes"],
        "run": ["new_module", "train"],
        "scoring": ["Run", "Scores", "score_test_films"],
    },
)
