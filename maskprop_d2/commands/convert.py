"""Convert a checkpoint of mmdetection or mmtracking, and write the config for it.

Hybrid Task Cascade and MaskTrack R-CNN can be converted. The config, next to the weights, has the
architecture and the settings of the checkpoint (see docs/converting.md).
"""

import argparse
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import yaml
from detectron2.config import CfgNode
from detectron2.modeling import build_model

from ..engine import load_config
from ..errors import InputError, WeightsFileError, run_command
from ..files import atomic_file
from ..mmdetection import Conversion, convert
from ..mmdetection.conversion import HTC, MASKTRACK
from ..model_zoo import PRESETS, Preset, fetch_weights, find_preset, get_config_file
from ..model_zoo.fetching import file_digest
from ..weights_file import read_weights, write_weights

BASES = {HTC: "coco/Base-HTC", MASKTRACK: "youtubevis_2019/masktrack_rcnn_R_50_FPN"}
"""Configs that the written ones extend."""


def main(argv: list[str] | None = None, prog: str | None = None) -> None:
    """Run the command; for bad input, print one line and exit with status 2."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__)
    parser.add_argument(
        "checkpoint", help="a file, an address, or the name of a model in `maskprop models`"
    )
    parser.add_argument(
        "--output", required=True, metavar="O.pth", help="the weights; the config becomes O.yaml"
    )
    args = parser.parse_args(argv)
    run_command(lambda: run(args.checkpoint, Path(args.output)))


def run(checkpoint: str, output: Path) -> None:
    """Convert ``checkpoint`` to ``output`` and a config with the same name.

    Raises:
        InputError: if the checkpoint cannot be fetched, read or converted.
    """
    if output.suffix != ".pth":
        raise InputError(f"--output {output}: the name must end in .pth")
    published = find_published(checkpoint)
    path = fetch_weights(published) if published else Path(checkpoint)
    try:
        converted = convert(read_weights(path))
        config = make_config(converted, output)
        check_weights(converted, config)
    except WeightsFileError:
        raise
    except InputError as error:
        raise InputError(f"{path}: cannot be converted: {error}") from error
    source = {
        "model": converted.model,
        "from": published.url if published else str(path),
        "sha256": file_digest(path, "sha256"),
        "license": published.license if published else "that of the checkpoint",
    }
    write_weights({"model": converted.weights, "source": source}, output)
    with atomic_file(output.with_suffix(".yaml")) as partial:
        header = "".join(f"# {key}: {value}\n" for key, value in source.items())
        partial.write_text(header + yaml.safe_dump(config))
    print(f"wrote {output} and {output.with_suffix('.yaml')} ({converted.model})")
    if not converted.has_config:
        print(
            "note: the checkpoint does not say how it was trained, so that the config has what is "
            "the same in all published ones: RGB images, ResNet of the pytorch style"
        )
    if not converted.keys.get("DATASETS.TEST", True):
        print(
            "note: its categories are not those of COCO or YouTube-VIS, and will be called class "
            "0, class 1, ...; register a data set with their names for DATASETS.TEST (own_data.md)"
        )


def find_published(checkpoint: str) -> Preset | None:
    """The published model that a name or an address stands for; None for a file."""
    for preset in PRESETS.values():
        if preset.url == checkpoint:
            return preset
    if "://" not in checkpoint:
        return find_preset(checkpoint)
    # Files of OpenMMLab end with the first digits of their checksum.
    name = Path(urlparse(checkpoint).path).stem
    digits = re.search(r"-([0-9a-f]{8})$", name)
    return Preset(
        name=name,
        kind="mmdetection",
        url=checkpoint,
        checksum=f"sha256:{digits[1]}" if digits else "",
        dataset="",
        num_categories=0,
        megabytes=0,
        license="that of the checkpoint",
    )


def make_config(converted: Conversion, weights: Path) -> dict[str, Any]:
    """The config of a converted checkpoint, complete, so that it can be moved."""
    base = get_config_file(BASES[converted.model])
    config: dict[str, Any] = CfgNode.load_yaml_with_base(base)
    for key, value in {**converted.keys, "MODEL.WEIGHTS": str(weights)}.items():
        node = config
        *parents, name = key.split(".")
        for parent in parents:
            node = node.setdefault(parent, {})
        node[name] = value
    return config


def check_weights(converted: Conversion, config: dict[str, Any]) -> None:
    """Build the model, and check that the weights are all that it needs.

    Raises:
        InputError: if not.
    """
    keys = {k: v for k, v in converted.keys.items() if not k.startswith("DATASETS.")}
    options = [x for pair in keys.items() for x in pair]
    base = get_config_file(BASES[converted.model])
    cfg = load_config(base, [*options, "MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", ""])
    expected = {name: x.shape for name, x in build_model(cfg).state_dict().items()}
    for name, value in converted.weights.items():
        if name not in expected:
            raise InputError(f"the model has no weight {name}")
        if expected[name] != value.shape:
            raise InputError(
                f"{name} has the shape {tuple(value.shape)}, not {tuple(expected[name])}"
            )
    # MaskTrack R-CNN does not propagate masks.
    missing = [x for x in expected if x not in converted.weights and "propagation." not in x]
    if missing:
        raise InputError(f"it lacks {len(missing)} weights, such as {missing[0]}")
