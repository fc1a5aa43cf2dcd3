"""The loss of the crop classifier: what it is shown, and what is asked of it."""

import pytest
import torch
from detectron2.structures import Boxes, Instances
from torch.nn import functional as F
from torchvision.ops import box_iou

from maskprop_d2.modeling.crop_loss import REGIONS_PER_OBJECT, crop_classifier_loss
from maskprop_d2.networks.crop_classifier import CropClassifier


def objects(boxes, classes):
    found = Instances((64, 64))
    found.gt_boxes = Boxes(torch.tensor(boxes).reshape(-1, 4).float())
    found.gt_classes = torch.tensor(classes, dtype=torch.int64)
    return found


def test_each_region_is_of_its_objects_category_and_shown_with_its_mask():
    targets = [objects([[4, 4, 24, 24], [30, 30, 60, 50]], [2, 0]), objects([[0, 0, 9, 20]], [1])]
    # Masks that tell the category.
    box_masks = [x.gt_classes[:, None, None].float().expand(-1, 8, 8) for x in targets]
    number = 0

    def sees_masks(image, masks, boxes, regions):
        nonlocal number
        number += len(regions)
        overlaps = box_iou(regions, boxes).diagonal()
        assert (overlaps > 0.5).all() and (overlaps < 1).any()
        return 9.0 * F.one_hot(masks[:, 0, 0].long(), 3)

    torch.manual_seed(0)
    images = torch.zeros(4, 3, 64, 64)
    assert crop_classifier_loss(sees_masks, images, box_masks, targets) < 0.01
    # Some regions are too far off.
    assert 3 < number <= 3 * REGIONS_PER_OBJECT
    targets[1].gt_classes += 1
    wrong = crop_classifier_loss(sees_masks, images, box_masks, targets)
    assert wrong == pytest.approx(9 / 3, rel=0.5)


def test_masks_get_no_gradient():
    classifier = CropClassifier(num_classes=3, crop_size=16, channels=[8], num_groups=4)
    masks = [torch.rand(1, 8, 8, requires_grad=True)]
    crop_classifier_loss(
        classifier, torch.randn(1, 3, 64, 64), masks, [objects([[4, 4, 24, 24]], [1])]
    ).backward()
    assert masks[0].grad is None and classifier.predictor.weight.grad.abs().max() > 0
