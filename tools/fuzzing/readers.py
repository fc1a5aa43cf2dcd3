"""The readers of user input, and how to make inputs for them.

Reading must end with a result or an ``InputError``.
"""

import io
import json
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import av
import cv2
import numpy as np
import torch
from PIL import Image

from maskprop_d2.errors import InputError
from maskprop_d2.evaluation import evaluate
from maskprop_d2.inference import VideoSegmenter
from maskprop_d2.inference.exported import KEY
from maskprop_d2.ops.rle import decode, decode_box, encode, to_rle
from maskprop_d2.video import FrameFiles, VideoFile
from maskprop_d2.weights_file import read_weights
from maskprop_d2.ytvis import iterate_json, load_json
from maskprop_d2.ytvis.track_table import check_entries, iterate_track_table, write_track_table
from maskprop_d2.ytvis.validation import find_problems

from . import annotation_tools, detections, foreign, scoring
from .mutate import VALUES, damage, damage_json, damage_pickle, damage_zip, replace_values

TINY = Path(__file__).parents[2] / "demo/maskprop_tiny.pt"


class Reader(NamedTuple):
    """A reader of files.

    Attributes:
        suffix: the file name suffix.
        make: returns the content of a random file.
        read: reads a file.
    """

    suffix: str
    make: Callable[[Random], bytes]
    read: Callable[[Path], Any]


@cache
def _mask() -> dict[str, Any]:
    mask = np.zeros((20, 30), bool)
    mask[3:9, 5:25] = True
    return dict(encode(mask))


@cache
def _ground_truth() -> dict[str, Any]:
    names = ["v/0.jpg", "v/1.jpg"]
    videos = [{"id": 1, "height": 20, "width": 30, "length": 2, "file_names": names}]
    polygon = [[1, 1, 5, 1, 5, 5]]
    track = {"id": 1, "video_id": 1, "category_id": 4, "iscrowd": 0, "areas": [120, 8]}
    track |= {"bboxes": [[5, 3, 20, 6], None], "segmentations": [_mask(), polygon]}
    categories = [{"id": 4, "name": "cat"}]
    return {"videos": videos, "categories": categories, "annotations": [track]}


@cache
def _results() -> list[dict[str, Any]]:
    masks = [_mask(), {"size": [20, 30], "counts": [1, 2, 597]}]
    return [{"video_id": 1, "category_id": 4, "score": 0.5, "segmentations": masks}] * 2


@cache
def _track_table() -> bytes:
    entries = check_entries(_results(), "results")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "t.parquet"
        write_track_table(entries, path)
        return path.read_bytes()


def _read_annotations(path: Path) -> None:
    data = load_json(path)
    if isinstance(data, dict):
        list(find_problems(data))
    evaluate(data, _results(), (path, "results"))


def _read_results(path: Path) -> None:
    evaluate(_ground_truth(), iterate_json(path), ("ground truth", path))


def _make_rle(random: Random) -> bytes:
    if random.random() < 0.5:
        polygon = _ground_truth()["annotations"][0]["segmentations"][1]
        masks = [*_results()[0]["segmentations"], polygon]
        return json.dumps(replace_values(random, random.choice(masks))).encode()
    text = "".join(chr(random.randrange(48, 112)) for _ in range(random.randrange(30)))
    size = [random.choice((1, 20, 4096, 8191)) for _ in range(2)]
    return json.dumps({"size": size, "counts": text}).encode()


def _read_rle(path: Path) -> None:
    segmentation = json.loads(path.read_text())
    size = segmentation.get("size") if isinstance(segmentation, dict) else None
    fits = isinstance(size, list) and len(size) == 2 and all(type(x) is int for x in size)
    height, width = size if fits and min(size) > 0 and max(size) < 2**13 else (20, 30)
    try:
        rle = to_rle(segmentation, height, width)
    except ValueError as error:
        raise InputError(str(error)) from error
    assert decode(rle).shape == (height, width)
    decode_box(rle)


@cache
def _images() -> list[bytes]:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8))
    written = []
    for kind, options in (
        *(("JPEG", {}), ("JPEG", {"progressive": True}), ("PNG", {}), ("BMP", {})),
        *(("TIFF", {}), ("TIFF", {"compression": "tiff_lzw"}), ("WEBP", {})),
    ):
        file = io.BytesIO()
        image.save(file, kind, **options)
        written.append(file.getvalue())
    # Small files that decode to large images.
    for side in (9000, 20000):
        bomb = cv2.imencode(".png", np.zeros((side, side), np.uint8))[1].tobytes()
        written.append(bomb)
    return written


@cache
def _videos() -> list[bytes]:
    written = []
    for kind, codec in (("mp4", "libx264"), ("avi", "mpeg4"), ("matroska", "libx264")):
        file = io.BytesIO()
        with av.open(file, "w", format=kind) as container:
            stream = container.add_stream(codec, 10)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for i in range(6):
                frame = np.full((48, 64, 3), 40 * i, np.uint8)
                frame[10:20, 5 * i : 5 * i + 10] = 255
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode())
        written.append(file.getvalue())
    return written


