"""A training that takes seconds."""

import os
import signal
import time
from pathlib import Path

from make_moving_shapes import main as make_moving_shapes

ROOT = Path(__file__).parents[2]
TINY = ROOT / "configs/moving_shapes/maskprop_tiny.yaml"


def small_data_sets(root, **arguments):
    """A folder for DETECTRON2_DATASETS with tiny videos."""
    arguments = {"train": 3, "val": 2, "seed": 3, "height": 48, "width": 64, **arguments}
    options = [f"--{k}={v}" for k, v in {"length": 4, **arguments}.items()]
    make_moving_shapes(["--output", str(root / "moving_shapes"), *options])
    return root


def environment(data_sets):
    return {**os.environ, "DETECTRON2_DATASETS": str(data_sets), "OMP_NUM_THREADS": "1"}


def small(output, max_iter, *more):
    """Config keys of a training that takes seconds."""
    options = {
        "OUTPUT_DIR": str(output),
        "DATASETS.TRAIN": "('moving_shapes_train',)",
        "INPUT.MIN_SIZE_TRAIN": "(48,)",
        "INPUT.MIN_SIZE_TRAIN_SAMPLING": "choice",
        "INPUT.MIN_SIZE_TEST": "48",
        "SOLVER.IMS_PER_BATCH": "2",
        "SOLVER.MAX_ITER": str(max_iter),
        "SOLVER.CHECKPOINT_PERIOD": "2",
        # So that a network that has seen nothing yet gives tracks.
        "MODEL.ROI_HEADS.SCORE_THRESH_TEST": "0.01",
        "DATALOADER.NUM_WORKERS": "0",
    }
    return [*(x for pair in options.items() for x in pair), *more]


def ended(group, seconds):
    """Whether all processes of a group end within some time; then or now they have."""
    deadline = time.monotonic() + seconds
    try:
        while time.monotonic() < deadline:
            os.killpg(group, 0)
            time.sleep(0.2)
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return True
    return False
