"""Streaming inference: frames -> detections -> tracks."""

from .segmenter import VideoSegmenter, VideoStream

__all__ = ["VideoSegmenter", "VideoStream"]
