"""Optimizer, schedule and averaged weights."""

import math
from typing import Any

import torch
from detectron2.engine import DefaultTrainer, HookBase
from detectron2.solver.build import (
    get_default_optimizer_params,
    maybe_add_gradient_clipping,
    reduce_param_groups,
)
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from ..errors import InputError
from .freezing import parameter_names


def build_optimizer(cfg: Any, model: nn.Module) -> torch.optim.Optimizer:
    """SGD or AdamW (``SOLVER.OPTIMIZER``) with gradient clipping.

    Raises:
        InputError: if a value is wrong, or no weight requires a gradient.
    """
    solver = cfg.SOLVER
    if not any(x.requires_grad for x in model.parameters()):
        raise InputError(
            "there is nothing to learn: every part of the model is named by SOLVER.FROZEN or has "
            "no loss (LOSS_WEIGHT 0)"
        )
    if not 0 < solver.BASE_LR < math.inf:
        raise InputError(f"SOLVER.BASE_LR must be above 0, not {solver.BASE_LR}")
    if solver.OPTIMIZER == "SGD":
        kind: type[torch.optim.Optimizer] = torch.optim.SGD
        options = {"momentum": solver.MOMENTUM, "nesterov": solver.NESTEROV, "foreach": True}
    elif solver.OPTIMIZER == "ADAMW":
        kind = torch.optim.AdamW
        # On a GPU a fused step unscales the gradients of mixed precision itself, after clipping.
        options = {"fused": cfg.MODEL.DEVICE == "cpu"}
    else:
        raise InputError(f"SOLVER.OPTIMIZER must be SGD or ADAMW, not {solver.OPTIMIZER}")
    clip = solver.CLIP_GRADIENTS
    if clip.ENABLED and clip.CLIP_TYPE not in ("value", "norm", "full_model"):
        raise InputError(
            "SOLVER.CLIP_GRADIENTS.CLIP_TYPE must be value, norm (of each weight) or full_model "
            f"(norm over all weights), not {clip.CLIP_TYPE}"
        )
    full_model = clip.ENABLED and clip.CLIP_TYPE == "full_model"
    if not full_model:
        kind = maybe_add_gradient_clipping(cfg, kind)
    optimizer = kind(
        parameter_groups(cfg, model),
        lr=solver.BASE_LR,
        weight_decay=solver.WEIGHT_DECAY,
        **options,
    )
    if full_model:

        def clip_gradients(optimizer: torch.optim.Optimizer, *_: Any) -> None:
            weights = [x for group in optimizer.param_groups for x in group["params"]]
            nn.utils.clip_grad_norm_(weights, clip.CLIP_VALUE, clip.NORM_TYPE)

        optimizer.register_step_pre_hook(clip_gradients)
    return optimizer


def parameter_groups(cfg: Any, model: nn.Module) -> list[dict[str, Any]]:
    """Detectron2's parameter groups, with the learning rates of ``SOLVER.LR_FACTORS``.

    Raises:
        InputError: if a factor is invalid, or the model has no such part.
    """
    solver = cfg.SOLVER
    groups = get_default_optimizer_params(
        model,
        base_lr=solver.BASE_LR,
        weight_decay_norm=solver.WEIGHT_DECAY_NORM,
        bias_lr_factor=solver.BIAS_LR_FACTOR,
        weight_decay_bias=solver.WEIGHT_DECAY_BIAS,
    )
    factors = _lr_factors(solver.LR_FACTORS, model)
    # Detectron2's ``overrides`` would undo the factor of biases.
    return reduce_param_groups(
        [
            {**group, "params": [x], "lr": group["lr"] * factors.get(x, 1.0)}
            for group in groups
            for x in group["params"]
        ]
    )


