import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco_mask

from maskprop_d2.ops.soft_iou import pairwise_containment, pairwise_soft_iou, soft_iou_terms

sizes = st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(1, 12))
shares = st.floats(0, 1)


def draw(data, shape, elements):
    dtype = bool if elements is None else np.float64
    return torch.from_numpy(data.draw(arrays(dtype, shape, elements=elements)))


@given(data=st.data(), size=sizes)
def test_soft_iou_is_equation_3_symmetric_and_in_0_to_1(data, size):
    n, m, pixels = size
    a, b = draw(data, (n, pixels), shares), draw(data, (m, pixels), shares)
    ious = pairwise_soft_iou(a, b)
    assert ious.shape == (n, m)
    assert torch.all((ious >= 0) & (ious <= 1 + 1e-12))
    torch.testing.assert_close(ious, pairwise_soft_iou(b, a).T)
    for i in range(n):
        intersection, union = soft_iou_terms(a[i], b)
        torch.testing.assert_close(intersection, (a[i] * b).sum(1))
        torch.testing.assert_close(union, (a[i] + b - a[i] * b).sum(1))
        torch.testing.assert_close(ious[i], intersection / union.clamp(min=1e-6))


@given(data=st.data(), size=sizes)
def test_for_binary_masks_it_is_the_iou_of_pycocotools(data, size):
    n, m, pixels = size
    a, b = draw(data, (n, pixels, 3), None), draw(data, (m, pixels, 3), None)
    ious = pairwise_soft_iou(a.flatten(1).double(), b.flatten(1).double())
    rles = [[coco_mask.encode(np.asfortranarray(x, np.uint8)) for x in y.numpy()] for y in (a, b)]
    if n and m:
        expected = coco_mask.iou(*rles, [0] * m)
        torch.testing.assert_close(ious, torch.from_numpy(expected))
    same = pairwise_soft_iou(a.flatten(1).double(), a.flatten(1).double()).diagonal()
    # The IoU of an empty mask with itself is 0.
    torch.testing.assert_close(same, a.flatten(1).any(1).double())


@given(data=st.data(), pixels=st.integers(1, 12))
def test_it_grows_with_the_mask_inside_of_the_target_and_shrinks_outside(data, pixels):
    target = draw(data, (1, pixels), None).double()
    mask, more = draw(data, (1, pixels), shares), draw(data, (1, pixels), shares)
    iou = pairwise_soft_iou(mask, target)
    higher = mask.maximum(more)
    assert pairwise_soft_iou(torch.where(target > 0, higher, mask), target) >= iou - 1e-12
    assert pairwise_soft_iou(torch.where(target > 0, mask, higher), target) <= iou + 1e-12


def test_containment_is_the_share_of_the_smaller_mask():
    whole = torch.tensor([[1.0, 1, 1, 1], [0, 0, 0, 0]])
    part = torch.tensor([[1.0, 0, 0, 0], [0, 0, 0.5, 0], [1, 1, 0, 0]])
    expected = torch.tensor([[1.0, 1, 1], [0, 0, 0]])
    torch.testing.assert_close(pairwise_containment(whole, part), expected)
    torch.testing.assert_close(pairwise_containment(part, whole), expected.T)
    torch.testing.assert_close(
        pairwise_containment(part, part),
        torch.tensor([[1.0, 0, 1], [0, 0.5, 0], [1, 0, 1]]),
    )
