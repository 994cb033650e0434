"""Predictions in, numbers that can be believed out: metrics with intervals, beside baselines that see no trailer.

`metrics`: metrics, verdict, intervals of one prediction. `baselines`: what metadata alone predicts, and a result beside
it. `stacking`: one prediction of several sources'. `evidence`: what tables of trailer features add.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "baselines": "BASELINES add_metadata baseline_losses baseline_predictions compare_with_baselines"
        " difference_table error_table genre_loss genre_terms median_prediction metadata_parts metadata_table metric_table"
        " missing_baselines".split(),
        "evidence": "evaluate_features evidence_films evidence_table read_features".split(),
        "metrics": "GAINS LEVELS Metric collapsed conformal_intervals difference evaluate_all is_better"
        " paired_difference result_warnings trailer_row verdict".split(),
        "stacking": "METADATA_PARTS SOURCES TRAILER Case Stack case_of rows_of".split(),
    },
)
