"""Values of the configs fit the data and the published methods."""

import pytest
from detectron2.config import CfgNode
from detectron2.data.transforms import ResizeShortestEdge
from small_models import CONFIGS

from maskprop_d2.engine import load_config

CONFIG_FILES = sorted(CONFIGS.rglob("*.yaml"))
NAMES = [f"{x.parent.stem}-{x.stem}" for x in CONFIG_FILES]
YTVIS = CONFIGS / "youtubevis_2019"
every_config = pytest.mark.parametrize("config_file", CONFIG_FILES, ids=NAMES)


@every_config
def test_frames_of_720p_keep_their_short_side(config_file):
    cfg = load_config(config_file, [])
    options = cfg.INPUT
    if cfg.MODEL.META_ARCHITECTURE == "HybridTaskCascade":
        # Published results are at this size.
        assert (options.MIN_SIZE_TEST, options.MAX_SIZE_TEST) == (800, 1333)
        return
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


@every_config
def test_training_partners_are_as_far_away_as_masks_are_propagated(config_file):
    cfg = load_config(config_file, [])
    farthest = cfg.INPUT.SAMPLING_FRAME_RANGE // cfg.INPUT.SAMPLING_FRAME_STRIDE
    if config_file.stem.endswith(("_paper", "-paper-linking")):
        # The paper trains up to 5 listed frames away, and propagates to 6.
        assert (farthest, cfg.MODEL.MASKPROP.CLIP_RADIUS) == (5, 6)
    elif config_file.stem.endswith("_stills"):
        assert farthest == 0
    else:
        assert farthest >= cfg.MODEL.MASKPROP.CLIP_RADIUS


def leaves(cfg, prefix=""):
    """The values of a config by their full keys."""
    if not isinstance(cfg, CfgNode):
        return {prefix: cfg}
    return {k: x for name, node in cfg.items() for k, x in leaves(node, f"{prefix}.{name}").items()}


def differences(first, second):
    first, second = (leaves(load_config(YTVIS / f"{x}.yaml", [])) for x in (first, second))
    return {k: (x, second[k]) for k, x in first.items() if x != second[k] and k != ".OUTPUT_DIR"}


def test_the_paper_configs_change_propagation_and_linking_only():
    changed = differences("Base-YTVIS", "Base-YTVIS-paper-linking")
    groups = (".MODEL.MASKPROP.PROPAGATION.", ".MODEL.MASKPROP.LINKING.", ".INPUT.SAMPLING_FRAME_")
    assert all(key.startswith(groups) for key in changed)
    for name in ("maskprop_R_50_FPN", "maskprop_HTC_R_50_FPN"):
        assert differences(name, f"{name}_paper") == changed


@pytest.mark.parametrize("name", ["Base-YTVIS-paper-linking", "maskprop_HTC_R_50_FPN_paper"])
def test_the_paper_configs_link_as_the_paper(name):
    options = load_config(YTVIS / f"{name}.yaml", []).MODEL.MASKPROP
    linking = {
        "MATCH": "all",
        "CATEGORIES": 0.0,
        "APPEARANCE": 0.0,
        "MEMORY": 0,
        "DIVISION": 0.0,
        "EXCLUSIVE": False,
        "FINAL_MASK": "center",
        "TRACK_SCORE": "detections",
    }
    assert {key: options.LINKING[key] for key in linking} == linking
    assert not options.PROPAGATION.AFFINITY.ENABLED and options.PROPAGATION.LOSS == "soft_iou"