def _lr_factors(entries: Any, model: nn.Module) -> dict[nn.Parameter, float]:
    """The learning-rate factors of the parameters that have one."""
    parameters = dict(model.named_parameters())
    factors = {}
    for entry in entries:
        if (
            not isinstance(entry, list | tuple)
            or len(entry) != 2
            or not isinstance(entry[1], int | float)
            or not 0 < entry[1] < math.inf
        ):
            raise InputError(
                f"SOLVER.LR_FACTORS must be a list of [part, factor above 0], but has {entry!r}"
            )
        for name in parameter_names(model, entry[0], "SOLVER.LR_FACTORS"):
            factors[parameters[name]] = entry[1]
    return factors


def scale_schedule(cfg: Any, processes: int) -> Any:
    """A copy of the config with its schedule scaled from ``SOLVER.REFERENCE_WORLD_SIZE`` GPUs to
    this training, where each of the ``SOLVER.ACCUMULATE`` passes of a process counts as a GPU.

    Args:
        cfg: the whole config.
        processes: number of processes of the training.

    Raises:
        InputError: if the clips of a step cannot be divided evenly.
    """
    clips, gpus = cfg.SOLVER.IMS_PER_BATCH, cfg.SOLVER.REFERENCE_WORLD_SIZE
    if gpus and clips % gpus:
        raise InputError(
            f"SOLVER.IMS_PER_BATCH {clips} is not a multiple of SOLVER.REFERENCE_WORLD_SIZE "
            f"{gpus}, the number of GPUs of the schedule: set the latter to 0 to use the schedule "
            "without scaling"
        )
    if cfg.SOLVER.ACCUMULATE < 1:
        raise InputError(f"SOLVER.ACCUMULATE must be 1 or more, not {cfg.SOLVER.ACCUMULATE}")
    passes = processes * cfg.SOLVER.ACCUMULATE
    cfg = DefaultTrainer.auto_scale_workers(cfg, passes).clone()
    if cfg.SOLVER.IMS_PER_BATCH % passes:
        raise InputError(
            f"SOLVER.IMS_PER_BATCH {clips} cannot be divided by {processes} processes with "
            f"SOLVER.ACCUMULATE {cfg.SOLVER.ACCUMULATE} passes each: make it a multiple of {passes}"
        )
    cfg.defrost()
    # Not to be scaled again.
    cfg.SOLVER.REFERENCE_WORLD_SIZE = 0
    cfg.freeze()
    return cfg


class WeightAverage(HookBase):
    """Keeps an exponential moving average (EMA) of a model's weights and normalization statistics.

    A checkpoint has the averaged weights as its ``model``, and the weights in training in the state
    of this hook.
    """

    def __init__(self, model: nn.Module, decay: float):
        """
        Args:
            model: the model in training.
            decay: in each step the average keeps this share of itself, in (0, 1); at most
                (1 + n) / (10 + n) after n steps, so that it soon forgets the initial weights.

        Raises:
            InputError: if ``decay`` is out of range.
        """
        if not 0 < decay < 1:
            raise InputError(f"SOLVER.EMA_DECAY must be in [0, 1) (0: off), not {decay}")
        self._model = model
        self._decay = decay
        self._average = AveragedModel(model, multi_avg_fn=self._update, use_buffers=True)

    @property
    def averaged(self) -> nn.Module:
        """A copy of the model with averaged weights."""
        return self._average.module

    def _update(self, averaged: list[Tensor], current: list[Tensor], steps: Tensor) -> None:
        decay = min(self._decay, (1 + int(steps)) / (10 + int(steps)))
        for mean, value in zip(averaged, current, strict=True):
            if mean.is_floating_point():
                # With lerp the average of equal values is exact.
                mean.lerp_(value, 1 - decay)
            else:
                mean.copy_(value)

    @torch.no_grad()
    def after_step(self) -> None:
        self._average.update_parameters(self._model)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs besides the averaged weights."""
        return {"model": self._model.state_dict(), "steps": int(self._average.n_averaged)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume, after the averaged weights were loaded into the model."""
        self.averaged.load_state_dict(self._model.state_dict())
        self._model.load_state_dict(state["model"])
        self._average.n_averaged.fill_(state["steps"])
