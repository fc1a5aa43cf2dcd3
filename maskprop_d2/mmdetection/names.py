"""Names of weights in mmdetection and mmtracking, and in this project."""

import re
from typing import Any

from ..errors import InputError

_RENAMED: tuple[tuple[str, Any], ...] = (
    # ResNet.
    (r"^backbone\.conv1\.", "backbone.bottom_up.stem.conv1."),
    (r"^backbone\.bn1\.", "backbone.bottom_up.stem.conv1.norm."),
    # Detectron2 counts the stem as the first stage.
    (r"^backbone\.layer(\d)\.", lambda x: f"backbone.bottom_up.res{int(x[1]) + 1}."),
    (r"\.downsample\.0\.", ".shortcut."),
    (r"\.downsample\.1\.", ".shortcut.norm."),
    (r"(?<=\d)\.bn(\d)\.", r".conv\1.norm."),
    (r"\.conv2(\.conv)?_offset\.", ".conv2_offset."),
    # FPN.
    (r"^neck\.lateral_convs\.(\d)\.conv\.", lambda x: f"backbone.fpn_lateral{int(x[1]) + 2}."),
    (r"^neck\.fpn_convs\.([0-3])\.conv\.", lambda x: f"backbone.fpn_output{int(x[1]) + 2}."),
    # RPN.
    (r"^rpn_head\.rpn_conv\.", "proposal_generator.rpn_head.conv."),
    (r"^rpn_head\.rpn_cls\.", "proposal_generator.rpn_head.objectness_logits."),
    (r"^rpn_head\.rpn_reg\.", "proposal_generator.rpn_head.anchor_deltas."),
    # Heads, of a cascade if they have a number.
    (
        r"^roi_head\.bbox_head\.((?:\d+\.)?)shared_fcs\.(\d+)\.",
        lambda x: f"roi_heads.box_head.{x[1]}fc{int(x[2]) + 1}.",
    ),
    (r"^roi_head\.bbox_head\.((?:\d+\.)?)fc_cls\.", r"roi_heads.box_predictor.\1cls_score."),
    (r"^roi_head\.bbox_head\.((?:\d+\.)?)fc_reg\.", r"roi_heads.box_predictor.\1bbox_pred."),
    (
        r"^roi_head\.mask_head\.((?:\d+\.)?)convs\.(\d+)\.conv\.",
        lambda x: f"roi_heads.mask_head.{x[1]}mask_fcn{int(x[2]) + 1}.",
    ),
    (r"^roi_head\.mask_head\.((?:\d+\.)?)upsample\.", r"roi_heads.mask_head.\1deconv."),
    (r"^roi_head\.mask_head\.((?:\d+\.)?)conv_logits\.", r"roi_heads.mask_head.\1predictor."),
    # The first stage has none.
    (
        r"^roi_head\.mask_head\.([1-9]\d*)\.conv_res\.conv\.",
        lambda x: f"roi_heads.mask_flow.{int(x[1]) - 1}.",
    ),
    # The semantic branch of Hybrid Task Cascade.
    (r"^roi_head\.semantic_head\.lateral_convs\.(\d+)\.conv\.", r"semantic_branch.laterals.\1."),
    (r"^roi_head\.semantic_head\.convs\.(\d+)\.conv\.", r"semantic_branch.convs.\1."),
    (r"^roi_head\.semantic_head\.conv_embedding\.conv\.", "semantic_branch.embedding."),
    (r"^roi_head\.semantic_head\.conv_logits\.", "semantic_branch.predictor."),
    # The embedding head of MaskTrack R-CNN, whose layers include a flattening and a ReLU.
    (
        r"^track_head\.embed_head\.fcs\.([01])\.",
        lambda x: f"embedding.layers.{2 * int(x[1]) + 1}.",
    ),
)
_OWN = ("backbone.bottom_up.", "backbone.fpn_", "proposal_generator.", "roi_heads.")
_OWN += ("semantic_branch.", "embedding.")


def rename(weights: dict[str, Any]) -> dict[str, Any]:
    """Weights of mmdetection under the names of this project.

    Raises:
        InputError: if there is a weight that has no counterpart.
    """
    renamed, unknown = {}, []
    for name, value in weights.items():
        if name.endswith(".num_batches_tracked"):
            continue
        # The detector is a part of mmtracking's models.
        new = name.removeprefix("detector.")
        for pattern, replacement in _RENAMED:
            new = re.sub(pattern, replacement, new)
        if not new.startswith(_OWN):
            unknown.append(name)
        renamed[new] = value
    if unknown:
        raise InputError(
            f"it has {len(unknown)} weights that have no counterpart here, such as {unknown[0]}"
        )
    return renamed
