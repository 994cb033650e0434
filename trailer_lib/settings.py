"""The choices of each stage: one frozen dataclass a stage, every field with its default, unit and reason."""

from dataclasses import dataclass
from typing import Any

from trailer_lib.options import Condition, Settings, choice, option

# What the original's notebook set. Its own rate, step and batch are not on record: these are common ones of its time.
ORIGINAL = {
    "sources": ("frames",), "frames": 5, "aggregate": "channels", "first_conv": "random", "pixels": "raw",
    "freeze": "none", "depth": "last", "head": "linear", "other_frames": False, "reorder_frames": True, "flip": False,
    "optimizer": "adam", "lr": 1e-3, "head_lr": 0.0, "betas": (0.9, 0.9), "eps": 1e-16, "l2": 0.02, "schedule": "step",
    "step_size": 10, "gamma": 0.1, "loss": "l1", "epochs": 50, "batch": 32, "patience": 0, "ema_decay": 0.0, "views": 1,
}  # fmt: skip
SCHEMES: dict[str, dict[str, Any]] = {"finetune": {}, "frozen": {"freeze": "backbone"}, "original": ORIGINAL}


@dataclass(frozen=True)
class ScrapeSettings(Settings):
    """Stage 1: from a catalogue of films to folders of frames."""

    films: int = option(2000, "films to take from the shuffled catalogue, as the original did; 0 takes all", low=0)
    seed: int = option(0, "draws the films and the frames' times", low=0)
    source: str = option(
        "youtube", "where trailers come from: 'youtube' | 'pytube' | 'folder:DIR' (from the root) | 'links'"
    )
    count: int = option(100, "random frames drawn from a trailer, before the filter", low=1, high=600)
    filter: str = choice(
        "drops black, blank, cards and repeats; or the darkest and flattest fifth, as the original",
        ("informative", "percentile", "none"),
    )
    height: int = option(360, "lines of the stream and the pictures; taller videos are shrunk", low=16, high=4320)
    workers: int = option(2, "trailers worked on at once, a process each", low=1, high=256)
    timeout: float = option(600.0, "seconds a trailer may take before it is given up", low=1.0)
    attempts: int = option(3, "tries within a run of a trailer that fails for a passing reason", low=1, high=20)
    pause: float = option(10.0, "seconds a worker waits between two downloads, out of politeness", low=0.0)
    cookies: str = option("", "a browser's cookies.txt for YouTube, from the root; '' for none")
    retry_failed: bool = option(False, "work only on films that failed for a passing reason")
    sound: bool = option(False, "fetch the sound again, only for films that have frames and may have a sound")


@dataclass(frozen=True)
class DatasetSettings(Settings):
    """Stage 2: from folders of frames to one array and a table of films."""

    size: int = option(128, "pixels on each side of a stored frame; the original's size", low=8, high=1024)
    fit: str = choice("a wide frame is squashed, as in the original, or its middle cut out", ("squash", "crop"))
    min_frames: int = option(15, "films with fewer frames are left out; the original needs 15", low=1)
    val: float = option(0.15, "share of the films that choose the best epoch", low=0.0, high=0.8)
    test: float = option(0.15, "share of the films that are scored once, at the end", low=0.0, high=0.8)
    salt: str = option("trailer", "another word gives another split")


def trains(s: "TrainSettings") -> bool:
    """Whether weights are trained by gradients; a fitted head alone takes none, and only frames are trained on."""
    return "frames" in s.sources and s.epochs > 0 and (s.head == "linear" or s.freeze != "backbone")


SOURCES, STEPS = ("frames", "sound", "metadata"), ("step", "plateau")
PICTURES = Condition("with 'frames' or 'sound' among the sources", lambda s: s.sources != ("metadata",))
FRAMES = Condition("with 'frames' among the sources", lambda s: "frames" in s.sources)
GRADIENTS = Condition("where weights are trained: scheme='finetune' or 'original', epochs above 0", trains)
BACKBONE = Condition("in training, with freeze other than 'backbone'", lambda s: trains(s) and s.freeze != "backbone")
SEVERAL = Condition("with more than one epoch of training", lambda s: trains(s) and s.epochs > 1)
SCHEDULED = Condition(
    "with more than one epoch of training, and 'step' or 'plateau' with more than step_size",
    lambda s: trains(s) and s.epochs > (s.step_size if s.schedule in STEPS else 1),
)
FALLS = Condition(
    "with schedule='step' or 'plateau' and more epochs than step_size",
    lambda s: s.schedule in STEPS and SCHEDULED.holds(s),
)
STOPS = Condition(
    "below the number of epochs that can follow the first",
    lambda s: trains(s) and s.patience < s.epochs - (s.head == "linear"),  # a fitted head is an epoch before the first
)
ADAM = Condition("with optimizer='adam' or 'adamw'", lambda s: trains(s) and s.optimizer != "sgd")
SGD = Condition("with optimizer='sgd'", lambda s: trains(s) and s.optimizer == "sgd")
NEW_LAYER = Condition(
    "with head='linear' or aggregate='attention'",
    lambda s: trains(s) and (s.head == "linear" or s.aggregate == "attention"),
)
STACKED = Condition("with aggregate='channels'", lambda s: FRAMES.holds(s) and s.aggregate == "channels")
ORDERED = Condition("with aggregate='channels' in training", lambda s: trains(s) and s.aggregate == "channels")
TO_TRAIN = Condition(
    "with frames to train on, and freeze other than 'backbone' or head='linear'",
    lambda s: FRAMES.holds(s) and (s.head == "linear" or s.freeze != "backbone"),
)
EPOCHS = Condition("with epochs above 0 and frames to train on", lambda s: FRAMES.holds(s) and s.epochs > 0)
POOLED = Condition(
    "with frames among the sources, and where weights are trained, if 'attention'",
    lambda s: FRAMES.holds(s) and (s.aggregate != "attention" or trains(s)),
)
RANDOM = Condition(
    "where something is random: training, views, or first weights",
    lambda s: (
        PICTURES.holds(s)
        and (trains(s) or (FRAMES.holds(s) and s.views > 1) or s.weights == "none" or s.first_conv == "random")
    ),
)


