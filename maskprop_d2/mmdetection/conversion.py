"""Converting checkpoints of Hybrid Task Cascade and MaskTrack R-CNN."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from ..errors import InputError
from ..ytvis.categories import COCO, YTVIS_2019, YTVIS_2021
from .config_text import parse_config
from .names import rename
from .settings import config_keys

HTC, MASKTRACK = "Hybrid Task Cascade", "MaskTrack R-CNN"
MODELS = {HTC: "roi_head.mask_head.1.conv_res.", MASKTRACK: "track_head.embed_head."}
"""The models that can be converted, and weights that only they have."""
DATASETS = {
    "coco_2017_val": list(COCO.values()),
    "ytvis_2019_val": YTVIS_2019,
    "ytvis_2021_val": YTVIS_2021,
}
"""Category names of known datasets, in the order of this project."""


@dataclass(frozen=True)
class Conversion:
    """A converted checkpoint.

    Attributes:
        model: ``HTC`` or ``MASKTRACK``.
        weights: under this project's names.
        keys: config keys by name, with which the weights give the same outputs.
        has_config: whether the checkpoint says how it was trained. If not, ``keys`` assumes what
            all published checkpoints have in common.
    """

    model: str
    weights: dict[str, torch.Tensor]
    keys: dict[str, Any]
    has_config: bool


def is_foreign(contents: Mapping[str, Any]) -> bool:
    """Whether a file's contents look like a checkpoint of mmdetection, mmtracking or mmengine."""
    return isinstance(contents.get("state_dict"), dict)


def convert(contents: Mapping[str, Any]) -> Conversion:
    """Convert the contents of a checkpoint of mmdetection 2.x or 3.x, or of mmtracking.

    Raises:
        InputError: if it is of another model, or has something that has no counterpart here.
    """
    given = _check_weights(contents)
    model = _recognize(given)
    meta = contents.get("meta")
    meta = meta if isinstance(meta, dict) else {}
    text = meta.get("config", meta.get("cfg"))
    config = parse_config(text) if isinstance(text, str) else {}
    weights = rename(given)
    dataset = meta.get("dataset_meta")
    names = meta.get("CLASSES") or (dataset.get("classes") if isinstance(dataset, dict) else None)
    try:
        keys = config_keys(weights, config)
        _sort_categories(weights, keys, names)
        if model == MASKTRACK:
            keys["MODEL.MASKPROP.MASKTRACK.VARIANT"] = "mmtracking"
            keys["MODEL.MASKPROP.LINKING.TRACK_SCORE"] = "majority"
            keys["MODEL.MASKPROP.MASKTRACK.FC_DIM"] = len(weights["embedding.layers.3.weight"])
    except InputError:
        raise
    except KeyError as error:
        raise InputError(f"it lacks the weight {error.args[0]}") from error
    # A config can have any value in place of a dict or a number, and weights any shape.
    except (
        AttributeError,
        TypeError,
        ValueError,
        LookupError,
        ArithmeticError,
        RuntimeError,
    ) as error:
        raise InputError("its config or the shapes of its weights are not understood") from error
    return Conversion(model, weights, keys, bool(config.get("model")))


def _check_weights(contents: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """The weights in a checkpoint."""
    if not is_foreign(contents):
        raise InputError(
            "it is not a checkpoint of mmdetection or mmtracking: it has no state_dict"
        )
    weights = contents["state_dict"]
    for name, value in weights.items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise InputError(f"its state_dict has something that is not a weight: {str(name)[:80]}")
    return dict(weights)


def _recognize(weights: dict[str, torch.Tensor]) -> str:
    """The name of the model."""
    if any(name.startswith(("bbox_head.0.", "mask_head.0.")) for name in weights):
        raise InputError(
            "it is of mmdetection 1.x, whose boxes and order of categories are others: use the "
            "checkpoint of 2.x or 3.x"
        )
    for model, start in MODELS.items():
        if any(name.startswith(start) for name in weights):
            return model
    raise InputError(f"it is of another model: only {' and '.join(MODELS)} can be converted")


def _sort_categories(weights: dict[str, torch.Tensor], keys: dict[str, Any], names: Any) -> None:
    """Bring the categories into the order of their dataset, which is added to the keys."""
    number = keys["MODEL.ROI_HEADS.NUM_CLASSES"]
    if not isinstance(names, list | tuple):
        # All published checkpoints with 80 categories are of COCO.
        if number == 80:
            keys["DATASETS.TEST"] = ["coco_2017_val"]
        return
    spelled = [str(name).replace("_", " ").lower() for name in names]
    for dataset, ours in DATASETS.items():
        wanted = [name.replace("_", " ").lower() for name in ours]
        if len(wanted) == number and sorted(spelled) == sorted(wanted):
            keys["DATASETS.TEST"] = [dataset]
            if spelled != wanted:
                _permute(weights, [spelled.index(name) for name in wanted])
            return
    # The names of the base config's dataset would be wrong for as many other categories.
    keys |= {"DATASETS.TEST": [], "DATASETS.TRAIN": []}


def _permute(weights: dict[str, torch.Tensor], order: list[int]) -> None:
    """Reorder the outputs of the classifiers; the background stays last."""
    for name, value in weights.items():
        if name.startswith("roi_heads.") and ".cls_score." in name:
            weights[name] = value[[*order, len(order)]]
        elif name.startswith("roi_heads.mask_head.") and ".predictor." in name and len(value) > 1:
            weights[name] = value[order]
        elif name.startswith("roi_heads.") and ".bbox_pred." in name and len(value) > 4:
            weights[name] = value.unflatten(0, (-1, 4))[order].flatten(0, 1)
