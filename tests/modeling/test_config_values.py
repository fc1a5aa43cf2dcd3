"""Values of the configs fit the data and the published methods."""

import pytest
from detectron2.data.transforms import ResizeShortestEdge
from small_models import CONFIGS

from maskprop_d2.engine import load_config

CONFIG_FILES = sorted(CONFIGS.rglob("*.yaml"))
NAMES = [f"{x.parent.stem}-{x.stem}" for x in CONFIG_FILES]
every_config = pytest.mark.parametrize("config_file", CONFIG_FILES, ids=NAMES)


@every_config
def test_frames_of_720p_keep_their_short_side(config_file):
    options = load_config(config_file, []).INPUT
    for name, short in (("TRAIN", max(options.MIN_SIZE_TRAIN)), ("TEST", options.MIN_SIZE_TEST)):
        longest = options[f"MAX_SIZE_{name}"]
        assert min(ResizeShortestEdge.get_output_shape(720, 1280, short, longest)) == short, name


@every_config
def test_cascades_code_boxes_as_hybrid_task_cascade(config_file):
    options = load_config(config_file, []).MODEL
    if options.ROI_HEADS.NAME == "HybridTaskCascadeHeads":
        # Standard deviations of the centre and of the size in the published configs.
        deviations = ((0.1, 0.2), (0.05, 0.1), (0.033, 0.067))
        for weights, (x, y) in zip(
            options.ROI_BOX_CASCADE_HEAD.BBOX_REG_WEIGHTS, deviations, strict=True
        ):
            assert weights == pytest.approx([1 / x, 1 / x, 1 / y, 1 / y])


@every_config
def test_the_semantic_loss_has_the_published_weight(config_file):
    """.2 on images (Hybrid Task Cascade), .1 on videos (MaskProp)."""
    options = load_config(config_file, []).MODEL.MASKPROP.SEMANTIC
    weight = options.LOSS_WEIGHT
    images = config_file.parent.stem in ("coco", "openimages")
    assert not options.ENABLED or weight == (0.2 if images else 0.1)
