"""Checksums of the files of a model."""

import hashlib
import json
from pathlib import Path

from .loading import require_detectron2
from .presets import find_preset


def model_checksums(model: str, weights: str | None = None) -> dict[str, str]:
    """SHA-256 of a model's files on this machine: a file of the same name may be another one.

    Args:
        model: as for ``load_model``.
        weights: those that are used instead of its own.

    Returns:
        checksums by "model" and "weights". That of a config includes the configs it is based on.

    Raises:
        InputError: if it is a config, and there is no such file, or Detectron2 is not installed.
    """
    contents: dict[str, bytes] = {}
    if find_preset(model) is None and Path(model).suffix in (".yaml", ".yml"):
        config = _read_config(model)
        contents["model"] = json.dumps(config, sort_keys=True, default=str).encode()
        weights = weights or (config.get("MODEL") or {}).get("WEIGHTS")
    elif Path(model).is_file():
        contents["model"] = Path(model).read_bytes()
    if weights and Path(weights).is_file():
        contents["weights"] = Path(weights).read_bytes()
    return {key: hashlib.sha256(x).hexdigest() for key, x in contents.items()}


def _read_config(model: str) -> dict:
    require_detectron2(model)
    # Imported late, so that other models do not need Detectron2.
    from detectron2.config import CfgNode

    from ..engine.setup import find_config

    return CfgNode.load_yaml_with_base(str(find_config(model)))
