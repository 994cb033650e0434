"""The choices of each stage: one frozen dataclass a stage, every field with its default, unit and reason."""

from dataclasses import asdict, dataclass, field, fields
from typing import Any

from trailer_lib.errors import TrailerError, suggestion


def option(default: Any, meaning: str, choices: tuple = (), low: float | None = None, high: float | None = None) -> Any:
    """A dataclass field with what the settings table and the checks need to know of it."""
    return field(default=default, metadata={"meaning": meaning, "choices": choices, "low": low, "high": high})


@dataclass(frozen=True)
class Settings:
    """What the stages' settings share: checks on creation, where each value came from, and a table of it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "origins", {})
        for item in fields(self):
            object.__setattr__(self, item.name, _checked(item, getattr(self, item.name)))

    @classmethod
    def layered(cls, layers: dict[str, dict[str, Any]]) -> "Settings":
        """Settings from named layers, the later over the earlier; an unknown name is an error."""
        names = [item.name for item in fields(cls)]
        values, origins = {}, {}
        for origin, layer in _with_scheme(layers).items():
            for name, value in layer.items():
                if name not in names:
                    raise TrailerError(f"unknown setting {name!r} ({origin}): {suggestion(name, names)}")
                values[name], origins[name] = value, origin
        settings = cls(**values)
        settings.origins.update(origins)
        return settings

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def rows(self) -> list[tuple[str, str, str, str]]:
        """(setting, value, where it came from, meaning) of every setting."""
        return [
            (item.name, repr(getattr(self, item.name)), self.origins.get(item.name, "default"), _meaning(item))
            for item in fields(self)
        ]

    def __str__(self) -> str:
        return self._table("to_string")

    def _repr_html_(self) -> str:
        return self._table("to_html", justify="left")

    def _table(self, form: str, **options: Any) -> str:
        import pandas as pd  # half a second, which --help should not take

        table = pd.DataFrame(self.rows(), columns=["setting", "value", "from", "meaning"])
        with pd.option_context("display.max_colwidth", None):
            return getattr(table, form)(index=False, **options)


def _with_scheme(layers: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The layers, and right below the last one that names a scheme what the scheme means."""
    naming = [origin for origin, layer in layers.items() if isinstance(layer.get("scheme"), str)][-1:]
    expanded = {}
    for origin, layer in layers.items():
        if [origin] == naming:
            expanded[f"scheme {layer['scheme']!r}"] = SCHEMES.get(layer["scheme"], {})
        expanded[origin] = layer
    return expanded


def _meaning(item: Any) -> str:
    choices = " | ".join(repr(choice) for choice in item.metadata["choices"])
    return item.metadata["meaning"] + (f": {choices}" if choices else "")


def _checked(item: Any, value: Any) -> Any:
    """`value` in the type of the field's default, or an error that says what the field takes."""
    kind, meta = type(item.default), item.metadata
    if kind is float and type(value) is int:
        value = float(value)
    if kind is tuple and isinstance(value, list):
        value = tuple(value)
    if item.name == "freeze" and type(value) is int:
        value = str(value)
    if type(value) is not kind:
        raise TrailerError(f"setting {item.name} = {value!r}: expected {kind.__name__}, like {item.default!r}")
    if meta["choices"] and value not in meta["choices"]:
        raise TrailerError(f"setting {item.name} = {value!r}: {suggestion(value, map(str, meta['choices']))}")
    low, high = meta["low"], meta["high"]
    span = f"at least {low}" if high is None else f"from {low} to {high}"
    # `not low <= value` instead of `value < low`: nan must fail too.
    if (low is not None and not low <= value) or (high is not None and not value <= high):
        raise TrailerError(f"setting {item.name} = {value!r}: expected {span}")
    if item.name == "betas" and not (len(value) == 2 and all(type(b) is float and 0 <= b < 1 for b in value)):
        raise TrailerError(f"setting betas = {value!r}: expected two numbers from 0 to below 1, like {item.default!r}")
    if item.name == "freeze" and value not in ("none", "backbone") and not value.isdecimal():
        raise TrailerError(f"setting freeze = {value!r}: expected 'none', 'backbone' or a number of stages, like '2'")
    return value


