"""A batch of one film, which batch normalisation can't be trained with where the last map is a single cell."""

from collections.abc import Callable
from pathlib import Path

import pytest
from training_runs import trained

from trailer_lib.errors import TrailerError


def test_a_batch_of_one_film_is_a_line_before_anything_is_written(dataset_root: Path, copy_of: Callable) -> None:
    project = copy_of(dataset_root)
    with pytest.raises(TrailerError, match=r"32 x 32 pictures .*: set a larger batch") as caught:
        trained(project, backbone="shufflenet_v2_x0_5", batch=1)
    assert "\n" not in str(caught.value) and not (project.models / "last_model.pt").exists()


def test_a_batch_of_two_films_and_a_fitted_head_are_trained(dataset_root: Path, copy_of: Callable) -> None:
    project = copy_of(dataset_root)
    assert len(trained(project, backbone="shufflenet_v2_x0_5", batch=2, epochs=1).history) == 1
    assert len(trained(project, backbone="shufflenet_v2_x0_5", batch=1, epochs=1, head="ridge").history) == 2
