"""Videos with their objects and predictions: checked, small, and quick to send to a process."""

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import AnnotationError
from ..ops.rle import track_to_counts
from ..ytvis import check_ground_truth

MAX_TRACKS = 100  # Predictions that count for each video and category, those with the best scores.


@dataclass
class Track:
    """An annotated object or a predicted track.

    Attributes:
        category_id: as in the file.
        counts: of the compressed RLE of each of L frames, None where the object is not seen.
        areas: (L,) mask areas in pixels.
        average_area: in pixels, over the frames in which the object is seen.
        score: of a prediction.
        is_crowd: whether an annotation is a crowd, which is ignored.
    """

    category_id: int
    counts: list[bytes | None]
    areas: np.ndarray
    average_area: float
    score: float = 1.0
    is_crowd: bool = False


@dataclass
class Video:
    """A video with its tracks.

    Attributes:
        id: as in the file.
        height, width: of the frames, in pixels.
        length: number of frames, L.
        truth: annotated objects in file order.
        predictions: predicted tracks; ties in score are in file order.
    """

    id: int
    height: int
    width: int
    length: int
    truth: list[Track] = field(default_factory=list)
    predictions: list[Track] = field(default_factory=list)

    @property
    def objects(self) -> list[Track]:
        """The annotations that are no crowds."""
        return [x for x in self.truth if not x.is_crowd]


def read_videos(ground_truth: Any, source: str | Path) -> dict[int, Video]:
    """The videos of an annotation file with their objects, by id in rising order.

    Raises:
        AnnotationError: naming the first entry or mask that is wrong.
    """
    check_ground_truth(ground_truth, source)
    videos = {
        video["id"]: Video(video["id"], video["height"], video["width"], len(video["file_names"]))
        for video in sorted(ground_truth["videos"], key=lambda x: x["id"])
    }
    for annotation in ground_truth.get("annotations") or []:
        if annotation["id"] == 0:
            logging.getLogger(__name__).warning(
                "%s: an annotation has the id 0. The official code counts all matches with it as "
                "false positives; this evaluator treats it like any other object.",
                source,
            )
        video = videos[annotation["video_id"]]
        try:
            counts, areas = track_to_counts(annotation["segmentations"], video.height, video.width)
        except ValueError as error:
            raise AnnotationError(f"{source}: annotation {annotation['id']}, {error}") from error
        own_areas = annotation.get("areas")
        video.truth.append(
            Track(
                annotation["category_id"],
                counts,
                areas,
                # The official code trusts the areas in the file.
                average_area(areas if own_areas is None else own_areas),
                is_crowd=bool(annotation.get("iscrowd", 0)),
            )
        )
    return videos


def average_area(areas: Sequence[float | None] | np.ndarray) -> float:
    """Mean over the frames in which an object is seen: those whose area is not 0 or None."""
    known = np.asarray(areas, dtype=float)  # None becomes NaN.
    seen = known[known > 0]
    return float(seen.mean()) if len(seen) else 0.0


def best_by_category(predictions: list[Track]) -> dict[int, list[Track]]:
    """The predictions that count, by category id and falling score; ties keep their order."""
    by_category: dict[int, list[Track]] = defaultdict(list)
    for track in sorted(predictions, key=lambda x: -x.score):
        if len(by_category[track.category_id]) < MAX_TRACKS:
            by_category[track.category_id].append(track)
    return dict(by_category)
