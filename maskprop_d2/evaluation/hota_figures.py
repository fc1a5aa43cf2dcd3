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


def hota_curves(
    metrics: Metrics,
) -> tuple[dict[str, list[float]], dict[int, dict[str, list[float]]]]:
    """HOTA, DetA, AssA and LocA in percent at each of the 19 thresholds: of all categories, and of
    each by id. Their means are the figures of ``hota_measures``."""
    by_category = {
        k: {
            name: values[:, 0]
            for name, values in _curves(
                [x.tracking[k] for x in metrics.videos if k in x.tracking]
            ).items()
        }
        for k in metrics.categories
    }
    names = next(iter(by_category.values()), {})
    overall = {name: np.mean([x[name] for x in by_category.values()], 0) for name in names}
    return (
        {name: values.tolist() for name, values in overall.items()},
        {k: {name: x.tolist() for name, x in curves.items()} for k, curves in by_category.items()},
    )


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
    objects, predicted = (_total(counts, x, weights) for x in ("object_masks", "predicted_masks"))
    correct, switches = (_total(counts, x, weights) for x in ("clear_matched", "switches"))
    return {
        **{name: values.mean(0) for name, values in _curves(counts, weights).items()},
        "IDF1": 200 * _total(counts, "id_matched", weights) / np.maximum(2, objects + predicted),
        "MOTA": 100 * (2 * correct - predicted - switches) / np.maximum(1, objects),
    }


def _curves(
    counts: list[TrackingCounts], weights: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """(A, B) HOTA, DetA, AssA and LocA in percent at each threshold for each sum of counts; without
    weights, B is 1 and all counts count once."""
    if weights is None:
        weights = np.ones((1, len(counts)), int)

    def by_threshold(name: str) -> np.ndarray:
        total = _total(counts, name, weights)
        return np.broadcast_to(total.T, (len(ALPHAS), len(weights)))

    matched, objects = by_threshold("matched"), by_threshold("object_masks")
    detection = matched / np.maximum(1, objects + by_threshold("predicted_masks") - matched)
    association = by_threshold("association_sum") / np.maximum(1, matched)
    location = np.maximum(1e-10, by_threshold("iou_sum")) / np.maximum(1e-10, matched)
    return {
        "HOTA": 100 * np.sqrt(detection * association),
        "DetA": 100 * detection,
        "AssA": 100 * association,
        "LocA": 100 * location,
    }


def _total(counts: list[TrackingCounts], name: str, weights: np.ndarray) -> np.ndarray:
    """(B,) or (B, A) the sums of a count."""
    values = [getattr(x, name) for x in counts]
    return weights @ np.array(values) if values else np.zeros(len(weights))
