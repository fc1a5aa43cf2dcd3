"""Detections of other libraries"""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from maskprop_d2.detections import as_detections
from maskprop_d2.errors import DetectionsError
from maskprop_d2.structures import Detections

SIZE = 12, 16


def squares(count=2):
    masks = np.zeros((count, *SIZE), bool)
    for i in range(count):
        masks[i, 2 * i : 2 * i + 4, 3 * i : 3 * i + 5] = True
    return masks


MASKS, SCORES, LABELS = squares(), [0.9, 0.4], [2, 0]


def instances(**fields):
    """Detectron2's type, without Detectron2."""
    return SimpleNamespace(**fields)


@pytest.mark.parametrize(
    "detections",
    [
        Detections(MASKS, np.float32(SCORES), np.array(LABELS)),
        (MASKS, SCORES, LABELS),
        (MASKS.astype(np.uint8) * 255, np.array(SCORES), np.array(LABELS, float)),
        (MASKS.tolist(), SCORES, LABELS),
        {"masks": MASKS, "scores": SCORES, "labels": LABELS, "boxes": np.zeros((2, 4))},
        # As torchvision and SAM return them.
        {
            "masks": torch.from_numpy(MASKS[:, None] * 0.8).requires_grad_(),
            "scores": torch.tensor(SCORES, dtype=torch.bfloat16),
            "labels": torch.tensor(LABELS),
        },
        instances(
            pred_boxes=torch.zeros(2, 4),
            pred_masks=torch.from_numpy(MASKS),
            scores=torch.tensor(SCORES),
            pred_classes=torch.tensor(LABELS),
        ),
        {"instances": instances(pred_masks=MASKS, scores=SCORES, pred_classes=LABELS)},
    ],
)
def test_every_type_gives_the_same(detections):
    found = as_detections(detections, SIZE)
    assert found.masks.dtype == bool and np.array_equal(found.masks, MASKS)
    assert found.scores.dtype == np.float32 and np.allclose(found.scores, SCORES, atol=2e-3)
    assert found.labels.dtype == np.int64 and found.labels.tolist() == LABELS


def test_detections_of_supervision():
    sv = pytest.importorskip("supervision", reason="needs supervision")
    found = sv.Detections(sv.mask_to_xyxy(MASKS), MASKS, np.array(SCORES), np.array(LABELS))
    converted = as_detections(found, SIZE)
    assert np.array_equal(converted.masks, MASKS) and converted.labels.tolist() == LABELS
    assert len(as_detections(sv.Detections.empty(), SIZE)) == 0
    found.confidence = found.class_id = None
    converted = as_detections(found, SIZE)
    assert converted.scores.tolist() == [1, 1] and converted.labels.tolist() == [0, 0]
    found.mask = None
    with pytest.raises(DetectionsError, match="no masks"):
        as_detections(found, SIZE)


def test_instances_of_detectron2():
    structures = pytest.importorskip("detectron2.structures", reason="needs Detectron2")
    found = structures.Instances(SIZE, pred_boxes=structures.Boxes(torch.zeros(2, 4)))
    with pytest.raises(DetectionsError, match="no masks"):
        as_detections({"instances": found}, SIZE)
    found.pred_masks = torch.from_numpy(MASKS)
    assert np.array_equal(as_detections(found, SIZE).masks, MASKS)


@pytest.mark.parametrize(
    "detections",
    [
        ([],),
        (np.zeros((0, 5, 5)), [], []),
        (torch.zeros(0, 1, 12, 16), torch.zeros(0)),
        {"masks": None, "boxes": torch.zeros(0, 4)},
        (np.zeros((3, *SIZE)), [0.5] * 3, [0] * 3),
    ],
)
def test_a_frame_without_an_object(detections):
    found = as_detections(detections, SIZE)
    assert len(found) == 0 and found.masks.shape == (0, *SIZE)
    assert found.masks.dtype == bool and found.labels.shape == (0,)


def test_masks_of_half_the_size_are_resized():
    small = np.zeros((2, 6, 8), bool)
    small[0, 1:4, 2:6] = small[1, 0, 0] = True
    expected = small.repeat(2, axis=1).repeat(2, axis=2)
    assert np.array_equal(as_detections((small,), SIZE).masks, expected)
    # The outline of soft masks is finer than their pixels.
    ramp = np.broadcast_to([0, 0, 0, 0.47, 0.65, 1, 1, 1], (1, 6, 8))
    soft = as_detections((ramp,), SIZE).masks
    assert not soft[0, :, :7].any() and soft[0, :, 7:].all()
    # 1080 x 1920 at a stride of 16, rounded.
    assert as_detections((np.ones((1, 67, 120)),), (1080, 1920)).masks.all()


@pytest.mark.parametrize(
    ("detections", "message"),
    [
        ("masks", "str is not a type of detections"),
        ((), "tuple is not a type of detections"),
        ({"boxes": [[0, 0, 1, 1]], "scores": [1]}, "no masks: linking needs masks"),
        ((None, [0.5]), "no masks: linking needs masks"),
        ((MASKS[0],), r"must be of shape \(N, H, W\), not \(12, 16\)"),
        ((3,), r"must be of shape \(N, H, W\), not \(\)"),
        ((MASKS.astype(float) * 7,), "apply a sigmoid"),
        ((MASKS * np.nan,), "apply a sigmoid"),
        ((MASKS.astype(object),), "masks must be numbers, not object"),
        (([[[1]], [[1, 2]]],), "masks are not an array"),
        ((MASKS[:, :9],), "masks of 16 x 9 pixels do not fit a frame of 16 x 12"),
        ((MASKS[:, :0],), "masks of 16 x 0 pixels do not fit"),
        ((MASKS, [0.5]), r"2 masks, but scores of shape \(1,\)"),
        ((MASKS, [0.5, 1.5]), r"scores must be in \[0, 1\], not 1.5"),
        ((MASKS, [0.5, np.nan]), r"scores must be in \[0, 1\], not nan"),
        ((MASKS, SCORES, ["cat", "dog"]), "labels must be numbers, not <U3"),
        ((MASKS, SCORES, [0.5, 1]), "labels must be category indices"),
        ((MASKS, SCORES, [-1, 1]), "labels must be category indices"),
        ((MASKS, SCORES, [0, 2048]), "labels must be category indices in 0..2047"),
        ((MASKS, SCORES, [[1, 1]]), r"2 masks, but labels of shape \(1, 2\)"),
        ((np.broadcast_to(np.bool_(True), (2**20, *SIZE)),), None),
    ],
)
def test_what_cannot_be_used_is_rejected(detections, message):
    if message is None:
        with pytest.raises(DetectionsError, match="are too many"):
            as_detections(detections, (2**10, 2**12))
        return
    with pytest.raises(DetectionsError, match=message):
        as_detections(detections, SIZE)
