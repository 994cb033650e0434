"""Train settings that are each right but make no sense together: an error before anything is read."""

from trailer_lib.errors import TrailerError
from trailer_lib.settings import TrainSettings

AUGMENTATIONS = ("noise", "crop")


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
            only_fitted and processes > 1,
            f"head = {s.head!r} alone is fitted by one process, not {processes}: run it without torchrun, or set"
            " freeze = 'none'",
        ),
        (
            s.batch % processes > 0,
            f"batch = {s.batch} films can't be shared by {processes} processes: set a multiple of {processes}",
        ),
    ]
