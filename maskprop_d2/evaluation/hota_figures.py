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
    figures = resampled_tracking_figures(counts, np.ones((1, len(counts)), int))
    return {name: float(values[0]) for name, values in figures.items()}


def resampled_tracking_figures(
    counts: list[TrackingCounts], weights: np.ndarray
) -> dict[str, np.ndarray]:
    """(B,) the same figures for each of B sums of N counts, with (B, N) weights."""

    def total(name: str) -> np.ndarray:
        values = [getattr(x, name) for x in counts]
        return weights @ np.array(values) if values else np.zeros(len(weights))

    def by_threshold(name: str) -> np.ndarray:
        return np.broadcast_to(total(name).T, (len(ALPHAS), len(weights)))

    objects, predicted = total("object_masks"), total("predicted_masks")
    matched, correct = by_threshold("matched"), total("clear_matched")
    detection = matched / np.maximum(1, objects + predicted - matched)
    association = by_threshold("association_sum") / np.maximum(1, matched)
    location = np.maximum(1e-10, by_threshold("iou_sum")) / np.maximum(1e-10, matched)
    false = predicted - correct
    return {
        "HOTA": 100 * np.sqrt(detection * association).mean(0),
        "DetA": 100 * detection.mean(0),
        "AssA": 100 * association.mean(0),
        "LocA": 100 * location.mean(0),
        "IDF1": 100 * 2 * total("id_matched") / np.maximum(2, objects + predicted),
        "MOTA": 100 * (correct - false - total("switches")) / np.maximum(1, objects),
    }
