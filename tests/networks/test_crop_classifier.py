"""The crop classifier."""

import pytest
import torch
from torch.nn import functional as F

from maskprop_d2.errors import InputError
from maskprop_d2.networks.crop_classifier import CropClassifier
from maskprop_d2.ops.crops import crop_with_masks


def classifier(**changes):
    torch.manual_seed(0)
    options = {"num_classes": 3, "crop_size": 16, "channels": [8, 16], "num_groups": 4}
    return CropClassifier(**{**options, **changes})


def boxes_at(*corners, side=20.0):
    corners = torch.tensor(corners).reshape(-1, 2).float()
    return torch.cat([corners, corners + side], dim=1)


def test_no_objects_and_regions_beyond_the_frame():
    module, image = classifier(), torch.randn(3, 60, 80)
    assert module(image, torch.zeros(0, 7, 7), boxes_at(), boxes_at()).shape == (0, 3)
    boxes = boxes_at((-30, 10), (70, 50), (5, 5))
    boxes[2, 2:] = 5
    logits = module(image, torch.rand(3, 7, 7), boxes, boxes)
    assert logits.shape == (3, 3) and logits.isfinite().all()
    logits.square().sum().backward()
    for name, x in module.named_parameters():
        assert x.grad.isfinite().all() and x.grad.abs().max() > 0, name


def test_masks_are_aligned_with_crops():
    """The image is 1 inside the mask, so that crop and mask must be equal."""
    image = torch.zeros(1, 60, 80)
    image[:, 20:40, 30:50] = 1
    boxes = boxes_at((30, 20)).expand(4, -1)
    regions = torch.tensor(
        [[30.0, 20, 50, 40], [25, 15, 55, 45], [40, 30, 60, 50], [10, 0, 90, 80]]
    )
    patches, masks = crop_with_masks(image, torch.ones(4, 16, 16), boxes, regions, 40).unbind(1)
    assert (patches - masks).abs().mean() < 0.03
    assert masks.mean((1, 2)).tolist() == pytest.approx([1, 4 / 9, 1 / 4, 1 / 16], abs=0.06)


@pytest.mark.parametrize(
    "wrong", [*({"crop_size": x} for x in (0, 3, -16, 2000, 16.5, "16")), {"channels": []}]
)
def test_invalid_options_raise(wrong):
    with pytest.raises(InputError, match=r"CROP_CLASSIFIER\.CROP_SIZE .* CHANNELS"):
        classifier(**wrong)


def test_it_learns_from_image_and_mask():
    """Some categories differ only in the image, others only in the mask."""
    module = classifier(num_classes=4)
    optimizer = torch.optim.Adam(module.parameters(), 0.005)
    torch.manual_seed(1)
    ramp = torch.linspace(-1, 1, 20)
    shapes = torch.stack([torch.ones(8, 8), torch.ones(8, 8).tril()])
    accuracy = 0.0
    for step in range(40):
        labels = torch.randint(0, 4, (6,))
        image = 0.1 * torch.randn(3, 40, 120)
        boxes = boxes_at(*[(20 * i, 10) for i in range(6)])
        for i, label in enumerate(labels.tolist()):
            stripes = ramp if label % 2 else ramp[:, None]
            image[:, 10:30, 20 * i : 20 * i + 20] += stripes
        logits = module(image, shapes[labels // 2], boxes, boxes)
        if step >= 30:
            accuracy += (logits.argmax(1) == labels).float().mean().item() / 10
        optimizer.zero_grad()
        F.cross_entropy(logits, labels).backward()
        optimizer.step()
    assert accuracy > 0.9