@cache
def _checkpoint() -> bytes:
    file = io.BytesIO()
    optimizer = {"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": [{"lr": 0.1}]}
    weights = {"a.weight": torch.ones(3, 4), "a.bias": torch.zeros(3, dtype=torch.float16)}
    torch.save({"model": weights, "trainer": {"optimizer": optimizer}, "iteration": 3}, file)
    return file.getvalue()


@cache
def _zoo() -> dict[str, Any]:
    weights = {"a": np.ones((3, 4), np.float32), "b": np.arange(5)}
    return {"model": weights, "__author__": "someone", "matching_heuristics": True}


@cache
def _exported() -> dict[str, Any]:
    return torch.load(TINY, weights_only=True)


def _make_exported(random: Random) -> bytes:
    """An exported model with other values, other weights, or a damaged program."""
    contents = dict(_exported())
    kind = random.random()
    if kind < 0.1:
        return damage(random, TINY.read_bytes())
    if kind < 0.2:
        contents["model"] = _other_weights(random, contents["model"])
    else:
        program = contents[KEY]["program"]
        values = {k: v for k, v in contents[KEY].items() if k != "program"}
        if kind < 0.25:
            data = bytearray(damage(random, program.numpy().tobytes()) or b"\0")
            program = torch.frombuffer(data, dtype=torch.uint8)
        else:
            plain = [x for x in VALUES if x != "\ud800"]
            values = replace_values(random, values, plain)
        contents[KEY] = {**values, "program": program} if isinstance(values, dict) else values
    file = io.BytesIO()
    torch.save(contents, file)
    return file.getvalue()


def _other_weights(random: Random, weights: dict[str, Any]) -> dict[str, Any]:
    name = random.choice([x for x in weights if x.startswith("propagation.")] + list(weights))
    others = [None, "text", torch.zeros(0), torch.zeros(1).expand(2**40), torch.tensor(1)]
    return {**weights, name: random.choice(others)}


READERS = {
    "annotations": Reader(".json", lambda x: damage_json(x, _ground_truth()), _read_annotations),
    "results": Reader(".json", lambda x: damage_json(x, _results()), _read_results),
    "result_tables": Reader(
        ".parquet",
        lambda x: damage(x, _track_table()),
        lambda path: list(iterate_track_table(path)),
    ),
    "results_for_tables": Reader(
        ".json",
        lambda x: damage_json(x, _results()),
        lambda path: list(check_entries(iterate_json(path), path)),
    ),
    "dataset": Reader(".json", scoring.make_dataset, scoring.read_dataset),
    "burst": Reader(".json", scoring.make_burst, scoring.read_burst),
    "cell_tracks": Reader(
        ".txt", lambda x: damage(x, scoring.CELL_TRACKS), scoring.read_cell_tracks
    ),
    "diagnosis": Reader(".json", scoring.make_scored, scoring.read_diagnosis),
    "comparison": Reader(".json", scoring.make_scored, scoring.read_comparison),
    "rle": Reader(".json", _make_rle, _read_rle),
    "image": Reader(
        ".png",
        lambda x: damage(x, x.choice(_images())),
        lambda path: list(FrameFiles([path])),
    ),
    "video": Reader(
        ".mp4",
        lambda x: damage(x, x.choice(_videos())),
        lambda path: [frame.shape for frame in VideoFile(path)],
    ),
    "checkpoint": Reader(
        ".pth",
        lambda x: (damage_zip if x.random() < 0.8 else damage)(x, _checkpoint()),
        read_weights,
    ),
    "zoo": Reader(".pkl", lambda x: damage_pickle(x, _zoo()), read_weights),
    "foreign_checkpoint": Reader(".json", foreign.make_checkpoint, foreign.read_checkpoint),
    "exported": Reader(
        ".pt", _make_exported, lambda path: VideoSegmenter.from_exported(path, device="cpu")
    ),
    "coco_detections": Reader(".json", detections.make_coco, detections.read_coco),
    "id_masks": Reader(".png", detections.make_id_mask, detections.read_id_mask),
    "arrays": Reader(".json", detections.make_arrays, detections.read_arrays),
    "cvat": Reader(
        ".xml", annotation_tools.make_cvat, lambda path: annotation_tools.read_tool("cvat", path)
    ),
    "coco_tracks": Reader(
        ".json",
        lambda x: annotation_tools.make_json("coco", x),
        lambda path: annotation_tools.read_tool("coco", path),
    ),
    "labelme": Reader(
        ".json",
        lambda x: annotation_tools.make_json("labelme", x),
        annotation_tools.read_labelme,
    ),
    "label_studio": Reader(
        ".json",
        lambda x: annotation_tools.make_json("label-studio", x),
        lambda path: annotation_tools.read_tool("label-studio", path),
    ),
    "yolo_labels": Reader(".txt", annotation_tools.make_yolo, annotation_tools.read_yolo),
    "yolo_names": Reader(
        ".yaml", annotation_tools.make_yolo_names, annotation_tools.read_yolo_names
    ),
}
