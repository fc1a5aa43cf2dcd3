"""Metrics as text."""

from .video_ap import Metrics


def format_table(metrics: Metrics) -> str:
    """The twelve figures, and AP by category in three columns, in percent."""
    figures = metrics.as_dict()
    overall = {k: v for k, v in figures.items() if not k.startswith("AP-")}
    header = "|" + "|".join(f"{name:^7}" for name in overall) + "|"
    rule = "|" + "|".join(":-----:" for _ in overall) + "|"
    values = "|" + "|".join(f"{_text(v):^7}" for v in overall.values()) + "|"
    cells = [f"{k[3:]:<20}{_text(v):>7}" for k, v in figures.items() if k.startswith("AP-")]
    rows = ["   ".join(cells[i : i + 3]) for i in range(0, len(cells), 3)]
    return "\n".join([header, rule, values, "", "AP by category:", *rows])


def _text(percent: float | None) -> str:
    return "-" if percent is None else f"{percent:.3f}"
