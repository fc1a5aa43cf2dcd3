"""Region sampling, and the loss of the crop classifier."""

import pytest
import torch
from detectron2.structures import Boxes, Instances
from torch.nn import functional as F
from torchvision.ops import box_iou

from maskprop_d2.modeling.losses import CropClassifierLoss
from maskprop_d2.modeling.training_clips import (
    POSITIVE_IOU,
    ClipBatch,
    jitter_boxes,
    sample_regions,
)
from maskprop_d2.networks.crop_classifier import CropClassifier


def make_objects(boxes, classes):
    objects = Instances((64, 64))
    objects.gt_boxes = Boxes(torch.tensor(boxes).reshape(-1, 4).float())
    objects.gt_classes = torch.tensor(classes, dtype=torch.int64)
    return objects


def compute_loss(network, images, box_masks, objects):
    batch = ClipBatch([None] * len(objects), images, {}, objects, lambda *_: box_masks)
    return CropClassifierLoss("crop_classifier", 1.0)(network, batch)


def test_sampled_regions_overlap_their_objects():
    torch.manual_seed(0)
    boxes = torch.tensor([[0.0, 0, 20, 40], [30, 30, 60, 50]])
    regions, owners = sample_regions(boxes, 8)
    assert torch.equal(regions[:2], boxes) and owners[:2].tolist() == [0, 1]
    overlaps = box_iou(regions, boxes)[torch.arange(len(regions)), owners]
    assert (overlaps > POSITIVE_IOU).all() and overlaps.min() < 0.7
    assert 8 < len(regions) <= 16
    regions, owners = sample_regions(torch.zeros(0, 4), 8)
    assert regions.shape == (0, 4) and owners.shape == (0,)


def test_jittered_boxes_stay_near_the_originals():
    boxes = torch.tensor([[10.0, 20, 50, 40], [0, 0, 30, 90]]).repeat(200, 1)
    jittered = jitter_boxes(boxes, 0.5)
    overlaps = box_iou(jittered, boxes).diagonal()
    assert 0.59 < overlaps.min() < 0.7 and 0.75 < overlaps.mean() < 0.85
    # They are shifted to both sides equally often.
    assert 0.4 < (jittered[:, 0] > boxes[:, 0]).float().mean() < 0.6
    assert jitter_boxes(torch.zeros(0, 4), 0.5).shape == (0, 4)


def test_crop_classifier_sees_each_region_with_its_mask_and_category():
    objects = [
        make_objects([[4, 4, 24, 24], [30, 30, 60, 50]], [2, 0]),
        make_objects([[0, 0, 9, 20]], [1]),
    ]
    # The value of a mask is its category.
    box_masks = [x.gt_classes[:, None, None].float().expand(-1, 8, 8) for x in objects]
    count = 0

    def classify_by_mask(image, masks, boxes, regions):
        nonlocal count
        count += len(regions)
        overlaps = box_iou(regions, boxes).diagonal()
        assert (overlaps > 0.5).all() and (overlaps < 1).any()
        return 9.0 * F.one_hot(masks[:, 0, 0].long(), 3)

    torch.manual_seed(0)
    images = torch.zeros(4, 3, 64, 64)
    assert compute_loss(classify_by_mask, images, box_masks, objects) < 0.01
    # Regions that do not overlap their object enough are dropped.
    assert 3 < count <= 3 * CropClassifierLoss.regions_per_object
    objects[1].gt_classes += 1
    assert compute_loss(classify_by_mask, images, box_masks, objects) == pytest.approx(3, rel=0.5)


def test_crop_classifier_loss_gives_masks_no_gradient():
    network = CropClassifier(num_classes=3, crop_size=16, channels=[8], num_groups=4)
    masks = torch.rand(1, 8, 8, requires_grad=True)
    batch = ClipBatch(
        [None],
        torch.randn(1, 3, 64, 64),
        {},
        [make_objects([[4, 4, 24, 24]], [1])],
        lambda *_: [masks * 0.5],
    )
    CropClassifierLoss("crop_classifier", 1.0)(network, batch).backward()
    assert masks.grad is None and network.predictor.weight.grad.abs().max() > 0
