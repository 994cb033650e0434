"""TODO."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "container": ["probe"],
        "frame_folder": [
            "all_picture_paths",
            "folder_id",
            "folder_name",
            "picture_paths",
            "read_dropped",
            "read_picture",
            "read_record",
            "save_frames",
        ],
        "quality_filter": ["LetterboxBox", "common_box", "drop_reasons", "judge_pictures", "measure_bars"],
        "sampling": ["NoInformativeFrames", "memory_needed", "sample_informative"],
    },
)
