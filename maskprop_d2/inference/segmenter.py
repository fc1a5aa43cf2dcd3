"""Streaming video instance segmentation with any frame network."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import InputError
from ..structures import VideoTracks
from ..tracking import FrameNetwork, MaskPropTracker, Tracker, build_tracker, option_names
from .exported import ExportedNetwork, not_as_exported, wrong_option
from .stream import VideoStream


class VideoSegmenter:
    """Segments, classifies and tracks the objects of videos of any length.

    Memory is constant, unless the tracking method is an offline one.

    >>> for result in segmenter.stream(VideoFile("cats.mp4")):
    ...     print(result.index, result.track_ids)
    """

    def __init__(
        self,
        network: FrameNetwork,
        *,
        make_tracker: Callable[[FrameNetwork], Tracker] = MaskPropTracker,
        final_mask: str = "center",
        class_floor: float = 1.0,
        track_score: str = "detections",
        frames_per_batch: int = 4,
    ):
        """
        Args:
            network: detects in frames and propagates masks between them.
            make_tracker: makes a new tracker for each video: a ``Tracker`` class, or a function
                such as ``partial(IoUTracker, threshold=0.1)``.
            final_mask: the mask of a track in a frame. "center": the detection (paper); "average":
                the mean of the masks of all clips that cover the frame; "fill": the detection, or
                that mean where the detector missed the object. "average" and "fill" delay the
                output by 2T frames instead of T; they make no difference for methods without clips.
            class_floor: report a track for its best category, and, unless ``track_score`` is
                "majority", for each other category with at least this score.
            track_score: the score of a track. "detections": the mean of its detections' class
                scores (paper); "video": that mean times the fraction of the video's frames with the
                track; "majority": the mean score of its detections, only for the category that most
                of them have, as in mmtracking.
            frames_per_batch: number of frames that the detector processes at once.

        Raises:
            InputError: for a wrong value.
        """
        if final_mask not in ("center", "average", "fill"):
            raise InputError(
                f"final_mask must be 'center', 'average' or 'fill', not '{final_mask}'"
            )
        if track_score not in ("detections", "video", "majority"):
            raise InputError(
                f"track_score must be 'detections', 'video' or 'majority', not '{track_score}'"
            )
        if frames_per_batch < 1:
            raise InputError(f"frames_per_batch must be at least 1, not {frames_per_batch}")
        self.network = network
        self.make_tracker = make_tracker
        self.final_mask = final_mask
        self.class_floor = class_floor
        self.track_score = track_score
        self.frames_per_batch = frames_per_batch

    @classmethod
    def from_options(
        cls, network: FrameNetwork, *, tracker: dict[str, Any], **options: Any
    ) -> "VideoSegmenter":
        """Build a segmenter from plain values, as configs and exported models hold them.

        Args:
            network: see ``VideoSegmenter``.
            tracker: the arguments of ``build_tracker`` besides the network.
            **options: the other arguments of ``VideoSegmenter``.

        Raises:
            InputError: for a wrong value or an unknown option of the tracker.
        """

        def make_tracker(network: FrameNetwork) -> Tracker:
            return build_tracker(network=network, **tracker)

        # Report wrong options now, not with the first video.
        make_tracker(network)
        return cls(network, make_tracker=make_tracker, **options)

    @classmethod
    def from_exported(
        cls,
        path: str | Path,
        *,
        score_threshold: float | None = None,
        device: str | torch.device | None = None,
    ) -> "VideoSegmenter":
        """Load a model that ``maskprop export`` wrote; Detectron2 is not needed.

        Args:
            path: the file. It can run nothing but TorchScript.
            score_threshold: drop detections scored below this (default: as exported).
            device: where to run (default: a GPU if there is one).

        Raises:
            ModelFileError: if the file is no exported model, damaged, or of another version.
        """
        network = ExportedNetwork(path, score_threshold=score_threshold, device=device)
        try:
            options = dict(network.segmenter_options)
            options["tracker"] = _exported_tracker(**options["tracker"])
            return cls.from_options(network, **options)
        except InputError as error:
            raise wrong_option(path, error) from error
        except (TypeError, ValueError, LookupError) as error:
            raise not_as_exported(path, error) from error

    def stream(self, frames: Iterable[np.ndarray]) -> VideoStream:
        """Start on a video.

        Args:
            frames: (H, W, 3) uint8 RGB arrays of one size, read one at a time.

        Returns:
            an iterator over the finished frames, in order; call its ``tracks`` at the end.
        """
        return VideoStream(self, frames)

    def segment(self, frames: Iterable[np.ndarray]) -> VideoTracks:
        """Process a whole video and return its tracks."""
        stream = self.stream(frames)
        for _ in stream:
            pass
        return stream.tracks()


def _exported_tracker(
    name: str, options: dict[str, Any] | None = None, **linking: Any
) -> dict[str, Any]:
    """The ``tracker`` of ``VideoSegmenter.from_options``, from an exported model.

    Older models list the linking options whatever the method, and keep the options of the method
    in a dict of its own, together with those of its network.
    """
    renamed = {"model": "flow_model", "weights": "flow_weights"}
    values = linking | {renamed.get(k, k): v for k, v in (options or {}).items()}
    return {"name": name, **{k: values[k] for k in option_names(name) if k in values}}
