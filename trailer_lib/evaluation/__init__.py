"""TODO."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "baselines": [
            "BASELINES",
            "add_metadata",
            "baseline_predictions",
            "baseline_losses",
            "fit_genres",
            "genre_prediction",
            "median_prediction",
            "missing_baselines",
        ],
        "evidence": ["evaluate_features", "evidence_films", "evidence_table", "read_features"],
        "metrics": [
            "LEVELS",
            "Metric",
            "collapsed",
            "compare_with_baselines",
            "conformal_intervals",
            "evaluate_all",
            "metric_table",
            "paired_difference",
            "result_warnings",
            "verdict",
        ],
    },
)
