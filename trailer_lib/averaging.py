"""Averages of the weights over the steps of a training, validated and saved in the last weights' place."""

from collections.abc import Callable
from functools import partial
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn, get_swa_multi_avg_fn

from trailer_lib.backbones import FilmRegressor
from trailer_lib.settings import TrainSettings


class Averaging(WeightAveraging):
    """Lightning's averaging of all parameters and batch statistics: moving from the first step, or plain from `start`.

    Until epoch `start` the average is the last weights, so that a file never holds those of the beginning.
    """

    def __init__(self, settings: TrainSettings) -> None:
        moving = settings.average == "ema"
        # The `multi` functions are torch.lerp, which leaves what does not change as it is, to the bit.
        mean = get_ema_multi_avg_fn(settings.ema_decay) if moving else get_swa_multi_avg_fn()
        super().__init__(multi_avg_fn=partial(_average, mean))
        self.start = 0 if moving else int(settings.swa_start * settings.epochs)

    @property
    def network(self) -> FilmRegressor:
        """The averaged network."""
        return self._average_model.module.network

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if (trainer.current_epoch, batch_idx) <= (self.start, 0):
            self._average_model.n_averaged.zero_()  # the next update copies
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)


def _average(mean: Callable, averages: list[Tensor], current: list[Tensor], count: Tensor) -> None:
    """`mean` of the real numbers; of whole ones (batches counted by batch normalisation) the current ones."""
    if averages[0].is_floating_point():
        mean(averages, current, count)
    else:
        for average, now in zip(averages, current):
            average.copy_(now)
