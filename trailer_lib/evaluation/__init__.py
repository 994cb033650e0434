"""Predictions in, numbers that can be believed out: metrics with intervals, beside baselines that see no trailer.

`metrics`: metrics, paired comparisons, verdict, intervals of one prediction. `baselines`: what metadata alone predicts.
`evidence`: what a table of trailer features adds to that.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "baselines": "BASELINES add_metadata baseline_losses baseline_predictions fit_genres genre_loss"
        " median_prediction missing_baselines".split(),
        "evidence": "evaluate_features evidence_films evidence_table read_features".split(),
        "metrics": "LEVELS Metric collapsed compare_with_baselines conformal_intervals evaluate_all genre_prediction"
        " is_better metric_table paired_difference result_warnings verdict".split(),
    },
)
