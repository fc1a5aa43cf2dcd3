"""From the config to plain values, of which models and exported files are built alike."""

from typing import Any

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import Backbone

from ..errors import InputError
from ..inference.detector_network import FrameSettings
from ..tracking import MASK_PROPAGATORS


def part_options(cfg: Any, shapes: dict[str, ShapeSpec]) -> dict[str, dict[str, Any]]:
    """Arguments of the model's parts outside of the detector, by their names; a part that has none
    here is not there.

    Args:
        cfg: the whole config.
        shapes: those of the pyramid's levels.
    """
    options = cfg.MODEL.MASKPROP
    parts = {"propagation": propagation_options(cfg, shapes)}
    if options.STSN.ENABLED:
        parts["stsn"] = stsn_options(cfg, shapes)
    if options.REFINEMENT.ENABLED:
        parts["refinement"] = refinement_options(cfg)
    if options.MASKTRACK.ENABLED or options.TRACKER == "masktrack":
        parts["embedding"] = embedding_options(cfg, shapes)
    if options.TRACKER == "ensemble":
        parts["crop_classifier"] = crop_classifier_options(cfg)
    if options.TRACKER in MASK_PROPAGATORS:
        parts["mask_propagators"] = {options.TRACKER: parts["propagation"]["in_channels"]}
    return parts


def stsn_options(cfg: Any, shapes: dict[str, ShapeSpec]) -> dict[str, Any]:
    """Arguments of ``SpatiotemporalSampling`` from the config and the shapes of the pyramid's
    levels.

    Raises:
        InputError: if the backbone has no such levels, or they cannot share one block.
    """
    options = cfg.MODEL.MASKPROP.STSN
    levels = list(options.IN_FEATURES)
    channels = {shapes[level].channels for level in levels if level in shapes}
    if not set(levels) <= set(shapes) or len(channels) != 1:
        given = ", ".join(f"{name} ({x.channels})" for name, x in shapes.items())
        raise InputError(
            f"MODEL.MASKPROP.STSN.IN_FEATURES is {levels}, but the backbone gives, with their "
            f"channels, {given}: name some of these that have equally many"
        )
    return {
        "levels": levels,
        "in_channels": channels.pop(),
        "channels": options.CHANNELS,
        "radius": options.RADIUS,
    }


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


def refinement_options(cfg: Any) -> dict[str, Any]:
    """Arguments of ``MaskRefinement`` from the config."""
    options = cfg.MODEL.MASKPROP.REFINEMENT
    return {
        "crop_size": options.CROP_SIZE,
        "context": options.CONTEXT,
        "channels": options.CHANNELS,
        "num_groups": options.NUM_GROUPS,
        "chunk_size": options.CHUNK_SIZE,
    }


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


def crop_classifier_options(cfg: Any) -> dict[str, Any]:
    """Arguments of ``CropClassifier`` from the config."""
    options = cfg.MODEL.MASKPROP.CROP_CLASSIFIER
    return {
        "num_classes": cfg.MODEL.ROI_HEADS.NUM_CLASSES,
        "crop_size": options.CROP_SIZE,
        "channels": list(options.CHANNELS),
        "num_groups": options.NUM_GROUPS,
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
        "categories": options.LINKING.CATEGORIES,
    }
    # Methods that have options of their own have a node of their own.
    nodes = [options.get(options.TRACKER.upper())]
    if options.TRACKER == "ensemble":
        nodes.append(options.FLOW)
    found = [x for x in nodes if isinstance(x, CfgNode)]
    if found:
        tracker["options"] = {k.lower(): v for node in found for k, v in node.items()}
    return {
        "tracker": tracker,
        "final_mask": options.LINKING.FINAL_MASK,
        "class_floor": options.LINKING.CLASS_FLOOR,
        "track_score": options.LINKING.TRACK_SCORE,
        "frames_per_batch": options.FRAMES_PER_BATCH,
    }


def frame_settings(cfg: Any, backbone: Backbone) -> FrameSettings:
    """What surrounds the network in inference, from the config and the backbone.

    Raises:
        InputError: if the backbone has no such level of propagation, or wants squares.
    """
    options, shapes = cfg.MODEL.MASKPROP, backbone.output_shape()
    level = options.PROPAGATION.IN_FEATURE
    if level not in shapes:
        raise InputError(
            f"MODEL.MASKPROP.PROPAGATION.IN_FEATURE is '{level}', but the backbone gives only "
            f"{', '.join(shapes)}"
        )
    return FrameSettings(
        input_format=cfg.INPUT.FORMAT,
        short_side=cfg.INPUT.MIN_SIZE_TEST,
        max_long_side=cfg.INPUT.MAX_SIZE_TEST,
        pixel_mean=list(cfg.MODEL.PIXEL_MEAN),
        pixel_std=list(cfg.MODEL.PIXEL_STD),
        size_divisibility=size_divisibility(backbone),
        propagation_feature=level,
        propagation_stride=shapes[level].stride,
        duplicate_threshold=options.DUPLICATE_THRESH,
        precision=options.PRECISION,
    )


def size_divisibility(backbone: Backbone) -> int:
    """What the sides of a backbone's input must be multiples of.

    Raises:
        InputError: if it wants squares, which would waste most of each frame of a video.
    """
    constraints = backbone.padding_constraints
    if constraints.get("square_size", 0) > 0:
        raise InputError(
            "the backbone pads its input to squares: build it with square_pad=0, so that frames "
            "keep their shape"
        )
    # ViTDet's pyramid misspells it.
    names = ("size_divisibility", "size_divisiblity")
    return max(backbone.size_divisibility, *(constraints.get(name, 0) for name in names))
