"""torchvision's and timm's networks by name: built, taken apart, and their pretrained weights."""

from collections.abc import Collection

from torch import nn
from torchvision import models

from trailer_lib.errors import TrailerError, suggestion
from trailer_lib.networks.backbone import Trunk
from trailer_lib.networks.weights import Weights

TIMM = "timm:"
INCEPTIONS = ("googlenet", "inception_v3")  # their ImageNet weights were trained with pixels from -1 to 1


class Torchvision:
    """A classifier of torchvision, like "resnet18"."""

    def __init__(self, name: str) -> None:
        names = models.list_models(module=models)
        if name not in names:
            raise TrailerError(f"unknown backbone {name!r}: {suggestion(name, names)}")
        self.name = name

    def download(self) -> Weights:
        """torchvision's best ImageNet weights, checked by their hash, from torch's cache if they are there."""
        choice = models.get_model_weights(self.name).DEFAULT
        try:
            return Weights(f"{self.name} {choice.name}", choice.get_state_dict(progress=True, check_hash=True))
        except Exception as error:  # no network, a full disk, a wrong hash, or a damaged file in torch's cache
            raise _no_weights(f"{self.name} from {choice.url}", error) from error

    def trunk(self, loaded: Collection[str]) -> Trunk:
        """The network without its last layer, with random weights; `loaded` names the tensors that will be loaded."""
        # The two auxiliary outputs in training, and another normalisation, are for training on ImageNet.
        extra = {"aux_logits": False, "init_weights": True, "transform_input": False}
        network = models.get_model(self.name, weights=None, **extra if self.name in INCEPTIONS else {})
        if loaded:
            _drop_random_classifier(network, loaded)
        layers = [(name, layer) for name, layer in network.named_modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
        (first, _), (last, classifier) = layers[0], layers[-1]  # SqueezeNet's classifier is a convolution
        network.set_submodule(last, nn.Identity())
        features = classifier.in_channels if isinstance(classifier, nn.Conv2d) else classifier.in_features
        half = {"mean": (0.5, 0.5, 0.5), "sd": (0.5, 0.5, 0.5)} if self.name in INCEPTIONS else {}
        size = 224 if self.name == "maxvit_t" else getattr(network, "image_size", 0)  # of windows or embeddings
        return Trunk(network, features, (first,), size=size, behind=(last.split(".")[0] + ".",), **half)


def _drop_random_classifier(network: nn.Module, loaded: Collection[str]) -> None:
    """Remove the hidden layers of a classifier (VGG's) for which a file of the trunk alone has no weights.

    A hundred million random weights between a pretrained trunk and few films would only add noise.
    """
    classifier = getattr(network, "classifier", None)
    if not isinstance(classifier, nn.Sequential) or any(name.startswith("classifier.") for name in loaded):
        return
    linear = [layer for layer in classifier if isinstance(layer, nn.Linear)]
    if len(linear) > 1:
        network.avgpool = nn.AdaptiveAvgPool2d(1)
        channels = [layer for layer in network.features.modules() if isinstance(layer, nn.Conv2d)][-1].out_channels
        network.classifier = nn.Sequential(nn.Linear(channels, 1000))


class Timm:
    """An image model of timm, like "resnet18" or CLIP's image tower "vit_base_patch32_clip_224.openai"."""

    def __init__(self, name: str) -> None:
        try:
            import timm  # an extra of the package: only who names such a backbone needs it
        except ImportError as error:
            raise TrailerError("a backbone 'timm:NAME' needs the package timm: pip install timm") from error
        # timm also takes 'hf-hub:...' and 'local-dir:...', which let a model file choose what is read.
        if not timm.is_model(name):
            hint = suggestion(name, timm.list_models())
            hint = hint if hint.startswith("did you mean") else "timm.list_models() names them all"
            raise TrailerError(f"unknown backbone 'timm:{name}': {hint}")
        self.name, self.create_model = name, timm.create_model

    def download(self) -> Weights:
        """timm's pretrained weights from its hub or its cache; every tensor must fit."""
        try:
            state = self.create_model(self.name, pretrained=True).state_dict()
        except Exception as error:  # no network, a full disk, or a damaged file in the hub's cache
            raise _no_weights(f"timm:{self.name}", error) from error
        return Weights(f"timm:{self.name} pretrained", state)

    def trunk(self, loaded: Collection[str]) -> Trunk:
        """As Torchvision.trunk, as timm's own configuration describes the network."""
        try:
            network = self.create_model(self.name)
            network.reset_classifier(0)
        except (RuntimeError, AttributeError) as error:  # 'Invalid pretrained tag', or no classifier of pictures
            reason = " ".join(str(error).split())[:120]
            raise TrailerError(f"timm:{self.name} can't be a backbone ({reason}): choose another") from error
        facts = network.pretrained_cfg
        size = max(facts["input_size"][1:]) if facts.get("fixed_input_size") else 0
        # The name of a layer, or names: CrossViT has two first ones.
        first, last = (
            (names,) if isinstance(names, str) else tuple(names or ())
            for names in (facts.get("first_conv"), facts.get("classifier"))
        )
        behind = tuple(f"{name}." for name in last)
        return Trunk(network, network.head_hidden_size, first, facts["mean"], facts["std"], size, behind)


def _no_weights(what: str, error: Exception) -> TrailerError:
    reason = " ".join(f"{type(error).__name__}: {error}".split())[:120]
    return TrailerError(f"no weights of {what} ({reason}): set weights to a file of them, or to 'none' (random)")


def library_of(backbone: str) -> Torchvision | Timm:
    """The library's network that a backbone's name means: "timm:NAME" or one of torchvision's."""
    return Timm(backbone.removeprefix(TIMM)) if backbone.startswith(TIMM) else Torchvision(backbone)
