"""The sound of a video or sound file -> its log-mel spectrogram, 8 bits, which a film's folder keeps as a picture."""

import io
import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import chain, groupby
from pathlib import Path

import av
import numpy as np
from PIL import Image

from trailer_lib.errors import TrailerError
from trailer_lib.video.container import VideoError, open_container

SOUND = "sound.png"
BANDS = 128  # rows, the highest band first
CLIP = 128  # columns
RATE, WINDOW, HOP = 16_000, 1024, 512  # samples: a second, of a column's Hann window, from column to column
COLUMNS_PER_SECOND = RATE / HOP
LONGEST = 3600.0  # seconds that are read
DECIBELS = 96  # below a full-scale sine that are black; those of 16 bits
SILENCE = round(255 * (1 - 80 / DECIBELS))  # brightest value, of -80 dB, up to which a sound is silent
JITTER = 0.01  # seconds that a packet's time may be off: Matroska rounds to milliseconds
BLOCK = 256  # columns that are computed at once
# What Pillow raises for a damaged or hostile picture.
PICTURE_ERRORS = OSError, ValueError, TypeError, SyntaxError, struct.error, Image.DecompressionBombError


class NoSound(TrailerError):
    """A file without a sound to keep; `kind` is "no sound", "silent", "too short" or "damaged"."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


def read_sound(path: Path, start: float = 0.0, longest: float = LONGEST) -> np.ndarray:
    """The spectrogram of the file's default sound track, uint8 [128, columns], 31.25 columns a second.

    Column 0 begins at second `start` of the file's clock, for a video that of its frames. At most `longest` seconds and
    an hour are read. A damaged packet leaves silence. NoSound for under 4.1 s, for silence, or where there is none.
    """
    try:
        samples = _read_samples(path, start, min(longest, LONGEST))
    except VideoError as error:
        raise NoSound("damaged", str(error)) from error
    if len(samples) < CLIP * HOP:
        raise NoSound("too short", f"{path.name}: {len(samples) / RATE:.1f} s of sound: at least 4.1 s are needed")
    sound = spectrogram(samples)
    if sound.max() <= SILENCE:
        raise NoSound("silent", f"{path.name}: its sound is silent")
    return sound


def _read_samples(path: Path, start: float, longest: float) -> np.ndarray:
    """int16 [n] mono at 16 kHz, each sample at its time after `start`."""
    samples, end, packets = np.zeros(max(0, int(longest * RATE)), np.int16), 0, Counter()
    with open_container(path) as container:
        stream = container.streams.best("audio")
        if stream is None:
            raise NoSound("no sound", f"{path.name}: it has no sound")
        if stream.codec_context is None:
            raise NoSound("damaged", f"{path.name}: its sound is in no codec that can be decoded here")
        for seconds, done, piece in _resampled(_decoded(container.demux(stream), packets)):
            place = round((seconds - start) * RATE) + done
            if place >= len(samples) and done:  # after a jump, done is 0: the next packet may be back in place
                break
            first, last = (min(max(0, edge), len(samples)) for edge in (place, place + len(piece)))
            samples[first:last] = piece[first - place : last - place]
            end = max(end, last * (last > first))
    if packets["damaged"] > packets["decoded"]:
        raise NoSound("damaged", f"{path.name}: {packets['damaged']} packets of its sound cannot be decoded")
    return samples[:end]


def _decoded(packets: Iterable[av.Packet], counts: Counter[str]) -> Iterator[av.AudioFrame]:
    for packet in packets:
        try:
            yield from packet.decode()
            counts["decoded"] += 1
        except av.FFmpegError:
            counts["damaged"] += 1


def _resampled(frames: Iterable[av.AudioFrame]) -> Iterator[tuple[float, int, np.ndarray]]:
    """Pieces of the sound: the second at which a run without a gap begins, place in it, int16 [n] mono at 16 kHz."""
    begun, due, kind = 0.0, 0.0, ()

    def run_of(frame: av.AudioFrame) -> tuple:
        """The second at which the run of a frame begins, and the kind of its samples."""
        nonlocal begun, due, kind
        now = frame.format.name, frame.layout.name, frame.sample_rate
        time = due if frame.pts is None else frame.time
        if now != kind or abs(time - due) > JITTER:
            begun, due, kind = time, time, now
        due += frame.samples / frame.sample_rate
        return begun, kind

    for (second, _), run in groupby(frames, run_of):
        # Several channels are mixed so that full scale stays full scale; the last one is the number of samples a piece.
        resampler, done = av.AudioResampler("s16", "mono", RATE, RATE), 0
        for frame in chain(run, [None]):
            for piece in resampler.resample(frame):
                yield second, done, piece.to_ndarray()[0]
                done += piece.samples


def band_tops() -> np.ndarray:
    """Hz of 0, the middles of the 128 bands, and 8 kHz: even on the mel scale of Slaney 1998, Auditory Toolbox."""
    mels = np.linspace(0, 15 + np.log(RATE / 2 / 1000) * 27 / np.log(6.4), BANDS + 2)
    return np.where(mels < 15, mels * 200 / 3, 1000 * 6.4 ** ((mels - 15) / 27))


@cache
def mel_triangles() -> tuple[np.ndarray, np.ndarray]:
    """The first bin between two bands' middles, int [129]; each bin's weight in the one that rises there, [513]."""
    tops = band_tops()
    bins = np.arange(WINDOW // 2 + 1) * RATE / WINDOW
    between = np.minimum(np.searchsorted(tops, bins, "right") - 1, BANDS)
    rising = (bins - tops[between]) / np.diff(tops)[between]
    return np.searchsorted(between, np.arange(BANDS + 1)), rising


def spectrogram(samples: np.ndarray) -> np.ndarray:
    """int16 [n] at 16 kHz -> uint8 [128, n // 512], the highest band in row 0: round(255 * clip(1 + dB / 96, 0, 1))."""
    # dB: the power to a full-scale sine's; column k: the window around the middle of samples 512 k to 512 k + 511.
    columns = len(samples) // HOP
    padded = np.pad(samples, (WINDOW - HOP) // 2)
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP][:columns]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    full_scale = 32768**2 * WINDOW * (hann**2).sum() / 4  # the sum over the bins of a sine's power (Parseval)
    starts, rising = mel_triangles()
    sound = np.empty((BANDS, columns), np.uint8)
    for first in range(0, columns, BLOCK):
        power = np.abs(np.fft.rfft(windows[first : first + BLOCK] * hann)) ** 2 / full_scale
        # Sums and no matrix product, whose bits would depend on the number of threads.
        up, down = (np.add.reduceat(power * share, starts, 1) for share in (rising, 1 - rising))
        bands = up[:, :-1] + down[:, 1:]
        decibels = 10 * np.log10(np.maximum(bands, 1e-12)).T
        sound[:, first : first + BLOCK] = np.rint(255 * np.clip(1 + decibels / DECIBELS, 0, 1))[::-1]
    return sound


def encoded(picture: np.ndarray, kind: str, **options: int) -> bytes:
    """The file of a picture or spectrogram, uint8 [height, width, 3] or [height, width]."""
    data = io.BytesIO()
    Image.fromarray(picture).save(data, kind, **options)
    return data.getvalue()


def load_sound(folder: Path) -> np.ndarray | None:
    """The sound.png of a film's folder, uint8 [128, columns]; None where there is none, TrailerError when damaged."""
    path = folder / SOUND
    if not path.exists():
        return None
    try:
        with Image.open(path, formats=["PNG"]) as picture:
            if picture.mode != "L" or picture.height != BANDS or picture.width > LONGEST * COLUMNS_PER_SECOND:
                raise ValueError
            return np.asarray(picture)
    except PICTURE_ERRORS as error:
        text = f"{folder.name}/{SOUND}: not a spectrogram (8-bit grey, {BANDS} rows)"
        raise TrailerError(f"{text}: remove it, then scrape --sound") from error


def sound_clips(sound: np.ndarray, most: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """Disjoint clips, uint8 [n, 128, 128], all or `most` spread evenly, and their start in seconds, float64 [n]."""
    count = sound.shape[1] // CLIP
    chosen = np.rint(np.linspace(0, count - 1, min(count, most))).astype(int)
    clips = sound[:, : count * CLIP].reshape(BANDS, count, CLIP).transpose(1, 0, 2)
    return np.ascontiguousarray(clips[chosen]), chosen * CLIP / COLUMNS_PER_SECOND