# What the original's notebook set. Its own rate, step and batch are not on record: these are common ones of its time.
# It read BGR from 0 to 255, replaced the first convolution by a random one, and trained with the absolute error.
ORIGINAL = {
    "frames": 5, "aggregate": "channels", "first_conv": "random", "pixels": "raw", "freeze": "none", "depth": "last",
    "head": "linear", "other_frames": False, "reorder_frames": True, "flip": False, "optimizer": "adam", "lr": 1e-3,
    "betas": (0.9, 0.9), "eps": 1e-16, "l2": 0.02, "schedule": "step", "step_size": 10, "gamma": 0.1, "loss": "l1",
    "epochs": 50, "batch": 32, "ema_decay": 0.0, "views": 1,
}  # fmt: skip
INTRODUCTION = """\
Each stage reads its settings from a notebook's cell or the command line (`KEY=VALUE`), else from `<root>/settings.toml`
(a table for each stage: `[scrape]`, `[dataset]`, `[train]`), else takes these defaults."""
SCHEMES: dict[str, dict[str, Any]] = {"default": {}, "original": ORIGINAL}


@dataclass(frozen=True)
class ScrapeSettings(Settings):
    """Stage 1: from a catalogue of films to folders of frames."""

    films: int = option(2000, "films to take from the shuffled catalogue, as the original did; 0 takes all", low=0)
    seed: int = option(0, "draws the films and the frames' times", low=0)
    source: str = option(
        "youtube", "where trailers come from: 'youtube' | 'pytube' | 'folder:DIR' (from the root) | 'links'"
    )
    count: int = option(100, "random frames drawn from a trailer, before the filter", low=1, high=600)
    filter: str = option(
        "informative",
        "which frames are dropped: black, blank, cards and repeats; or the original's darkest and flattest fifth",
        ("informative", "percentile", "none"),
    )
    height: int = option(
        360, "lines of the stream and of the pictures on disk; taller videos are shrunk", low=16, high=4320
    )
    workers: int = option(2, "trailers worked on at once, a process each", low=1, high=256)
    timeout: float = option(600.0, "seconds a trailer may take before it is given up", low=1.0)
    attempts: int = option(
        3, "tries of a trailer that fails for a passing reason (network), within one run", low=1, high=20
    )
    pause: float = option(
        10.0, "seconds a worker waits between two downloads, out of politeness; none for a folder", low=0.0
    )
    cookies: str = option("", "a browser's cookies.txt for YouTube, from the root; '' for none")
    retry_failed: bool = option(False, "work only on films that failed for a passing reason")


@dataclass(frozen=True)
class DatasetSettings(Settings):
    """Stage 2: from folders of frames to one array and a table of films."""

    size: int = option(128, "pixels on each side of a stored frame; the original's size", low=8, high=1024)
    fit: str = option(
        "squash", "a wide frame is squashed (the original's way) or its middle cut out", ("squash", "crop")
    )
    min_frames: int = option(15, "films with fewer frames are left out; the original needs 15", low=1)
    val: float = option(0.15, "share of the films that choose the best epoch", low=0.0, high=0.8)
    test: float = option(0.15, "share of the films that are scored once, at the end", low=0.0, high=0.8)
    salt: str = option("trailer", "another word gives another split")


