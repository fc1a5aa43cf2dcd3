"""From the config to plain values, of which models and exported files are built alike."""

from typing import Any

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec


def propagation_options(cfg: Any, shapes: dict[str, ShapeSpec]) -> dict[str, Any]:
    """Arguments of ``PropagationBranch`` from the config and the shapes of the pyramid's levels."""
    options = cfg.MODEL.MASKPROP.PROPAGATION
    return {
        "in_channels": shapes[options.IN_FEATURE].channels,
        "offset_channels": options.OFFSET_CHANNELS,
        "num_groups": options.NUM_GROUPS,
        "dilations": list(options.DILATIONS),
        "hidden_dim": options.HIDDEN_DIM,
        "background": options.BACKGROUND,
        "impl": options.IMPL,
    }


def has_embedding(cfg: Any) -> bool:
    """Whether the model has MaskTrack R-CNN's embedding head."""
    options = cfg.MODEL.MASKPROP
    return options.MASKTRACK.ENABLED or options.TRACKER == "masktrack"


def embedding_options(cfg: Any, shapes: dict[str, ShapeSpec]) -> dict[str, Any]:
    """Arguments of ``EmbeddingHead`` from the config and the shapes of the pyramid's levels."""
    options = cfg.MODEL.MASKPROP.MASKTRACK
    levels = list(cfg.MODEL.ROI_HEADS.IN_FEATURES)
    return {
        "levels": levels,
        "stride": shapes[levels[0]].stride,
        "in_channels": shapes[levels[0]].channels,
        "resolution": options.POOLER_RESOLUTION,
        "fc_dim": options.FC_DIM,
    }


def segmenter_options(cfg: Any) -> dict[str, Any]:
    """Arguments of ``VideoSegmenter.from_options``, besides the network, from the config."""
    options = cfg.MODEL.MASKPROP
    tracker = {
        "name": options.TRACKER,
        "clip_radius": options.CLIP_RADIUS,
        "threshold": options.LINKING.THRESHOLD,
        "exclusive": options.LINKING.EXCLUSIVE,
        "match": options.LINKING.MATCH,
    }
    # Methods that have options of their own have a node of their own.
    method = options.get(options.TRACKER.upper())
    if isinstance(method, CfgNode):
        tracker["options"] = {k.lower(): v for k, v in method.items()}
    return {
        "tracker": tracker,
        "final_mask": options.LINKING.FINAL_MASK,
        "class_floor": options.LINKING.CLASS_FLOOR,
        "track_score": options.LINKING.TRACK_SCORE,
        "frames_per_batch": options.FRAMES_PER_BATCH,
    }
