"""Streaming inference: frames -> detections -> tracks."""

from .segmenter import VideoSegmenter
from .stream import VideoStream

__all__ = ["VideoSegmenter", "VideoStream"]