@dataclass(frozen=True)
class TrainSettings(Settings):
    """Stage 3: from a dataset to a model and its test result."""

    scheme: str = option(
        "default", "what the settings below start from: the best found here, or what the original did", tuple(SCHEMES)
    )
    backbone: str = option(
        "resnet18", "any torchvision classifier: 'resnet18', 'resnet50', 'vgg16', 'vgg19', ..., or 'timm:NAME'"
    )
    frames: int = option(5, "frames of a film that go in at once; the original took 5 or 15", low=1, high=100)
    aggregate: str = option(
        "mean",
        "frames stacked into the first convolution; or seen one by one, their features averaged, or weighted first",
        ("channels", "mean", "attention"),
    )
    first_conv: str = option(
        "repeat", "stacked frames: the pretrained kernel repeated, or the original's random one", ("repeat", "random")
    )
    weights: str = option(
        "DEFAULT", "'DEFAULT' (ImageNet, downloaded once), 'none' (random), a file of weights, or a best_model.pt"
    )
    pixels: str = option(
        "imagenet", "what the network sees: normalised RGB, or the original's BGR from 0 to 255", ("imagenet", "raw")
    )
    freeze: str = option(
        "backbone", "what is not trained: the 'backbone', 'none', or a number of its first stages, like '2'"
    )
    depth: str = option(
        "stages",
        "features the head sees: the backbone's last ones, or those of all its stages (means and sds of their maps)",
        ("last", "stages"),
    )
    head: str = option(
        "ridge",
        "the last layer: trained from random values, or fitted first, as ridge regression on frozen features",
        ("linear", "ridge"),
    )
    other_frames: bool = option(True, "draw other frames of a film each epoch, instead of the same ones")
    reorder_frames: bool = option(False, "shuffle the frames' order; otherwise they stay in the film's order")
    views: int = option(
        8, "test-time views: a film's prediction is the mean over so many random choices of its frames", low=1, high=100
    )
    noise: float = option(0.0, "sd of Gaussian noise added to training pictures, in sd of ImageNet pixels", low=0.0)
    flip: bool = option(True, "mirror half of the films left to right in training")
    crop: float = option(
        1.0, "smallest share of the picture's area that a random crop keeps; 1 is off", low=0.1, high=1.0
    )
    optimizer: str = option("adamw", "which optimiser", ("adam", "adamw", "sgd"))
    lr: float = option(1e-5, "learning rate; ten times as much undoes a fitted head", low=0.0)
    head_lr: float = option(0.0, "learning rate of the last layer and the attention; 0 takes lr", low=0.0)
    betas: tuple = option((0.9, 0.999), "Adam's decay rates")
    eps: float = option(1e-8, "Adam's epsilon", low=0.0)
    momentum: float = option(0.9, "SGD's momentum", low=0.0, high=1.0)
    l2: float = option(0.01, "L2: the optimiser's weight decay", low=0.0)
    schedule: str = option("cosine", "how the learning rate falls", ("cosine", "step", "plateau", "constant"))
    step_size: int = option(10, "epochs between two falls (step), or without progress before one (plateau)", low=1)
    gamma: float = option(0.1, "what the rate is multiplied by at a fall (step, plateau)", low=0.0, high=1.0)
    loss: str = option("mse", "on standardised scores", ("mse", "l1"))
    epochs: int = option(3, "passes over the training films; 0 with a fitted head trains no further", low=0)
    batch: int = option(16, "films a step", low=1)
    patience: int = option(0, "stop after so many epochs without a better validation loss; 0 never does", low=0)
    ema_decay: float = option(
        0.9, "share that each step keeps of the moving average of the weights, which is validated and saved; 0 is off",
        low=0.0, high=1.0,
    )  # fmt: skip
    seed: int = option(0, "first weights, order of films, choice of frames, noise", low=0)
    precision: str = option("32-true", "Lightning's precision", ("32-true", "16-mixed", "bf16-mixed"))
    loader_workers: int = option(0, "processes that read batches ahead; 0 reads in this one", low=0, high=64)


STAGES: dict[str, type[Settings]] = {"scrape": ScrapeSettings, "dataset": DatasetSettings, "train": TrainSettings}


def markdown() -> str:
    """The page docs/settings.md: a table of each stage's settings."""
    parts = ["# Settings", INTRODUCTION]
    for stage, kind in STAGES.items():
        rows = [f"| `{name}` | `{value}` | {meaning.replace('|', 'or')} |" for name, value, _, meaning in kind().rows()]
        parts.append("\n".join([f"## {stage}", "", "| setting | default | meaning |", "| --- | --- | --- |", *rows]))
    return "\n\n".join(parts) + "\n"
