"""The embedding head."""

import torch

from maskprop_d2.networks.embedding import EmbeddingHead


def test_regions_are_pooled_from_the_level_of_their_size():
    head = EmbeddingHead(levels=["p2", "p3"], stride=4, in_channels=3, resolution=2, fc_dim=16)
    pyramid = {"p2": torch.rand(1, 3, 128, 128), "p3": torch.rand(1, 3, 64, 64), "other": None}
    boxes = [torch.tensor([[0.0, 0, 20, 20], [0, 0, 500, 500]])]
    (before,) = head(pyramid, boxes)
    pyramid["p3"] = torch.rand(1, 3, 64, 64)
    (after,) = head(pyramid, boxes)
    assert torch.equal(before[0], after[0]) and not torch.allclose(before[1], after[1], rtol=1e-3)
