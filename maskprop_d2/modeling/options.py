"""Plain options from the config, from which models and exported files are built alike."""

from typing import Any

from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import Backbone

from ..errors import InputError
from ..networks.base import FrameSettings
from ..tracking import MASK_PROPAGATORS, option_names


def network_options(cfg: Any, shapes: dict[str, ShapeSpec]) -> dict[str, dict[str, Any]]:
    """Constructor arguments of the networks beside the detector that the config asks for.

    Args:
        cfg: the whole config.
        shapes: shapes of the pyramid's levels.

    Returns:
        arguments by name in ``inference.parts.NETWORKS``.
    """
    options = cfg.MODEL.MASKPROP
    networks = {"propagation": propagation_options(cfg, shapes)}
    if options.STSN.ENABLED:
        networks["stsn"] = stsn_options(cfg, shapes)
    if options.REFINEMENT.ENABLED:
        keys = ("CROP_SIZE", "CONTEXT", "CHANNELS", "NUM_GROUPS", "CHUNK_SIZE")
        networks["refinement"] = lower_keys(options.REFINEMENT, *keys)
    if options.MASKTRACK.ENABLED or options.TRACKER == "masktrack":
        networks["embedding"] = embedding_options(cfg, shapes)
    if options.TRACKER == "ensemble":
        networks["crop_classifier"] = {
            "num_classes": cfg.MODEL.ROI_HEADS.NUM_CLASSES,
            **lower_keys(options.CROP_CLASSIFIER, "CROP_SIZE", "CHANNELS", "NUM_GROUPS"),
        }
    if options.TRACKER in MASK_PROPAGATORS:
        networks["mask_propagators"] = {options.TRACKER: networks["propagation"]["in_channels"]}
    return networks


def lower_keys(options: CfgNode, *keys: str) -> dict[str, Any]:
    """Some options of a node with their names in lower case."""
    return {key.lower(): options[key] for key in keys}


def propagation_options(cfg: Any, shapes: dict[str, ShapeSpec]) -> dict[str, Any]:
    """Arguments of ``PropagationBranch``."""
    options = cfg.MODEL.MASKPROP.PROPAGATION
    keys = ("OFFSET_CHANNELS", "NUM_GROUPS", "HIDDEN_DIM", "BACKGROUND", "IMPL")
    affinity = lower_keys(options.AFFINITY, "CHANNELS", "STRIDE")
    return {
        "in_channels": shapes[options.IN_FEATURE].channels,
        "dilations": [3, 6, 12],
        **lower_keys(options, *keys),
        "affinity": affinity if options.AFFINITY.ENABLED else None,
    }


def stsn_options(cfg: Any, shapes: dict[str, ShapeSpec]) -> dict[str, Any]:
    """Arguments of ``SpatiotemporalSampling``.

    Raises:
        InputError: if the backbone lacks a level, or the levels differ in their channels.
    """
    options = cfg.MODEL.MASKPROP.STSN
    levels = list(options.IN_FEATURES)
    channels = {shapes[level].channels for level in levels if level in shapes}
    if not set(levels) <= set(shapes) or len(channels) != 1:
        available = ", ".join(f"{name} ({x.channels})" for name, x in shapes.items())
        raise InputError(
            f"MODEL.MASKPROP.STSN.IN_FEATURES is {levels}, but the backbone has the levels "
            f"(channels) {available}: choose levels with equally many channels"
        )
    return {
        "levels": levels,
        "in_channels": channels.pop(),
        **lower_keys(options, "CHANNELS", "RADIUS"),
    }


def embedding_options(cfg: Any, shapes: dict[str, ShapeSpec]) -> dict[str, Any]:
    """Arguments of ``EmbeddingHead``."""
    options = cfg.MODEL.MASKPROP.MASKTRACK
    levels = list(cfg.MODEL.ROI_HEADS.IN_FEATURES)
    return {
        "levels": levels,
        "stride": shapes[levels[0]].stride,
        "in_channels": shapes[levels[0]].channels,
        # As published.
        "resolution": 7,
        **lower_keys(options, "FC_DIM", "VARIANT"),
    }


def segmenter_options(cfg: Any) -> dict[str, Any]:
    """Arguments of ``VideoSegmenter.from_options``, besides the network, from the config.

    A method's options come from ``MASKPROP.LINKING``, from its own node ``MASKPROP.<NAME>``, and
    from the nodes that methods share; those that the method does not have are dropped.

    Raises:
        InputError: for an unknown tracking method.
    """
    options, linking = cfg.MODEL.MASKPROP, cfg.MODEL.MASKPROP.LINKING
    names = option_names(options.TRACKER)
    values = {
        "clip_radius": options.CLIP_RADIUS,
        **lower_keys(linking, *linking),
        **{f"flow_{k.lower()}": v for k, v in options.FLOW.items()},
        **{k.lower(): v for k, v in options.get(options.TRACKER.upper(), {}).items()},
    }
    return {
        "tracker": {"name": options.TRACKER, **{k: values[k] for k in names if k in values}},
        **lower_keys(linking, "FINAL_MASK", "CLASS_FLOOR", "TRACK_SCORE"),
        "frames_per_batch": options.FRAMES_PER_BATCH,
    }


def frame_settings(cfg: Any, backbone: Backbone) -> FrameSettings:
    """How frames are processed before and after a detector with this backbone.

    Raises:
        InputError: if the backbone lacks the level of propagation, or pads to squares.
    """
    options, shapes = cfg.MODEL.MASKPROP, backbone.output_shape()
    level = options.PROPAGATION.IN_FEATURE
    if level not in shapes:
        raise InputError(
            f"MODEL.MASKPROP.PROPAGATION.IN_FEATURE is '{level}', but the backbone has only "
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
    """The number that both sides of a backbone's input must be multiples of.

    Raises:
        InputError: if the backbone pads to squares, which would waste most of a video frame.
    """
    constraints = backbone.padding_constraints
    if constraints.get("square_size", 0) > 0:
        raise InputError(
            "the backbone pads its input to squares: build it with square_pad=0, so that frames "
            "keep their shape"
        )
    # ViTDet's pyramid misspells the name.
    names = ("size_divisibility", "size_divisiblity")
    return max(backbone.size_divisibility, *(constraints.get(name, 0) for name in names))
