"""Streaming inference: reading videos, segmenting them, drawing and writing the result."""

from .exported import ModelFileError
from .segmenter import VideoSegmenter, VideoStream
from .video import Camera, FrameFiles, VideoError, VideoFile, find_frames

__all__ = [
    "Camera",
    "FrameFiles",
    "ModelFileError",
    "VideoError",
    "VideoFile",
    "VideoSegmenter",
    "VideoStream",
    "find_frames",
]
