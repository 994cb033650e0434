"""A trained model and a trailer go in, a predicted IMDb score with its reasons and its limits comes out.

`predictor`: the model, ready to predict. `trailer_input`: a video, folder or link -> frames and sound. `film`: its
metadata and what they predict. `explanation`: contributions of frames, heat maps, similar films. `prediction`: the
result; `view`: it as HTML and as a figure. `many`: a folder or list of trailers -> a CSV.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "many": ["predict_many"],
        "predictor": ["Predictor"],
        "trailer_input": ["MOST_SECONDS", "refuse_input", "refuse_long_video"],
        "view": ["html_alert", "html_element", "html_parts"],
    },
)
