import pytest
import torch

from maskprop_d2.ops.masks import paste_binary_mask, paste_masks, suppress, without_specks


def test_pasting_a_full_mask_fills_its_box():
    pasted = paste_masks(torch.ones(1, 28, 28), torch.tensor([[2.0, 1.0, 8.0, 5.0]]), 7, 10)
    expected = torch.zeros(7, 10)
    expected[1:5, 2:8] = 1
    torch.testing.assert_close((pasted[0] > 0.5).float(), expected)


@pytest.mark.parametrize(
    "box",
    [[2.3, 1.2, 8.9, 5.5], [-4.0, -3.0, 3.0, 40.0], [5.0, 5.0, 5.0, 9.0], [50.0, 50.0, 60.0, 60.0]],
)
def test_paste_binary_mask_equals_paste_masks(box):
    mask = torch.rand(14, 14, generator=torch.Generator().manual_seed(1))
    box = torch.tensor(box)
    whole = paste_masks(mask[None], box[None], 21, 33)[0] > 0.5
    assert torch.equal(paste_binary_mask(mask, box, 21, 33), whole)


def test_suppression_keeps_the_best_of_the_same():
    same = torch.tensor([[True, True, False], [True, True, False], [False, False, True]])
    assert suppress(same, torch.tensor([0.3, 0.9, 0.5])).tolist() == [1, 2]
    # The second is suppressed, so it does not suppress the third.
    chain = torch.tensor([[True, True, False], [True, True, True], [False, True, True]])
    assert suppress(chain, torch.tensor([0.9, 0.5, 0.3])).tolist() == [0, 2]
    assert suppress(same[:0, :0], torch.zeros(0)).tolist() == []


def test_small_parts_of_masks_are_removed():
    masks = torch.full((3, 12, 20), 0.2)
    masks[0, :, :10] = 0.9  # 120 pixels
    masks[0, 2:4, 12:14] = 0.8  # 3 %
    masks[0, 6:10, 12:14] = 0.7  # 7 %
    masks[1, 3, 3] = 0.6
    found = without_specks(masks, 0.05)
    expected = masks.clone()
    expected[0, 2:4, 12:14] = 0
    torch.testing.assert_close(found, expected)
    assert without_specks(masks[:0], 0.05).shape == (0, 12, 20)
