"""What is frozen stays as it was, batch statistics included, and the rest learns."""

import pytest
import torch

from trailer_lib.errors import TrailerError
from trailer_lib.networks.backbone import stages
from trailer_lib.networks.regressor import FilmRegressor, build


@pytest.mark.parametrize(
    "backbone, count",
    [("resnet18", 5), ("vgg11", 9), ("mobilenet_v2", 19), ("densenet121", 8), ("efficientnet_b0", 9), ("vit_b_16", 13)],
)
def test_stages_are_what_the_papers_call_stages_or_blocks(backbone: str, count: int) -> None:
    with torch.device("meta"):
        network = build(backbone, 1, "mean", "none").backbone
    found = stages(network)
    assert len(found) == count
    held = {tensor for parts in found for part in parts for tensor in part.parameters()}
    outside = {name for name, tensor in network.named_parameters() if tensor not in held}
    assert outside == ({"class_token", "encoder.pos_embedding"} if backbone == "vit_b_16" else set())


def trained_a_step(network: FilmRegressor) -> tuple[dict, dict]:
    """The tensors before and after a step."""
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    trained = [tensor for tensor in network.parameters() if tensor.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.1)
    frames = torch.randint(0, 256, (4, 2, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    (network.train()(frames) - 1).square().sum().backward()
    optimizer.step()
    return before, network.state_dict()


@pytest.mark.parametrize("choice, still", [("none", ()), ("2", ("conv1.", "bn1.", "layer1.")), ("backbone", ("",))])
@pytest.mark.parametrize("aggregate", ["channels", "mean"])
def test_a_step_changes_all_but_the_frozen(choice: str, still: tuple[str, ...], aggregate: str) -> None:
    torch.manual_seed(0)
    before, after = trained_a_step(build("resnet18", 2, aggregate, "none", freeze=choice))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    frozen = {name for name in before if name.startswith(tuple(f"backbone.{part}" for part in still))}
    assert not changed & frozen
    assert changed == set(before) - frozen


def test_evaluation_and_training_again_leave_the_frozen_in_eval_mode() -> None:
    network = build("resnet18", 2, "mean", "none", freeze="1").eval().train()
    assert not network.backbone.bn1.training and network.backbone.layer1.training


def test_position_embeddings_are_frozen_with_the_first_stage() -> None:
    network = build("vit_b_16", 1, "mean", "none", freeze="1")
    still = {name for name, tensor in network.backbone.named_parameters() if not tensor.requires_grad}
    assert still == {"class_token", "conv_proj.weight", "conv_proj.bias", "encoder.pos_embedding"}


def test_the_summary_says_how_much_is_trained() -> None:
    assert "11.2 M parameters, 0.0 M trained" in build("resnet18", 2, "mean", "none", freeze="backbone").summary()


def test_more_stages_than_there_are_is_an_error_with_their_number() -> None:
    with pytest.raises(TrailerError, match=r"freeze='6': ResNet has 5 stages"):
        build("resnet18", 2, "mean", "none", freeze="6")
