"""A backbone's name -> a regressor over the frames of a film, and its file."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "model_file": ["FORMAT", "ModelFile", "export_onnx", "fingerprint", "read_model", "save_tensors"],
        "regressor": ["FilmRegressor", "build"],
    },
)