@dataclass(frozen=True)
class TrainSettings(Settings):
    """Stage 3: from a dataset to a model. The first thirteen are those that people change."""

    scheme: str = choice(
        "a head fitted on frozen features, then all layers by gradients; that head alone (seconds); or the original",
        tuple(SCHEMES),
    )
    backbone: str = option("resnet18", "any torchvision classifier, like 'vgg16', or 'timm:NAME'", counts=PICTURES)
    frames: int = option(5, "frames of a film that go in at once; originally 5 or 15", low=1, high=100, counts=FRAMES)
    aggregate: str = choice(
        "averages the frames' features; stacks frames into the first convolution; or weights features",
        ("mean", "channels", "attention"),
        POOLED,
    )
    noise: float = option(0.0, "sd of Gaussian noise in training, in sd of ImageNet pixels", low=0.0, counts=GRADIENTS)
    other_frames: bool = option(True, "draw other frames of a film each epoch, not the same ones", counts=SEVERAL)
    flip: bool = option(True, "mirror half of the films left to right in training", counts=GRADIENTS)
    crop: float = option(1.0, "least share that a random crop keeps; 1 is off", low=0.1, high=1.0, counts=GRADIENTS)
    lr: float = option(1e-5, "learning rate of the backbone and of a fitted head", low=0.0, counts=BACKBONE)
    epochs: int = option(8, "passes over the training films, at most; 0 only fits the head", low=0, counts=TO_TRAIN)
    batch: int = option(16, "films a step", low=1, counts=GRADIENTS)
    seed: int = option(0, "first weights, order of films, choice of frames, noise", low=0, counts=RANDOM)
    sources: tuple = option(SOURCES, "what a prediction is made of, as far as a film has it", SOURCES)
    reorder_frames: bool = option(False, "shuffle the frames, which else stay in the film's order", counts=ORDERED)
    first_conv: str = choice("pretrained kernel, or the original's random one", ("repeat", "random"), STACKED)
    weights: str = option("DEFAULT", "'DEFAULT' (ImageNet), 'none' (random), a file, a best_model.pt", counts=PICTURES)
    pixels: str = choice("normalised RGB, or the original's BGR from 0 to 255", ("imagenet", "raw"), PICTURES)
    freeze: str = option("none", "what is not trained: 'none', 'backbone', or a number of first stages", counts=EPOCHS)
    depth: str = choice("features: means and sds of all stages, or the last ones", ("stages", "last"), PICTURES)
    head: str = choice("last layer: ridge regression fitted first, or random values", ("ridge", "linear"), FRAMES)
    views: int = option(8, "test-time views: random choices of frames, averaged", low=1, high=100, counts=FRAMES)
    optimizer: str = choice("which optimiser", ("adamw", "adam", "sgd"), GRADIENTS)
    head_lr: float = option(1e-3, "learning rate of a linear head or attention; 0 takes lr", low=0.0, counts=NEW_LAYER)
    betas: tuple = option((0.9, 0.999), "Adam's decay rates", counts=ADAM)
    eps: float = option(1e-8, "Adam's epsilon", low=0.0, counts=ADAM)
    momentum: float = option(0.9, "SGD's momentum", low=0.0, high=1.0, counts=SGD)
    l2: float = option(0.01, "L2: the optimiser's weight decay", low=0.0, counts=GRADIENTS)
    schedule: str = choice("how the learning rate falls", ("cosine", "step", "plateau", "constant"), SCHEDULED)
    step_size: int = option(10, "epochs until a fall (step), or without progress (plateau)", low=1, counts=FALLS)
    gamma: float = option(0.1, "what the rate is multiplied by at a fall", low=0.0, high=1.0, counts=FALLS)
    loss: str = choice("on standardised scores", ("mse", "l1"), GRADIENTS)
    patience: int = option(3, "epochs without a better validation loss until it stops; 0: never", low=0, counts=STOPS)
    ema_decay: float = option(0.9, "decay of the weights' running mean; 0 is off", low=0.0, high=1.0, counts=GRADIENTS)
    precision: str = choice("Lightning's precision; of speed alone", ("32-true", "16-mixed", "bf16-mixed"))
    loader_workers: int = option(0, "processes that read batches; 0: none beside this one", low=0, high=64)


STAGES: dict[str, type[Settings]] = {"scrape": ScrapeSettings, "dataset": DatasetSettings, "train": TrainSettings}
