"""HOTA, DetA, AssA, LocA, IDF1 and MOTA from the counts of all videos (``hota.py``)."""

from collections.abc import Iterable

import numpy as np

from .hota import ALPHAS, TrackingCounts
from .video_ap import Metrics


def hota_measures(metrics: Metrics) -> dict[str, float]:
    """HOTA, DetA, AssA, LocA, IDF1 and MOTA in percent, and ``HOTA-<category>``.

    The first six are means over all categories of the annotation file (trackeval's
    ``cls_comb_cls_av``). They are left out if it has none.
    """
    by_category = hota_per_category(metrics)
    names = next(iter(by_category.values()), {})
    return {
        **{name: float(np.mean([x[name] for x in by_category.values()])) for name in names},
        **{f"HOTA-{name}": figures["HOTA"] for name, figures in by_category.items()},
    }


def hota_per_category(metrics: Metrics) -> dict[str, dict[str, float]]:
    """HOTA, DetA, AssA, LocA, IDF1 and MOTA of each category in percent, by name."""
    return {
        name: tracking_figures(x.tracking[k] for x in metrics.videos if k in x.tracking)
        for k, name in metrics.categories.items()
    }


def hota_per_video(metrics: Metrics) -> dict[int, dict[str, float]]:
    """HOTA, DetA, AssA, LocA, IDF1 and MOTA of each video in percent, by id, from the counts of all
    of its categories together (trackeval's ``cls_comb_det_av``)."""
    return {x.video_id: tracking_figures(x.tracking.values()) for x in metrics.videos}


def tracking_figures(counts: Iterable[TrackingCounts]) -> dict[str, float]:
    """HOTA, DetA, AssA, LocA, IDF1 and MOTA in percent, from all counts together.

    HOTA, DetA, AssA and LocA are means over the thresholds. As in trackeval, where there is nothing
    to count LocA is 100 and all others are 0.
    """
    counts = list(counts)

    def total(name: str) -> np.ndarray:
        return np.sum([getattr(x, name) for x in counts], axis=0)

    objects, predicted = total("object_masks"), total("predicted_masks")
    matched = np.broadcast_to(total("matched"), len(ALPHAS))
    detection = matched / np.maximum(1, objects + predicted - matched)
    association = total("association_sum") / np.maximum(1, matched)
    location = np.maximum(1e-10, total("iou_sum")) / np.maximum(1e-10, matched)
    correct = total("clear_matched") - (predicted - total("clear_matched")) - total("switches")
    figures = {
        "HOTA": np.sqrt(detection * association),
        "DetA": detection,
        "AssA": association,
        "LocA": location,
        "IDF1": 2 * total("id_matched") / np.maximum(2, objects + predicted),
        "MOTA": correct / np.maximum(1, objects),
    }
    return {name: 100 * float(np.mean(value)) for name, value in figures.items()}
