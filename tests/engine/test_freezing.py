"""Frozen parts of a model."""

import copy

import pytest
import torch
from detectron2.utils.events import EventStorage
from test_distributed import TINY, clips

from maskprop_d2.engine import Trainer, load_config
from maskprop_d2.engine.freezing import parameter_names
from maskprop_d2.engine.solver import build_optimizer
from maskprop_d2.errors import InputError


@pytest.mark.parametrize("optimizer", ["SGD", "ADAMW"])
def test_only_frozen_parts_do_not_change(optimizer):
    parts = ["backbone.bottom_up", "roi_heads.mask_*", "proposal_generator"]
    options = ["SOLVER.FROZEN", parts, "SOLVER.OPTIMIZER", optimizer, "SOLVER.WEIGHT_DECAY", 0.1]
    # A high rate, since some heads have few examples in noise.
    cfg = load_config(str(TINY), [*options, "SOLVER.BASE_LR", 0.1])
    torch.manual_seed(0)
    model = Trainer.build_model(cfg)
    optimizer = build_optimizer(cfg, model)
    before = copy.deepcopy(model.state_dict())
    # As around an evaluation.
    model.eval()
    model.train()
    with EventStorage():
        for _ in range(2):
            losses = model(clips(2))
            optimizer.zero_grad()
            sum(losses.values()).backward()
            optimizer.step()
    # Losses of frozen parts still train the parts before them.
    assert {"loss_mask", "loss_rpn_cls", "loss_propagation"} <= set(losses)
    learns = {name for name, x in model.named_parameters() if x.requires_grad}
    assert all(x.grad is not None for x in model.parameters() if x.requires_grad)
    prefixes = ("backbone.bottom_up", "roi_heads.mask_", "proposal_generator")
    frozen = {x for x in before if x.startswith(prefixes)}
    moved = {name for name, x in model.state_dict().items() if not torch.equal(x, before[name])}
    statistics = {x for x in before if "running_" in x or x.endswith("num_batches_tracked")}
    assert frozen & statistics and not moved & frozen
    # While the layer that predicts offsets is zero, the layers before it have no gradient.
    still = {x for x in learns if x.startswith("propagation.offset_predictor.")} - moved
    assert moved == (learns | statistics) - frozen - still


def test_optimizer_has_no_frozen_parts():
    cfg = load_config(str(TINY), ["SOLVER.FROZEN", ["backbone"]])
    model = Trainer.build_model(cfg)
    optimizer = build_optimizer(cfg, model)
    held = {x for group in optimizer.param_groups for x in group["params"]}
    assert held == {x for name, x in model.named_parameters() if not name.startswith("backbone")}


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (["backbones"], r"FROZEN: .* no part 'backbones'; it has backbone, propagation, proposal"),
        (["backbone", "roi_heads.mask_hed.x"], r"it has roi_heads\.box_head, .*heads\.mask_head"),
        (["back"], "no part 'back'"),
        ([""], "no part ''"),
        ([3], "FROZEN: 3 is not a name of a part"),
        (["*"], "there is nothing to learn.*SOLVER.FROZEN"),
    ],
)
def test_unknown_parts_raise(parts, message):
    cfg = load_config(str(TINY), ["SOLVER.FROZEN", parts])
    with pytest.raises(InputError, match=message):
        build_optimizer(cfg, Trainer.build_model(cfg))


def test_detector_is_an_alias():
    cfg = load_config(str(TINY), ["SOLVER.FROZEN", ["detector"]])
    model = Trainer.build_model(cfg)
    learns = {name.split(".")[0] for name, x in model.named_parameters() if x.requires_grad}
    assert learns == {"propagation"}
    names = parameter_names(model, "detector", "SOLVER.FROZEN")
    assert {x.split(".")[0] for x in names} == {"backbone", "proposal_generator", "roi_heads"}
