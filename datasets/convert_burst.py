#!/usr/bin/env python3
"""Convert BURST annotations to YouTube-VIS format.

    python datasets/convert_burst.py --json burst/annotations/val/all_classes.json \\
        --output datasets/burst/val.json

The videos have the annotated frames only: one frame per second in the validation and test sets. The
frames are those of TAO and are used as they are, with names relative to frames/<split>. Ids of
videos and categories stay as they are.
"""

import argparse
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from maskprop_d2.errors import AnnotationError, run_command
from maskprop_d2.ops.rle import to_rle
from maskprop_d2.ytvis import check_ground_truth, load_json
from maskprop_d2.ytvis.writing import track_fields, write_json_files

Result = TypeVar("Result")


def convert(data: Any, source: Path | str) -> dict[str, Any]:
    """The content of an annotation file in YouTube-VIS format.

    Args:
        data: the content of one of BURST's files.
        source: its name, for messages.

    Raises:
        AnnotationError: naming the first entry that is wrong.
    """
    sequences = data.get("sequences") if isinstance(data, dict) else None
    if not isinstance(sequences, list):
        raise AnnotationError(f"{source} is no file of BURST: it must have a list of 'sequences'")
    videos = [_read(_video, source, i, x) for i, x in enumerate(sequences)]
    converted = {
        "info": {"split": data.get("split")},
        "videos": videos,
        "categories": data.get("categories"),
    }
    check_ground_truth(converted, source)
    tracks = [_read(_tracks, source, i, x) for i, x in enumerate(sequences)]
    converted["annotations"] = [
        {"id": i, "iscrowd": 0, **x} for i, x in enumerate(itertools.chain(*tracks), start=1)
    ]
    check_ground_truth(converted, source)
    return converted


def _read(read: Callable[[Any], Result], source: Path | str, i: int, sequence: Any) -> Result:
    try:
        return read(sequence)
    except KeyError as error:
        raise AnnotationError(f"{source}: sequence {i} needs {error}") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise AnnotationError(f"{source}: sequence {i} is malformed: {error}") from error


def _video(sequence: dict[str, Any]) -> dict[str, Any]:
    folder = f"{sequence['dataset']}/{sequence['seq_name']}"
    names = [f"{folder}/{x}" for x in sequence["annotated_image_paths"]]
    size = {key: sequence[key] for key in ("height", "width")}
    return {"id": sequence["id"], "length": len(names), "file_names": names, **size}


def _tracks(sequence: dict[str, Any]) -> list[dict[str, Any]]:
    """The annotations of a sequence, which has its masks by frame and then by track."""
    frames = sequence["segmentations"]
    if len(frames) != len(sequence["annotated_image_paths"]):
        number = len(sequence["annotated_image_paths"])
        raise ValueError(f"{len(frames)} 'segmentations' for {number} annotated frames")
    size = [sequence["height"], sequence["width"]]
    tracks = []
    for track_id, category_id in sequence["track_category_ids"].items():
        masks = [frame[track_id]["rle"] if track_id in frame else None for frame in frames]
        rles = [x if x is None else to_rle({"size": size, "counts": x}, *size) for x in masks]
        if any(rles):
            ids = {"video_id": sequence["id"], "category_id": category_id}
            tracks.append({**ids, **track_fields(rles)})
    return tracks


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, required=True, help="such as val/all_classes.json")
    parser.add_argument("--output", type=Path, required=True, help="json file to write")
    args = parser.parse_args(argv)
    run_command(lambda: _run(args))


def _run(args: argparse.Namespace) -> None:
    converted = convert(load_json(args.json), args.json)
    write_json_files({args.output: converted})
    counts = (f"{len(converted[x])} {x}" for x in ("videos", "categories", "annotations"))
    print(f"wrote {args.output}: {', '.join(counts)}")


if __name__ == "__main__":
    main()
