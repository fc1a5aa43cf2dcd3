"""Reading, drawing and writing videos."""

from .camera import Camera
from .excerpt import Excerpt
from .reading import FrameFiles, VideoFile, find_frames

__all__ = ["Camera", "Excerpt", "FrameFiles", "VideoFile", "find_frames"]
