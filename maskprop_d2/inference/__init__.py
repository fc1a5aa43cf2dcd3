"""Streaming inference: reading videos, segmenting them, drawing and writing the result."""

from .camera import Camera
from .excerpt import Excerpt
from .exported import ModelFileError
from .segmenter import VideoSegmenter, VideoStream
from .video import FrameFiles, VideoError, VideoFile, find_frames

__all__ = [
    "Camera",
    "Excerpt",
    "FrameFiles",
    "ModelFileError",
    "VideoError",
    "VideoFile",
    "VideoSegmenter",
    "VideoStream",
    "find_frames",
]
