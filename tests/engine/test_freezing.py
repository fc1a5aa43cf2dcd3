"""Frozen parts."""

import copy

import pytest
import torch
from detectron2.utils.events import EventStorage
from test_distributed import TINY, clips

from maskprop_d2.engine import Trainer, load_config
from maskprop_d2.engine.solver import build_optimizer
from maskprop_d2.errors import InputError


def of_parts(names, *parts):
    return {x for x in names if x.startswith(parts)}


@pytest.mark.parametrize("optimizer", ["SGD", "ADAMW"])
def test_frozen_parts_do_not_move_and_all_others_do(optimizer):
    parts = ["backbone.bottom_up", "roi_heads.mask_*", "proposal_generator"]
    options = ["SOLVER.FROZEN", parts, "SOLVER.OPTIMIZER", optimizer, "SOLVER.WEIGHT_DECAY", 0.1]
    # So that what seldom finds examples in noise moves too.
    cfg = load_config(str(TINY), [*options, "SOLVER.BASE_LR", 0.1])
    torch.manual_seed(0)
    model = Trainer.build_model(cfg)
    optimizer = build_optimizer(cfg, model)
    before = copy.deepcopy(model.state_dict())
    # As after an evaluation.
    model.eval()
    model.train()
    with EventStorage():
        for _ in range(2):
            losses = model(clips(2))
            optimizer.zero_grad()
            sum(losses.values()).backward()
            optimizer.step()
    # Frozen parts still have losses, for those that they are built on.
    assert {"loss_mask", "loss_rpn_cls", "loss_propagation"} <= set(losses)
    learns = {name for name, x in model.named_parameters() if x.requires_grad}
    assert all(x.grad is not None for x in model.parameters() if x.requires_grad)
    frozen = of_parts(before, "backbone.bottom_up", "roi_heads.mask_", "proposal_generator")
    moved = {name for name, x in model.state_dict().items() if not torch.equal(x, before[name])}
    statistics = {x for x in before if "running_" in x or x.endswith("num_batches_tracked")}
    assert frozen & statistics and not moved & frozen
    # What offsets are made of has no gradient before they are first moved from zero.
    still = of_parts(learns, "propagation.offset_predictor.") - moved
    assert moved == (learns | statistics) - frozen - still


def test_what_the_optimizer_has_leaves_frozen_parts_out():
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
def test_parts_that_cannot_be_frozen_are_refused(parts, message):
    cfg = load_config(str(TINY), ["SOLVER.FROZEN", parts])
    with pytest.raises(InputError, match=message):
        build_optimizer(cfg, Trainer.build_model(cfg))
