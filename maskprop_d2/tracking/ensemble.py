"""
The idea of EnsembleVIS (Luiten et al., ICCV workshops 2019): a network for each part of the task.

Kept from the paper, and from UnOVOST (Luiten et al., WACV 2020), which it is built on: detections
of neighbouring frames are joined into tracklets where masks that are warped by optical flow
overlap; tracklets that are never seen at once are merged into tracks by what they look like; a
classifier that sees crops alone says what a track is, as the mean over its frames; and masks are
refined by a network of their own (``REFINEMENT.ENABLED``).

What differs: looks are colour histograms under the masks instead of a network trained to identify
people, since these tell objects apart better than any features that are trained to tell categories
(figures in ``appearance.py``), and merges go by looks alone, the most alike first, where UnOVOST
searches for paths that cover the most frames. Flow is DIS or RAFT, not PWC-Net; crop classifier and
refinement are small, and learn on the data set at hand alone. Overlapping detections have already
been dropped (``DUPLICATE_THRESH``), and tracks are ranked by score times length with
``LINKING.TRACK_SCORE video``.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from torch import Tensor

from ..errors import InputError, MissingWeightsError
from ..ops.soft_iou import pairwise_soft_iou
from ..structures import Frame, FrameOutput, TrackedFrame
from .appearance import color_histograms
from .assignment import IdAssigner
from .base import Linking, TrackerFactory
from .clips import Propagate
from .flow import FlowPropagator
from .optical_flow import build_flow

NEVER = 2.0
"""Distance of two tracklets that cannot be one object's: beyond any between looks."""


def build(
    linking: Linking,
    *,
    max_appearance_distance: float = 0.2,
    model: str = "dis",
    weights: str = "",
) -> TrackerFactory:
    """See ``build_tracker``; the options are those of ``Ensemble`` and of ``build_flow``."""
    if not 0 <= max_appearance_distance <= 1:
        raise InputError(
            "ENSEMBLE.MAX_APPEARANCE_DISTANCE must be between 0 and 1, not "
            f"{max_appearance_distance}"
        )
    flow = build_flow(model, weights)
    return lambda network: Ensemble(
        FlowPropagator(flow), linking.threshold, max_appearance_distance
    )


@dataclass
class Tracklet:
    """Detections of consecutive frames.

    Attributes:
        first, last: index of its first and last frame.
        look: sum of its detections' ``color_histograms``.
    """

    first: int
    last: int
    look: np.ndarray


class Ensemble:
    """See the head of this file.

    It is an offline method. Its own memory is a small table a frame, and a vector a tracklet.
    """

    clip_radius = 0

    def __init__(self, warp: Propagate, threshold: float, max_appearance_distance: float):
        """
        Args:
            warp: carries masks to the next frame.
            threshold: IoU of binary masks above which a detection goes on with a tracklet.
            max_appearance_distance: cosine distance up to which tracklets may be one object's.
        """
        self._warp = warp
        self._max_appearance_distance = max_appearance_distance
        self._assigner = IdAssigner(threshold, exclusive=True)
        self._previous: Frame | None = None
        self._tracklets: list[Tracklet] = []
        # Of each frame the tracklets of its detections, and the class scores of these.
        self._members: list[list[int]] = []
        self._class_scores: list[Tensor] = []

    def add(self, frame: Frame) -> list[TrackedFrame]:
        """See ``Tracker.add``.

        Raises:
            MissingWeightsError: if the network has no crop classifier.
        """
        self._class_scores.append(class_scores_by_crops(frame.output))
        known = self._members[-1] if self._members else []
        members = self._assigner.assign(self._overlaps(frame), known)
        for i, look in zip(members, color_histograms(frame), strict=True):
            if i == len(self._tracklets):
                self._tracklets.append(Tracklet(frame.index, frame.index, np.zeros_like(look)))
            self._tracklets[i].last = frame.index
            self._tracklets[i].look += look
        self._members.append(members)
        self._previous = frame
        return []

    def finish(self) -> list[TrackedFrame]:
        """See ``Tracker.finish``."""
        tracks = merge(self._tracklets, self._max_appearance_distance)
        frames = enumerate(zip(self._members, self._class_scores, strict=True))
        return [
            TrackedFrame(t, [tracks[i] for i in members], class_scores=scores)
            for t, (members, scores) in frames
        ]

    def _overlaps(self, frame: Frame) -> Tensor:
        """(N, M) IoU of each detection with each one of the frame before, warped to this one."""
        masks, before = frame.output.grid_masks, self._previous
        if before is None or not len(before.output) or not len(masks):
            return masks.new_zeros(len(masks), 0 if before is None else len(before.output))
        (warped,) = self._warp(before, [frame])
        return pairwise_soft_iou(*((x > 0.5).flatten(1).float() for x in (masks, warped)))


def class_scores_by_crops(output: FrameOutput) -> Tensor:
    """(N, K+1) vectors in which the crop classifier says what an object is, and the detector
    whether it is one.

    Raises:
        MissingWeightsError: if the network has no crop classifier.
    """
    if output.crop_scores is None:
        raise MissingWeightsError("ensemble", "this model")
    background = output.class_scores[:, -1:]
    return torch.cat([(1 - background) * output.crop_scores, background], dim=1).cpu()


def merge(tracklets: list[Tracklet], limit: float) -> list[int]:
    """Which tracklets are one object's, the most alike first.

    Args:
        tracklets: all of a video.
        limit: cosine distance of looks up to which any two tracklets of one track are.

    Returns:
        for each tracklet the index of its track, from 0 in the order of the first tracklets; two
        that share a frame are never in one.
    """
    if len(tracklets) < 2:
        return list(range(len(tracklets)))
    looks = np.stack([x.look for x in tracklets])
    looks /= np.maximum(np.linalg.norm(looks, axis=1, keepdims=True), 1e-12)
    distances = 1 - looks @ looks.T
    first, last = np.array([(x.first, x.last) for x in tracklets]).T
    distances[(first[:, None] <= last) & (first <= last[:, None])] = NEVER
    # Complete linkage: clusters are as far apart as their two members furthest apart.
    pairs = squareform(distances.clip(min=0), checks=False)
    clusters = fcluster(linkage(pairs, "complete"), limit, criterion="distance")
    tracks: dict[int, int] = {}
    return [tracks.setdefault(x, len(tracks)) for x in clusters.tolist()]
