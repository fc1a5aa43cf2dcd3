"""Building the models of the table with their weights."""

from collections.abc import Sequence
from pathlib import Path

import torch

from ..errors import ConfigError
from ..inference.image_detector import ImageDetector
from .fetching import check_weights_file, fetch_weights, has_detectron2, local_path
from .presets import PRESETS, Preset, get_config_file, get_preset


def default_preset() -> Preset:
    """The best preset of real objects that this machine can run in reasonable time.

    On a GPU that is the highest mask AP. On a CPU, where the others take twice to four times as
    long, it is Detectron2's Mask R-CNN with ResNet-50, or torchvision's without Detectron2.
    """
    if torch.cuda.is_available():
        return PRESETS["maskrcnn_resnet50_fpn_v2"]
    return PRESETS["mask_rcnn_R_50_FPN_3x" if has_detectron2() else "maskrcnn_resnet50_fpn"]


def get_weights(preset: Preset, weights: str | Path | None = None) -> Path:
    """The file with a preset's weights: a copy, or the fetched file.

    Args:
        preset: the model.
        weights: a copy of its weights, or weights of your own. A file with the name of the
            published one is compared with its checksum.

    Raises:
        FetchError: if they cannot be fetched, or the checksum is wrong.
    """
    if weights is None:
        return fetch_weights(preset)
    path = Path(weights)
    if path.name == local_path(preset).name and path.is_file():
        check_weights_file(path, preset)
    return path


def get_detector(
    name: str,
    *,
    weights: str | Path | None = None,
    score_threshold: float = 0.5,
    categories: Sequence[str] | None = None,
    short_side: int = 800,
    device: str | None = None,
) -> ImageDetector:
    """The detector of a preset, with its weights.

    Args:
        name: a preset of Detectron2 or torchvision, or its config.
        weights: file with the weights (default: fetched on first use).
        score_threshold: drop detections scored below this.
        categories: names of the categories to detect (default: all).
        short_side: frames are resized to this short side in pixels. The weights were trained with
            800; smaller is faster.
        device: where to run (default: a GPU if there is one).

    Raises:
        InputError: for an unknown name or category, if Detectron2 is needed but not installed, or
            if the weights cannot be fetched or loaded.
    """
    preset = get_preset(name)
    if preset.kind == "torchvision":
        from ..inference.torchvision_detector import TorchvisionDetector

        return TorchvisionDetector(
            preset.name,
            get_weights(preset, weights),
            score_threshold=score_threshold,
            categories=categories,
            short_side=short_side,
            device=device,
        )
    if preset.kind == "exported":
        raise ConfigError(f"{preset.name} is a MaskProp model, not a detector of single frames")
    if not has_detectron2():
        others = [x.name for x in PRESETS.values() if x.kind == "torchvision"]
        raise ConfigError(
            f"{preset.name} needs Detectron2, which is not installed (see the README). These do "
            f"not: {', '.join(others)}"
        )
    from ..engine import load_config
    from ..engine.image_detector import Detectron2Detector

    options = {
        "MODEL.WEIGHTS": get_weights(preset, weights),
        "MODEL.ROI_HEADS.SCORE_THRESH_TEST": float(score_threshold),
        "INPUT.MIN_SIZE_TEST": short_side,
        "INPUT.MAX_SIZE_TEST": short_side * 1333 // 800,
    }
    if device is not None:
        options["MODEL.DEVICE"] = device
    cfg = load_config(
        get_config_file(preset.name), [str(x) for pair in options.items() for x in pair]
    )
    return Detectron2Detector(cfg, categories=categories)
