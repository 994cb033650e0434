"""A video file or a folder of pictures -> frames, and which of them are informative."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "container": ["VIDEO_SUFFIXES", "NoPicture", "is_video_name", "probe"],
        "decode": ["Frames"],
        "frame_folder": "folder_id folder_name picture_paths read_dropped read_picture read_record save_frames"
        " save_sound".split(),
        "quality_filter": ["LetterboxBox", "common_box", "drop_reasons", "judge_pictures", "measure_bars"],
        "sound": "BANDS CLIP COLUMNS_PER_SECOND SOUND NoSound band_tops encoded load_sound read_sound"
        " sound_clips".split(),
        "sampling": ["NoInformativeFrames", "memory_needed", "sample_informative"],
    },
)
