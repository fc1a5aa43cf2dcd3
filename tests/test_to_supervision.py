"""Finished frames as detections of the package supervision"""

import sys

import numpy as np
import pytest

from maskprop_d2.errors import InputError
from maskprop_d2.ops.rle import encode
from maskprop_d2.structures import FrameResult

SIZE = 20, 30


def result(count, class_names=None):
    masks = np.zeros((count, *SIZE), bool)
    for i, mask in enumerate(masks):
        mask[5 : 10 + i, 3:12] = True
    frame = np.zeros((*SIZE, 3), np.uint8)
    ids, labels, scores = [7, 4][:count], [1, 0][:count], [0.9, 0.5][:count]
    return masks, FrameResult(0, frame, ids, labels, scores, list(map(encode, masks)), class_names)


def test_every_field_is_given():
    supervision = pytest.importorskip("supervision", reason="needs supervision")
    masks, frame = result(2, ["cat", "dog"])
    found = frame.to_supervision()
    assert np.array_equal(found.mask, masks)
    assert found.xyxy.tolist() == [[3, 5, 11, 9], [3, 5, 11, 10]]
    assert found.tracker_id.tolist() == [7, 4] and found.class_id.tolist() == [1, 0]
    assert np.allclose(found.confidence, [0.9, 0.5])
    assert found.data["class_name"].tolist() == ["dog", "cat"]
    assert found[found.class_id == 0].tracker_id.tolist() == [4]
    drawn = supervision.MaskAnnotator().annotate(frame.frame.copy(), found)
    assert drawn[6, 6].any() and not drawn[1, 1].any()


def test_without_objects_and_names():
    pytest.importorskip("supervision", reason="needs supervision")
    assert result(1)[1].to_supervision().data == {}
    found = result(0, ["cat"])[1].to_supervision()
    assert len(found) == 0 and found.mask.shape == (0, *SIZE)


def test_a_label_without_a_name_is_refused():
    pytest.importorskip("supervision", reason="needs supervision")
    with pytest.raises(InputError, match="there are 1 class names, but a label 1"):
        result(2, ["cat"])[1].to_supervision()


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(InputError, match="pip install supervision"):
        result(1)[1].to_supervision()
