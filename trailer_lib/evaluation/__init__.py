"""Predictions in, numbers that can be believed out: metrics with intervals, beside baselines that see no trailer.

`metrics`: metrics and intervals. `baselines`: what metadata alone predicts. `stacking`: one prediction of several
sources'. `results`: a split's result beside the baselines. `evidence`: what tables of trailer features add.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "baselines": "BASELINES add_metadata baseline_losses baseline_predictions genre_loss genre_terms"
        " median_prediction metadata_parts metadata_table missing_baselines".split(),
        "evidence": "evaluate_features evidence_films evidence_table read_features".split(),
        "metrics": "LEVELS Metric collapsed conformal_intervals evaluate_all paired_difference".split(),
        "results": "compare_schemes compare_with_baselines comparison_table difference difference_table error_table"
        " is_better metric_table result_warnings trailer_row verdict".split(),
        "stacking": "METADATA_PARTS SOURCES TRAILER Case Stack case_of rows_of".split(),
    },
)
