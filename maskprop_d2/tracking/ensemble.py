"""
The idea of EnsembleVIS (Luiten et al., ICCV workshops 2019): a network for each part of the task.

Kept from the paper, and from UnOVOST (Luiten et al., WACV 2020) on which it is built: detections
are joined into tracklets if their masks, warped by optical flow, overlap; tracklets that share no
frame are merged into tracks by appearance; a classifier of image crops gives the category of a
track, the mean over its frames; a network refines the masks (``REFINEMENT.ENABLED``).

Differences: appearance is ``matching.color_histograms`` instead of a network trained for person
re-identification; tracklets merge by appearance alone, the most similar first, where UnOVOST
searches for the paths that cover the most frames; flow is DIS or RAFT, not PWC-Net; the networks
are small and trained on the dataset at hand. Overlapping detections are already dropped
(``DUPLICATE_THRESH``); ``LINKING.TRACK_SCORE video`` ranks tracks by score times length.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist, squareform
from torch import Tensor

from ..errors import InputError, MissingWeightsError
from ..structures import Frame, FrameOutput, TrackedFrame
from .base import FrameNetwork, Tracker
from .matching import IdAssigner, color_histograms, mask_iou
from .optical_flow import FlowPropagator, build_flow

INCOMPATIBLE = 2.0  # Distance of tracklets that share a frame: more than any of appearance.


@dataclass
class Tracklet:
    """Detections in consecutive frames."""

    first: int  # Index of its first frame.
    last: int
    appearance: np.ndarray  # Sum of the ``color_histograms`` of its detections.


class EnsembleTracker(Tracker):
    """Merges tracklets of flow-warped masks by appearance, and classifies tracks by image crops.

    Ids are known at the end of the video. Until then the tracker keeps a small table per frame and
    a vector per tracklet.
    """

    def __init__(
        self,
        network: FrameNetwork,
        *,
        threshold: float = 0.03,
        max_appearance_distance: float = 0.2,
        flow_model: str = "dis",
        flow_weights: str = "",
    ):
        """
        Args:
            threshold: mask IoU above which a detection continues a tracklet.
            max_appearance_distance: cosine distance, in [0, 1], up to which tracklets merge.
            flow_model, flow_weights: see ``build_flow``.
        """
        super().__init__(network)
        if not 0 <= max_appearance_distance <= 1:
            raise InputError(
                f"max_appearance_distance must be between 0 and 1, not {max_appearance_distance}"
            )
        self._propagate = FlowPropagator(build_flow(flow_model, flow_weights))
        self._max_appearance_distance = max_appearance_distance
        self._assigner = IdAssigner(threshold)
        self._previous: Frame | None = None
        self._tracklets: list[Tracklet] = []
        # For each frame the tracklets of its detections, and their class scores.
        self._members: list[list[int]] = []
        self._class_scores: list[Tensor] = []

    def add(self, frame: Frame) -> list[TrackedFrame]:
        self._class_scores.append(crop_class_scores(frame.output))
        known = self._members[-1] if self._members else []
        masks = frame.output.grid_masks
        overlap = masks.new_zeros(len(masks), len(known))
        if self._previous and known and len(masks):
            (warped,) = self._propagate(self._previous, [frame])
            overlap = mask_iou(masks, warped)
        members = self._assigner.assign(overlap, known)
        for i, histogram in zip(members, color_histograms(frame), strict=True):
            if i == len(self._tracklets):
                zeros = np.zeros_like(histogram)
                self._tracklets.append(Tracklet(frame.index, frame.index, zeros))
            self._tracklets[i].last = frame.index
            self._tracklets[i].appearance += histogram
        self._members.append(members)
        self._previous = frame
        return []

    def finish(self) -> list[TrackedFrame]:
        tracks = merge_tracklets(self._tracklets, self._max_appearance_distance)
        ids = [[tracks[i] for i in members] for members in self._members]
        frames = zip(ids, self._class_scores, strict=True)
        return [TrackedFrame(t, x, class_scores=scores) for t, (x, scores) in enumerate(frames)]


def crop_class_scores(output: FrameOutput) -> Tensor:
    """(N, K+1) class scores: categories from the crop classifier, background from the detector.

    Raises:
        MissingWeightsError: if the network has no crop classifier.
    """
    if output.crop_scores is None:
        raise MissingWeightsError("ensemble", "this model")
    background = output.class_scores[:, -1:]
    return torch.cat([(1 - background) * output.crop_scores, background], dim=1).cpu()


def merge_tracklets(tracklets: list[Tracklet], max_distance: float) -> list[int]:
    """Merge tracklets into tracks, the most similar first.

    Args:
        tracklets: all tracklets of a video.
        max_distance: cosine distance of appearance that no two tracklets of a track exceed.

    Returns:
        for each tracklet the index of its track; tracks are numbered from 0 in the order of their
        first tracklets. Tracklets that share a frame are in different tracks.
    """
    if len(tracklets) < 2:
        return list(range(len(tracklets)))
    # The appearance of an object with empty masks is 0, and its cosine distances are not defined.
    distances = np.nan_to_num(pdist([x.appearance for x in tracklets], "cosine"), nan=1.0)
    first, last = np.array([(x.first, x.last) for x in tracklets]).T
    overlap = (first[:, None] <= last) & (first <= last[:, None])
    distances[squareform(overlap, checks=False)] = INCOMPATIBLE
    # Complete linkage: the distance of clusters is that of their two most distant members.
    clusters = fcluster(linkage(distances.clip(0), "complete"), max_distance, "distance")
    tracks: dict[int, int] = {}
    return [tracks.setdefault(x, len(tracks)) for x in clusters.tolist()]
