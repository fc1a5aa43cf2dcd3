"""Several processes and passes give the losses and gradients of one with all clips."""

from pathlib import Path

import pytest
import torch
from detectron2.engine import launch
from detectron2.structures import BitMasks, Instances
from detectron2.utils import comm
from detectron2.utils.events import EventStorage
from torch.nn.parallel import DistributedDataParallel

from maskprop_d2.engine import Trainer, load_config
from maskprop_d2.engine.step import StepTrainer

TINY = Path(__file__).parents[2] / "configs/moving_shapes/maskprop_tiny.yaml"
SIZE = (64, 96)
PROCESSES_AND_PASSES = ((1, 1), (2, 2))
# Means over examples only agree if each process has equally many of each kind.
OPTIONS = [
    *("MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE", 4, "MODEL.ROI_HEADS.POSITIVE_FRACTION", 0.5),
    # Batch norm would use the batch of each process.
    *("MODEL.RESNETS.NORM", "GN", "MODEL.FPN.NORM", "GN"),
    *("MODEL.ROI_BOX_HEAD.NORM", "GN", "MODEL.ROI_MASK_HEAD.NORM", "GN"),
    *("MODEL.MASKPROP.PROPAGATION.GT_MASK_ITERS", 0, "SOLVER.AMP.ENABLED", False),
]


def test_losses_and_gradients_are_equal(tmp_path, data_sets, forked):
    for processes, passes in PROCESSES_AND_PASSES:
        launch(step, processes, dist_url="auto", args=(tmp_path, passes))
    one, many = (torch.load(tmp_path / f"{a}_{b}.pt") for a, b in PROCESSES_AND_PASSES)
    assert len(one["losses"]) == 6
    assert many["losses"] == pytest.approx(one["losses"], rel=1e-5)
    for name, gradient in one["gradients"].items():
        # Rounding differs between processes, and may switch a ReLU on or off.
        atol = 5e-3 * gradient.abs().max()
        torch.testing.assert_close(many["gradients"][name], gradient, rtol=0, atol=atol)


def clips(count):
    """Training clips of noise: two frames with two objects each."""
    generator = torch.Generator().manual_seed(0)
    made = []
    for i in range(count):
        masks = torch.zeros(2, *SIZE, dtype=torch.bool)
        masks[0, 4 : 30 + i, 6:40] = True
        masks[1, 20:60, 50 - i : 90] = True
        images = torch.randint(0, 256, (2, 3, *SIZE), generator=generator, dtype=torch.uint8)
        frames = []
        for s, (image, shift) in enumerate(zip(images, (0, 3), strict=True)):
            x = Instances(SIZE)
            x.gt_masks = BitMasks(masks.roll(shift, 2))
            x.gt_boxes = x.gt_masks.get_bounding_boxes()
            x.gt_classes = torch.tensor([1, 2])
            x.gt_ids = torch.tensor([1, 2])
            frames.append({"image": image, "frame": s, "instances": x})
        made.append({"clip": frames})
    return made


def step(folder, passes):
    """Run a step on this process's share of four clips. The first process saves the result."""
    torch.manual_seed(0)
    model = Trainer.build_model(load_config(str(TINY), OPTIONS))
    processes, rank = comm.get_world_size(), comm.get_rank()
    share = clips(4)[rank::processes]
    size = len(share) // passes
    trainer = StepTrainer(
        DistributedDataParallel(model) if processes > 1 else model,
        [share[i : i + size] for i in range(0, len(share), size)],
        torch.optim.SGD(model.parameters(), 0.1),
        passes=passes,
    )
    with pytest.MonkeyPatch.context() as patch, EventStorage(0) as storage:
        # Take the first examples instead of random ones, for any batch.
        patch.setattr(torch, "randperm", lambda n, device=None: torch.arange(n, device=device))
        trainer.run_step()
    if rank == 0:
        losses = {k: x for k, (x, _) in storage.latest().items() if k.startswith("loss_")}
        gradients = {k: x.grad for k, x in model.named_parameters()}
        torch.save({"losses": losses, "gradients": gradients}, folder / f"{processes}_{passes}.pt")
