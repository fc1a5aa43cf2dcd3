"""Reading, drawing and writing videos."""

from .camera import Camera
from .excerpt import Excerpt
from .frame_files import FrameFiles, find_frames
from .video_file import VideoFile

__all__ = ["Camera", "Excerpt", "FrameFiles", "Source", "VideoFile", "find_frames"]

Source = VideoFile | FrameFiles | Camera
