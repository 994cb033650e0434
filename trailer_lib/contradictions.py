"""Train settings that are each right but make no sense together: an error before anything is read."""

from trailer_lib.errors import TrailerError
from trailer_lib.settings import TrainSettings

AUGMENTATIONS = ("noise", "crop", "colour", "mixup", "drop_frames")


def refuse(settings: TrainSettings, processes: int = 1) -> None:
    """TrailerError for the first contradiction in `settings`, or between them and the number of processes."""
    if found := [text for wrong, text in _rules(settings, processes) if wrong]:
        raise TrailerError(found[0])


def _rules(s: TrainSettings, processes: int) -> list[tuple[bool, str]]:
    """(whether it is so, what is wrong and the remedy) of every contradiction."""
    fitted = s.head != "linear"
    only_fitted = fitted and (s.freeze == "backbone" or s.epochs == 0)
    idle = [name for name in AUGMENTATIONS if getattr(s, name) != getattr(TrainSettings, name)]
    return [
        (
            only_fitted and bool(idle),
            f"{', '.join(idle)}: changes nothing where head = {s.head!r} is fitted and nothing else trained: set"
            " freeze = 'none' (and epochs above 0), or leave it",
        ),
        (s.epochs == 0 and not fitted, "epochs = 0 leaves head = 'linear' untrained: set epochs, or head = 'ridge'"),
        (
            s.head == "boosting" and not only_fitted,
            "head = 'boosting' can't be trained by gradients: set freeze = 'backbone'",
        ),
        (s.amsgrad and s.optimizer == "sgd", "amsgrad = True is Adam's: set optimizer = 'adam' or 'adamw'"),
        (
            s.nesterov and not (s.optimizer == "sgd" and s.momentum > 0),
            "nesterov = True is SGD's with momentum: set optimizer = 'sgd' and momentum above 0",
        ),
        (s.warmup > 0 and s.schedule == "plateau", "warmup goes with no plateau: set warmup = 0 or another schedule"),
        (
            s.warmup > 0 and not only_fitted and s.warmup >= s.epochs,
            f"warmup = {s.warmup} leaves none of the {s.epochs} epochs at the full rate: lower it",
        ),
        (s.drop_frames > 0 and s.frames == 1, "drop_frames would hide the only frame: set frames above 1, or 0"),
        (
            s.mixup > 0 and s.batch // processes == 1,
            "mixup mixes the films of a batch: set batch above 1, or mixup = 0",
        ),
        (s.average == "swa" and s.swa_start == 1.0, "swa_start = 1.0 is after the last epoch: lower it"),
        (
            only_fitted and processes > 1,
            f"head = {s.head!r} alone is fitted by one process, not {processes}: run it without torchrun, or set"
            " freeze = 'none'",
        ),
        (
            s.batch % processes > 0,
            f"batch = {s.batch} films can't be shared by {processes} processes: set a multiple of {processes}",
        ),
    ]
