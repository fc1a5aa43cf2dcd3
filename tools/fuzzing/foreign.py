"""Checkpoints of mmdetection for the fuzzer: as json, with shapes in place of weights."""

import json
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import torch

from maskprop_d2.errors import InputError
from maskprop_d2.mmdetection import convert
from maskprop_d2.weights_file import read_weights

from .mutate import damage, damage_json

RECORDED = Path(__file__).parents[2] / "tests/mmdetection/htc.pth"


@cache
def _checkpoint() -> dict[str, Any]:
    recorded = read_weights(RECORDED)
    names = ["person", "cat", "dog", "cow", "owl"]
    meta = {"config": recorded["meta"]["config"], "CLASSES": names}
    return {"meta": meta, "state_dict": recorded["shapes"]}


def make_checkpoint(random: Random) -> bytes:
    """A checkpoint with other values, or a damaged config."""
    contents = _checkpoint()
    if random.random() < 0.5:
        return damage_json(random, contents)
    text = damage(random, contents["meta"]["config"].encode()).decode(errors="replace")
    return json.dumps({**contents, "meta": {"config": text}}).encode()


def read_checkpoint(path: Path) -> None:
    """Convert it."""
    try:
        contents = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not json") from error
    weights = contents.get("state_dict") if isinstance(contents, dict) else None
    if not isinstance(weights, dict):
        raise InputError(f"{path}: no weights")
    contents["state_dict"] = {name: _weight(shape) for name, shape in weights.items()}
    convert(contents)


def _weight(shape: Any) -> Any:
    is_shape = isinstance(shape, list) and all(type(x) is int and 0 <= x < 2**16 for x in shape)
    return torch.zeros(()).expand(shape) if is_shape and len(shape) < 6 else shape
