"""The scores of tracks."""

import gc

import numpy as np
import pytest
import torch

from maskprop_d2.inference.track_records import TrackRecords
from maskprop_d2.ops.rle import encode

K = 500


def tensor_bytes():
    """Memory of all tensors."""
    gc.collect()
    tensors = [x for x in gc.get_objects() if type(x) is torch.Tensor and x.layout == torch.strided]
    storages = {x.untyped_storage().data_ptr(): x.untyped_storage().nbytes() for x in tensors}
    return sum(storages.values())


def test_a_track_of_one_detection_keeps_its_own_scores_only():
    records = TrackRecords()
    before = tensor_bytes()
    for t in range(20):
        records.add_scores([t] + [None] * 49, torch.rand(50, K + 1))
    assert 0 < tensor_bytes() - before < 20 * 2 * 4 * K


def test_scores_are_means():
    records = TrackRecords()
    for scores in ([0.2, 0.8, 0.0], [0.6, 0.1, 0.3]):
        records.add_scores([4], torch.tensor([scores]))
    mask = encode(np.ones((2, 2), bool))
    frame = records.add_frame(np.zeros((2, 2, 3), np.uint8), {4: mask})
    assert frame.labels == [1] and frame.scores == pytest.approx([0.45])
