"""``tools/summarize_tables.py`` on small tables."""

import json

import numpy as np
import pytest

pytest.importorskip("matplotlib")
from comparing.sweeps import curve
from summarize_tables import main


@pytest.fixture
def write(tmp_path):
    def write_tables(*tables):
        paths = [tmp_path / f"{i}.json" for i in range(len(tables))]
        for path, rows in zip(paths, tables, strict=True):
            path.write_text(json.dumps(rows))
        return [str(x) for x in paths]

    return write_tables


def test_mean_and_deviation_of_a_sample(write, capsys):
    seeds = [
        {"iou": {"AP": ap, "AR1": None, "ID switches": n}} for ap, n in [(51, 3), (57, 0), (48, 12)]
    ]
    main(write(*seeds))
    assert capsys.readouterr().out.splitlines() == [
        "| | AP | AR1 | ID switches |",
        "| --- | ---: | ---: | ---: |",
        "| iou | 52.0 ± 4.6 | - | 5.0 ± 6.2 |",
    ]


def test_the_curve_of_a_sweep_is_sorted_by_value(write, tmp_path, capsys):
    seeds = [{f"clip-radius {x}": {"AP": 10.0 * x + y} for x in (10, 2)} for y in (0, 2)]
    _, points = curve(seeds)
    assert points == pytest.approx(np.array([[2, 21, 2**0.5], [10, 101, 2**0.5]]))
    main([*write(*seeds), "--plot", str(tmp_path / "new/curve.png")])
    assert (tmp_path / "new/curve.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("tables", "options", "message"),
    [
        ([{"iou": {"AP": 1}}], [], "needs two or more tables"),
        ([{"iou": {"AP": 1}}, []], [], "1.json is not a table.json"),
        ([{"iou": {"AP": 1}}, {"iou": {"AP": "1"}}], [], "1.json is not a table.json"),
        ([{"iou": {"AP": 1}}, {"iou": {"AP": 1}, "flow": {"AP": 1}}], [], "has flow AP"),
        ([{"iou": {"AP": 1}}, {"iou": {"AP": 1}}], ["--plot", "p.png"], "have a curve, not iou"),
    ],
)
def test_tables_that_cannot_be_summarized(write, capsys, tables, options, message):
    with pytest.raises(SystemExit) as info:
        main([*write(*tables), *options])
    assert info.value.code == 2
    assert message in capsys.readouterr().err
