"""What a user calls a trailer (a video, a folder of pictures, a link) -> frames, those a network sees, and sound."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

from trailer_lib import download, files, video
from trailer_lib.catalog import FILM_ID, LINK, youtube_id
from trailer_lib.dataset import evenly_spaced, resize_frame
from trailer_lib.errors import SourceError, TrailerError
from trailer_lib.settings import DatasetSettings, ScrapeSettings, TrainSettings
from trailer_lib.video import BANDS, NoInformativeFrames, NoSound

FEW = 5  # frames: the fewest that the original took
SHORTEST, LONGEST = 10.0, 600.0  # seconds of a trailer
MOST_SECONDS = 1800.0  # of a video from a link or an upload
MOST_PICTURES = 600  # of a folder: as many as a scrape may draw
MOST_BYTES = 4e9  # of the frames that a model file may ask for
NO_SOUND = np.empty((BANDS, 0), np.uint8)  # a spectrogram of no columns


@dataclass(frozen=True)
class TrailerFrames:
    """Frames of a trailer that passed the filter: `kept_frames` of `sampled_frames`.

    `pixels`: uint8 [n, height, width, 3]; `seconds`: float64 [n], nan where unknown; `warnings`: sentences on what is
    doubtful; `views`: int [views, frames], the frames in each test-time view (see choose_views). `clips`: uint8
    [m, 128, 128] of its sound, at `clip_seconds` [m]; `no_sound`: why there are none.
    """

    name: str
    pixels: np.ndarray
    seconds: np.ndarray
    sampled_frames: int
    kept_frames: int
    warnings: tuple[str, ...]
    clips: np.ndarray
    clip_seconds: np.ndarray
    no_sound: str
    views: np.ndarray | None = None


Prepared = tuple[TrailerFrames | str, float]  # a trailer's frames or why there are none, and the seconds it took


def read_trailer(
    trailer: str | Path, settings: ScrapeSettings, begin: Callable[[str], object] = lambda step: None, threads: int = 0
) -> TrailerFrames:
    """The frames of a file, folder or link, sampled and filtered by `settings`, and its sound.

    `begin` gets "fetch" and "frames". `threads` decode, 0 takes all cores. A trailer may have no frames that pass the
    filter if it has sound; TrailerError when it has neither, or when there is no trailer.
    """
    size = 3 * settings.count * settings.height**2 * 16 / 9 * 3  # few good frames make three times as many be drawn
    if size > MOST_BYTES:
        raise TrailerError(f"the model asks for {size / 1e9:.0f} GB of frames: at most {MOST_BYTES / 1e9:.0f} are made")
    path = Path(trailer)
    if LINK.match(str(trailer)):
        frames = _from_link(str(trailer), settings, begin, threads)
    else:
        begin("frames")
        file = download.Fetched(path)
        frames = _from_folder(path, settings) if path.is_dir() else _from_video(file, path.name, settings, threads)
    if frames.kept_frames >= FEW or not frames.kept_frames:
        return frames
    few = f"Only {frames.kept_frames} of {frames.sampled_frames} frames passed the filter: too few to say much."
    return replace(frames, warnings=(*frames.warnings, few))


def _from_link(link: str, settings: ScrapeSettings, begin: Callable[[str], object], threads: int) -> TrailerFrames:
    """Fetched without the cookies that the model file names: they are its maker's."""
    from trailer_lib.scrape import fetch_trailer, fetch_youtube  # yt-dlp and requests take time to import

    begin("fetch")
    video_id = youtube_id(link)
    name = video_id or download.printable_url(link)
    with files.scratch_folder() as scratch:
        if video_id:
            fetched = fetch_youtube(video_id, scratch, settings.height, longest=MOST_SECONDS)
        elif download.is_public(urlsplit(link).hostname):
            fetched = fetch_trailer("", link, ScrapeSettings(source="links"), scratch, scratch)
        else:
            raise SourceError("refused", f"{name}: leads to a private address: give a public one", True)
        begin("frames")
        refuse_long_video(fetched.video, name)
        return _from_video(fetched, name, settings, threads)


def refuse_long_video(path: Path, name: str) -> None:
    """TrailerError when the video is longer than MOST_SECONDS; nothing is decoded."""
    minutes, most = video.probe(path).duration / 60, MOST_SECONDS / 60
    if minutes > most:
        raise TrailerError(f"{name}: {minutes:.0f} minutes long: at most {most:.0f} are taken from a link or an upload")


def _from_video(fetched: download.Fetched, name: str, settings: ScrapeSettings, threads: int) -> TrailerFrames:
    warnings = []
    try:
        sample = video.sample_informative(fetched.video, "predict", settings, settings.height, threads)
        frames, kept = sample.frames, np.array([reason is None for reason in sample.reasons])
        pixels, seconds = frames.pixels[kept], frames.seconds[kept]
        warnings = [frames.note] if frames.note else []
    except (NoInformativeFrames, video.NoPicture) as error:
        frames, kept, failure = None, np.zeros(len(getattr(error, "reasons", [])), bool), error
        pixels, seconds = np.empty((0, 1, 1, 3), np.uint8), np.empty(0)
    sound, no_sound = _read_sound(fetched, frames)
    if frames is None:
        if no_sound:
            raise failure
        warnings.append(f"{one_line(failure)}.")
    elif frames.duration < SHORTEST:
        warnings.append(f"The video is {frames.duration:.1f} s long: too short for a trailer.")
    elif frames.duration > LONGEST:
        warnings.append(f"The video is {frames.duration / 60:.0f} minutes long: is it the whole film?")
    clips = video.sound_clips(sound)
    facts = pixels, seconds, len(kept), len(pixels), tuple(warnings)
    return TrailerFrames(files.printable(name), *facts, *clips, no_sound)


