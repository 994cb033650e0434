"""What a user calls a trailer (a video file, a folder of pictures, a link) -> the frames that a model is shown."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

from trailer_lib import download, files
from trailer_lib.catalog import LINK, youtube_id
from trailer_lib.dataset import evenly_spaced, resize_frame
from trailer_lib.errors import SourceError, TrailerError
from trailer_lib.settings import DatasetSettings, ScrapeSettings, TrainSettings
from trailer_lib.video import (
    drop_reasons,
    picture_paths,
    probe,
    read_picture,
    read_record,
    sample_informative,
)

GOOD = 5  # frames: the original's fewest
SHORTEST, LONGEST = 10.0, 600.0  # seconds of what is called a trailer
MOST_SECONDS = 1800.0  # of a video that comes from elsewhere, by a link or an upload: half an hour
MOST_PICTURES = 600  # of a folder: as many as a scrape may draw
MOST_BYTES = 4e9  # of the pictures that a model file may ask to be drawn, before the filter


@dataclass(frozen=True)
class TrailerFrames:
    """Good frames of a trailer, uint8 [n, height, width, 3], at `seconds` [n] (nan where unknown).

    `kept` are good of `sampled` ones; all of them, or those that a model is shown (shown.dealt). `warnings`: what about
    the trailer makes an answer doubtful, a sentence each.
    """

    name: str
    pixels: np.ndarray
    seconds: np.ndarray
    sampled: int
    kept: int
    warnings: tuple[str, ...]


def read_trailer(
    trailer: str | Path,
    settings: ScrapeSettings,
    step: Callable[[str], object],
    private_links: bool = False,
    threads: int = 0,
) -> TrailerFrames:
    """The frames of `trailer`, drawn and filtered by `settings`; `step` is told what begins: "fetch", "frames".

    TrailerError when there is no trailer or no good frame. Links: YouTube's and https ones to public addresses; with
    `private_links` also to this machine and its network. `threads` decode, 0 takes all cores.
    """
    _refuse_huge(settings)
    if LINK.match(str(trailer)):
        return _from_link(str(trailer), settings, step, private_links, threads)
    step("frames")
    path = Path(trailer)
    return _checked(_from_folder(path, settings) if path.is_dir() else _from_video(path, path.name, settings, threads))


def _refuse_huge(settings: ScrapeSettings) -> None:
    most = 3 * settings.count * settings.height**2 * 16 / 9 * 3  # a draw may be tripled
    if most > MOST_BYTES:
        raise TrailerError(
            f"the model file asks for {settings.count} frames of {settings.height} lines, up to {most / 1e9:.0f} GB of"
            f" pictures: at most {MOST_BYTES / 1e9:.0f} GB are made"
        )


def _from_link(
    link: str, settings: ScrapeSettings, step: Callable[[str], object], private: bool, threads: int
) -> TrailerFrames:
    step("fetch")
    video = youtube_id(link)
    if not video and not private and not download.is_public(urlsplit(link).hostname):
        raise SourceError(
            "refused", f"{download.printable_url(link)}: leads to a private address: give a public one", True
        )
    with files.scratch_folder() as scratch:
        path = _fetched(video, link, settings.height, scratch)
        step("frames")
        refuse_long_video(path, video or download.printable_url(link))
        return _checked(_from_video(path, video or download.printable_url(link), settings, threads))


def _fetched(video: str, link: str, height: int, scratch: Path) -> Path:
    """Without the cookies that a model's maker used: they are named in its file, and are none of this machine's."""
    if video:
        from trailer_lib.scrape import fetch_youtube  # yt-dlp is slow to import

        return fetch_youtube(video, scratch, height, longest=MOST_SECONDS)
    from trailer_lib.scrape import fetch_trailer  # requests, which a file does not need

    return fetch_trailer("", link, ScrapeSettings(source="links"), scratch, scratch)


def refuse_long_video(path: Path, name: str) -> None:
    """TrailerError when the video is longer than MOST_SECONDS, told without decoding it."""
    minutes = probe(path).duration / 60
    if minutes > MOST_SECONDS / 60:
        at_most = f"at most {MOST_SECONDS / 60:.0f} are taken"
        raise TrailerError(
            f"{name}: {minutes:.0f} minutes long: {at_most} from a link or an upload; a trailer has about 2"
        )


def _from_video(path: Path, name: str, settings: ScrapeSettings, threads: int) -> TrailerFrames:
    picked = sample_informative(path, "predict", settings, settings.height, threads)
    kept = np.array([reason is None for reason in picked.reasons])
    seconds, notes = picked.frames.seconds, [picked.frames.note] if picked.frames.note else []
    if seconds[-1] < SHORTEST:
        notes.append(f"The video is about {seconds[-1]:.0f} s long: too short for a trailer.")
    if seconds[-1] > LONGEST:
        notes.append(f"The video is about {seconds[-1] / 60:.0f} minutes long: is it the film instead of its trailer?")
    return TrailerFrames(name, picked.frames.pixels[kept], seconds[kept], len(kept), int(kept.sum()), tuple(notes))


def _from_folder(folder: Path, settings: ScrapeSettings) -> TrailerFrames:
    """The pictures of a folder; those of a scrape are filtered already, others are judged here."""
    scraped = read_record(folder)
    paths = picture_paths(folder)
    if not paths:
        raise TrailerError(f"{folder}: no pictures (.jpg, .png) in it: name a video, or a folder of frames")
    paths = [paths[index] for index in np.unique(np.linspace(0, len(paths) - 1, MOST_PICTURES).astype(int))]
    pixels = _alike(paths, settings.height)
    reasons = [None] * len(paths) if scraped else drop_reasons(pixels, settings.filter)
    kept = np.array([reason is None for reason in reasons])
    if not kept.any():
        raise TrailerError(
            f"{folder.name}: the filter kept none of {len(paths)} pictures: are they all black or cards?"
        )
    seconds = scraped.get("seconds")
    known = isinstance(seconds, list) and len(seconds) == len(paths)
    times = np.array(seconds, np.float64) if known else np.full(len(paths), np.nan)
    return TrailerFrames(folder.name, pixels[kept], times[kept], len(paths), int(kept.sum()), ())


def _alike(paths: list[Path], height: int) -> np.ndarray:
    """Pictures of any size in that of the first, at most `height` lines: uint8 [n, lines, width, 3]."""
    lines, width = read_picture(paths[0]).shape[:2]
    if lines > height:
        lines, width = height, max(1, round(width * height / lines))
    size, box = (width, lines), Image.Resampling.BOX
    return np.stack([np.asarray(Image.fromarray(read_picture(path)).resize(size, box)) for path in paths])


def _checked(taken: TrailerFrames) -> TrailerFrames:
    if taken.kept >= GOOD:
        return taken
    few = f"Only {taken.kept} good frames in it, of {taken.sampled}: an answer from so few says little."
    return replace(taken, warnings=(*taken.warnings, few))


FAILURES = (TrailerError, OSError, MemoryError)  # of a trailer; told as text: not every error survives a pipe


@dataclass(frozen=True)
class TrailerJob:
    """A trailer for a worker: everything it needs, small and picklable. `settings` are the scrape's."""

    trailer: str
    imdb_id: str
    settings: ScrapeSettings
    dataset: DatasetSettings
    train: TrainSettings


