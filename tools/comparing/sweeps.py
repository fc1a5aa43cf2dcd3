"""Sweeps over one option, and their curves."""

from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from maskprop_d2.errors import InputError
from maskprop_d2.files import atomic_file

from .tables import Rows, mean_and_deviation

MIN_RANGE = 5.0
"""Smallest range of AP in a plot, so that a few tenths of a point do not look like much."""


@dataclass(frozen=True)
class Sweep:
    """An option and the values to try.

    Attributes:
        key: config key.
        values: default values.
        label: label of the plot's axis.
        scale: scale of that axis, "linear" or "log".
    """

    key: str
    values: list[float]
    label: str
    scale: str = "linear"


SWEEPS = {
    "clip-radius": Sweep(
        "MODEL.MASKPROP.CLIP_RADIUS",
        [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
        "clip radius T (a clip has 2T + 1 frames)",
    ),
    "threshold": Sweep(
        "MODEL.MASKPROP.LINKING.THRESHOLD",
        [0.01, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5],
        "linking threshold",
        "log",
    ),
}


def curve(tables: list[Rows]) -> tuple[Sweep, np.ndarray]:
    """The sweep that the tables are of, and its curve.

    Returns:
        the sweep; and (V, 3) its V values, ascending, with the mean and the standard deviation of
        AP over the tables.

    Raises:
        InputError: if the tables are not of a sweep.
    """
    names = {row.partition(" ")[0] for row in tables[0]}
    if len(names) > 1 or not names <= SWEEPS.keys():
        raise InputError(f"only tables of a --sweep have a curve, not {', '.join(tables[0])}")
    points = [
        (float(row.partition(" ")[2]), *mean_and_deviation([rows[row]["AP"] for rows in tables]))
        for row in tables[0]
    ]
    return SWEEPS[names.pop()], np.array(sorted(points))


def plot(tables: list[Rows], title: str, path: Path) -> None:
    """Plot AP over the values of a sweep, as Figure 6 of the paper.

    Args:
        tables: of one sweep over one dataset or several. Of several the mean is drawn, with a band
            of one standard deviation.
        title: of the plot.
        path: where to write the PNG.

    Raises:
        InputError: if the tables are not of a sweep.
    """
    sweep, points = curve(tables)
    values, means, deviations = points.T
    figure, axes = plt.subplots(figsize=(5, 3.4), layout="constrained")
    # --values may include 0.
    scale = sweep.scale if values.min() > 0 else "linear"
    axes.set(xlabel=sweep.label, ylabel="AP (percent)", xscale=scale)
    axes.set_title(title, fontsize="medium")
    (line,) = axes.plot(values, means, marker="o")
    low, high = means - deviations, means + deviations
    axes.fill_between(values, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
    axes.set_xticks(values, [f"{x:g}" for x in values])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    bottom, top = axes.get_ylim()
    missing = max(MIN_RANGE - (top - bottom), 0)
    axes.set_ylim(bottom - missing / 2, top + missing / 2)
    with atomic_file(path) as partial:
        figure.savefig(partial, dpi=150, format="png")
    plt.close(figure)
