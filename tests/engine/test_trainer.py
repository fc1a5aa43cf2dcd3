"""The trainer's own parts."""

from pathlib import Path

import pytest
import torch
from detectron2.utils.events import EventStorage
from torch import nn

from maskprop_d2.engine import Trainer, load_config
from maskprop_d2.engine.trainer import CPUAMPTrainer
from maskprop_d2.errors import InputError

CONFIGS = Path(__file__).parents[2] / "configs"
TINY = CONFIGS / "moving_shapes/maskprop_tiny.yaml"


class Model(nn.Module):
    """Remembers the type that its matrix product was computed in."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 1)

    def forward(self, data):
        x = self.linear(data)
        self.computed_in = x.dtype
        return {"loss": x.float().square().mean()}


def test_mixed_precision_on_the_cpu_computes_in_bfloat16_and_learns():
    torch.manual_seed(0)
    model = Model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    trainer = CPUAMPTrainer(model, [torch.ones(8, 4)] * 20, optimizer)
    before = model(torch.ones(8, 4))["loss"].item()
    with EventStorage() as storage:
        for trainer.iter in range(20):
            trainer.run_step()
            storage.step()
        assert "total_loss" in storage.histories()
    assert model.computed_in == torch.bfloat16
    assert model.linear.weight.dtype == torch.float32
    assert model(torch.ones(8, 4))["loss"].item() < 0.01 * before
    # What Detectron2's own trainer for GPUs reads from a checkpoint.
    torch.amp.GradScaler("cpu").load_state_dict(trainer.state_dict()["grad_scaler"])


def test_a_training_of_nothing_is_refused():
    frozen = nn.Linear(2, 2).requires_grad_(False)
    with pytest.raises(InputError, match="there is nothing to learn: FREEZE_DETECTOR is True"):
        Trainer.build_optimizer(load_config(str(TINY), []), frozen)


def test_clipping_comes_after_unscaling_on_a_gpu():
    """A fused step would unscale the gradients itself, after Detectron2 has clipped them."""
    cfg = load_config(str(TINY), [])
    for device, fused in (("cpu", True), ("cuda", False)):
        cfg.MODEL.DEVICE = device
        assert Trainer.build_optimizer(cfg, nn.Linear(2, 2)).defaults["fused"] == fused


@pytest.mark.parametrize("gpus", [1, 8, 64])
@pytest.mark.parametrize("name", ["R_50_FPN", "HTC_R_50_FPN", "HTC_X_101_64x4d_FPN"])
def test_the_papers_schedule_fits_any_number_of_gpus(name, gpus):
    """20 epochs, a clip for each GPU, 1.25e-4 of learning rate for each clip."""
    cfg = load_config(str(CONFIGS / f"youtubevis_2019/maskprop_{name}.yaml"), [])
    solver = Trainer.auto_scale_workers(cfg, gpus).SOLVER
    clips, rate = solver.IMS_PER_BATCH, solver.BASE_LR
    assert clips == gpus
    assert rate == pytest.approx(1.25e-4 * gpus)
    epochs = [x * gpus / 61000 for x in (*solver.STEPS, solver.MAX_ITER)]
    assert epochs == pytest.approx([16, 19, 20], abs=0.01)


def test_a_batch_that_the_schedule_cannot_share_out_is_refused():
    cfg = load_config(str(CONFIGS / "youtubevis_2019/maskprop_R_50_FPN.yaml"), [])
    cfg.SOLVER.IMS_PER_BATCH = 2
    with pytest.raises(InputError, match=r"REFERENCE_WORLD_SIZE 64.*set the latter to 0"):
        Trainer(cfg)
