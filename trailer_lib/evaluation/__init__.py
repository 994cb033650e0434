"""Predictions in, numbers that can be believed out: metrics with intervals, beside baselines that see no trailer.

`metrics`: metrics, verdict, intervals of one prediction. `baselines`: what metadata alone predicts, and a result beside
it. `evidence`: what tables of trailer features add.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "baselines": "BASELINES add_metadata baseline_losses baseline_predictions compare_with_baselines error_table"
        " fit_genres genre_loss median_prediction metric_table missing_baselines".split(),
        "evidence": "evaluate_features evidence_films evidence_table read_features read_tables".split(),
        "metrics": "LEVELS Metric collapsed conformal_intervals evaluate_all genre_prediction is_better"
        " paired_difference result_warnings verdict".split(),
    },
)
