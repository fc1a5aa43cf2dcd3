"""The embedding head as mmtracking has it."""

import pytest
import torch
from detectron2.modeling.poolers import ROIPooler
from detectron2.structures import Boxes

from maskprop_d2.errors import InputError
from maskprop_d2.networks.embedding import EmbeddingHead

OPTIONS = {"levels": ["p2", "p3", "p4", "p5"], "stride": 4, "in_channels": 3, "resolution": 7}


def test_regions_are_pooled_as_for_boxes():
    """mmtracking pools with the RoI extractor of its box head, which equals Detectron2's pooler."""
    head = EmbeddingHead(**OPTIONS, fc_dim=8, variant="mmtracking")
    generator = torch.Generator().manual_seed(0)
    pyramid = {
        f"p{i}": torch.randn(2, 3, 512 >> i, 512 >> i, generator=generator) for i in range(2, 6)
    }
    corners = torch.rand(40, 2, generator=generator) * 300
    sides = torch.rand(40, 2, generator=generator) ** 3 * 500
    boxes = torch.cat([corners, corners + sides], 1)
    boxes = [boxes[:30], boxes[30:]]
    pooler = ROIPooler(7, [1 / 2**i for i in range(2, 6)], 0, "ROIAlignV2")
    expected = pooler(list(pyramid.values()), [Boxes(x) for x in boxes])
    pooled = head.pooler(pyramid, boxes, [(512, 512)] * 2)
    torch.testing.assert_close(pooled, expected)
    first, second = (x for x in head.layers if isinstance(x, torch.nn.Linear))
    embeddings = second(first(expected.flatten(1)).relu()).relu()
    torch.testing.assert_close(torch.cat(head(pyramid, boxes)), embeddings)
    assert head(pyramid, [boxes[0][:0], boxes[1][:0]])[1].shape == (0, 8)


def test_an_unknown_variant_raises():
    with pytest.raises(InputError, match=r"VARIANT must be one of \('original', 'mmtracking'\)"):
        EmbeddingHead(**OPTIONS, fc_dim=8, variant="other")
