"""Tracks to and from annotation tools: for each a file with ``read`` and ``write``."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from . import coco, cvat, cvat_reading, label_studio, labelme, yolo
from .tracks import ToolAnnotations, ToolVideo, WriteOptions
from .ytvis_files import read_ytvis

__all__ = ["TOOLS", "Tool", "ToolAnnotations", "ToolVideo", "WriteOptions", "read_ytvis"]


class Tool(NamedTuple):
    """An annotation tool.

    Attributes:
        text: what is read and written.
        read: reads the tool's file or folder, given the folder of the frames, if known.
        write: writes annotations to a path.
        is_file: whether ``write`` writes a file: True, False for a folder, None if it can be both.
    """

    text: str
    read: Callable[[Path, Path | None], ToolAnnotations]
    write: Callable[[ToolAnnotations, Path, WriteOptions], None]
    is_file: bool | None


TOOLS = {
    "cvat": Tool(
        "CVAT for video 1.1 (.xml, or a folder of them)", cvat_reading.read, cvat.write, None
    ),
    "coco": Tool("COCO with track_id (.json)", coco.read, coco.write, True),
    "labelme": Tool("labelme (a folder)", labelme.read, labelme.write, False),
    "label-studio": Tool(
        "Label Studio (a folder; to read, a .json export)",
        label_studio.read,
        label_studio.write,
        False,
    ),
    "yolo": Tool("YOLO segmentation (a folder)", yolo.read, yolo.write, False),
}
"""By the name that ``maskprop annotations`` takes."""