def _read_sound(fetched: download.Fetched, frames: video.Frames | None) -> tuple[np.ndarray, str]:
    """The spectrogram of a trailer's sound, of the time of its frames, uint8 [128, columns]; and why it has none."""
    if fetched.no_sound:
        return NO_SOUND, fetched.no_sound
    start, longest = (frames.start, frames.duration) if frames else (0.0, LONGEST)
    try:
        return video.read_sound(fetched.sound or fetched.video, start, longest), ""
    except NoSound as error:
        return NO_SOUND, error.kind


def _from_folder(folder: Path, settings: ScrapeSettings) -> TrailerFrames:
    """The pictures and the sound of a folder. Pictures of a scrape have passed the filter already."""
    try:
        sound, warnings = video.load_sound(folder), []
        no_sound = f"no {video.SOUND} in its folder" if sound is None else ""
    except TrailerError as error:
        sound, no_sound, warnings = None, "damaged", [f"{error}."]
    clips, clip_seconds = video.sound_clips(NO_SOUND if sound is None else sound)
    record, paths = video.read_record(folder), video.picture_paths(folder)
    if not paths and not len(clips):
        videos = any(video.is_video_name(path.name) for path in folder.iterdir())
        remedy = "its videos are for --csv" if videos else "name a video, or a folder of frames"
        raise TrailerError(f"{folder}: no pictures (.jpg, .png, .webp) in it: {remedy}")
    chosen = [paths[n] for n in np.unique(np.linspace(0, len(paths) - 1, MOST_PICTURES).astype(int))] if paths else []
    pixels, damaged = _read_pictures(chosen, settings.height)
    reasons = [None] * len(pixels) if record or not len(pixels) else video.drop_reasons(pixels, settings.filter)
    kept = np.array([reason is None for reason in reasons], bool)
    if not kept.any() and not len(clips):
        raise TrailerError(f"{folder.name}: the filter kept none of {len(kept)} pictures: all black or cards?")
    times = record.get("seconds")
    timed = isinstance(times, list) and len(times) == len(kept)
    seconds = np.array(times, np.float64) if timed else np.full(len(kept), np.nan)
    if damaged:
        warnings.append(f"{len(damaged)} of {len(chosen)} pictures left out: {damaged[0]}.")
    name, counts = files.printable(folder.name), (len(chosen), int(kept.sum()))
    return TrailerFrames(name, pixels[kept], seconds[kept], *counts, tuple(warnings), clips, clip_seconds, no_sound)


def _read_pictures(paths: list[Path], height: int) -> tuple[np.ndarray, list[TrailerError]]:
    """Pictures of any size in that of the first, at most `height` lines: uint8 [n, lines, width, 3]; and the errors."""
    pictures, damaged, size = [], [], (0, 0)
    for path in paths:
        try:
            picture = Image.fromarray(video.read_picture(path))
        except TrailerError as error:
            damaged.append(error)
            continue
        if not pictures:
            lines = min(picture.height, height)
            size = (max(1, round(picture.width * lines / picture.height)), lines)
        pictures.append(np.asarray(picture.resize(size, Image.Resampling.BOX)))
    if damaged and not pictures:
        raise damaged[0]
    return np.array(pictures, np.uint8).reshape(len(pictures), *size[::-1], 3), damaged


def choose_views(frames: TrailerFrames, settings: TrainSettings) -> TrailerFrames:
    """The frames that are in at least one test-time view, with `views` drawn as in the model's test.

    No frames for a model that has not learnt from frames.
    """
    if not frames.kept_frames or "frames" not in settings.sources:
        return replace(frames, pixels=frames.pixels[:0], seconds=frames.seconds[:0])
    count, needed, rng = frames.kept_frames, settings.frames, np.random.default_rng(settings.seed)
    views = evenly_spaced(count, needed)[None]
    if settings.views > 1:
        views = np.stack([np.sort(rng.choice(count, needed, replace=count < needed)) for _ in range(settings.views)])
    used, places = np.unique(views, return_inverse=True)
    return replace(frames, pixels=frames.pixels[used], seconds=frames.seconds[used], views=places.reshape(views.shape))


def resize_frames(pixels: np.ndarray, settings: DatasetSettings) -> np.ndarray:
    """Frames of any size as the dataset holds them: uint8 [n, size, size, 3]."""
    resized = [resize_frame(Image.fromarray(frame), settings) for frame in pixels]
    return np.array(resized, np.uint8).reshape(-1, settings.size, settings.size, 3)


def prepare(trailer: str, scrape: ScrapeSettings, dataset: DatasetSettings, train: TrainSettings) -> Prepared:
    """In a worker: a trailer's frames at the network's size, or why there are none; and the seconds it took."""
    start = time.perf_counter()
    try:
        frames = choose_views(read_trailer(trailer, scrape, threads=1), train)
        result = replace(frames, pixels=resize_frames(frames.pixels, dataset))
    except (TrailerError, OSError, MemoryError) as error:  # as text: not every error can be pickled
        result = one_line(error)
    return result, time.perf_counter() - start


def one_line(error: BaseException) -> str:
    """An error as one line of at most 300 characters."""
    text = str(error) if isinstance(error, TrailerError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())[:300]


def film_id(trailer: str) -> str:
    """The IMDb id, or another FILM_ID, in the file name of a trailer; "" for none."""
    match = FILM_ID.search(Path(trailer).name)
    return match[0] if match else ""


def refuse_input(out: Path, *inputs: Path) -> None:
    """TrailerError when `out` is one of the `inputs` of the same command, or would lie in one that is a folder."""
    for path in inputs:
        if any(place.exists() and path.exists() and place.samefile(path) for place in (out, out.parent)):
            raise TrailerError(f"{out}: would be written over an input, or among its pictures: name another file")
