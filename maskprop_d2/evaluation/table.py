"""Metrics as text tables."""

from collections.abc import Mapping
from typing import Any

from .video_ap import Metrics


def format_table(metrics: Metrics) -> str:
    """The twelve official figures, and AP by category in three columns, in percent."""
    figures = metrics.as_dict()
    overall = {k: v for k, v in figures.items() if not k.startswith("AP-")}
    rows = _columns({k[3:]: v for k, v in figures.items() if k.startswith("AP-")})
    return "\n".join([_header(overall), _row(overall), "", "AP by category:", *rows])


def format_hota(measures: Mapping[str, float]) -> str:
    """The figures of ``hota_measures``, with HOTA by category in three columns."""
    overall = {k: v for k, v in measures.items() if not k.startswith("HOTA-")}
    rows = _columns({k[5:]: v for k, v in measures.items() if k.startswith("HOTA-")})
    return "\n".join([_header(overall), _row(overall), "", "HOTA by category:", *rows])


def _columns(figures: Mapping[str, float | None]) -> list[str]:
    cells = [f"{name:<20}{_text(value):>7}" for name, value in figures.items()]
    return ["   ".join(cells[i : i + 3]) for i in range(0, len(cells), 3)]


def format_per_category(figures: Mapping[str, Mapping[str, float | None]]) -> str:
    """The same figures of each category, in rows."""
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


def _header(figures: Mapping[str, float | None]) -> str:
    names = "|" + "|".join(f"{name:^7}" for name in figures) + "|"
    return names + "\n|" + "|".join(":-----:" for _ in figures) + "|"


def _row(figures: Mapping[str, float | None]) -> str:
    return "|" + "|".join(f"{_text(v):^7}" for v in figures.values()) + "|"


def _text(percent: float | None) -> str:
    return "-" if percent is None else f"{percent:.3f}"
