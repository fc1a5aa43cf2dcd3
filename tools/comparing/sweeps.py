"""Sweeps over one option of linking, and their curves."""

from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from maskprop_d2.errors import InputError
from maskprop_d2.files import atomic_file

from .tables import Rows, mean_and_deviation

MIN_SPAN = 5.0
"""Points of AP from the bottom to the top of a plot, at least."""


@dataclass(frozen=True)
class Sweep:
    """An option and the values to try.

    Attributes:
        key: of the config.
        values: by default.
        label: of the plot's axis.
        scale: of that axis, "linear" or "log".
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
    """What has been swept, and (V, 3): its V values, rising, with the mean AP of the tables and
    its standard deviation.

    Raises:
        InputError: if the tables are not those of a sweep.
    """
    kinds = {name.partition(" ")[0] for name in tables[0]}
    if len(kinds) > 1 or not kinds <= SWEEPS.keys():
        raise InputError(f"only what a --sweep has given is a curve, not {', '.join(tables[0])}")
    points = [
        (float(name.partition(" ")[2]), *mean_and_deviation([rows[name]["AP"] for rows in tables]))
        for name in tables[0]
    ]
    return SWEEPS[kinds.pop()], np.array(sorted(points))


def plot(tables: list[Rows], title: str, path: Path) -> None:
    """AP over the values of a sweep, as in Figure 6 of the paper.

    Args:
        tables: of one sweep over one data set or several; then their mean is drawn, with a band of
            one standard deviation on either side.
        title: of the plot.
        path: of the image.

    Raises:
        InputError: if the tables are not those of a sweep.
    """
    sweep, points = curve(tables)
    values, means, deviations = points.T
    figure, axes = plt.subplots(figsize=(5, 3.4), layout="constrained")
    # A threshold of 0 may be among those asked for.
    scale = sweep.scale if values.min() > 0 else "linear"
    axes.set(xlabel=sweep.label, ylabel="AP (percent)", xscale=scale)
    axes.set_title(title, fontsize="medium")
    (line,) = axes.plot(values, means, marker="o")
    low, high = means - deviations, means + deviations
    axes.fill_between(values, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
    # The values that were tried, and no others.
    axes.set_xticks(values, [f"{x:g}" for x in values])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    # A few tenths of a point should not look like much.
    bottom, top = axes.get_ylim()
    missing = max(MIN_SPAN - (top - bottom), 0)
    axes.set_ylim(bottom - missing / 2, top + missing / 2)
    with atomic_file(path) as partial:
        figure.savefig(partial, dpi=150, format="png")
    plt.close(figure)
