"""Optimizers, learning rates and gradient clipping."""

from pathlib import Path

import pytest
import torch
from torch import nn

from maskprop_d2.engine import Trainer, load_config
from maskprop_d2.engine.solver import build_optimizer
from maskprop_d2.errors import InputError

TINY = str(Path(__file__).parents[2] / "configs/moving_shapes/maskprop_tiny.yaml")
OPTIMIZERS = pytest.mark.parametrize("optimizer", ["SGD", "ADAMW"])


class Model(nn.Module):
    """Its parts are ``body`` and ``head``."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
        self.head = nn.Linear(3, 1)


def make_optimizer(model, *options):
    return build_optimizer(load_config(TINY, list(options)), model)


def settings(optimizer, model):
    """(learning rate, weight decay) by the name of the weight."""
    names = {x: name for name, x in model.named_parameters()}
    return {
        names[x]: (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for x in group["params"]
    }


@OPTIMIZERS
def test_learning_rates_of_parts(optimizer):
    options = ["SOLVER.OPTIMIZER", optimizer, "SOLVER.BASE_LR", 0.1, "SOLVER.WEIGHT_DECAY", 0.01]
    options += ["SOLVER.WEIGHT_DECAY_NORM", 0.5, "SOLVER.BIAS_LR_FACTOR", 2.0]
    options += ["SOLVER.WEIGHT_DECAY_BIAS", 0.3]
    factors = ["SOLVER.LR_FACTORS", [["body", 0.1], ["b*.1", 10]]]
    model = Model()
    assert settings(make_optimizer(model, *options, *factors), model) == {
        "body.0.weight": (pytest.approx(0.01), 0.01),
        "body.0.bias": (pytest.approx(0.02), 0.3),
        "body.1.weight": (pytest.approx(1.0), 0.5),
        "body.1.bias": (pytest.approx(2.0), 0.3),
        "head.weight": (0.1, 0.01),
        "head.bias": (0.2, 0.3),
    }


@OPTIMIZERS
def test_the_schedule_keeps_the_ratios_of_learning_rates(optimizer):
    options = ["SOLVER.OPTIMIZER", optimizer, "SOLVER.MAX_ITER", 100, "SOLVER.WARMUP_ITERS", 10]
    cfg = load_config(TINY, [*options, "SOLVER.LR_FACTORS", [["body", 0.1]]])
    model = Model()
    optimizer = build_optimizer(cfg, model)
    scheduler = Trainer.build_lr_scheduler(cfg, optimizer)
    rates = []
    for _ in range(100):
        rates.append({name: lr for name, (lr, _) in settings(optimizer, model).items()})
        optimizer.step()
        scheduler.step()
    assert rates[0]["head.weight"] < 0.01 * cfg.SOLVER.BASE_LR
    assert max(x["head.weight"] for x in rates) == pytest.approx(cfg.SOLVER.BASE_LR, rel=0.05)
    for rate in rates:
        assert rate["body.0.weight"] == pytest.approx(0.1 * rate["head.weight"])


@OPTIMIZERS
def test_without_factors_the_groups_are_detectron2s(optimizer):
    """So that existing checkpoints can be loaded."""
    model = Model()
    optimizer = make_optimizer(model, "SOLVER.OPTIMIZER", optimizer)
    # Norms, and everything else.
    assert [len(x["params"]) for x in optimizer.param_groups] == [4, 2]
    assert [x["weight_decay"] for x in optimizer.param_groups] == [0.01, 0.0]


@OPTIMIZERS
@pytest.mark.parametrize("kind", ["value", "norm", "full_model"])
def test_gradients_are_clipped(optimizer, kind):
    model = Model()
    options = ["SOLVER.OPTIMIZER", optimizer, "SOLVER.CLIP_GRADIENTS.CLIP_TYPE", kind]
    optimizer = make_optimizer(model, *options, "SOLVER.CLIP_GRADIENTS.CLIP_VALUE", 0.5)
    for i, x in enumerate(model.parameters()):
        x.grad = torch.full_like(x, 10.0 * (i + 1))
    before = [x.grad.clone() for x in model.parameters()]
    optimizer.step()
    after = [x.grad for x in model.parameters()]
    if kind == "value":
        assert all((x == 0.5).all() for x in after)
    elif kind == "norm":
        assert [float(x.norm()) for x in after] == pytest.approx([0.5] * len(after), rel=1e-4)
    else:
        # One factor for all weights.
        norm = torch.cat([x.flatten() for x in before]).norm()
        for x, y in zip(before, after, strict=True):
            torch.testing.assert_close(y, x * 0.5 / norm)


def test_small_gradients_are_not_clipped_and_clipping_can_be_disabled():
    for more, gradient in ((["SOLVER.CLIP_GRADIENTS.CLIP_TYPE", "full_model"], 0.01), (None, 10.0)):
        model = Model()
        optimizer = make_optimizer(model, *(more or ["SOLVER.CLIP_GRADIENTS.ENABLED", False]))
        for x in model.parameters():
            x.grad = torch.full_like(x, gradient)
        optimizer.step()
        assert all((x.grad == gradient).all() for x in model.parameters())


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("LR_FACTORS", [["hed", 0.1]], "LR_FACTORS: the model has no part 'hed'; it has body, hea"),
        ("LR_FACTORS", [["body.2", 0.1]], r"no part 'body\.2'; it has body\.0, body\.1$"),
        ("LR_FACTORS", ["head", 0.1], "LR_FACTORS must be a list of .*, but has 'head'"),
        ("LR_FACTORS", [["head", 0]], r"but has \['head', 0\]"),
        ("LR_FACTORS", [["head", "fast"]], "but has"),
        ("LR_FACTORS", [[1, 0.1]], "LR_FACTORS: 1 is not a name"),
        ("CLIP_GRADIENTS.CLIP_TYPE", "model", "must be value, norm .*full_model .*, not model"),
        ("BASE_LR", 0.0, "BASE_LR must be above 0, not 0"),
        ("BASE_LR", float("nan"), "BASE_LR must be above 0, not nan"),
        ("OPTIMIZER", "LION", "must be SGD or ADAMW, not LION"),
    ],
)
def test_invalid_values_are_refused(key, value, message):
    with pytest.raises(InputError, match=message):
        make_optimizer(Model(), f"SOLVER.{key}", value)


def test_a_model_without_trainable_weights_is_refused():
    with pytest.raises(InputError, match="there is nothing to learn: every part"):
        make_optimizer(Model().requires_grad_(False))


def test_clipping_comes_after_unscaling_on_a_gpu():
    """A fused step would unscale the gradients itself, after Detectron2 has clipped them."""
    cfg = load_config(TINY, [])
    for device, fused in (("cpu", True), ("cuda", False)):
        cfg.MODEL.DEVICE = device
        assert build_optimizer(cfg, Model()).defaults["fused"] == fused
