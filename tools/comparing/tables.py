"""Tables of figures, of one comparison or averaged over several."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from maskprop_d2.errors import InputError
from maskprop_d2.ytvis import load_json
from maskprop_d2.ytvis.checks import is_number

Rows = dict[str, dict[str, float | None]]
"""Figures by column, by the name of the method or of the value of a sweep; None if undefined."""


def table(rows: Rows) -> str:
    """The rows as a Markdown table."""
    return _markdown({name: [_text(x) for x in row.values()] for name, row in rows.items()}, rows)


def mean_table(tables: list[Rows]) -> str:
    """Mean ± standard deviation of several comparisons as a Markdown table."""
    cells = {
        name: [_mean_text([x[name][column] for x in tables]) for column in row]
        for name, row in tables[0].items()
    }
    return _markdown(cells, tables[0])


def mean_and_deviation(values: list[float | None]) -> tuple[float, float]:
    """Mean and sample standard deviation (over n - 1; 0 for one value). NaN if a value is None."""
    numbers = np.array(values, float)
    return float(numbers.mean()), float(numbers.std(ddof=1)) if len(numbers) > 1 else 0.0


def read_tables(paths: list[Path]) -> list[Rows]:
    """Read the ``table.json`` of several comparisons.

    Raises:
        InputError: if a file is no such table, or differs from the first in its rows or columns.
    """
    tables = [load_json(path) for path in paths]
    for path, rows in zip(paths, tables, strict=True):
        if not _is_table(rows):
            raise InputError(f"{path} is not a table.json of compare_trackers.py")
        different = _cell_names(rows) ^ _cell_names(tables[0])
        if different:
            raise InputError(
                f"{path} and {paths[0]} cannot be averaged: only one of them has "
                f"{' '.join(min(different))}"
            )
    return tables


def _is_table(rows: Any) -> bool:
    return (
        isinstance(rows, dict)
        and bool(rows)
        and all(isinstance(row, dict) and row for row in rows.values())
        and all(x is None or is_number(x) for row in rows.values() for x in row.values())
    )


def _cell_names(rows: Rows) -> set[tuple[str, str]]:
    return {(name, column) for name, row in rows.items() for column in row}


def _markdown(cells: dict[str, list[str]], rows: Rows) -> str:
    columns = list(next(iter(rows.values())))
    lines = [f"| | {' | '.join(columns)} |", "| --- |" + " ---: |" * len(columns)]
    lines += [f"| {name} | {' | '.join(row)} |" for name, row in cells.items()]
    return "\n".join(lines)


def _text(x: float | None) -> str:
    return "-" if x is None else f"{x:.0f}" if isinstance(x, int) else f"{x:.1f}"


def _mean_text(values: list[float | None]) -> str:
    mean, deviation = mean_and_deviation(values)
    return "-" if math.isnan(mean) else f"{mean:.1f} ± {deviation:.1f}"
