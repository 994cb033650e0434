"""TODO."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "many": ["predict_many"],
        "predictor": ["Predictor"],
        "trailer_input": ["MOST_SECONDS", "refuse_long_video"],
        "view": ["html_alert", "html_element", "html_parts"],
    },
)
