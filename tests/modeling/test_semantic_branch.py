"""The semantic branch, and its embedding in the ROI heads."""

from pathlib import Path

import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.modeling import build_model
from detectron2.structures import Boxes, Instances
from torch.nn import functional as F

from maskprop_d2.engine import load_config
from maskprop_d2.errors import InputError
from maskprop_d2.modeling.roi_heads import SemanticBranch
from maskprop_d2.structures import IGNORED

CONFIGS = Path(__file__).parents[2] / "configs/moving_shapes"
SHAPES = {f"p{i}": ShapeSpec(channels=64, stride=2**i) for i in range(2, 7)}


def branch(*options):
    torch.manual_seed(0)
    cfg = load_config(str(CONFIGS / "maskprop_tiny_semantic.yaml"), list(options))
    return SemanticBranch(cfg, SHAPES)


def pyramid(height=64, width=96, number=2):
    generator = torch.Generator().manual_seed(0)
    return {
        name: torch.randn(number, 64, height // x.stride, width // x.stride, generator=generator)
        for name, x in SHAPES.items()
    }


def test_outputs_are_on_the_grid_of_one_level_and_depend_on_all():
    module = branch("MODEL.MASKPROP.SEMANTIC.FEATURE", "p3").eval()
    features = pyramid()
    logits, embedding = module(features)
    # Ten categories and background.
    assert logits.shape == (2, 11, 8, 12) and embedding.shape == (2, 64, 8, 12)
    assert (embedding >= 0).all()
    for name in features:
        changed, _ = module({**features, name: features[name] + 1})
        assert (changed - logits).abs().max() > 1e-4, name


def test_resized_levels_keep_their_corners():
    """As in Hybrid Task Cascade's code, which aligns the corners of all levels."""
    module = branch("MODEL.MASKPROP.SEMANTIC.FEATURE", "p3").eval()
    resized = []
    for lateral in module.laterals:
        lateral.register_forward_pre_hook(lambda _, inputs: resized.append(inputs[0]))
    features = pyramid()
    module(features)
    for level, x in zip(module.in_features, resized, strict=True):
        assert x.shape[-2:] == (8, 12)
        torch.testing.assert_close(corners(x), corners(features[level]), msg=level)


def corners(x):
    return x[..., [0, 0, -1, -1], [0, -1, 0, -1]]


def test_loss_compares_cells_with_pixels_in_the_same_place():
    """Perfect logits on the grid, for maps of different sizes."""
    module = branch("MODEL.MASKPROP.SEMANTIC.FEATURE", "p3")
    maps = [torch.full((61, 90), 3, dtype=torch.uint8), torch.full((64, 70), 5, dtype=torch.uint8)]
    maps[0][16:40, 24:48] = 7
    maps[1][:8] = IGNORED
    logits = torch.zeros(2, 11, 8, 12)
    logits[0, 3], logits[1, 5] = 20, 20
    logits[0, :, 2:5, 3:6] = 0
    logits[0, 7, 2:5, 3:6] = 20
    # Logits of ignored pixels and padding do not matter.
    logits[1, :, 0] = torch.randn(11, 1)
    logits[0, :, :, 11:], logits[1, :, :, 9:] = torch.randn(2, 11, 1, 1)
    assert module.loss(logits, maps) < 1e-6
    logits[0, :, 2, 3] = 0
    # 90 pixels contain the centers of 11 cells, and 70 pixels those of 9.
    cells = 8 * 11 + 7 * 9
    expected = 0.1 * torch.tensor(11.0).log() / cells
    torch.testing.assert_close(module.loss(logits, maps), expected, rtol=1e-3, atol=1e-7)


def test_loss_is_zero_if_all_pixels_are_ignored():
    module = branch()
    logits = torch.randn(1, 11, 16, 24, requires_grad=True)
    loss = module.loss(logits, [torch.full((64, 96), IGNORED, dtype=torch.uint8)])
    loss.backward()
    assert loss == 0 and (logits.grad == 0).all()


def test_semantic_classes_may_differ_from_the_categories():
    logits, _ = branch("MODEL.MASKPROP.SEMANTIC.NUM_CLASSES", 54)(pyramid())
    assert logits.shape[1] == 54


@pytest.mark.parametrize("name", ["maskprop_tiny_semantic", "maskprop_tiny_full"])
def test_boxes_and_masks_depend_on_the_embedding(name):
    torch.manual_seed(0)
    cfg = load_config(str(CONFIGS / f"{name}.yaml"), ["MODEL.ROI_HEADS.SCORE_THRESH_TEST", 0.0])
    model = build_model(cfg).eval()
    heads = model.roi_heads
    with torch.no_grad():
        features = model.pyramid(torch.randn(1, 3, 64, 96))
        _, features["semantic"] = model.semantic_branch(features)
    changed = {**features, "semantic": features["semantic"] + 5}
    proposal = Instances((64, 96))
    proposal.proposal_boxes = boxes = Boxes(torch.tensor([[10.0, 10.0, 50.0, 40.0]]))
    with torch.no_grad():
        masks, boxes_found = [], []
        for given in (features, changed):
            masks.append(heads.predict_masks(given, [boxes], [torch.tensor([0])])[0])
            (found,) = heads(None, given, [proposal])[0]
            boxes_found.append(found.class_scores[0])
    assert (masks[0] - masks[1]).abs().max() > 1e-5
    assert (boxes_found[0] - boxes_found[1]).abs().max() > 1e-5


def test_pooled_embedding_is_added_to_pooled_levels():
    torch.manual_seed(0)
    cfg = load_config(str(CONFIGS / "maskprop_tiny_semantic.yaml"), [])
    heads = build_model(cfg).roi_heads
    levels = [torch.zeros(1, 64, 64 >> i, 96 >> i) for i in range(2, 6)]
    # On the grid of P2, the value of a cell is its column.
    embedding = torch.arange(24.0).expand(1, 64, 16, 24)
    boxes = [Boxes(torch.tensor([[16.0, 16.0, 72.0, 44.0]]))]
    for pooler, side in ((heads.box_pooler, 7), (heads.mask_pooler, 14)):
        pooled = pooler([*levels, embedding], boxes)
        assert pooled.shape == (1, 64, side, side)
        expected = F.interpolate(torch.arange(4.0, 18)[None, None], side, mode="linear")[0, 0]
        torch.testing.assert_close(pooled[0, 0, 3], expected)


def test_box_heads_get_averages_of_the_embedding_pooled_for_mask_heads():
    cfg = load_config(str(CONFIGS / "maskprop_tiny_semantic.yaml"), [])
    heads = build_model(cfg).roi_heads
    generator = torch.Generator().manual_seed(0)
    levels = [torch.zeros(1, 64, 64 >> i, 96 >> i) for i in range(2, 6)]
    levels.append(torch.randn(1, 64, 16, 24, generator=generator))
    boxes = [Boxes(torch.tensor([[3.0, 7.0, 90.0, 50.0], [20.0, 20.0, 31.0, 55.0]]))]
    expected = F.avg_pool2d(heads.mask_pooler(levels, boxes), 2)
    torch.testing.assert_close(heads.box_pooler(levels, boxes), expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["FEATURE", "p9"], "names the level 'p9', but the backbone has only p2, p3"),
        (["IN_FEATURES", ["p3", "p4"]], "FEATURE 'p2' must be one of IN_FEATURES"),
    ],
)
def test_missing_levels_raise(options, message):
    options[0] = f"MODEL.MASKPROP.SEMANTIC.{options[0]}"
    with pytest.raises(InputError, match=message):
        branch(*options)
