"""Averages of the weights over the steps of a training, validated and saved in the last weights' place."""

from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import WeightAveraging
from torch.optim.swa_utils import get_ema_multi_avg_fn, get_swa_multi_avg_fn

from trailer_lib.backbones import FilmRegressor
from trailer_lib.settings import TrainSettings


class Averaging(WeightAveraging):
    """Lightning's averaging of all parameters and batch statistics: moving from the first step, or plain from `start`.

    Until epoch `start` the average is the last weights, so that a file never holds those of the beginning.
    """

    def __init__(self, settings: TrainSettings) -> None:
        # The `multi` functions are torch.lerp, which leaves what does not change as it is, to the bit.
        moving = settings.average == "ema"
        super().__init__(multi_avg_fn=get_ema_multi_avg_fn(settings.ema_decay) if moving else get_swa_multi_avg_fn())
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
