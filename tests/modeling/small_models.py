"""Small models, training clips and videos for tests of the whole model."""

from pathlib import Path

import numpy as np
import torch
from detectron2.modeling import build_model
from detectron2.structures import BitMasks, Instances
from detectron2.utils.events import EventStorage

from maskprop_d2.engine import load_config
from maskprop_d2.engine.freezing import freeze

CONFIGS = Path(__file__).parents[2] / "configs"
TINY = CONFIGS / "moving_shapes/maskprop_tiny.yaml"
FULL = CONFIGS / "moving_shapes/maskprop_tiny_full.yaml"


def build(config_file, *options):
    torch.manual_seed(0)
    cfg = load_config(str(config_file), ["MODEL.WEIGHTS", "", "INPUT.MIN_SIZE_TEST", 64, *options])
    model = build_model(cfg)
    freeze(model, cfg.SOLVER.FROZEN)
    return model


def rectangles(*boxes, size=(64, 96)):
    masks = torch.zeros(len(boxes), *size, dtype=torch.bool)
    for mask, (x0, y0, x1, y1) in zip(masks, boxes, strict=True):
        mask[y0:y1, x0:x1] = True
    return BitMasks(masks)


def clip(*boxes, gone=(), size=(64, 96), frames=2):
    """A training clip; the objects in ``gone`` are not in its last frame."""
    generator = torch.Generator().manual_seed(len(boxes))
    images = torch.randint(0, 255, (frames, 3, *size), generator=generator, dtype=torch.uint8)
    clip_frames = []
    for s, image in enumerate(images):
        visible = [i for i in range(len(boxes)) if s < frames - 1 or i not in gone]
        instances = Instances(size)
        instances.gt_masks = rectangles(*(boxes[i] for i in visible), size=size)
        instances.gt_boxes = instances.gt_masks.get_bounding_boxes()
        instances.gt_classes = torch.tensor(visible, dtype=torch.int64)
        instances.gt_ids = torch.tensor(visible, dtype=torch.int64) + 7
        sem_seg = torch.randint(0, 3, size, generator=generator, dtype=torch.uint8)
        clip_frames.append({"image": image, "frame": s, "instances": instances, "sem_seg": sem_seg})
    return {"clip": clip_frames}


def compute_losses(model, clips, iteration=0):
    model.train()
    with EventStorage(iteration):
        return model(clips)


def video(length, size=(64, 96)):
    return list(np.random.default_rng(0).integers(0, 255, (length, *size, 3), dtype=np.uint8))
