from pathlib import Path

import pytest
from scenes import Object, Scene

from maskprop_d2.engine import load_config
from maskprop_d2.inference import VideoSegmenter
from maskprop_d2.modeling.options import segmenter_options
from maskprop_d2.tracking import TRACKERS

CONFIG = Path(__file__).parents[2] / "configs/moving_shapes/maskprop_tiny.yaml"


def options(*pairs):
    return segmenter_options(load_config(str(CONFIG), list(pairs)))


@pytest.mark.parametrize("method", TRACKERS)
def test_one_key_changes_the_method(method):
    scene = Scene({"a": Object([(4, 4)] * 3)})
    segmenter = VideoSegmenter.from_options(scene, **options("MODEL.MASKPROP.TRACKER", method))
    assert segmenter.segment(scene.images()).track_ids == [0]


def test_a_method_gets_the_options_of_its_own_keys():
    of_deepsort = options(
        "MODEL.MASKPROP.TRACKER", "deepsort", "MODEL.MASKPROP.DEEPSORT.MAX_AGE", "7"
    )
    expected = {"max_age": 7, "max_appearance_distance": 0.2}
    assert of_deepsort["tracker"]["options"] == expected
    assert "options" not in options("MODEL.MASKPROP.TRACKER", "iou")["tracker"]
    with pytest.raises(ValueError, match="unknown tracking method 'clip_radius'"):
        VideoSegmenter.from_options(None, **options("MODEL.MASKPROP.TRACKER", "clip_radius"))
    wrong = options("MODEL.MASKPROP.TRACKER", "flow", "MODEL.MASKPROP.FLOW.MODEL", "raft")
    with pytest.raises(ValueError, match=r"FLOW\.MODEL must be"):
        VideoSegmenter.from_options(None, **wrong)
    # A part of the config that belongs to no method.
    with pytest.raises(ValueError, match="unknown tracking method 'linking'"):
        VideoSegmenter.from_options(None, **options("MODEL.MASKPROP.TRACKER", "linking"))
