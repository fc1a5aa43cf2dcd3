"""High-resolution mask refinement."""

import pytest
import torch
from torch.nn import functional as F

from maskprop_d2.errors import InputError
from maskprop_d2.networks.refinement import MaskRefinement
from maskprop_d2.ops.masks import paste_masks


def refinement(crop_size=32, chunk_size=4, context=1.25, channels=16):
    torch.manual_seed(0)
    return MaskRefinement(
        crop_size=crop_size,
        context=context,
        channels=channels,
        num_groups=4,
        chunk_size=chunk_size,
    )


def randomize(module):
    """Give the last layer, initially zero, random weights."""
    torch.manual_seed(1)
    torch.nn.init.normal_(module.predictor.weight, std=0.3)
    return module


def inputs(number, height=60, width=80):
    generator = torch.Generator().manual_seed(number)
    corner = torch.rand(number, 2, generator=generator) * torch.tensor([width / 2, height / 2])
    size = torch.rand(number, 2, generator=generator) * 30 + 4
    image = torch.randn(3, height, width, generator=generator)
    return (
        image,
        torch.rand(number, 7, 7, generator=generator),
        torch.cat([corner, corner + size], 1),
    )


def test_crops_are_squares_around_boxes():
    boxes = torch.tensor([[10.0, 10.0, 50.0, 20.0], [0.0, 0.0, 8.0, 16.0], [5.0, 5.0, 5.0, 5.0]])
    crops = refinement().crop_boxes(boxes)
    expected = [[5, -10, 55, 40], [-6, -2, 14, 18], [4.375, 4.375, 5.625, 5.625]]
    assert crops.tolist() == expected


@pytest.mark.parametrize(
    "wrong",
    [
        *({"crop_size": x} for x in (0, -1, 10**6)),
        *({"context": x} for x in (0.0, float("nan"), 10**9)),
        *({"chunk_size": x} for x in (0, 1.5, 10**30)),
    ],
)
def test_invalid_options_raise(wrong):
    with pytest.raises(InputError, match=r"REFINEMENT\.CROP_SIZE .* CONTEXT .* CHUNK_SIZE"):
        refinement(**wrong)


def test_untrained_refinement_only_resizes():
    image, masks, boxes = inputs(5)
    module = refinement(crop_size=96)
    crops = module.crop_boxes(boxes)
    with torch.no_grad():
        refined = module(image, masks, boxes, crops).sigmoid()
    assert refined.shape == (5, 96, 96)
    pasted = paste_masks(refined, crops, 60, 80) > 0.5
    assert (pasted == (paste_masks(masks, boxes, 60, 80) > 0.5)).float().mean() > 0.99


def test_input_of_the_network_is_the_crop():
    """Each cell has the value of its pixel; cells beyond the frame are zero."""
    image = torch.stack(torch.meshgrid(torch.arange(40.0), torch.arange(50.0), indexing="ij"))
    image = torch.cat([image, torch.ones(1, 40, 50)])
    module = refinement(crop_size=20, context=1.0)
    inputs = []
    module.blocks.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    boxes = torch.tensor([[10.0, 5.0, 30.0, 25.0], [40.0, 10.0, 60.0, 30.0]])
    with torch.no_grad():
        module(image, torch.ones(2, 7, 7), boxes, module.crop_boxes(boxes))
    inside, beyond = inputs[0]
    torch.testing.assert_close(inside[0, :, 3], torch.arange(5.0, 25.0))
    torch.testing.assert_close(inside[1, 7], torch.arange(10.0, 30.0))
    assert inside[3, 2:-2, 2:-2].min() > 0.999
    assert (beyond[2, :, :9] == 1).all() and (beyond[2, :, 12:] == 0).all()


@pytest.mark.parametrize("number", [1, 5])
def test_chunks_bound_the_batch_and_do_not_change_the_result(number):
    image, masks, boxes = inputs(number)
    outputs, gradients, largest = [], [], []
    for chunk_size in (2, 100):
        module = randomize(refinement(chunk_size=chunk_size))
        sizes = [0]
        module.blocks.register_forward_pre_hook(lambda _, args, s=sizes: s.append(len(args[0])))
        given = masks.clone().requires_grad_()
        logits = module(image, given, boxes, module.crop_boxes(boxes))
        outputs.append(logits)
        (logits**2).sum().backward()
        gradients.append(given.grad)
        largest.append(max(sizes))
    assert largest == [min(number, 2), number]
    torch.testing.assert_close(outputs[0], outputs[1])
    assert (gradients[0] != 0).any()
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-4, atol=1e-4)


def test_frame_without_objects():
    image, masks, boxes = inputs(0)
    module = refinement()
    assert module(image, masks, boxes, module.crop_boxes(boxes)).shape == (0, 32, 32)


def test_training_keeps_no_activations():
    image, masks, boxes = inputs(6)
    module = refinement(chunk_size=2)
    kept = []

    def keep(tensor):
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        module(image, masks, boxes, module.crop_boxes(boxes))
    # A single hidden map of one instance is larger.
    assert max(kept, default=0) <= max(image.numel(), 6 * 32 * 32)


def test_it_learns_to_follow_edges():
    """Objects are discs, their low-resolution masks squares."""
    torch.manual_seed(0)
    module = refinement(crop_size=24, channels=8, context=1.5)
    y, x = torch.meshgrid(torch.arange(48.0), torch.arange(48.0), indexing="ij")
    optimizer = torch.optim.Adam(module.parameters(), 0.02)

    def sample():
        center, radius = torch.rand(2) * 8 + 20, torch.rand(()) * 6 + 8
        disc = ((y - center[1]) ** 2 + (x - center[0]) ** 2 < radius**2).float()
        box = torch.cat([center - radius, center + radius])[None]
        crops = module.crop_boxes(box)
        truth = paste_into(disc, crops, 24)
        return disc.expand(3, -1, -1) * 2 - 1, torch.ones(1, 7, 7), box, crops, truth

    def iou(logits, truth):
        mask = logits > 0
        return ((mask & truth).sum() / (mask | truth).sum()).item()

    for _ in range(60):
        image, masks, box, crops, truth = sample()
        loss = F.binary_cross_entropy_with_logits(module(image, masks, box, crops), truth.float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        tests = [sample() for _ in range(10)]
        refined = sum(iou(module(*x[:4]), x[4]) for x in tests) / 10
        before = sum(iou(refinement(24, context=1.5)(*x[:4]), x[4]) for x in tests) / 10
    assert before < 0.82 and refined > 0.93


def paste_into(mask, crops, size):
    """Sample a mask in a crop: (1, size, size) bool."""
    places = (torch.arange(size) + 0.5) / size
    (x0, y0, x1, y1) = crops[0]
    grid_x, grid_y = x0 + places * (x1 - x0), y0 + places * (y1 - y0)
    return mask[grid_y.long().clamp(0, 47)][:, grid_x.long().clamp(0, 47)][None] > 0.5
