"""Gradient accumulation, mixed precision and the scaled schedule."""

from pathlib import Path

import pytest
import torch
from detectron2.utils import comm
from detectron2.utils.events import EventStorage
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from maskprop_d2.engine import Trainer, load_config
from maskprop_d2.engine.solver import build_optimizer, scale_schedule
from maskprop_d2.engine.step import StepTrainer
from maskprop_d2.errors import InputError

CONFIGS = Path(__file__).parents[2] / "configs"
TINY = str(CONFIGS / "moving_shapes/maskprop_tiny.yaml")
PAPER = str(CONFIGS / "youtubevis_2019/maskprop_R_50_FPN.yaml")


class Model(nn.Module):
    """Two losses. Records the types of its matrix products."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 3)
        self.dtypes = set()

    def forward(self, data):
        x = self.linear(data)
        self.dtypes.add(x.dtype)
        x = x.float()
        return {"loss_a": x.square().mean(), "loss_b": 3 * (x - 1).abs().mean()}


def clips(count):
    return 5 * torch.randn(count, 4, generator=torch.Generator().manual_seed(0))


def train(batches, *options, wrap=lambda model: model, scaler=None, gpu=False, **arguments):
    """Train a model for a step per group of batches, with an optimizer for a CPU or a GPU. Returns
    the model and what was logged."""
    torch.manual_seed(0)
    model = Model()
    cfg = load_config(TINY, ["SOLVER.BASE_LR", 0.1, *options])
    cfg.MODEL.DEVICE = "cuda" if gpu else "cpu"
    trainer = StepTrainer(wrap(model), batches, build_optimizer(cfg, model), **arguments)
    trainer.scaler = scaler or trainer.scaler
    with EventStorage() as storage:
        for i in range(len(batches) // trainer.passes):
            trainer.iter = i
            trainer.run_step()
            storage.step()
    return model, {k: [x for x, _ in v.values()] for k, v in storage.histories().items()}


def test_mixed_precision_on_a_cpu_is_bfloat16():
    model, logged = train([torch.ones(8, 4)] * 40, mixed_precision=True)
    assert model.dtypes == {torch.bfloat16}
    assert model.linear.weight.dtype == torch.float32
    assert logged["total_loss"][-1] < 0.9 * logged["total_loss"][0]
    model, _ = train([torch.ones(8, 4)])
    assert model.dtypes == {torch.float32}


@pytest.mark.parametrize("clip", ["value", "norm", "full_model"])
@pytest.mark.parametrize("optimizer", ["SGD", "ADAMW"])
@pytest.mark.parametrize("mixed_precision", [False, True])
def test_several_passes_equal_one_with_all_clips(optimizer, clip, mixed_precision):
    options = ["SOLVER.OPTIMIZER", optimizer, "SOLVER.CLIP_GRADIENTS.CLIP_TYPE", clip]
    # Low, so that gradients are clipped: clipping each pass would give another result.
    options += ["SOLVER.CLIP_GRADIENTS.CLIP_VALUE", 0.3]
    precision = {"mixed_precision": mixed_precision}
    whole, logged = train(clips(24).split(12), *options, **precision)
    parts, logged_of_parts = train(clips(24).split(3), *options, passes=4, **precision)
    # Gradients in bfloat16: a sum of four is rounded differently.
    tolerance = 2e-2 if mixed_precision else 1e-5
    torch.testing.assert_close(
        parts.state_dict(), whole.state_dict(), rtol=tolerance, atol=tolerance
    )
    for name in ("loss_a", "loss_b", "total_loss"):
        assert len(logged[name]) == 2
        assert logged_of_parts[name] == pytest.approx(logged[name], rel=tolerance)


@pytest.mark.parametrize("optimizer", ["SGD", "ADAMW"])
def test_gradients_are_clipped_after_unscaling(optimizer):
    """As for float16 on a GPU; here gradients on a CPU are scaled."""
    options = ["SOLVER.OPTIMIZER", optimizer, "SOLVER.CLIP_GRADIENTS.CLIP_TYPE", "full_model"]
    more = {"passes": 2, "mixed_precision": True, "gpu": True}
    plain, _ = train(clips(24).split(3), *options, **more)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    scaled, _ = train(clips(24).split(3), *options, **more, scaler=scaler)
    torch.testing.assert_close(scaled.state_dict(), plain.state_dict())


def test_a_single_loss_is_logged_by_its_name_too(monkeypatch):
    monkeypatch.setattr(Model, "forward", lambda self, x: {"loss_a": self.linear(x).mean()})
    _, logged = train([torch.ones(8, 4)] * 2, passes=2)
    assert logged["loss_a"] == logged["total_loss"] and len(logged["loss_a"]) == 1


def test_a_training_can_be_resumed_in_another_precision():
    trainer = StepTrainer(Model(), [], torch.optim.SGD([nn.Parameter(torch.ones(1))], 0.1))
    assert not trainer.scaler.is_enabled()
    cpu_state = trainer.state_dict()
    trainer.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    gpu_state = trainer.state_dict()
    trainer.load_state_dict(cpu_state)
    assert trainer.scaler.get_scale() == 1024
    trainer.scaler = torch.amp.GradScaler("cpu")
    trainer.load_state_dict(gpu_state)
    assert trainer.scaler.get_scale() == 1024


def test_processes_exchange_gradients_once_per_step(tmp_path, monkeypatch):
    # Detectron2 only knows the number of processes if it has started them.
    monkeypatch.setattr(comm, "get_local_size", lambda: 1)
    exchanged = []

    def wrap(model):
        parallel = DistributedDataParallel(model)

        def hook(state, bucket):
            exchanged.append(bucket.buffer().clone())
            future = torch.futures.Future()
            future.set_result(bucket.buffer())
            return future

        parallel.register_comm_hook(None, hook)
        return parallel

    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1
    )
    try:
        batches = clips(18).split(3)
        together, _ = train(batches, wrap=wrap, passes=3)
    finally:
        torch.distributed.destroy_process_group()
    assert len(exchanged) == 2
    alone, _ = train(batches, passes=3)
    torch.testing.assert_close(together.state_dict(), alone.state_dict())


@pytest.mark.parametrize("gpus", [1, 8, 64])
@pytest.mark.parametrize("name", ["R_50_FPN", "HTC_R_50_FPN", "HTC_X_101_64x4d_FPN"])
def test_the_papers_schedule_is_scaled_to_the_number_of_gpus(name, gpus):
    """20 epochs, one clip per GPU, a learning rate of 1.25e-4 per clip."""
    cfg = load_config(str(CONFIGS / f"youtubevis_2019/maskprop_{name}.yaml"), [])
    solver = scale_schedule(cfg, gpus).SOLVER
    clips, rate = solver.IMS_PER_BATCH, solver.BASE_LR
    assert clips == gpus
    assert rate == pytest.approx(1.25e-4 * gpus)
    epochs = [x * gpus / 61000 for x in (*solver.STEPS, solver.MAX_ITER)]
    assert epochs == pytest.approx([16, 19, 20], abs=0.01)


@pytest.mark.parametrize(("gpus", "passes"), [(1, 64), (8, 8), (64, 1)])
def test_passes_count_as_gpus_in_the_papers_schedule(gpus, passes):
    cfg = load_config(PAPER, ["SOLVER.ACCUMULATE", passes])
    solver = scale_schedule(cfg, gpus).SOLVER
    assert solver == {**cfg.SOLVER, "REFERENCE_WORLD_SIZE": 0}
    assert (solver.IMS_PER_BATCH, solver.BASE_LR, solver.MAX_ITER) == (64, 0.008, 19060)
    solver = scale_schedule(load_config(PAPER, ["SOLVER.ACCUMULATE", 2 * passes]), gpus).SOLVER
    assert (solver.IMS_PER_BATCH, solver.BASE_LR, solver.MAX_ITER) == (128, 0.016, 9530)


@pytest.mark.parametrize(
    ("config", "options", "message"),
    [
        (TINY, ["SOLVER.ACCUMULATE", 3], r"IMS_PER_BATCH 4 cannot.* 1 processes.*multiple of 3"),
        (TINY, ["SOLVER.ACCUMULATE", 0], "ACCUMULATE must be 1 or more, not 0"),
        (PAPER, ["SOLVER.IMS_PER_BATCH", 2], r"REFERENCE_WORLD_SIZE 64.*set the latter to 0"),
    ],
)
def test_clips_that_cannot_be_divided_are_refused(config, options, message):
    with pytest.raises(InputError, match=message):
        Trainer(load_config(config, options))
