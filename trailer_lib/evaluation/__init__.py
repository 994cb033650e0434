"""Predictions in, numbers that can be believed out: metrics with intervals, beside baselines that see no trailer."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "baselines": "BASELINES add_metadata baseline_losses fit_metadata genre_loss metadata_levels".split(),
        "evidence": "evaluate_features evidence_films evidence_table read_features read_tables".split(),
        "metrics": "Metric conformal_intervals is_better paired_difference trailer_row".split(),
        "results": "compare_schemes compare_with_baselines comparison_table difference_table error_table metric_table"
        " result_warnings verdict".split(),
        "stacking": "METADATA_PARTS TRAILER Case Stack case_of".split(),
    },
)
