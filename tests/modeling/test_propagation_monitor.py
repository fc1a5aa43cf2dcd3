"""Metrics and pictures of propagation in training."""

import numpy as np
import pytest
import torch
from detectron2.structures import BitMasks, Instances
from detectron2.utils.events import EventStorage

from maskprop_d2.modeling.propagation_monitor import PICTURE, PropagationMonitor, distance_name
from maskprop_d2.video.drawing import track_color

SIZE = (128, 152)
STRIDE = 8


def clip(*distances, image_format="RGB"):
    """Frames of one color, with an object in the right half of the partners."""
    color = torch.tensor([10, 20, 30], dtype=torch.uint8)
    image = color[:, None, None].expand(3, *SIZE).contiguous()
    image = image.flip(0) if image_format == "BGR" else image
    key, partner = Instances(SIZE), Instances(SIZE)
    masks = torch.zeros(1, *SIZE, dtype=torch.bool)
    masks[0, :, 80:] = True
    partner.gt_masks, partner.gt_ids = BitMasks(masks), torch.tensor([7])
    key.gt_ids = torch.tensor([7, 9])
    frames = [{"frame": 10, "image": image, "instances": key}]
    for distance in distances:
        frames.append({"frame": 10 - distance, "image": image, "instances": partner})
    return frames


def on_grid(*halves):
    """(N, h, w) masks of the left or right ten columns of the grid."""
    masks = torch.zeros(len(halves), 16, 20)
    for mask, half in zip(masks, halves, strict=True):
        mask[:, {"left": slice(10), "right": slice(10, 20), "none": slice(0)}[half]] = 1
    return masks


def test_distances_are_grouped():
    names = [distance_name(x) for x in range(10)]
    assert names == ["still", "1", "2", "3-4", "3-4", "5-8", "5-8", "5-8", "5-8", "9-16"]
    assert distance_name(16) == "9-16" and distance_name(17) == "17-32"


def test_soft_iou_is_summed_by_distance_over_objects_in_both_frames():
    monitor = PropagationMonitor(0, "RGB", STRIDE)
    truth = torch.stack([on_grid("left", "left"), on_grid("right", "none")])
    propagated = torch.stack([on_grid("left", "left"), 0.5 * on_grid("right", "left")])
    propagated.requires_grad_()
    assert monitor.pop_metrics() == {}
    for distance in (3, 1):
        monitor.update(clip(distance), truth[0], propagated, truth)
    # Frames before and after the key frame, in one clip.
    monitor.update(clip(-4, 2), truth[0], propagated[[0, 1, 0]], truth[[0, 1, 1]])
    # A mask of 0.5 on the whole object has the IoU 0.5 / (0.5 + 1 - 0.5).
    assert monitor.pop_metrics() == {"0": (6, 6), "3-4": (1, 2), "1": (0.5, 1), "2": (0, 1)}
    assert monitor.pop_metrics() == {}


@pytest.mark.parametrize("image_format", ["RGB", "BGR"])
def test_picture_shows_source_propagated_and_ground_truth_masks(image_format):
    monitor = PropagationMonitor(5, image_format, STRIDE)
    truth = torch.stack([on_grid("left", "left"), on_grid("right", "none")])
    propagated = truth.clone()
    with EventStorage(10) as storage:
        args = (clip(3, image_format=image_format), on_grid("left", "none"), propagated, truth)
        monitor.update(*args)
        # Only the first clip of an iteration is drawn.
        monitor.update(*args)
        storage.step()
        monitor.update(*args)
    ((name, picture, iteration),) = storage._vis_data
    assert (name, iteration) == (PICTURE, 10)
    # Small frames are drawn at twice their size with a gap of 4 pixels.
    assert picture.shape == (3, 256, 3 * 304 + 8) and picture.dtype == np.uint8
    tint = 0.55 * np.array([10, 20, 30]) + 0.45 * np.array(track_color(0))
    for i, (left, right) in enumerate([(tint, (10, 20, 30)), *[((10, 20, 30), tint)] * 2]):
        drawn = picture[:, 200, i * 308 : i * 308 + 304]
        assert drawn[:, 100] == pytest.approx(np.array(left), abs=1)
        assert drawn[:, 220] == pytest.approx(np.array(right), abs=1)
