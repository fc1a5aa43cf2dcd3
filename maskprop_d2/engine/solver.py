"""The optimizer of a config."""

import math
from typing import Any

import torch
from detectron2.solver.build import (
    get_default_optimizer_params,
    maybe_add_gradient_clipping,
    reduce_param_groups,
)
from torch import nn

from ..errors import InputError
from .freezing import parameter_names


def build_optimizer(cfg: Any, model: nn.Module) -> torch.optim.Optimizer:
    """SGD or AdamW over what learns in a model (``SOLVER.OPTIMIZER``), with clipped gradients.

    Raises:
        InputError: if the config has a value that does not exist, or leaves nothing to learn.
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
        # On a GPU a fused step would unscale the gradients of mixed precision itself, after they
        # have been clipped.
        options = {"fused": cfg.MODEL.DEVICE == "cpu"}
    else:
        raise InputError(f"SOLVER.OPTIMIZER must be SGD or ADAMW, not {solver.OPTIMIZER}")
    clip = solver.CLIP_GRADIENTS
    if clip.ENABLED and clip.CLIP_TYPE not in ("value", "norm", "full_model"):
        raise InputError(
            "SOLVER.CLIP_GRADIENTS.CLIP_TYPE must be value, norm (of each tensor) or full_model "
            f"(the norm over all of them), not {clip.CLIP_TYPE}"
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
    """Detectron2's groups, for biases and norms, divided by ``SOLVER.LR_FACTORS``.

    Raises:
        InputError: if a factor is none, or is for a part that the model has not.
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
    # Detectron2's own way to do this would undo that of the biases.
    return reduce_param_groups(
        [
            {**group, "params": [x], "lr": group["lr"] * factors.get(x, 1.0)}
            for group in groups
            for x in group["params"]
        ]
    )


def _lr_factors(entries: Any, model: nn.Module) -> dict[nn.Parameter, float]:
    """The factor of each parameter that has one."""
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
                f"SOLVER.LR_FACTORS must be a list of [part, factor above 0], but holds {entry!r}"
            )
        for name in parameter_names(model, entry[0], "SOLVER.LR_FACTORS"):
            factors[parameters[name]] = entry[1]
    return factors
