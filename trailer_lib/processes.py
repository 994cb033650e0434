"""The processes of a training: this one alone, or those that torchrun started."""

import os
from dataclasses import dataclass

import torch.distributed


@dataclass(frozen=True)
class Place:
    """This process among all: its number `rank` of `count`, of which `here` run on this machine."""

    rank: int = 0
    count: int = 1
    here: int = 1


def place() -> Place:
    if not torch.distributed.is_torchelastic_launched():
        return Place()
    return Place(*(int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")))
