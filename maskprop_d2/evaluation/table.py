"""Metrics as text tables."""

from typing import Any

from .video_ap import Metrics


def format_table(metrics: Metrics) -> str:
    """The twelve official figures, and AP by category in three columns, in percent."""
    figures = metrics.as_dict()
    overall = {k: v for k, v in figures.items() if not k.startswith("AP-")}
    cells = [f"{k[3:]:<20}{_text(v):>7}" for k, v in figures.items() if k.startswith("AP-")]
    rows = ["   ".join(cells[i : i + 3]) for i in range(0, len(cells), 3)]
    return "\n".join([_header(overall), _row(overall), "", "AP by category:", *rows])


def format_per_category(figures: dict[str, dict[str, float | None]]) -> str:
    """The twelve official figures of each category."""
    if not figures:
        return "there are no categories"
    rows = [f"{_row(values)} {name}" for name, values in figures.items()]
    return "\n".join([_header(next(iter(figures.values()))), *rows])


def format_per_video(gains: list[dict[str, Any]], most: int = 20) -> str:
    """The first gains of a list from ``ap_gains``, if they are above 0."""
    costly = [x for x in gains if x["AP_gain"] > 0]
    rows = [f"video {x['video_id']:<8}{x['AP_gain']:8.3f}" for x in costly[:most]]
    rows += [f"... and {len(costly) - most} more"] if len(costly) > most else []
    return "\n".join(rows) or "none"


def _header(figures: dict[str, float | None]) -> str:
    names = "|" + "|".join(f"{name:^7}" for name in figures) + "|"
    return names + "\n|" + "|".join(":-----:" for _ in figures) + "|"


def _row(figures: dict[str, float | None]) -> str:
    return "|" + "|".join(f"{_text(v):^7}" for v in figures.values()) + "|"


def _text(percent: float | None) -> str:
    return "-" if percent is None else f"{percent:.3f}"
