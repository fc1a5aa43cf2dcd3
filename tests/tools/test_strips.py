"""The film strips of ``tools/compare_trackers.py``, from results with known errors."""

import base64
import re

import cv2
import numpy as np
import pytest
from small_results import LENGTH, NAMES, write_small_results

pytest.importorskip("matplotlib")
from comparing.scoring import score
from comparing.strips import most_different, write_strips


@pytest.fixture
def compared(tmp_path):
    """The folder, the ground truth, and two methods: a perfect one and that of
    ``write_small_results``."""
    truth, results = write_small_results(tmp_path)
    perfect = [{**x, "score": 0.9} for x in truth["annotations"] if not x.get("iscrowd")]
    methods = {"perfect": score(truth, perfect), "<i>faulty": score(truth, results)}
    return tmp_path, truth, methods


def strips(page):
    """The note and the images of each row, by its name and that of its video."""
    videos = {}
    for name, body in re.findall(r"<h2>(.*?)</h2>(.*?)</table>", page, re.DOTALL):
        videos[name] = {
            row: (note, [image(x) for x in re.findall(r"base64,([^\"]+)", cells)])
            for row, note, cells in re.findall(
                r"<tr[^>]*><th>([^<]*)<small>(.*?)</small></th>(.*?)</tr>", body, re.DOTALL
            )
        }
    return videos


def image(data):
    return cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)


def colors(images, lane):
    """The colour inside one lane's block in each frame."""
    return [x[20 * lane + 10, 8 * t + 8].astype(int) for t, x in enumerate(images)]


def same(a, b):
    return bool(abs(a - b).max() < 12)


def test_videos_are_sorted_by_difference_without_equal_ones(compared):
    *_, methods = compared
    # The faulty method is wrong in all of video 5, and in some frames of video 3.
    assert most_different(methods) == [5, 3]
    assert methods["perfect"].identity(3) == {"IDF1": 100, "ID_switches": 0}
    figures = methods["<i>faulty"].identity(3)
    assert figures["ID_switches"] == 2 and figures["IDF1"] == pytest.approx(100 * 2 * 12 / 38)


def test_an_id_switch_changes_the_color(compared):
    folder, truth, methods = compared
    write_strips(truth, methods, folder / "JPEGImages", "<b>set", folder / "strips.html")
    page = (folder / "strips.html").read_text()
    assert "<b>" not in page and "<i>" not in page and "http" not in page
    videos = strips(page)
    assert list(videos) == [NAMES[5], NAMES[3]]
    rows = videos[NAMES[3]]
    assert list(rows) == ["frames", "ground truth", "perfect", "&lt;i&gt;faulty"]
    assert rows["perfect"][0] == "IDF1 100.0, ID switches: 0"
    assert rows["&lt;i&gt;faulty"][0] == "IDF1 63.2, ID switches: 2"
    shown = {name: images for name, (_, images) in rows.items()}
    assert all(len(x) == LENGTH for x in shown.values())
    for lane in (0, 1):
        mine, other = (colors(shown["ground truth"], x) for x in (lane, 1 - lane))
        assert np.ptp(mine[0]) > 30 and not same(mine[0], other[0])
        assert all(map(same, colors(shown["perfect"], lane), mine))
        faulty = colors(shown["&lt;i&gt;faulty"], lane)
        assert all(map(same, faulty[:5], mine[:5])) and all(map(same, faulty[5:], other[5:]))
    # The disk is missed in frames 2 and 3, and remains gray.
    spread = [int(np.ptp(x)) for x in colors(shown["&lt;i&gt;faulty"], 2)]
    assert max(spread[2:4]) < 10 and min(spread[4:6]) > 30
    # The first row shows the original frames.
    assert all(same(x, np.full(3, 20)) for x in colors(shown["frames"], 0))


def test_equal_methods(compared):
    folder, truth, methods = compared
    both = {"a": methods["perfect"], "b": methods["perfect"]}
    write_strips(truth, both, folder / "JPEGImages", "set", folder / "strips.html")
    assert "All methods are equally good in every video" in (folder / "strips.html").read_text()
