"""The files of one video."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..inference import VideoStream
from ..video import FrameFiles, VideoFile
from ..video.drawing import draw_tracks
from ..video.frame_files import frame_name
from ..video.id_masks import IdMaskWriter, draw_id_mask
from ..video.writing import VideoWriter
from ..ytvis.track_table import write_track_table
from ..ytvis.writing import track_entries, write_results
from .settings import Settings
from .storage import DRAWN, ID_MASKS, RESULTS, TABLE


@dataclass
class TrackedVideo:
    """A video that is being tracked.

    Attributes:
        source: its frames.
        stream: the same, when they are finished.
        class_names: names of the stream's labels.
        category_ids: their ids in the results.
    """

    source: VideoFile | FrameFiles
    stream: VideoStream
    class_names: Sequence[str]
    category_ids: Sequence[int]


def write_outputs(
    tracked: TrackedVideo,
    address: str,
    folder: Path,
    settings: Settings,
    report: Callable[[int], None],
) -> dict[str, Any]:
    """Process a video, and write its files.

    The same video gives the same bytes, except in the drawn video, whose encoder is not exactly
    reproducible.

    Args:
        tracked: the video.
        address: its address.
        folder: where to write.
        settings: what to write.
        report: called with the number of frames that are finished.

    Returns:
        the numbers of frames and tracks, the frame rate, and the size of the frames.
    """
    frames = 0
    source = tracked.source
    with ExitStack() as stack:
        drawn = id_masks = None
        if settings.draw:
            drawn = stack.enter_context(VideoWriter(folder / DRAWN, source.fps))
        if settings.id_masks:
            id_masks = IdMaskWriter(folder / ID_MASKS)
        for frames, result in enumerate(tracked.stream, start=1):
            if drawn:
                labels = [tracked.class_names[label] for label in result.labels]
                objects = result.masks, result.track_ids, labels, result.scores
                drawn.write(draw_tracks(result.frame, *objects))
            if id_masks:
                size = result.frame.shape[:2]
                ids = draw_id_mask(result.masks, result.track_ids, result.scores, *size)
                id_masks.write(ids, frame_name(source, result.index))
            report(frames)
    for format_ in settings.formats:
        tracks = tracked.stream.iter_tracks()
        entries = track_entries(tracks, tracked.class_names, tracked.category_ids)
        if format_ == "json":
            write_results(entries, folder / RESULTS)
        else:
            write_track_table(entries, folder / TABLE, video=address)
    height, width = source.frame_size
    return {
        "frames": frames,
        "tracks": len({track.track_id for track in tracked.stream.iter_tracks()}),
        "fps": float(source.fps),
        "height": height,
        "width": width,
    }
