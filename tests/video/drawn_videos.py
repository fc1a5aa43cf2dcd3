"""Small videos to read, and frames to write."""

import struct
from fractions import Fraction

import av
import numpy as np

from maskprop_d2.video.writing import VideoWriter


def draw_frames(count=12, height=48, width=64):
    """A bright column that moves over a ramp."""
    frames = []
    for t in range(count):
        frame = np.full((height, width, 3), 60, np.uint8)
        frame[:, :, 1] = np.linspace(40, 160, width).astype(np.uint8)
        frame[:, 3 * t : 3 * t + 9] = (220, 40, 30)
        frames.append(frame)
    return frames


def draw_noise(count=40):
    """Frames that cannot be compressed, so that each has its share of the file."""
    return np.random.default_rng(0).integers(0, 255, (count, 48, 64, 3), dtype=np.uint8)


def write_video(path, frames, fps=Fraction(30000, 1001)):
    with VideoWriter(path, fps) as writer:
        for frame in frames:
            writer.write(frame)
    return path


def patch(path, tag, offset, layout, *values):
    """Overwrite values after the name of a box of an MP4 file; gives what was there."""
    data = bytearray(path.read_bytes())
    start = data.index(tag) + 4 + offset
    old = struct.unpack_from(layout, data, start)
    struct.pack_into(layout, data, start, *values)
    path.write_bytes(data)
    return old


def number_frames(count=80):
    """Frames that show their number in seven bits, as bars."""
    t = np.arange(count)
    bits = np.repeat(t[:, None] >> np.arange(8) & 1, 8, axis=1).astype(np.uint8)
    return np.broadcast_to(30 + 200 * bits[:, None, :, None], (count, 48, 64, 3)).copy()


def read_number(frame):
    bits = frame[:, :, 0].reshape(48, 8, 8)[:, :, 2:6].mean(axis=(0, 2)) > 130
    return int((bits << np.arange(8)).sum())


def write_numbers(path, codec="libx264", count=80, **options):
    """At 20 frames/s, with a frame that can be decoded on its own every 15."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, 20, {"g": "15", **options})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for frame in number_frames(count):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path
