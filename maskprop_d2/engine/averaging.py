"""The mean of a model's weights over the last steps of a training."""

from typing import Any

import torch
from detectron2.engine import HookBase
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from ..errors import InputError


class WeightAverage(HookBase):
    """Keeps an exponential moving average (EMA) of a model's weights and of its norms' statistics.

    A checkpoint of it has the averaged weights as its ``model``, which whoever wants to use them
    reads, and the weights that learn in the state of this hook.
    """

    def __init__(self, model: nn.Module, decay: float):
        """
        Args:
            model: what learns.
            decay: the average keeps this share of itself in each step; less in the first ones,
                (1 + n) / (10 + n) after n, so that it soon forgets how the training began.

        Raises:
            InputError: if ``decay`` is no share below 1.
        """
        if not 0 < decay < 1:
            raise InputError(f"SOLVER.EMA_DECAY must be 0 (off) or more, and below 1, not {decay}")
        self._model = model
        self._decay = decay
        self._average = AveragedModel(model, multi_avg_fn=self._mix, use_buffers=True)

    @property
    def averaged(self) -> nn.Module:
        """A copy of the model, with averaged weights."""
        return self._average.module

    def _mix(self, averaged: list[Tensor], current: list[Tensor], steps: Tensor) -> None:
        decay = min(self._decay, (1 + int(steps)) / (10 + int(steps)))
        for mean, value in zip(averaged, current, strict=True):
            if mean.is_floating_point():
                # Equal values stay what they are, to the last bit.
                mean.lerp_(value, 1 - decay)
            else:
                mean.copy_(value)

    @torch.no_grad()
    def after_step(self) -> None:
        """Take in the weights of this step."""
        self._average.update_parameters(self._model)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs besides the averaged weights."""
        return {"model": self._model.state_dict(), "steps": int(self._average.n_averaged)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on, after the model was loaded from the same checkpoint."""
        self.averaged.load_state_dict(self._model.state_dict())
        self._model.load_state_dict(state["model"])
        self._average.n_averaged.fill_(state["steps"])
