"""Inputs for the readers of annotation tools."""

import io
import json
import tempfile
import zipfile
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from maskprop_d2.annotation_tools import TOOLS, ToolAnnotations, ToolVideo, WriteOptions
from maskprop_d2.annotation_tools.yolo import read_frame, read_names
from maskprop_d2.ops.rle import encode

from .mutate import VALUES, damage, damage_json

SIZE = 20, 30
CATEGORIES = {0: "cat", 1: "dog"}


@cache
def _files(tool: str, masks: bool) -> list[bytes]:
    """What is written for a video of two frames with two objects."""
    video = ToolVideo("v", SIZE, ["v/0.jpg", "v/1.jpg"])
    for t in range(2):
        mask = np.zeros((2, *SIZE), bool)
        mask[0, 3:9, 5 + t : 25] = mask[1, 10:19, :3] = True
        mask[0, 5, 8] = False
        for i, name in CATEGORIES.items():
            video.add(i + 1, name, t, encode(mask[i]))
    annotations = ToolAnnotations(list(CATEGORIES.values()), [video])
    with tempfile.TemporaryDirectory() as folder:
        suffix = {"cvat": ".xml", "coco": ".json"}.get(tool, "")
        output = Path(folder) / f"output{suffix}"
        TOOLS[tool].write(annotations, output, WriteOptions(masks))
        if output.is_file():
            return [output.read_bytes()]
        kept = {"labelme": "*.json", "label-studio": "tasks.json", "yolo": "labels/**/*.txt"}
        return [path.read_bytes() for path in sorted(output.rglob(kept[tool]))]


def make_cvat(random: Random) -> bytes:
    """An xml file with other values or damaged bytes, sometimes in a zip file."""
    text = _files("cvat", random.random() < 0.5)[0]
    if random.random() < 0.5:
        text = damage(random, text)
    else:
        parts = text.split(b'"')
        i = random.randrange(1, len(parts), 2)
        values = [
            b"",
            b"-1",
            b"nan",
            b"1e9",
            b"9" * 30,
            b"0,0",
            b";" * 50,
            "é".encode(),
            b"3,3;4,4",
        ]
        parts[i] = random.choice([*values, random.choice(parts[1::2])])
        text = b'"'.join(parts)
    if random.random() < 0.2:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("annotations.xml", text)
        return damage(random, file.getvalue()) if random.random() < 0.5 else file.getvalue()
    return text


def make_json(tool: str, random: Random) -> bytes:
    """A json file of a tool, with other values or damaged."""
    return damage_json(random, json.loads(random.choice(_files(tool, random.random() < 0.5))))


def make_yolo(random: Random) -> bytes:
    """Lines of a frame with other numbers or damaged bytes."""
    text = random.choice(_files("yolo", False))
    if random.random() < 0.5:
        return damage(random, text)
    words = text.decode().split(" ")
    values = [str(x) for x in VALUES if not isinstance(x, int) or abs(x) < 10**300]
    for _ in range(random.choice((1, 1, 3))):
        i = random.randrange(len(words))
        words[i : i + random.choice((0, 1, 1, 1))] = [random.choice(values)]
    return " ".join(words).encode("utf-8", "replace")


def make_yolo_names(random: Random) -> bytes:
    """A damaged data.yaml."""
    values = (
        b"{0: cat}",
        b"[cat, dog]",
        b"&a [*a]",
        b"!!python/object:os.x {}",
        b"- - - - [",
        b"{1: 2}",
    )
    return damage(random, b"path: .\ntrain: images\nnames: " + random.choice(values) + b"\n")


def read_tool(tool: str, path: Path) -> Any:
    """Read a file, and write the annotation file."""
    found = TOOLS[tool].read(path, None)
    with tempfile.TemporaryDirectory() as folder:
        return found.write_ytvis(Path(folder) / "out.json")


def read_labelme(path: Path) -> Any:
    """As the only file of a folder."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "0.json").write_bytes(path.read_bytes())
        return read_tool("labelme", Path(folder))


def read_yolo(path: Path) -> Any:
    """A frame, whose size is known."""
    return read_frame(path, path.with_suffix(".ids"), SIZE, CATEGORIES)


def read_yolo_names(path: Path) -> Any:
    """The names of the classes."""
    return read_names(path)