@dataclass(frozen=True)
class FrameViews:
    """`pictures` uint8 [n, size, size, 3], and which of them each draw takes: int [draws, frames].

    `sampled`, `kept` and `warnings` as in Intake.
    """

    pictures: np.ndarray
    view_indices: np.ndarray
    sampled: int
    kept: int
    warnings: tuple[str, ...]


def prepare(task: TrailerJob) -> tuple[FrameViews | str, float]:
    """The pictures of a trailer, or the line that says why there are none; and the seconds it took."""
    start = time.perf_counter()
    try:
        found = _shown(task)
    except FAILURES as error:
        found = one_line(error)[:300]
    return found, time.perf_counter() - start


def one_line(error: Exception) -> str:
    text = str(error) if isinstance(error, TrailerError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())


def _shown(task: TrailerJob) -> FrameViews:
    taken = read_trailer(task.trailer, task.settings, lambda step: None, threads=1)
    taken, places = choose_views(taken, task.train)
    return FrameViews(resize_frames(taken.pixels, task.dataset), places, taken.sampled, taken.kept, taken.warnings)


def choose_views(taken: TrailerFrames, settings: TrainSettings) -> tuple[TrailerFrames, np.ndarray]:
    """The frames that any draw takes, in order, and the draws as places among them: int [draws, frames]."""
    drawn = view_indices(taken.kept, settings)
    shown, places = np.unique(drawn, return_inverse=True)
    return replace(taken, pixels=taken.pixels[shown], seconds=taken.seconds[shown]), places.reshape(drawn.shape)


def view_indices(kept: int, settings: TrainSettings) -> np.ndarray:
    """Which of the kept frames the network is shown, as in the model's test: int [draws, frames]."""
    if settings.views == 1:
        return evenly_spaced(kept, settings.frames)[None]
    rng, few = np.random.default_rng(settings.seed), kept < settings.frames
    return np.stack([np.sort(rng.choice(kept, settings.frames, replace=few)) for _ in range(settings.views)])


def resize_frames(pixels: np.ndarray, settings: DatasetSettings) -> np.ndarray:
    """Frames of any size as the dataset holds them: uint8 [n, size, size, 3]."""
    return np.stack([resize_frame(Image.fromarray(frame), settings) for frame in pixels])
